"""ManageSieve answers as octets.

RFC: 5804 §1.2 (answers), §1.3 (response codes), §1.7 (capabilities), §2.7 (LISTSCRIPTS), §4 (string),
    6134 §2.8 (EXTLISTS).
Invariants: whatever is put into a string, it is one string to the client, and so are the lines around it.
Not here: what to answer (servers/managesieve/).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

_MAX_QUOTED: Final = 1024
_MAX_TEXT: Final = 64 * 1024
_UNQUOTABLE: Final = re.compile(rb"[\r\n\x00]")
_SPECIAL: Final = re.compile(rb'(["\\])')
_SCHEMES: Final = (
    # What an extension makes the server tell beside its name (RFC 5804 §1.7, 6134 §2.8).
    ("enotify", "NOTIFY", "mailto"),
    ("extlists", "EXTLISTS", "urn tag mailto"),
)
_LINE_END: Final = re.compile(r"\r\n|[\r\n]")


class ResponseCode(Enum):
    """What a program may conclude from an answer."""

    ENCRYPT_NEEDED = b"ENCRYPT-NEEDED"
    QUOTA = b"QUOTA"
    MAX_SCRIPTS = b"QUOTA/MAXSCRIPTS"
    MAX_SIZE = b"QUOTA/MAXSIZE"
    TRY_LATER = b"TRYLATER"
    ACTIVE = b"ACTIVE"
    NONEXISTENT = b"NONEXISTENT"
    ALREADY_EXISTS = b"ALREADYEXISTS"
    WARNINGS = b"WARNINGS"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the capabilities tell, as it is now."""

    mechanisms: Sequence[str]
    extensions: Sequence[str]
    offers_tls: bool
    redirects: int
    owner: str
    """Who is logged in; empty before."""


def string(octets: bytes) -> bytes:
    """As a quoted string, or a literal where that cannot be (RFC 5804 §4)."""
    if len(octets) <= _MAX_QUOTED and not _UNQUOTABLE.search(octets) and _is_utf8(octets):
        quoted = b'"%s"' % _SPECIAL.sub(rb"\\\1", octets)
        if len(quoted) <= _MAX_QUOTED + 2:
            return quoted
    return _literal(octets)


def _literal(octets: bytes) -> bytes:
    return b"{%d}\r\n%s" % (len(octets), octets)


def _is_utf8(octets: bytes) -> bool:
    if octets.isascii():
        return True
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def ok(text: str = "", code: ResponseCode | None = None) -> bytes:
    """Done."""
    return _answer(b"OK", text, code)


def no(text: str, code: ResponseCode | None = None) -> bytes:
    """Not done."""
    return _answer(b"NO", text, code)


def bye(text: str, code: ResponseCode | None = None) -> bytes:
    """The last answer of a session."""
    return _answer(b"BYE", text, code)


def noop_done(tag: bytes | None) -> bytes:
    """The answer to NOOP (RFC 5804 §2.13)."""
    if tag is None:
        return b'OK "NOOP completed"\r\n'
    return b'OK (TAG %s) "Done"\r\n' % string(tag)


def challenge(octets: bytes) -> bytes:
    """What a SASL mechanism says, in base64 already."""
    return string(octets) + b"\r\n"


def script(source: bytes) -> bytes:
    """The content of a script, always as a literal, as clients know it."""
    return _literal(source) + b"\r\n"


def listing(names: Iterable[str], active: str) -> bytes:
    """The lines of LISTSCRIPTS; `active` is empty when no script is."""
    return b"".join(_name(name.encode()) + (b" ACTIVE\r\n" if name == active else b"\r\n") for name in names)


def _name(octets: bytes) -> bytes:
    # QUIRK(sievelib): it undoes no backslashes in a listing; a literal it reads (RFC 5804 §2.7 has one, too).
    return _literal(octets) if _SPECIAL.search(octets) else string(octets)


def capabilities(facts: Facts) -> bytes:
    """The lines of CAPABILITY, of the greeting and of STARTTLS.

    Without LANGUAGE, which means that texts are in English any person may be expected to read.
    """
    found = [
        ("IMPLEMENTATION", "Postino"),
        ("VERSION", "1.0"),
        ("SASL", " ".join(facts.mechanisms)),
        ("SIEVE", " ".join(facts.extensions)),
        ("MAXREDIRECTS", str(facts.redirects)),
    ]
    found += [(name, schemes) for extension, name, schemes in _SCHEMES if extension in facts.extensions]
    if facts.owner:
        found.append(("OWNER", facts.owner))
    lines = [b'"%s" %s\r\n' % (name.encode(), string(value.encode())) for name, value in found]
    if facts.offers_tls:
        lines.append(b'"STARTTLS"\r\n')
    lines.append(b'"UNAUTHENTICATE"\r\n')
    return b"".join(lines)


def _answer(word: bytes, text: str, code: ResponseCode | None) -> bytes:
    if code is not None:
        word += b" (%s)" % code.value
    if text:
        octets = "\r\n".join(_LINE_END.split(text)).encode("utf-8", "replace")
        if len(octets) > _MAX_TEXT:
            octets = octets[:_MAX_TEXT].decode("utf-8", "ignore").encode() + b"\r\n..."
        word += b" " + string(octets)
    return word + b"\r\n"
