"""One message between MAIL and its end: whose it is, for whom, and what has come of it.

RFC: 5321 §3.3 (mail transactions), 2033 §4.2 (one reply for each recipient).
Invariants: an account is in `accounts` once, however many recipients lead to it.
Not here: who may be a recipient (policy.py), reading the message (session.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from postino.core.address import Address
from postino.core.ids import AccountId, Instant
from postino.delivery.incoming import IncomingMessage
from postino.smtp.commands import MailCommand, RcptCommand
from postino.smtp.envelope import BodyType, MailOptions, RcptOptions
from postino.smtp.framer import LineEndings
from postino.store.accounts import Resolved, ResolvedRecipient

if TYPE_CHECKING:
    from postino.outbound.cut_through import Asked


class Taken(NamedTuple):
    """One RCPT that was taken."""

    forward_path: Address
    options: RcptOptions
    resolved: Resolved | None
    """Who here receives it; None when it goes elsewhere."""

    @property
    def account_ids(self) -> list[AccountId]:
        """The accounts it leads to."""
        return [found.account_id for found in self.resolved.accounts] if self.resolved is not None else []


@dataclass(slots=True)
class MailTransaction:
    """What MAIL, RCPT and the first chunks have settled so far."""

    mail: MailCommand
    message_id: str
    options: MailOptions
    """MAIL's, with the time it names as an instant."""
    release_at: Instant
    """Not before this."""
    accounts: dict[AccountId, ResolvedRecipient] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    refused_recipients: int = 0
    message: IncomingMessage | None = None
    line_endings: LineEndings | None = None
    """None for BINARYMIME, where a CR or LF is an octet like any other."""
    asked: "Asked | None" = None
    """The next server that waits for the message of the only recipient (ahead.py)."""
    asked_ahead: int = 0
    """How many servers were asked."""

    @classmethod
    def begin(cls, mail: MailCommand, message_id: str, now: Instant) -> "MailTransaction":
        """MAIL was taken `now`."""
        options = mail.options
        if options.by_mode is not None:
            options = msgspec.structs.replace(options, deliver_by=now + mail.by_seconds)
        release_at = mail.hold.release_at(now) if mail.hold is not None else now
        return cls(mail, message_id, options, release_at)

    def add_recipient(self, rcpt: RcptCommand, resolved: Resolved | None) -> None:
        """Note a recipient that was taken."""
        if resolved is not None:
            for recipient in resolved.accounts:
                self.accounts.setdefault(recipient.account_id, recipient)
        self.taken.append(Taken(rcpt.forward_path, rcpt.options, resolved))
        if len(self.taken) > 1:
            # There is one answer to the message, which several servers cannot give.
            self._let_go()

    def hold(self, asked: "Asked") -> None:
        """The next server waits for the message of the recipient that is taken now."""
        self._let_go()
        self.asked = asked

    def _let_go(self) -> None:
        asked, self.asked = self.asked, None
        if asked is not None:
            asked.close()

    @property
    def elsewhere(self) -> Iterator[Taken]:
        """The recipients whose mail goes to another server."""
        return (taken for taken in self.taken if taken.resolved is None)

    @property
    def for_address(self) -> Address | None:
        """The one recipient there is, for the Received field; None when there are several."""
        return self.taken[0].forward_path if len(self.taken) == 1 else None

    def begin_message(self, message: IncomingMessage) -> None:
        """The first octets come now."""
        self.message = message
        if self.options.body is not BodyType.BINARY_MIME:
            self.line_endings = LineEndings()

    def discard(self) -> None:
        """Let go of what was received, and of whoever waits for it."""
        self._let_go()
        if self.message is not None:
            self.message.discard()
            self.message = None
