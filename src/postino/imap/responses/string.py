"""Strings as the server says them: atom, quoted, literal or NIL.

RFC: 9051 §4.3 (strings) and §9 (astring, nstring, quoted).
Invariants: whatever the octets, the answer cannot be mistaken for anything but one string.
Not here: mailbox names, which also have an encoding (mailbox_name.py).
"""

import re
from typing import Final

_ATOM: Final = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\]+")
_QUOTABLE: Final = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]{0,1000}")
_SPECIAL: Final = re.compile(rb'(["\\])')


def literal(octets: bytes) -> bytes:
    """`{3}` CRLF and the octets; any octets but NUL are allowed, and we send even those as they are."""
    return b"{%d}\r\n%b" % (len(octets), octets)


def quote(text: bytes | str) -> bytes:
    """A `string`: quoted when it is short ASCII on one line, a literal otherwise."""
    octets = text.encode() if isinstance(text, str) else text
    if not _QUOTABLE.fullmatch(octets):
        return literal(octets)
    if b'"' in octets or b"\\" in octets:
        octets = _SPECIAL.sub(rb"\\\1", octets)
    return b'"' + octets + b'"'


def astring(text: bytes | str) -> bytes:
    """An `astring`: bare where an atom will do. NIL is quoted, since some clients take it for none."""
    octets = text.encode() if isinstance(text, str) else text
    if _ATOM.fullmatch(octets) and len(octets) < 1000 and octets.upper() != b"NIL":
        return octets
    return quote(octets)


def nstring(text: bytes | str | None) -> bytes:
    """A `string`, or NIL for none."""
    return b"NIL" if text is None else quote(text)


def nstring8(octets: bytes | None) -> bytes:
    """As nstring(), or a `literal8` for octets no string can hold."""
    if octets is not None and b"\x00" in octets:
        return b"~" + literal(octets)
    return nstring(octets)
