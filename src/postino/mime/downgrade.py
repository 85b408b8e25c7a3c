"""Make a message of seven bits, for servers that take no others, by encoding the parts that need it alone.

RFC: 6152 §3 and 3030 §3 (what must be done for a server without 8BITMIME or BINARYMIME), 2045 §6 (encodings),
    §6.4 (what a multipart may say), 2046 §5.2.1 (message/rfc822 is never encoded), 6532 §3.7 (message/global
    may be), 1428 §3 (text of nobody knows which charset).
Exposure: unauthenticated octets; linear time, and never more memory than some copies of the message.
Invariants: every part decodes to what it decoded to before; parts that are fit keep their octets; what its
    sender signed (multipart/signed, RFC 1847 §2.1) is never changed, but refused.
Not here: whether a server needs it (outbound/dispatch/preparation.py). Header fields beyond ASCII stay as
    they are.
"""

import binascii
import re
from typing import Final

from postino.core.errors import PostinoError
from postino.core.limits import Limits
from postino.mime.content import part_content
from postino.mime.index import index_split, walk
from postino.mime.part import Part
from postino.mime.transfer import decode_transfer

_LONGEST_LINE: Final = 998
_BASE64_LINE: Final = 76
_IN_PLACE: Final = frozenset({"", "7bit", "8bit", "binary"})
_HIGH: Final = bytes(range(128, 256))
_QUESTION_MARKS: Final = bytes(range(128)) + b"?" * 128
_DASHES: Final = re.compile(rb"^--", re.MULTILINE)
_TOO_LONG: Final = re.compile(rb"[^\n]{78}")
_ENCODING_FIELD: Final = re.compile(
    rb"^content-transfer-encoding[ \t]*+:[^\n]*+\n?(?:[ \t][^\n]*+\n?)*+", re.IGNORECASE | re.MULTILINE
)
_TYPE_FIELD: Final = re.compile(rb"^content-type[ \t]*+:", re.IGNORECASE | re.MULTILINE)
_VERSION_FIELD: Final = re.compile(rb"^mime-version[ \t]*+:", re.IGNORECASE | re.MULTILINE)
_NEVER_ENCODED: Final = frozenset({"rfc822", "partial", "external-body"})
"""Subtypes of message that must stay as they are."""


class CannotDowngrade(PostinoError):
    """The message cannot be made of seven bits without harm; RFC 3463 calls it 5.6.3."""


def to_seven_bit(header: bytes, body: bytes, limits: Limits) -> tuple[bytes, bytes]:
    """The same message, its body of ASCII in lines that any server takes. Raises CannotDowngrade."""
    if _is_fit(body):
        return header, body
    root = index_split(header, body, limits)
    if sum(1 for _ in walk(root)) >= limits.mime_parts:
        # The last part holds others that were not told apart; encoded, they would be gone.
        raise CannotDowngrade("The message has 8-bit octets and too many parts to encode them")
    whole = header + body
    made = _Rewriter(whole).root(root)
    return made[0], b"".join(made[1:])


def has_long_line(octets: bytes) -> bool:
    """Whether a line has more octets than 998, which is all that servers must take (RFC 5322 §2.1.1)."""
    # PERF: looks only at the end of what one line may have, where the next line end is near.
    most, at, last = _LONGEST_LINE + 2, 0, len(octets)
    while last - at >= most:
        at = octets.rfind(b"\n", at, at + most) + 1
        if not at:
            return True
    return False


class _Rewriter:
    """Puts the message together again, part by part."""

    def __init__(self, whole: bytes) -> None:
        self._whole = whole
        self._made: list[bytes] = []

    def root(self, part: Part) -> list[bytes]:
        """The pieces: the header first."""
        self._rewrite(part, is_message=True, is_root=True)
        return self._made

    def _rewrite(self, part: Part, *, is_message: bool, is_root: bool = False) -> None:
        header = self._whole[part.header_start : part.body_start]
        if not part.parts or self._is_beyond_ascii(part):
            self._leaf(part, header, is_message=is_message, is_root=is_root)
        else:
            self._container(part, header)

    def _is_beyond_ascii(self, part: Part) -> bool:
        """Whether it carries a message with an internationalized header, which then is encoded whole."""
        if part.media_type != "message" or part.media_subtype != "global":
            return False
        child = part.parts[0]
        return not self._whole[child.header_start : child.body_start].isascii()

    def _container(self, part: Part, header: bytes) -> None:
        whole = self._whole
        if not part.param("boundary").isascii():
            raise CannotDowngrade("The message has parts whose boundary is not ASCII")
        is_signed = part.is_multipart and part.media_subtype == "signed"
        has_label = part.encoding in {"8bit", "binary"}
        self._made.append(_labelled(header, "7bit") if has_label else _sound(header))
        at = part.body_start
        for child in part.parts:
            self._made.append(_gap(whole[at : child.header_start]))
            at = child.end
            if not is_signed:
                self._rewrite(child, is_message=part.is_message)
                continue
            octets = whole[child.header_start : at]
            if not _is_fit(octets):
                raise CannotDowngrade("The message has 8-bit octets in a part that its sender signed")
            self._made.append(octets)
        self._made.append(_gap(whole[at : part.end]))

    def _leaf(self, part: Part, header: bytes, *, is_message: bool, is_root: bool) -> None:
        octets = self._whole[part.body_start : part.end]
        if _is_fit(octets):
            self._made += [_sound(header), octets]
            return
        declared = part_content(header).media
        if declared is not None and (
            declared[0] == "multipart" or (declared[0] == "message" and declared[1] in _NEVER_ENCODED)
        ):
            raise CannotDowngrade(
                "The message has 8-bit octets in a part that cannot be encoded, or whose structure is broken"
            )
        data = octets if part.encoding in _IN_PLACE else _decoded(part.encoding, octets)
        encoding = "quoted-printable"
        encoded = _quoted_printable(data) if part.media_type in {"text", "message"} else None
        if encoded is None:
            encoding, encoded = "base64", _base64(data)
            if is_root:
                encoded += b"\r\n"
        if is_message and declared is None and not _VERSION_FIELD.search(header):
            header = _with_type(header, data)
        self._made += [_labelled(header, encoding), encoded]


def _is_fit(octets: bytes) -> bool:
    """Whether any server takes these octets as they are."""
    return octets.isascii() and b"\0" not in octets and _has_whole_lines(octets) and not has_long_line(octets)


def _has_whole_lines(octets: bytes) -> bool:
    count = octets.count(b"\r\n")
    return octets.count(b"\n") == count == octets.count(b"\r")


def _decoded(encoding: str, octets: bytes) -> bytes:
    if encoding not in {"base64", "quoted-printable"}:
        raise CannotDowngrade(
            f"The message has 8-bit octets in a part whose encoding ({encoding}) is unknown"
        )
    return decode_transfer(encoding, octets) or b""


def _is_mostly_ascii(data: bytes) -> bool:
    """Whether quoted-printable is not much longer than base64, and keeps the lines as they are."""
    high = len(data) - len(data.translate(None, _HIGH))
    return high * 4 <= len(data) and b"\0" not in data and _has_whole_lines(data)


def _quoted_printable(data: bytes) -> bytes | None:
    """The form that people can still read; None where base64 is better."""
    if not _is_mostly_ascii(data):
        return None
    encoded = binascii.b2a_qp(data, istext=True)
    if b"\n--" in encoded or encoded[:2] == b"--":
        # SECURITY: a long line may have been broken in front of what then is a delimiter.
        encoded = _DASHES.sub(b"=2D-", encoded)
        if _TOO_LONG.search(encoded):
            return None
    return encoded


def _base64(data: bytes) -> bytes:
    encoded = binascii.b2a_base64(data, newline=False)
    return b"\r\n".join([encoded[at : at + _BASE64_LINE] for at in range(0, len(encoded), _BASE64_LINE)])


def _sound(octets: bytes) -> bytes:
    """Octets of the structure, whose line ends must be whole; raises CannotDowngrade otherwise.

    SECURITY: repaired, they could bring up a delimiter, a field or the end of a header that was none before.
    They only come by BINARYMIME, which wants them whole too (RFC 3030 §3).
    """
    if not _has_whole_lines(octets):
        raise CannotDowngrade("The message has a CR or LF alone in a header or between its parts")
    return octets


def _gap(octets: bytes) -> bytes:
    """Delimiters, and what stands before the first and behind the last: nothing anybody is shown."""
    if not octets.isascii() or b"\0" in octets:
        octets = octets.translate(_QUESTION_MARKS).replace(b"\0", b"?")
    return _sound(octets)


def _labelled(header: bytes, encoding: str) -> bytes:
    """The header of a part that now has this encoding."""
    field = f"Content-Transfer-Encoding: {encoding}\r\n".encode("ascii")
    header = _sound(header)
    found = _ENCODING_FIELD.search(header)
    if found is not None:
        # The first of several is the one that counts; the others would only confuse.
        rest = _ENCODING_FIELD.sub(b"", header[found.end() :])
        return header[: found.start()] + field + rest
    return _with_field(header, field)


def _with_type(header: bytes, data: bytes) -> bytes:
    """Declare text that never said what it is, so that its encoding is undone."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        charset = b"unknown-8bit"
    else:
        charset = b"utf-8"
    field = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=" + charset + b"\r\n"
    return _with_field(_sound(header), field)


def _with_field(header: bytes, field: bytes) -> bytes:
    """Put a field at the end of a header, before its empty line."""
    if header == b"\r\n" or header.endswith(b"\r\n\r\n"):
        return header[:-2] + field + b"\r\n"
    if header and not header.endswith(b"\r\n"):
        header += b"\r\n"
    return header + field + b"\r\n"
