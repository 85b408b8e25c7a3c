"""What the inside needs from the outside world, as small protocols that wiring fills in.

Not here: implementations (net/, store/, app/) and their fakes for tests.
"""

from dataclasses import dataclass
from typing import Protocol

from postino.core.ids import AccountId, Instant, MailboxId, ModSeq


class Clock(Protocol):
    """The wall clock. Monotonic time is the event loop's."""

    def now(self) -> Instant:
        """The present, in whole seconds since 1970."""
        ...


@dataclass(frozen=True, slots=True)
class MailboxChange:
    """A hint that something in a mailbox changed. It may be lost or doubled; the store is the truth."""

    account_id: AccountId
    mailbox_id: MailboxId
    mod_seq: ModSeq


class Listener(Protocol):
    """Who wants to hear of changes in one mailbox. Called on the event loop; must not block."""

    def __call__(self, change: MailboxChange) -> None:
        """Take the hint."""
        ...


class Bus(Protocol):
    """Tells sessions, in this worker and in others, that a mailbox changed after the commit."""

    def publish(self, changes: list[MailboxChange]) -> None:
        """Pass the hints on, to this worker's listeners too. Never blocks, never raises."""
        ...

    def subscribe(self, account_id: AccountId, mailbox_id: MailboxId, listener: Listener) -> None:
        """Have `listener` called for each change of this mailbox."""
        ...

    def unsubscribe(self, account_id: AccountId, mailbox_id: MailboxId, listener: Listener) -> None:
        """Stop it; unknown listeners are ignored."""
        ...

    def subscribe_account(self, account_id: AccountId, listener: Listener) -> None:
        """Have `listener` called for each change of any mailbox of this account, and of which there are."""
        ...

    def unsubscribe_account(self, account_id: AccountId, listener: Listener) -> None:
        """Stop it; unknown listeners are ignored."""
        ...
