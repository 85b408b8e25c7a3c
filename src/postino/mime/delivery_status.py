"""Write the part of a report that programs read: what became of each recipient.

RFC: 3464 §2 (message/delivery-status), 3461 §6.3 (what SMTP puts into it), 6533 §3 and §4.1
    (message/global-delivery-status), 2852 §5 (Deliver-By-Date), 4865
    §5.1.2 (Future-Release-Request).
Exposure: replies of other servers, addresses and envelope ids of clients: any text.
Invariants: whatever the values hold, each field is one field, no line is longer than 998 octets, and the
    whole grows with the number of recipients only; the ASCII form holds printable ASCII alone.
Not here: the readable part and the message around it (report.py), what is told (delivery/reports.py).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from postino.core.ids import Instant
from postino.mime.dates import format_date

MAX_TEXT: Final = 800
"""Octets of a field's value that are kept. An ORCPT may have 500 characters (RFC 3461 §5.4)."""
NEVER: Final = Instant(0)
_LINE: Final = 76
_UNPRINTABLE: Final = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]+")
_REPLY: Final = re.compile(r"[245][0-9]{2}(?:[ -]|\Z)")
_EMBEDDED: Final = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")


class Action(Enum):
    """What happened to a recipient's message (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class MessageStatus:
    """What holds for all recipients."""

    reporting_mta: str
    arrival: Instant
    envelope_id: str = ""
    """ENVID, decoded; empty when none was given."""
    deliver_by: Instant = NEVER
    """Until when BY asked for delivery; 0 when it was not given."""
    hold: str = ""
    """What FUTURERELEASE asked for: `for;3600`; empty when nothing."""


@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """What became of one."""

    address: str
    action: Action
    status: str
    original: str = ""
    """ORCPT, decoded, with its type; empty when none was given."""
    remote: str = ""
    """`mx.example.net (192.0.2.1)`; empty when no other server was reached."""
    reply: str = ""
    """What the other server said with its code, or our own sentence; empty for neither."""
    last_attempt: Instant = NEVER
    will_retry_until: Instant = NEVER
    log_id: str = ""


def plain_text(text: str, most: int = MAX_TEXT) -> str:
    """`text` in one line: control characters and blanks as one blank, cut at `most` octets of UTF-8."""
    line = _UNPRINTABLE.sub(" ", text[: most * 2]).strip()
    octets = line.encode()
    if len(octets) <= most and len(text) <= most * 2:
        return line
    return octets[: most - 3].decode(errors="ignore") + "..."


def is_reply(text: str) -> bool:
    """Whether this is what a server said, which begins with its code, and no sentence of our own."""
    return _REPLY.match(text) is not None


def needs_utf8(recipients: Sequence[RecipientStatus]) -> bool:
    """Whether an address asks for the form that holds UTF-8."""
    return not all(told.address.isascii() and _original(told).isascii() for told in recipients)


def delivery_status(message: MessageStatus, recipients: Sequence[RecipientStatus], *, utf8: bool) -> bytes:
    """The content of the part, lines ended by CRLF; of its UTF-8 form if `utf8`."""
    fields = _Fields(utf8)
    if message.envelope_id:
        fields.add("Original-Envelope-Id", message.envelope_id)
    fields.add("Reporting-MTA", f"dns; {message.reporting_mta}")
    fields.add("Arrival-Date", format_date(message.arrival))
    if message.deliver_by:
        fields.add("Deliver-By-Date", format_date(message.deliver_by))
    if message.hold:
        fields.add("Future-Release-Request", message.hold)
    for told in recipients:
        fields.lines.append("")
        _add_recipient(fields, told)
    fields.lines.append("")
    octets = "\r\n".join(fields.lines)
    return octets.encode() if utf8 else octets.encode("ascii", "replace")


def _add_recipient(fields: "_Fields", told: RecipientStatus) -> None:
    original = _original(told)
    if original:
        fields.add("Original-Recipient", original)
    fields.add("Final-Recipient", f"{'rfc822' if told.address.isascii() else 'utf-8'}; {told.address}")
    fields.add("Action", told.action.value)
    fields.add("Status", told.status)
    if told.remote:
        fields.add("Remote-MTA", f"dns; {told.remote.partition(' ')[0]}")
    if told.reply:
        kind = "smtp" if is_reply(told.reply) else "X-Postino"
        fields.add("Diagnostic-Code", f"{kind}; {told.reply}")
    if told.last_attempt:
        fields.add("Last-Attempt-Date", format_date(told.last_attempt))
    if told.log_id:
        fields.add("Final-Log-ID", told.log_id)
    if told.will_retry_until and told.action is Action.DELAYED:
        fields.add("Will-Retry-Until", format_date(told.will_retry_until))


def _original(told: RecipientStatus) -> str:
    """ORCPT with its address as it should be shown: embedded characters undone (RFC 6533 §3)."""
    kind, found, address = told.original.partition(";")
    if not found:
        return ""
    kind = kind.strip()
    if kind.lower() == "utf-8" and "\\" in address:
        address = _EMBEDDED.sub(_character, address)
    return f"{kind}; {address.strip()}"


def _character(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else found[0]


class _Fields:
    """Lines of fields, folded."""

    def __init__(self, utf8: bool) -> None:
        self.lines: list[str] = []
        self._utf8 = utf8

    def add(self, name: str, value: str) -> None:
        text = plain_text(value)
        if not self._utf8:
            text = text.encode("ascii", "replace").decode("ascii")
        line = f"{name}:"
        for word in text.split(" "):
            if len(line) + len(word) >= _LINE and line[-1:] not in {":", " "}:
                self.lines.append(line)
                line = ""
            line += f" {word}"
        self.lines.append(line)
