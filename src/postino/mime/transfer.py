"""Undo the transfer encoding of a body.

RFC: 2045 §6 (Content-Transfer-Encoding), §6.7 (quoted-printable), §6.8 (base64).
Exposure: unauthenticated octets; linear time, the result is never longer than what went in.
Invariants: broken encodings give what can be read of them, never an error; only an encoding nobody
    has heard of is refused, for whoever must say so (RFC 9051 §6.4.5, UNKNOWN-CTE).
"""

import binascii
import re
from typing import Final

from postino.mime.encoded_word import base64_octets

_IDENTITY: Final = frozenset({"", "7bit", "8bit", "binary"})
_TRAILING_BLANKS: Final = re.compile(rb"[ \t]++(\r?\n|\Z)")
_UU_BEGIN: Final = re.compile(rb"^begin [0-7]{3,4} [^\r\n]*\r?\n", re.MULTILINE)


def decode_transfer(encoding: str, octets: bytes) -> bytes | None:
    """The octets without their transfer encoding; None when the encoding is unknown."""
    if encoding in _IDENTITY:
        return octets
    if encoding == "base64":
        return base64_octets(octets)
    if encoding == "quoted-printable":
        # Blanks at the end of a line were added on the way (§6.7 rule 3), also those behind a soft break.
        if b" \r\n" in octets or b"\t\r\n" in octets or b" \n" in octets or b"\t\n" in octets:
            octets = _TRAILING_BLANKS.sub(rb"\1", octets)
        return binascii.a2b_qp(octets)
    if encoding in {"x-uuencode", "uuencode", "x-uue"}:
        return _uudecoded(octets)
    return None


def _uudecoded(octets: bytes) -> bytes:
    begin = _UU_BEGIN.search(octets)
    if begin is None:
        return octets
    decoded: list[bytes] = []
    for line in octets[begin.end() :].splitlines():
        if line.strip() in {b"end", b"`"}:
            break
        try:
            decoded.append(binascii.a2b_uu(line))
        except binascii.Error:
            continue  # one broken line costs itself
    return b"".join(decoded)
