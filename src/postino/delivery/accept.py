"""Put a received message into its recipients' INBOXes: trace fields on top, one write for all.

RFC: 5321 §4.4 (trace fields), §6.1 (responsibility begins with the reply to DATA).
Invariants: when accept() returns, every recipient has the message, durably; when it raises, none
    has. Recipients share the body octets; each sees only its own trace fields.
Not here: receiving the octets (incoming.py), who may send to whom (servers/smtp).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

import msgspec
from structlog.typing import FilteringBoundLogger

from postino.core.address import Address
from postino.core.ids import Instant
from postino.core.limits import Limits
from postino.core.ports import Clock
from postino.delivery.incoming import Content
from postino.delivery.recipients import Recipients
from postino.mime.dates import format_date
from postino.mime.part import move_index
from postino.smtp.paths import ReversePath, path_text
from postino.smtp.received import Arrival, delivered_to_field, received_field, return_path_field
from postino.store import messages
from postino.store.accounts import ResolvedRecipient
from postino.store.content import NewEmail
from postino.store.store import Store

_RECEIVED: Final = b"\r\nreceived:"
_FEW_RECIPIENTS: Final = 20
"""Writing to more of them would hold up other sessions, so the writing thread does it."""


class DeliveryMetrics(Protocol):
    """What delivery counts."""

    def message_accepted(self, octets: int, recipients: int) -> None:
        """A message is in the store."""
        ...


@dataclass(frozen=True, slots=True)
class Envelope:
    """From where and to whom, as the session settled it."""

    reverse_path: ReversePath
    recipients: Sequence[ResolvedRecipient]
    """Each account once."""
    for_address: Address | None = None
    """The forward-path when there was one only; shown in Received."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """A complete message on its way in."""

    envelope: Envelope
    content: Content
    arrival: Arrival
    message_id: str
    """Our name for it, in Received, the log and the reply; not the Message-ID field."""


def received_hops(header: bytes) -> int:
    """How many servers' Received fields a header holds (RFC 5321 §6.3, loop detection)."""
    folded = header.lower()
    return folded.count(_RECEIVED) + folded.startswith(_RECEIVED[2:])


# PERF: one date a second, not one a message.
_date_text = lru_cache(maxsize=4)(format_date)


class Delivery:
    """The way into INBOXes; one for each worker."""

    def __init__(
        self,
        *,
        store: Store,
        limits: Limits,
        clock: Clock,
        hostname: str,
        log: FilteringBoundLogger,
        metrics: DeliveryMetrics,
    ) -> None:
        self.store = store
        self.limits = limits
        self.clock = clock
        self.hostname = hostname
        self.log = log
        self.metrics = metrics
        self.recipients = Recipients(store, lambda: self.limits.message_octets, time.monotonic)

    async def accept(self, inbound: Inbound, *, log: FilteringBoundLogger | None = None) -> None:
        """Deliver to all recipients, durably, or to none; `log` is that of the session it came in.

        Raises OverQuota when the message does not fit one of them, NoSuchAccount when one was
        removed meanwhile, TemporarilyUnavailable when the store cannot write now.
        """
        now = self.clock.now()
        envelope = inbound.envelope
        emails = [
            (recipient.account_id, None, email)
            for recipient, email in zip(envelope.recipients, self._emails(inbound, now), strict=True)
        ]
        appended = await self.store.write(
            lambda tx: messages.deliver(tx, emails, now), short=len(emails) <= _FEW_RECIPIENTS
        )
        self.metrics.message_accepted(inbound.content.facts.size, len(emails))
        (log or self.log).info(
            "message.delivered",
            message=inbound.message_id,
            reverse_path=path_text(envelope.reverse_path),
            octets=inbound.content.facts.size,
            mailboxes=[
                f"{recipient.login}/INBOX/{place.uid}"
                for recipient, place in zip(envelope.recipients, appended, strict=True)
            ],
        )

    def _emails(self, inbound: Inbound, now: Instant) -> list[NewEmail]:
        """The message as each recipient will see it; all share the body's octets."""
        envelope, content = inbound.envelope, inbound.content
        top = return_path_field(envelope.reverse_path)
        received = received_field(
            inbound.arrival,
            hostname=self.hostname,
            message_id=inbound.message_id,
            for_address=envelope.for_address,
            date=_date_text(now),
        )
        parts_under: dict[int, bytes] = {}
        emails = []
        for recipient in envelope.recipients:
            delivered_to = delivered_to_field(recipient.login)
            prefix_octets = len(top) + len(delivered_to) + len(received)
            parts = parts_under.get(prefix_octets)
            if parts is None:
                parts = parts_under[prefix_octets] = move_index(content.facts.parts, prefix_octets)
            facts = content.facts
            emails.append(
                NewEmail(
                    header=b"".join((top, delivered_to, received, content.header)),
                    body=content.body,
                    facts=msgspec.structs.replace(
                        facts,
                        size=facts.size + prefix_octets,
                        header_octets=facts.header_octets + prefix_octets,
                        parts=parts,
                        # The one trace field lists ask for (mime.header.LISTED_FIELDS).
                        fields=delivered_to + facts.fields,
                    ),
                    internal_date=now,
                )
            )
        return emails
