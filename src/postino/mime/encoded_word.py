"""Read header text: encoded words, and the 8-bit text of internationalised mail.

RFC: 2047 §2, §4, §6 (encoded words), 2231 §5 (language in them), 6532 §3 (UTF-8 as it is).
Exposure: unauthenticated octets; linear time.
Invariants: any octets give text; an encoded word that cannot be decoded stays as it was written.
"""

import binascii
import re
from typing import Final

from postino.mime.charset import decode
from postino.mime.header import unfold

_WORD: Final = re.compile(
    rb"=\?([^?*\s]{1,64})(?:\*[^?\s]{0,64})?\?([bBqQ])\?([^?\n]*+(?:\?(?!=)[^?\n]{0,100}+){0,8}+)\?="
)
_EQUALS: Final = ord("=")
_HEX: Final = re.compile(rb"=([0-9A-Fa-f]{2})")
_NOT_BASE64: Final = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)


def decode_header_text(value: bytes) -> str:
    """The value of an unstructured field, or a phrase, as a person reads it."""
    value = unfold(value)
    if _EQUALS not in value or b"=?" not in value:
        return decode(value)
    text: list[str] = []
    run = bytearray()
    run_charset = b""
    at = 0
    for found in _WORD.finditer(value):
        between = value[at : found.start()]
        charset = found[1].lower()
        if at == 0 or between.strip(b" \t\r"):
            text += (decode(bytes(run), run_charset.decode("latin-1")), decode(between))
            run.clear()
        elif charset != run_charset:
            text.append(decode(bytes(run), run_charset.decode("latin-1")))
            run.clear()
        # White space between two encoded words is not shown (§6.2). Words of one charset are joined as
        # octets: many senders cut a character in two, although §5 forbids it.
        run += _octets_of(found[2], found[3])
        run_charset = charset
        at = found.end()
    text += (decode(bytes(run), run_charset.decode("latin-1")), decode(value[at:]))
    return "".join(text)


def base64_octets(encoded: bytes) -> bytes:
    """Decode base64, passing over whatever does not belong to it (RFC 2045 §6.8)."""
    try:
        return binascii.a2b_base64(encoded)
    except binascii.Error:
        digits = encoded.translate(None, _NOT_BASE64)
        if len(digits) % 4 == 1:  # six bits alone are no octet
            digits = digits[:-1]
        return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


def _octets_of(encoding: bytes, encoded: bytes) -> bytes:
    if encoding in b"bB":
        return base64_octets(encoded)
    return _HEX.sub(_octet, encoded.replace(b"_", b" "))


def _octet(found: re.Match[bytes]) -> bytes:
    return bytes((int(found[1], 16),))
