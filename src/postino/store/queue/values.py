"""What goes into the queue and comes out of it.

RFC: 5321 §4.5.4 (the queue), 3461 (what a report needs), 3463 (status codes).
Not here: the functions over a transaction (enqueue.py, lease.py, settle.py, operate.py), delivering
    (outbound/).
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NewType

import msgspec

from postino.core.address import Address, domain_key
from postino.core.ids import AccountId, Instant
from postino.smtp.envelope import NO_MAIL_OPTIONS, MailOptions, Notify
from postino.store.content import Body

QueueId = NewType("QueueId", int)
LeaseToken = NewType("LeaseToken", str)
"""Who holds a lease: the run of one worker's dispatcher. Never given twice."""


class QueueKind(IntEnum):
    """Why we send a message. A stored number never changes its meaning."""

    SUBMITTED = 0
    REPORT = 1
    """Ours about another message: null reverse-path, and nothing is ever reported about it."""
    FORWARDED = 2
    """Came from elsewhere for an address here that sends it on."""


class RecipientState(IntEnum):
    """The column `queue_recipient.state`. A lease is no state: it is a later next_at with a token."""

    WAITING = 0
    """Due at next_at."""
    HELD = 1
    """By the operator; next_at is not looked at, and it does not expire. (Mail to be sent later, or that its
    sender may still take back, is WAITING, with that time as its next_at.)"""
    PARKED = 2
    """Its destination is paused; likewise."""


class NewRecipient(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One forward-path of a message on its way into the queue."""

    address: str
    """As it will be said in RCPT, without brackets; the local part quoted where it must be."""
    domain: str
    """Lower case, U-labels as core.address has them: what destinations are counted and paused by."""
    notify: Notify = Notify.UNSAID
    original: str = ""
    """ORCPT, decoded, `rfc822;ann@example.org`; empty when none was given."""


def untold_recipient(address: Address) -> NewRecipient:
    """Of what the server sends by itself: nobody hears what becomes of it (RFC 3461 §4.1, NOTIFY=NEVER)."""
    return NewRecipient(address=str(address), domain=domain_key(address.domain), notify=Notify.NEVER)


class NewQueued(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One message on its way into the queue. header + body are the octets to send, unsigned."""

    kind: QueueKind
    account_id: AccountId
    """Who submitted it, or whose address forwards it; 0 for reports of our own."""
    reverse_path: str
    """Without brackets; empty for the null reverse-path."""
    recipients: Sequence[NewRecipient]
    header: bytes
    body: Body
    size: int
    message_id: str
    """Our name for it in Received, the log and the reply, as delivery has it."""
    options: MailOptions = NO_MAIL_OPTIONS
    release_at: Instant
    """Not before this; now for at once."""
    expires_at: Instant
    """When it is given up."""
    held: bool = False
    """Wait for `release` by the operator instead of a time."""


class QueuedRecipient(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One recipient as the queue has it."""

    number: int
    """Within its message, from 1."""
    address: str
    domain: str
    notify: Notify
    original: str
    state: RecipientState
    attempts: int
    next_at: Instant
    first_failed_at: Instant
    """0 while nothing has gone wrong."""
    delay_told_at: Instant
    """When its sender was last told that it is late; 0 for never."""
    last_status: str
    """RFC 3463 code of the last attempt; empty before the first."""
    last_reply: str
    """What the far server said, or what stood in the way, in one line."""
    last_remote: str
    """Which host that was: `mx1.example.net (192.0.2.1)`; empty when none was reached."""
    last_at: Instant


class QueuedMessage(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One message as the queue has it, without its octets."""

    queue_id: QueueId
    kind: QueueKind
    account_id: AccountId
    reverse_path: str
    message_id: str
    options: MailOptions
    size: int
    created_at: Instant
    expires_at: Instant
    release_at: Instant = Instant(0)
    """When it might go, or was let go by the operator: from then on it can be late."""
    recipients: Sequence[QueuedRecipient]
    """Those that were asked for: all, or the leased ones."""


class Octets(msgspec.Struct, frozen=True, gc=False):
    """A message's octets, read from the queue."""

    header: bytes
    body: Body
    """InlineBody, unpacked; or a SealedBlob, to be read in pieces."""
    size: int

    @property
    def body_size(self) -> int:
        """How many octets the body has."""
        return self.size - len(self.header)


class Result(IntEnum):
    """What came of an attempt for one recipient."""

    SENT = 0
    """The far server took it (250), or it was delivered here."""
    RELAYED = 1
    """As SENT, but the far server does not know DSN: nobody confirms success beyond it (RFC 3461 §5.2.2)."""
    DEFERRED = 2
    FAILED = 3


class Outcome(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What one attempt came to, for one recipient of one message."""

    queue_id: QueueId
    number: int
    result: Result
    status: str
    """RFC 3463: `2.1.5`, `4.4.1`, `5.1.1`."""
    reply: str
    """The far server's answer in one line with its code, or our own sentence where there was none."""
    remote: str = ""
    """`mx1.example.net (192.0.2.1)`; empty when no host was reached."""
    next_at: Instant = Instant(0)
    """For DEFERRED: when to try again."""
    counts: bool = True
    """Whether it was an attempt. Not so when the destination was busy or backing off; then `status`, `reply`
    and `remote` are what stands in its way, or what was known before."""
    delay_told: bool = False
    """For DEFERRED: its sender is told in the same write that it is late, or needs not be told."""
