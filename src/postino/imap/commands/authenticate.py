"""AUTHENTICATE: start a SASL exchange.

RFC: 9051 §6.2.2, 4959 (SASL-IR).
Exposure: before login.
Not here: the exchange itself (sasl/), the lines that follow (Framer.expect_line).
"""

import binascii
import re
from dataclasses import dataclass, field
from typing import ClassVar, Final

from postino.imap.bad_command import BadCommand
from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Authenticate:
    """`mechanism` in upper case; `initial_response` decoded, None when none was sent, b"" for `=`."""

    name: ClassVar[str] = "AUTHENTICATE"
    tag: bytes
    mechanism: str
    initial_response: bytes | None = field(repr=False)


USAGE: Final = "AUTHENTICATE needs a mechanism and perhaps a first response in base64"
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]*={0,2}")


def parse(tag: bytes, scan: Scanner) -> Authenticate:
    """`SP mechanism [SP initial-resp]`."""
    scan.space()
    mechanism = scan.keyword().decode("ascii")
    initial = None
    if scan.accept(b" ") and not scan.at_end():
        initial = b"" if scan.accept(b"=") else _base64(scan)
    scan.end()
    return Authenticate(tag, mechanism, initial)


def _base64(scan: Scanner) -> bytes:
    found = scan.match(_BASE64)
    return decode_base64(found.group() if found else b"")


def decode_base64(octets: bytes) -> bytes:
    """SASL data of a continuation line. Raises BadCommand; `*` (cancel) is the session's."""
    try:
        return binascii.a2b_base64(octets, strict_mode=True) if octets else b""
    except binascii.Error:
        raise BadCommand("The SASL response is not base64") from None
