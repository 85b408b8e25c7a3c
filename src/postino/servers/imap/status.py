"""STATUS: a mailbox's counters without selecting it; also for LIST with RETURN (STATUS ...).

RFC: 9051 §6.3.11, 7162 §3.1.7 (HIGHESTMODSEQ), 8438 (SIZE), 9208 §4.1.4 (DELETED, DELETED-STORAGE),
    8474 §4.3 (MAILBOXID), 3501 §6.3.10 (RECENT).
"""

from typing import TYPE_CHECKING, Final

from postino.core.ids import AccountId
from postino.core.rights import Rights
from postino.imap.commands import Status
from postino.imap.object_id import mailbox_object_id
from postino.imap.responses.mailbox import status_response
from postino.servers.imap.completion import Completion, ok
from postino.servers.imap.general import enable_condstore
from postino.store.access import reach_mailbox
from postino.store.mailboxes import MailboxRow
from postino.store.quota import deleted_octets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postino.servers.imap.session import ImapSession


async def run_status(session: "ImapSession", command: Status) -> Completion:
    """Tell the counters."""
    reached = session.context.store.read_now(
        lambda tx: reach_mailbox(tx, session.account_id, command.mailbox, Rights.READ)
    )
    say_status(session, reached.account_id, reached.name, reached.mailbox, command.items)
    return ok("These are the counters")


def say_status(
    session: "ImapSession", account_id: AccountId, name: str, mailbox: MailboxRow, items: "Sequence[str]"
) -> None:
    """One STATUS response of a mailbox of the account `account_id`, which the client calls `name`."""
    freed = 0
    if "DELETED-STORAGE" in items and mailbox.deleted:
        freed = session.context.store.read_now(lambda tx: deleted_octets(tx, account_id, mailbox.id))
    if "HIGHESTMODSEQ" in items:
        enable_condstore(session)
    values = [(item, _value(account_id, mailbox, item, freed)) for item in items]
    session.say(status_response(name, values, utf8=session.options.utf8))


def _value(account_id: AccountId, mailbox: MailboxRow, item: str, freed: int) -> object:
    column = _COLUMNS.get(item)
    if column is not None:
        return getattr(mailbox, column)
    if item == "MAILBOXID":
        return f"({mailbox_object_id(account_id, mailbox.id)})"
    # Else RECENT, and nothing else that the grammar lets through.
    return freed if item == "DELETED-STORAGE" else 0


_COLUMNS: Final = {
    "MESSAGES": "messages",
    "UIDNEXT": "uid_next",
    "UIDVALIDITY": "uid_validity",
    "UNSEEN": "unseen",
    "DELETED": "deleted",
    "SIZE": "octets",
    "HIGHESTMODSEQ": "highest_mod_seq",
}
