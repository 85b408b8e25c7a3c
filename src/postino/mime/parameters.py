"""Read fields of the shape `value; name=value; ...`: Content-Type and Content-Disposition.

RFC: 2045 §5.1 (syntax), 2183 §2 (disposition), 2231 §3-§4 (continuations, charsets).
Exposure: unauthenticated octets; at most MAX_PARAMETERS are read, in linear time.
Invariants: values are octets as received without their quoting; a value that names its charset (RFC 2231
    §4) is UTF-8, and its name keeps the final `*`, so that nobody decodes it a second time.
Not here: encoded words inside a value, which are against RFC 2047 §5 but common; see Part.filename.
"""

import re
from functools import lru_cache
from itertools import islice
from typing import Final
from urllib.parse import unquote_to_bytes

from postino.mime.charset import decode
from postino.mime.header import unfold

MAX_PARAMETERS: Final = 1000

Parameters = tuple[tuple[str, bytes], ...]

_PARAMETER: Final = re.compile(
    rb";\s*+([^\s;=\"]++)\s*+=\s*+(?:\"((?:[^\"\\]++|\\.)*+)(?:\"[^;]*+|\Z)|([^;]*+))", re.DOTALL
)
_TYPE: Final = re.compile(
    rb"\s*([!#$%&'*+.0-9A-Z^_`a-z{|}~-]+)\s*/\s*([!#$%&'*+.0-9A-Z^_`a-z{|}~-]+)\s*(?:;|\Z|\s)"
)
_TOKEN: Final = re.compile(rb"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]+")
_SECTION: Final = re.compile(r"([^*]+)\*(\d{1,6})(\*?)")
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
_OUTSIDE: Final = re.compile(rb"\"(?:[^\"\\]++|\\.)*+\"?|\(|[^\"(\\]++|\\.?", re.DOTALL)
_IN_COMMENT: Final = re.compile(rb"[()]|[^()\\]++|\\.?", re.DOTALL)
# PERF: what nearly all such fields look like, at once: 0.9 us instead of 3. It accepts nothing that the
# general way would read differently: no comments, escapes, sections or second parameter.
_USUAL: Final = re.compile(
    rb"[ \t\r\n]*+([!#$%&'*+.0-9A-Z^_`a-z{|}~-]++)(?:/([!#$%&'*+.0-9A-Z^_`a-z{|}~-]++))?"
    rb"(?:;[ \t\r\n]*+([!#$%&+.0-9A-Z^_`a-z{|}~-]++)="
    rb"(?:\"([^\"\\\r\n]*+)\"|([!#$%&'*+./0-9A-Z^_`a-z{|}~-]++)))?+"
    rb";?[ \t\r]*+"
)
_CACHED_OCTETS: Final = 100


def strip_comments(value: bytes) -> bytes:
    """Take comments in parentheses out of a structured value (RFC 5322 §3.2.2); quoted strings stay."""
    if b"(" not in value:
        return value
    kept: list[bytes] = []
    depth = 0
    at = 0
    end = len(value)
    while at < end:
        found = (_IN_COMMENT if depth else _OUTSIDE).match(value, at)
        if found is None:  # cannot be: both match any octet
            break
        at = found.end()
        piece = found[0]
        if piece == b"(":
            depth += 1
        elif piece == b")" and depth:
            depth -= 1
        elif not depth:
            kept.append(piece)
    return b"".join(kept)


def parse_content_type(value: bytes) -> tuple[str, str, Parameters] | None:
    """A Content-Type as (type, subtype, parameters), lower case; None when its syntax is broken.

    RFC 2045 §5.2: the caller then takes the default of the place.
    """
    # PERF: most parts of most messages say one of a few things; those with a boundary never repeat.
    if len(value) <= _CACHED_OCTETS and b"oundary" not in value:
        return _cached_content_type(value)
    return _parse_content_type(value)


def parse_disposition(value: bytes) -> tuple[str, Parameters] | None:
    """A Content-Disposition as (disposition, parameters); None when there is no word to read."""
    usual = _USUAL.fullmatch(value)
    if usual is not None and usual[2] is None:
        return usual[1].decode("ascii").lower(), _usual_parameters(usual)
    value = strip_comments(unfold(value))
    found = _TOKEN.match(value)
    if found is None:
        return None
    return found[0].decode("ascii").lower(), _parameters(value, found.end())


def parse_token(value: bytes) -> str:
    """The first word of a field that holds one (Content-Transfer-Encoding), lower case; "" if none."""
    return _cached_token(value) if len(value) <= _CACHED_OCTETS else _parse_token(value)


def _parse_token(value: bytes) -> str:
    found = _TOKEN.match(strip_comments(unfold(value)).strip())
    return found[0].decode("ascii").lower() if found else ""


_cached_token = lru_cache(maxsize=64)(_parse_token)


def _parse_content_type(value: bytes) -> tuple[str, str, Parameters] | None:
    usual = _USUAL.fullmatch(value)
    if usual is not None and usual[2] is not None:
        return usual[1].decode("ascii").lower(), usual[2].decode("ascii").lower(), _usual_parameters(usual)
    value = strip_comments(unfold(value))
    found = _TYPE.match(value)
    if found is None:
        return None
    return (
        found[1].decode("ascii").lower(),
        found[2].decode("ascii").lower(),
        _parameters(value, found.end(2)) if b";" in value else (),
    )


_cached_content_type = lru_cache(maxsize=1024)(_parse_content_type)


def _usual_parameters(usual: re.Match[bytes]) -> Parameters:
    _, _, name, quoted, token = usual.groups()
    if name is None:
        return ()
    return ((name.decode("ascii").lower(), token if quoted is None else quoted),)


def _parameters(value: bytes, start: int) -> Parameters:
    plain: dict[str, bytes] = {}
    sections: dict[str, dict[int, tuple[bytes, bool]]] = {}
    for found in islice(_PARAMETER.finditer(value, start), MAX_PARAMETERS):
        name = found[1].decode("ascii", "replace").lower()
        quoted, token = found[2], found[3]
        if quoted is None:
            octets = token.strip()
        else:
            octets = _ESCAPED.sub(rb"\1", quoted) if b"\\" in quoted else quoted
        if "*" not in name:
            plain.setdefault(name, octets)
        elif (section := _SECTION.fullmatch(name)) is not None:
            sections.setdefault(section[1], {}).setdefault(int(section[2]), (octets, bool(section[3])))
        elif name.endswith("*") and name.count("*") == 1:
            sections.setdefault(name[:-1], {}).setdefault(0, (octets, True))
        else:
            plain.setdefault(name, octets)
    if not sections:
        return tuple(plain.items())
    for name, numbered in sections.items():
        joined, has_charset = _joined(numbered)
        if has_charset:
            # RFC 2231 §3 allows a plain form beside it for old readers; the two names differ here.
            plain[f"{name}*"] = joined
        else:
            plain.setdefault(name, joined)
    return tuple(plain.items())


def _joined(numbered: dict[int, tuple[bytes, bool]]) -> tuple[bytes, bool]:
    """Join the sections of one parameter, from 0 up to the first that is missing."""
    charset = ""
    has_charset = False
    pieces: list[bytes] = []
    number = 0
    while number in numbered:
        octets, is_extended = numbered[number]
        if is_extended:
            if number == 0 and octets.count(b"'") >= 2:
                name, _, rest = octets.split(b"'", 2)
                charset, octets = name.decode("ascii", "replace"), rest
                has_charset = True
            octets = unquote_to_bytes(octets)
        pieces.append(octets)
        number += 1
    joined = b"".join(pieces)
    return (decode(joined, charset).encode() if has_charset else joined), has_charset
