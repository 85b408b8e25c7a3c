"""Make another message of the filtered one: fields added and taken out, parts exchanged, all enclosed.

RFC: 5293 §4-§7, 5703 §5 and §6; 2045 §6.7 and 2046 §5.1 (what is written), 5322 §2.2.
Exposure: texts of scripts, which hold pieces of strangers' messages.
Invariants: every octet that is not edited stays as it was; what is put in cannot end its part early; each
    edit costs steps by the size of what it makes, and a message does not grow without end.
Not here: the commands (extensions/editheader.py, extensions/replace.py, extensions/enclose.py).
"""

import base64
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from postino.mime.header import fields, header_octets
from postino.mime.part import Part
from postino.mime.usual_index import boundary_of
from postino.sieve.actions import Edited
from postino.sieve.message import SieveMessage

if TYPE_CHECKING:
    from postino.sieve.run import Run

_LONGEST_LINE: Final = 998
_BARE: Final = re.compile(rb"\r\n|\r|\n")
_MOST_ADDED: Final = 1024 * 1024
"""Octets by which a message may grow beyond twice its size."""


def may_edit(run: "Run") -> bool:
    """Whether `message` is the whole one: a script included in a loop sees a part, and cannot change it."""
    if run.whole_message is None:
        return True
    run.note("not done: a script that is included in foreverypart cannot change the message")
    return False


def edit(run: "Run", header: bytes, body: bytes | None = None) -> None:
    """Go on with another header, and body when one is given. Raises RunTimeFault when it grows too large."""
    old = run.message
    size = len(header) + (len(old.body) if body is None else len(body))
    before = len(run.original.header) + len(run.original.body)
    if size > 2 * before + _MOST_ADDED:
        raise run.fault("the script made the message much larger than it was")
    run.spend((len(header) >> 6) + (len(body) >> 8 if body is not None else 0))
    if old.is_indexed:
        # SECURITY: whoever asks for parts and edits, in turn, has them found anew each time.
        run.spend((size - len(header)) >> 6)
    kept = run.edited.body if body is None and run.edited is not None else body
    run.edited = Edited(header, kept)
    run.message = SieveMessage(header, old.body if body is None else body, limits=old.limits)


def edit_whole(run: "Run", octets: bytes) -> None:
    """Go on with other octets for header and body."""
    end = header_octets(octets)
    edit(run, octets[:end], octets[end:])


def with_field(header: bytes, field: bytes, *, last: bool = False) -> bytes:
    """A header with one more field, `field` with its CRLF."""
    if not last:
        return field + header
    for ending in (b"\n\r\n", b"\n\n"):
        if header.endswith(ending):
            end = len(header) - len(ending) + 1
            return header[:end] + field + header[end:]
    if header in {b"\r\n", b"\n"} or not header:
        return field + header
    return header + (field if header.endswith(b"\n") else b"\r\n" + field)


def without_fields(header: bytes, is_gone: Callable[[str], bool]) -> bytes:
    """A header without the fields whose lower-case names are gone."""
    return without_ranges(
        header, [(start, end) for name, start, end, _ in fields(header) if is_gone(name.decode("latin-1"))]
    )


def without_ranges(header: bytes, ranges: Iterable[tuple[int, int]]) -> bytes:
    """A header without these octets; `ranges` are in their order."""
    kept: list[bytes] = []
    at = 0
    for start, end in ranges:
        kept.append(header[at:start])
        at = end
    kept.append(header[at:])
    return b"".join(kept)


def renamed_fields(header: bytes, name: str, new_name: str) -> bytes:
    """A header whose fields of a lower-case name have another one; their values stay."""
    wanted = name.encode()
    kept: list[bytes] = []
    at = 0
    for found, start, end, value in fields(header):
        if found == wanted:
            kept += [header[at:start], new_name.encode(), b":", header[value:end]]
            at = end
    kept.append(header[at:])
    return b"".join(kept)


def crlf(text: str) -> bytes:
    """Text as octets whose lines end with CRLF."""
    return _BARE.sub(b"\r\n", text.encode("utf-8", "replace"))


def delimiters(parts: Iterable[Part]) -> list[bytes]:
    """What would end a part, of the containers around it."""
    return [b"--" + found for part in parts if part.is_multipart and (found := boundary_of(part.params))]


def has_line_of(octets: bytes, starts: Iterable[bytes]) -> bool:
    """Whether a line begins with one of `starts`."""
    return any(octets.startswith(start) or b"\n" + start in octets for start in starts)


def text_entity(text: str, around: Iterable[bytes] = ()) -> tuple[bytes, bytes]:
    """Plain text as (content fields, body); `around` are the delimiters its body must not have."""
    body = crlf(text)
    encoding = b""
    has_long = any(len(line) > _LONGEST_LINE for line in body.split(b"\r\n"))
    if has_long or not body.isascii() or b"\0" in body or has_line_of(body, around):
        encoding = b"Content-Transfer-Encoding: base64\r\n"
        body = base64.encodebytes(body).replace(b"\n", b"\r\n")
    return b"Content-Type: text/plain; charset=utf-8\r\n" + encoding, body
