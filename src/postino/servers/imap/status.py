"""STATUS: a mailbox's counters without selecting it; also for LIST with RETURN (STATUS ...).

RFC: 9051 §6.3.11, 7162 §3.1.7 (HIGHESTMODSEQ), 8438 (SIZE), 3501 §6.3.10 (RECENT).
"""

from typing import TYPE_CHECKING

from postino.core.rights import Rights
from postino.imap.commands import Status
from postino.imap.responses.mailbox import status_response
from postino.servers.imap.completion import Completion, ok
from postino.servers.imap.general import enable_condstore
from postino.store.access import reach_mailbox
from postino.store.mailboxes import MailboxRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postino.servers.imap.session import ImapSession


async def run_status(session: "ImapSession", command: Status) -> Completion:
    """Tell the counters."""
    reached = session.context.store.read_now(
        lambda tx: reach_mailbox(tx, session.account_id, command.mailbox, Rights.READ)
    )
    say_status(session, reached.name, reached.mailbox, command.items)
    return ok("These are the counters")


def say_status(session: "ImapSession", name: str, mailbox: MailboxRow, items: "Sequence[str]") -> None:
    """One STATUS response."""
    if "HIGHESTMODSEQ" in items:
        enable_condstore(session)
    values = [(item, _value(mailbox, item)) for item in items]
    session.say(status_response(name, values, utf8=session.options.utf8))


def _value(mailbox: MailboxRow, item: str) -> object:
    match item:
        case "MESSAGES":
            return mailbox.messages
        case "UIDNEXT":
            return mailbox.uid_next
        case "UIDVALIDITY":
            return mailbox.uid_validity
        case "UNSEEN":
            return mailbox.unseen
        case "DELETED":
            return mailbox.deleted
        case "SIZE":
            return mailbox.octets
        case "HIGHESTMODSEQ":
            return mailbox.highest_mod_seq
        case "MAILBOXID":
            return f"({mailbox.id})"
        case _:
            # RECENT, and nothing else that the grammar lets through.
            return 0
