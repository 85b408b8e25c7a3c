"""What a worker has in its hands: messages under way, and the transactions they are sent in.

Invariants: a message's octets are here while its work waits only as long as the budget allows; what was
    made of them for sending is shared by all its transactions and goes with the last.
Not here: making it (preparation.py), lanes and their order (destinations.py).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from postino.core.ids import Instant
from postino.outbound.client.outgoing import BodyReader
from postino.smtp.envelope import NO_MAIL_OPTIONS, BodyType
from postino.store.content import InlineBody
from postino.store.queue.values import Octets, QueuedMessage, QueuedRecipient


@dataclass(frozen=True, slots=True)
class Ready:
    """A message's octets as they go over the wire: converted where that was asked for, and signed."""

    header: bytes
    body: bytes | BodyReader
    body_type: BodyType


class OctetsBudget:
    """How many octets of messages are held in memory."""

    __slots__ = ("held", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0

    @property
    def has_room(self) -> bool:
        """Whether another message may be held."""
        return self.held < self.most


class Held:
    """One message under way in this worker, with the recipients leased to us."""

    __slots__ = (
        "_budget",
        "_octets",
        "has_long_line",
        "leased_until",
        "lock",
        "lost",
        "message",
        "ready",
        "settled",
        "taken_at",
        "works",
    )

    def __init__(
        self, message: QueuedMessage, budget: OctetsBudget, *, taken_at: float, leased_until: Instant
    ) -> None:
        self.message = message
        self.works = 0
        """Transactions that are not finished."""
        self.taken_at = taken_at
        """By the event loop's clock."""
        self.leased_until = leased_until
        self.ready: dict[bool, Ready] = {}
        """Whether it was converted to seven bits -> the octets."""
        self.has_long_line: bool | None = None
        """Whether its body has a line that not every server takes; None while nobody has looked."""
        self.lock: asyncio.Lock | None = None
        self.lost: frozenset[int] = frozenset()
        """Numbers of recipients that are not ours to send any more."""
        self.settled: frozenset[int] = frozenset()
        """Numbers of recipients that are done with, while others are not."""
        self._octets: Octets | None = None
        self._budget = budget

    def is_under_way(self, number: int) -> bool:
        """Whether a recipient of the message is still to be sent to, or is being sent to."""
        is_over = number in self.settled or number in self.lost
        return not is_over and any(recipient.number == number for recipient in self.message.recipients)

    @property
    def octets(self) -> Octets | None:
        """As the queue has them; None when they must be read."""
        return self._octets

    def keep(self, octets: Octets) -> None:
        """Hold them until let_go(), if the budget allows."""
        if self._octets is None and self._budget.has_room:
            self._octets = octets
            self._budget.held += octets_in_memory(octets)

    def let_go(self) -> None:
        """Hold nothing any more."""
        if self._octets is not None:
            self._budget.held -= octets_in_memory(self._octets)
            self._octets = None
        self.ready.clear()


def octets_in_memory(octets: Octets) -> int:
    """What a message costs in memory, about."""
    body = octets.body
    return len(octets.header) + (len(body.octets) if isinstance(body, InlineBody) else 0)


class Work:
    """One transaction: a message and those of its recipients that go to one destination together."""

    __slots__ = ("held", "is_second_try", "recipients")

    def __init__(self, held: Held, recipients: Sequence[QueuedRecipient]) -> None:
        self.held = held
        self.recipients = recipients
        self.is_second_try = False
        """A connection that had been used before was lost under it: once, that does not count."""


@dataclass(frozen=True, slots=True)
class Reached:
    """Whom we spoke to, for the log and the reports."""

    remote: str = ""
    """`mx1.example.net (192.0.2.1)`"""
    tls: str = ""
    """`TLSv1.3 TLS_AES_256_GCM_SHA384 dane`; empty without TLS."""


NOBODY = Reached()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why nothing is sent to a destination now."""

    status: str
    sentence: str
    """Empty for no reason worth telling."""
    remote: str


NO_TROUBLE: Final = Trouble("", "", "")


def has_options(message: QueuedMessage) -> bool:
    """Whether MAIL asks for anything, which few messages do."""
    return message.options is not NO_MAIL_OPTIONS and message.options != NO_MAIL_OPTIONS
