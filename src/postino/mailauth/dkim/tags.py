"""Read tag=value lists, the syntax of DKIM's fields and records.

RFC: 6376 §3.2 (tag lists), §2.11 (dkim-quoted-printable), 8616 §5 (UTF-8 in them).
Exposure: octets of unauthenticated mail and of other people's DNS; linear time.
Invariants: what breaks the grammar is refused whole: "liberal in what you accept" is no strategy here
    (RFC 6376 §6.1.1).
Not here: which tags there are (signature.py, key_record.py).
"""

import base64
import binascii
import re
from typing import Final

from postino.core.errors import ProtocolViolation

MAX_LIST: Final = 64 * 1024
"""Characters of a list that is looked into: h= may name many fields, and z= copy them."""

_SPEC: Final = re.compile(
    r"[ \t\r\n]*+([A-Za-z][A-Za-z0-9_]*+)[ \t\r\n]*+="
    r"[ \t\r\n]*+([\x21-\x3a\x3c-\x7e \t\r\n\x80-\U0010ffff]*+)\Z"
)
_BLANKS: Final = re.compile(r"[ \t\r\n]++")
_QUOTED: Final = re.compile(rb"=([0-9A-F]{2}|)")
_NUMBER: Final = re.compile(r"[0-9]+\Z")


def parse_tags(text: str) -> dict[str, str]:
    """The tags in their order, values without the white space around them. Raises ProtocolViolation."""
    if len(text) > MAX_LIST:
        raise ProtocolViolation(f"The tag list is longer than {MAX_LIST} characters")
    specs = text.split(";")
    if len(specs) > 1 and not specs[-1].strip(" \t\r\n"):
        specs.pop()
    tags: dict[str, str] = {}
    for spec in specs:
        found = _SPEC.match(spec)
        if found is None:
            raise ProtocolViolation(f"{spec.strip()[:40]!r} is no tag=value")
        name = found[1]
        if name in tags:
            raise ProtocolViolation(f"The tag {name}= stands there twice")
        tags[name] = found[2].rstrip(" \t\r\n")
    return tags


def without_blanks(value: str) -> str:
    """The value without any white space, which base64 and quoted-printable values ignore."""
    return _BLANKS.sub("", value)


def split_list(value: str, separator: str = ":") -> list[str]:
    """A list with folding white space around its separators."""
    return [item.strip(" \t\r\n") for item in value.split(separator)]


def decode_base64(value: str) -> bytes:
    """The octets of a base64 value. Raises ProtocolViolation."""
    try:
        return base64.b64decode(without_blanks(value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolViolation("The value is not base64") from error


def decode_quoted(value: str) -> str:
    """Undo dkim-quoted-printable. Raises ProtocolViolation."""
    try:
        return _QUOTED.sub(_unquote, without_blanks(value).encode()).decode()
    except UnicodeDecodeError as error:
        raise ProtocolViolation("The value is not UTF-8") from error


def _unquote(found: re.Match[bytes]) -> bytes:
    if not found[1]:
        raise ProtocolViolation("A = in the value is not followed by two hexadecimal digits")
    return bytes((int(found[1], 16),))


def parse_number(value: str, digits: int) -> int:
    """An unsigned number of at most so many digits. Raises ProtocolViolation."""
    if len(value) > digits or not _NUMBER.match(value):
        raise ProtocolViolation(f"{value[:40]!r} is not a number of at most {digits} digits")
    return int(value)
