"""Find the mailbox a name means to one account, its own or another's, and what it may do there.

RFC: 4314 §4 (which command needs which right), 9051 §6.3.10 (namespaces).
Invariants: a mailbox without the right to look it up does not exist for the viewer; its owner may do
    everything.
Not here: the rules of names and what happens to mailboxes (mailboxes.py).
"""

from dataclasses import dataclass

from postino.core.errors import NoPermission
from postino.core.ids import AccountId
from postino.core.rights import ALL_RIGHTS, NO_RIGHTS, Rights
from postino.store.mailboxes import MailboxRow, mailbox_by_name
from postino.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Reached:
    """A mailbox as one viewer reaches it."""

    account_id: AccountId
    """Whose it is."""
    mailbox: MailboxRow
    name: str
    """As the viewer calls it; `mailbox.name` is what its owner calls it."""
    rights: Rights

    def require(self, needs: Rights) -> None:
        """Raise NoPermission unless the viewer has every right of `needs`."""
        if needs not in self.rights:
            missing = needs & ~self.rights
            raise NoPermission(
                f"You lack the right {missing.letters!r} in {self.name!r}; ask its owner for it"
            )


def reach_mailbox(tx: Tx, viewer: AccountId, name: str, needs: Rights = NO_RIGHTS) -> Reached:
    """The mailbox `viewer` calls `name`. Raises NoSuchMailbox, NoPermission when a right of `needs` lacks."""
    mailbox = mailbox_by_name(tx, viewer, name)
    reached = Reached(viewer, mailbox, mailbox.name, ALL_RIGHTS)
    reached.require(needs)
    return reached
