"""Compose what a script has sent by itself: answers while away, notifications, refusals, notes, complaints.

RFC: 5230 §5 (answers), 3834 §3.1 (what automatic answers hold), 5436 §2.7 (notifications), 5429 §2.2.1 with
    8098 §3 (refusals as MDN), 5965 §3 (feedback reports), 5322 §3.6.4 (In-Reply-To, References).
Exposure: texts of users' scripts, into which they may put anything of any message.
Invariants: everything says that it was sent automatically, so that nobody answers it automatically; a field
    is one field whatever the texts hold; header lines stay below 998 octets.
Not here: whether it is sent (plans.py), writing it down (filing.py).
"""

import re
import secrets
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote

from postino.core.address import Address, BadAddress, parse_address
from postino.core.ids import Instant
from postino.mime.address import Mailbox, parse_address_list
from postino.mime.dates import format_date
from postino.mime.encode_header import header_text, one_line, without_controls
from postino.mime.encoded_word import decode_header_text
from postino.mime.header import first_values, header_octets, raw_fields
from postino.mime.sort_keys import references

_MESSAGE_ID: Final = re.compile(r"<[^<>\s]{1,248}>")
_KEPT_REFERENCES: Final = 20
_RETURNED_HEADER: Final = 32 * 1024
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_FIELD_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,60}")
_MOST_TO: Final = 10
# RFC 5436 §2.7: what a URI must not set, and what only we do.
_OURS: Final = frozenset(
    {
        "from",
        "sender",
        "reply-to",
        "to",
        "cc",
        "bcc",
        "subject",
        "body",
        "date",
        "message-id",
        "received",
        "return-path",
        "auto-submitted",
        "references",
        "in-reply-to",
        "mime-version",
        "delivered-to",
    }
)


class Composed(NamedTuple):
    """A complete message."""

    header: bytes
    body: bytes


class Heard(NamedTuple):
    """What is known of the message that all this is about."""

    header: bytes
    subject: str
    """Decoded, in one line; empty when there is none."""
    message_id: str
    """With its brackets; empty when there is none that can be repeated."""
    references: tuple[str, ...]


def hear(header: bytes) -> Heard:
    """Look through a header for what answers repeat."""
    values = first_values(header[: 1024 * 1024])
    subject = decode_header_text(values.get(b"subject", b""))
    found = _MESSAGE_ID.search(values.get(b"message-id", b"").decode("ascii", "replace"))
    own = found[0] if found and found[0].isascii() else ""
    earlier = references(values.get(b"references"), values.get(b"in-reply-to"))
    known = [f"<{one}>" for one in earlier.split(" ") if one]
    known = [one for one in known if _MESSAGE_ID.fullmatch(one) and one.isascii()]
    if len(known) > _KEPT_REFERENCES:
        known[1:] = known[1 - _KEPT_REFERENCES :]
    return Heard(header, one_line(subject, 500), own, tuple(known))


class From(NamedTuple):
    """Who the message is from, and when."""

    address: str
    """As From shows it: an address, or a name with one."""
    hostname: str
    now: Instant


def vacation_answer(
    sender: From, to: Address, heard: Heard, reason: str, *, subject: str = "", is_mime: bool = False
) -> Composed:
    """The answer; `reason` is its text, or a MIME entity."""
    if not subject:
        subject = f"Auto: {heard.subject}" if heard.subject else "Automated reply"
    lines = _top(sender, [str(to)], subject)
    lines += _thread(heard)
    lines.append("Auto-Submitted: auto-replied (vacation)\r\n")
    return _with_text(lines, reason) if not is_mime else _with_entity(lines, reason)


class Notification(NamedTuple):
    """What a mailto URI says (RFC 6068)."""

    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    subject: str
    body: str
    others: tuple[tuple[str, str], ...]
    """Fields that may be set, by name."""


def parse_mailto(uri: str) -> Notification | None:
    """What the URI says; None when nobody is named in it."""
    scheme, _, rest = uri.partition(":")
    if scheme.lower() != "mailto":
        return None
    path, _, query = rest.partition("?")
    named: dict[str, list[str]] = {"to": path.split(",") if path else [], "cc": []}
    texts = {"subject": "", "body": ""}
    others: list[tuple[str, str]] = []
    for part in query.split("&"):
        raw_name, _, raw = part.partition("=")
        name, value = unquote(raw_name).strip().lower(), unquote(raw)
        if name in named:
            named[name] += raw.split(",") if "," in raw else value.split(",")
        elif name in texts:
            texts[name] = value
        elif (
            _FIELD_NAME.fullmatch(name) and name not in _OURS and not name.startswith(("resent-", "content-"))
        ):
            others.append((name[:1].upper() + name[1:], value))
    to, cc = _addresses(named["to"]), _addresses(named["cc"])
    if not (to or cc):
        return None
    return Notification(to, cc, texts["subject"], texts["body"], tuple(others[:20]))


def _addresses(texts: Sequence[str]) -> tuple[Address, ...]:
    found: dict[str, Address] = {}
    for text in texts:
        try:
            address = parse_address(unquote(text))
        except BadAddress:
            continue
        found.setdefault(address.key, address)
    return tuple(found.values())[:_MOST_TO]


def notification(
    sender: From, owner: str, said: Notification, heard: Heard, *, message: str = "", importance: str = "2"
) -> Composed:
    """Tell of a message; `owner` is whose script does."""
    subject = message or said.subject or heard.subject or "Mail has come"
    lines = _top(sender, [str(address) for address in said.to], subject)
    if said.cc:
        lines.append(f"Cc: {_list(said.cc)}\r\n")
    quoted = owner.replace("\\", "\\\\").replace('"', '\\"')
    lines.append(f'Auto-Submitted: auto-notified;\r\n owner-email="{quoted}"\r\n')
    if heard.message_id:
        lines.append("References: " + "\r\n ".join((*heard.references, heard.message_id)) + "\r\n")
    if importance in ("1", "3"):
        lines.append(f"Importance: {'high' if importance == '1' else 'low'}\r\n")
    lines += [header_text(name, value) for name, value in said.others]
    return _with_text(lines, said.body or _about(heard))


def _about(heard: Heard) -> str:
    sender = decode_header_text(first_values(heard.header).get(b"from", b""))
    return f"A message has come.\n\n  From: {one_line(sender, 300)}\n  Subject: {heard.subject}\n"


def note(sender: From, to: str, subject: str, text: str) -> Composed:
    """Tell an account something of its own."""
    return _with_text([*_top(sender, [to], subject), "Auto-Submitted: auto-generated\r\n"], text)


def refusal_report(sender: From, to: Address, recipient: str, heard: Heard, reason: str) -> Composed:
    """The MDN that tells the sender that a script refused the message (RFC 5429 §2.2.1)."""
    words = f"Your message was refused by the mail filter of {recipient}. The reason given is:\n\n{reason}\n"
    status = [f"Reporting-UA: {sender.hostname}; Postino", f"Final-Recipient: {_typed(recipient)}"]
    if heard.message_id:
        status.append(f"Original-Message-ID: {heard.message_id}")
    status.append("Disposition: automatic-action/MDN-sent-automatically; deleted")
    lines = _top(sender, [str(to)], f"Refused: {heard.subject}" if heard.subject else "Refused")
    lines += [*_thread(heard), "Auto-Submitted: auto-replied (rejected)\r\n"]
    kind = b"message/disposition-notification"
    return _report(lines, "disposition-notification", words, (kind, _block(status)), heard.header)


def feedback_report(
    sender: From,
    to: Address,
    recipient: str,
    heard: Heard,
    feedback_type: str,
    words: str,
    body: bytes | None,
) -> Composed:
    """A complaint about the message (RFC 5965); with its `body` unless that is None."""
    status = [
        f"Feedback-Type: {one_line(feedback_type, 60)}",
        "User-Agent: Postino",
        "Version: 1",
        f"Original-Rcpt-To: {one_line(recipient, 300)}",
        f"Received-Date: {format_date(sender.now)}",
    ]
    lines = _top(sender, [str(to)], f"Report: {heard.subject}" if heard.subject else "Report")
    lines.append("Auto-Submitted: auto-generated (report)\r\n")
    kind = b"message/feedback-report"
    return _report(lines, "feedback-report", words, (kind, _block(status)), heard.header, body)


def _typed(address: str) -> str:
    shown = one_line(address, 300)
    return f"rfc822; {shown}" if shown.isascii() else f"utf-8; {shown}"


def _block(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


def _list(addresses: Sequence[Address]) -> str:
    return ",\r\n ".join(map(str, addresses))


def _top(sender: From, to: Sequence[str], subject: str) -> list[str]:
    lines = [
        f"From: {from_value(sender.address)}\r\n",
        f"Date: {format_date(sender.now)}\r\n",
        f"Message-ID: <{secrets.token_hex(12)}@{sender.hostname}>\r\n",
        header_text("Subject", subject),
    ]
    if to:
        lines.insert(1, "To: " + ",\r\n ".join(f"<{address}>" for address in to) + "\r\n")
    return lines


def from_value(text: str) -> str:
    """One mailbox as a header shows it; names beyond ASCII are encoded."""
    found = [one for one in parse_address_list(text) if isinstance(one, Mailbox)]
    if len(found) != 1:
        return f"<{one_line(text, 300)}>"
    name = found[0].display_name
    if not name:
        return f"<{found[0].addr_spec}>"
    if name.isascii():
        quoted = one_line(name, 200).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"\r\n <{found[0].addr_spec}>'
    return header_text("x", name, 200)[3:-2] + f"\r\n <{found[0].addr_spec}>"


def _thread(heard: Heard) -> list[str]:
    if not heard.message_id:
        return []
    known = (*heard.references, heard.message_id)
    return [f"In-Reply-To: {heard.message_id}\r\n", "References: " + "\r\n ".join(known) + "\r\n"]


def _crlf(text: str) -> bytes:
    octets = _LINE_END.sub("\r\n", text).encode(errors="replace").replace(b"\x00", b"")
    return octets if octets.endswith(b"\r\n") or not octets else octets + b"\r\n"


def _with_text(lines: list[str], text: str) -> Composed:
    body = _crlf(text)
    encoding = "7bit" if body.isascii() else "8bit"
    if max(map(len, body.split(b"\r\n"))) > 990:
        body, encoding = _quoted_printable(body), "quoted-printable"
    lines += [
        "MIME-Version: 1.0\r\n",
        "Content-Type: text/plain; charset=utf-8\r\n",
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n",
    ]
    return Composed("".join(lines).encode(), body)


def _quoted_printable(body: bytes) -> bytes:
    import quopri

    return quopri.encodestring(body.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")


def _with_entity(lines: list[str], entity: str) -> Composed:
    """A MIME entity with its own fields; those that are not MIME's are left out."""
    octets = _crlf(entity)
    end = header_octets(octets)
    kept = [
        whole.rstrip(b"\r\n") + b"\r\n"
        for whole, name, _ in raw_fields(octets[:end])
        if name.lower().startswith(b"content-")
    ]
    if not kept:
        kept = [b"Content-Type: text/plain; charset=utf-8\r\n"]
    own = without_controls(b"".join(kept))
    if not own.isascii():
        # RFC 5230 §5: no 8-bit text in MIME fields.
        own = own.decode(errors="replace").encode("ascii", "replace")
    header = "".join([*lines, "MIME-Version: 1.0\r\n"]).encode() + own + b"\r\n"
    return Composed(header, octets[end:])


def _report(
    lines: list[str],
    report_type: str,
    words: str,
    machine: tuple[bytes, bytes],
    header: bytes,
    body: bytes | None = None,
) -> Composed:
    text = _with_text([], words)
    kind, status = machine
    parts = [text.header + text.body, b"Content-Type: " + kind + b"\r\n\r\n" + status]
    if body is None:
        returned = header[:_RETURNED_HEADER].rpartition(b"\r\n")[0].rstrip(b"\r\n") + b"\r\n"
        parts.append(b"Content-Type: text/rfc822-headers\r\n\r\n" + returned)
    else:
        parts.append(b"Content-Type: message/rfc822\r\n\r\n" + header + body)
    boundary = f"=_{secrets.token_hex(16)}"
    mark = f"--{boundary}".encode()
    pieces = [b"".join((mark, b"\r\n", part, b"\r\n")) for part in parts]
    whole = b"".join((*pieces, mark, b"--\r\n"))
    lines += [
        "MIME-Version: 1.0\r\n",
        f'Content-Type: multipart/report; report-type={report_type};\r\n boundary="{boundary}"\r\n',
    ]
    if not whole.isascii():
        lines.append("Content-Transfer-Encoding: 8bit\r\n")
    lines.append("\r\n")
    return Composed("".join(lines).encode(), whole)
