"""Write a report about a message: a multipart/report of words, status, and what is given back.

RFC: 6522 §3 (multipart/report), 3464 §2, 3461 §6.2, 6533 §4 (UTF-8), 3834 §5 (Auto-Submitted),
    2045 §6.7 (quoted-printable), 5322 §3.6.4 (References).
Exposure: the message reported on is anything a client could send.
Invariants: no line of the report is longer than 998 octets; it holds octets above 127 only when
    `Report.is_8bit`; it is at most as long as the parts given, a third more where they are encoded.
Not here: the status (delivery_status.py), the words (delivery/report_words.py).
"""

import base64
import binascii
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from postino.core.ids import Instant
from postino.mime.dates import format_date
from postino.mime.delivery_status import plain_text
from postino.mime.header import first_values, unfold
from postino.mime.sort_keys import references

_LONGEST_LINE: Final = 998
_BARE: Final = re.compile(rb"\r(?!\n)|(?<!\r)\n|\x00")
_KEPT_REFERENCES: Final = 20
_RETURNED_HEADER: Final = 64 * 1024


class Returned(Enum):
    """How much of the message is given back."""

    WHOLE = "whole"
    HEADER = "header"


@dataclass(frozen=True, slots=True)
class About:
    """The message reported on."""

    header: bytes
    body: bytes = b""
    """With Returned.WHOLE."""
    returned: Returned = Returned.HEADER
    is_utf8: bool = False
    """It came with SMTPUTF8."""


@dataclass(frozen=True, slots=True)
class Report:
    """A complete message."""

    header: bytes
    body: bytes
    is_8bit: bool


@dataclass(frozen=True, slots=True)
class Heading:
    """What the report's own header says."""

    sender: str
    """`MAILER-DAEMON@example.org`"""
    recipient: str
    subject: str
    message_id: str
    """Without angle brackets."""
    date: Instant


def write_report(heading: Heading, words: str, status: bytes, about: About, *, may_8bit: bool) -> Report:
    """The report. `words` have lines ended by LF; `status` is UTF-8 when it is not ASCII.

    Without `may_8bit`, what needs more than ASCII is encoded, but for a message that itself is 8-bit: it may
    not be encoded (RFC 2046 §5.2.1).
    """
    utf8_status = not status.isascii()
    kind = "global-delivery-status" if utf8_status else "delivery-status"
    parts = [
        _text_part(words),
        _part(f"message/{kind}", status, "Delivery report", may_8bit=may_8bit),
        _returned_part(about, may_8bit=may_8bit),
    ]
    is_8bit = not all(part.isascii() for part in parts)
    boundary = _boundary(heading.message_id, parts)
    header = _header(heading, about, boundary, is_8bit=is_8bit)
    mark = b"--" + boundary.encode()
    pieces = [b"This is a report about mail you have sent, in three parts.\r\n"]
    for part in parts:
        pieces += [b"\r\n", mark, b"\r\n", part]
    pieces += [b"\r\n", mark, b"--\r\n"]
    return Report(header, b"".join(pieces), is_8bit or not header.isascii())


def _header(heading: Heading, about: About, boundary: str, *, is_8bit: bool) -> bytes:
    values = first_values(about.header[:_RETURNED_HEADER])
    own = _message_ids(values.get(b"message-id"))[:1]
    earlier = references(values.get(b"references"), values.get(b"in-reply-to"))
    known = [*(f"<{found}>" for found in earlier.split(" ") if found), *own]
    known = [found for found in known if len(found) <= 250 and found.isascii()]
    if len(known) > _KEPT_REFERENCES:
        known[1:] = known[1 - _KEPT_REFERENCES :]
    lines = [
        f"From: Mail Delivery System <{heading.sender}>",
        f"To: <{heading.recipient}>",
        f"Subject: {plain_text(heading.subject, 300)}",
        f"Date: {format_date(heading.date)}",
        f"Message-ID: <{heading.message_id}>",
    ]
    if own and own[0] in known:
        lines.append(f"In-Reply-To: {own[0]}")
    if known:
        lines.append("References: " + "\r\n ".join(known))
    lines += [
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status;",
        f' boundary="{boundary}"',
    ]
    if is_8bit:
        lines.append("Content-Transfer-Encoding: 8bit")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _message_ids(value: bytes | None) -> list[str]:
    if value is None:
        return []
    return re.findall(r"<[^<>\s]+@[^<>\s]+>", unfold(value).decode("ascii", "replace"))


def _boundary(message_id: str, parts: list[bytes]) -> str:
    """One that no part holds, whatever whoever wrote the message foresaw."""
    stem = "=_" + re.sub(r"[^A-Za-z0-9]", "", message_id)[:40]
    boundary, number = stem, 0
    while any(boundary.encode() in part for part in parts):
        number += 1
        boundary = f"{stem}_{number}"
    return boundary


def _text_part(words: str) -> bytes:
    octets = words.replace("\n", "\r\n").encode(errors="replace")
    return _part("text/plain; charset=utf-8", octets, "", may_8bit=False)


def _returned_part(about: About, *, may_8bit: bool) -> bytes:
    header, body = about.header, about.body
    if about.returned is Returned.WHOLE and not (_unfit(header) or _unfit(body)):
        if about.is_utf8 and not header.isascii():
            return _part("message/global", header + body, "Your message", may_8bit=may_8bit)
        return _part("message/rfc822", header + body, "Your message", may_8bit=True)
    fields = _whole_fields(header)
    if about.is_utf8 and not fields.isascii() and _is_utf8(fields):
        return _part("message/global-headers", fields, "Header of your message", may_8bit=may_8bit)
    return _part("text/rfc822-headers", fields, "Header of your message", may_8bit=False)


def _whole_fields(header: bytes) -> bytes:
    """The header as far as it is given back, ending with a field; without the empty line."""
    if len(header) > _RETURNED_HEADER:
        header = header[: header.rfind(b"\n", 0, _RETURNED_HEADER) + 1] or header[:_RETURNED_HEADER]
    return header[:-2] if header.endswith(b"\r\n\r\n") else header


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True


def _unfit(octets: bytes) -> bool:
    """Whether these octets cannot travel as lines of text."""
    return _BARE.search(octets) is not None or _has_long_line(octets)


def _has_long_line(octets: bytes) -> bool:
    return len(octets) >= _LONGEST_LINE and any(len(line) > _LONGEST_LINE for line in octets.split(b"\r\n"))


def _part(content_type: str, octets: bytes, description: str, *, may_8bit: bool) -> bytes:
    lines = [f"Content-Type: {content_type}"]
    if description:
        lines.append(f"Content-Description: {description}")
    if _unfit(octets) or not (may_8bit or octets.isascii()):
        if len(octets) > _RETURNED_HEADER or content_type == "message/global":
            encoding, octets = "base64", base64.encodebytes(octets).replace(b"\n", b"\r\n")
        else:
            encoding, octets = "quoted-printable", _quoted_printable(octets)
        lines.append(f"Content-Transfer-Encoding: {encoding}")
    elif not octets.isascii():
        lines.append("Content-Transfer-Encoding: 8bit")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + octets


def _quoted_printable(octets: bytes) -> bytes:
    """Line ends stay; a CR or LF of its own is encoded."""
    encoded = [
        binascii.b2a_qp(line, quotetabs=False, istext=False).replace(b"=\n", b"=\r\n")
        for line in octets.split(b"\r\n")
    ]
    return b"\r\n".join(encoded)
