"""One message between MAIL and its end: whose it is, for whom, and what has come of it.

RFC: 5321 §3.3 (mail transactions), 2033 §4.2 (one reply for each recipient).
Invariants: an account is in `accounts` once, however many recipients lead to it.
Not here: who may be a recipient (policy.py), reading the message (session.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from postino.core.address import Address
from postino.core.ids import AccountId
from postino.delivery.incoming import IncomingMessage
from postino.smtp.commands import MailCommand
from postino.smtp.envelope import BodyType
from postino.smtp.framer import LineEndings
from postino.store.accounts import ResolvedRecipient


@dataclass(slots=True)
class MailTransaction:
    """What MAIL, RCPT and the first chunks have settled so far."""

    mail: MailCommand
    message_id: str
    accounts: dict[AccountId, ResolvedRecipient] = field(default_factory=dict)
    forward_paths: list[tuple[Address, list[AccountId]]] = field(default_factory=list)
    """Each RCPT that was taken, with the accounts it leads to."""
    refused_recipients: int = 0
    message: IncomingMessage | None = None
    line_endings: LineEndings | None = None
    """None for BINARYMIME, where a CR or LF is an octet like any other."""

    def add_recipient(self, forward_path: Address, found: Sequence[ResolvedRecipient]) -> None:
        """Note a recipient that was taken."""
        for recipient in found:
            self.accounts.setdefault(recipient.account_id, recipient)
        self.forward_paths.append((forward_path, [recipient.account_id for recipient in found]))

    @property
    def for_address(self) -> Address | None:
        """The one recipient there is, for the Received field; None when there are several."""
        return self.forward_paths[0][0] if len(self.forward_paths) == 1 else None

    def begin_message(self, message: IncomingMessage) -> None:
        """The first octets come now."""
        self.message = message
        if self.mail.options.body is not BodyType.BINARY_MIME:
            self.line_endings = LineEndings()

    def discard(self) -> None:
        """Let go of what was received."""
        if self.message is not None:
            self.message.discard()
            self.message = None
