"""Who hands a message in to have it sent: an account that logged in, or a user of this machine.

RFC: 6409 §4.3 and §6.1 (who may submit, and as whom).
Invariants: whoever is none of the two sends nothing elsewhere, and so makes nobody an open relay.
Not here: how they proved who they are (login.py, directory/local_user.py), what they may send (policy.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

from postino.core.address import Address
from postino.core.ids import AccountId
from postino.directory.local_user import LocalUser
from postino.servers.context import ServerContext
from postino.smtp import replies
from postino.smtp.reply import Reply
from postino.store.identities import covers


@dataclass(frozen=True, slots=True)
class Submitter:
    """One of them."""

    account_id: AccountId | None
    """None for a user of this machine, who has no limits, no Sent mailbox and no time to take mail back."""
    may_send_as: Callable[[Address], bool]
    sender_refused: Reply
    """MAIL FROM is not theirs."""
    author_refused: Reply
    """From is not theirs."""
    sender_field_refused: Reply
    """Sender is not theirs."""


def account_submitter(context: ServerContext, account_id: AccountId) -> Submitter:
    """An account: it sends as whose mail it receives, and as the identities it was granted."""

    def may_send_as(address: Address) -> bool:
        delivery, separator = context.delivery, context.subaddress_separator
        found = delivery.recipients.resolve(address, separator, context.hostname)
        if found is not None and found.reaches(account_id):
            return True
        return covers(delivery.senders.sender(account_id).identities, address, separator)

    return Submitter(
        account_id,
        may_send_as,
        replies.SENDER_NOT_YOURS,
        replies.AUTHOR_NOT_YOURS,
        replies.SENDER_FIELD_NOT_YOURS,
    )


def local_submitter(user: LocalUser) -> Submitter:
    """A user of this machine."""
    return Submitter(
        None,
        user.may_send_as,
        replies.SENDER_NOT_LOCAL,
        replies.AUTHOR_NOT_LOCAL,
        replies.SENDER_FIELD_NOT_LOCAL,
    )
