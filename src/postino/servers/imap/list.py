"""LIST and LSUB.

RFC: 9051 §6.3.9 and §7.3.1, 5258, 5819 (RETURN STATUS), 6154 (special use), 3501 §6.3.9 (LSUB).
Not here: which names are listed, and how (postino.imap.list_selection).
"""

from typing import TYPE_CHECKING

from postino.imap.commands import List, Lsub
from postino.imap.list_selection import ListedMailbox, attributes_of, select_list, select_lsub
from postino.imap.responses.mailbox import list_response, list_separator_response
from postino.servers.imap.completion import Completion, ok
from postino.servers.imap.status import say_status
from postino.store.mailboxes import MailboxRow, has_children, list_mailboxes, lone_subscriptions

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession


async def run_list(session: "ImapSession", command: List) -> Completion:
    """Name the mailboxes that match, with their counters when asked."""
    if not command.extended and command.patterns == ("",):
        session.say(list_separator_response())
        return ok("Listed")
    rows, names = _mailboxes(session)
    utf8 = session.options.utf8
    for entry in select_list(command, names):
        session.say(list_response(entry.name, entry.attributes, utf8=utf8, child_info=entry.child_info))
        if command.status_items is not None and entry.exists:
            say_status(session, entry.name, rows[entry.name], command.status_items)
    return ok("Listed")


async def run_lsub(session: "ImapSession", command: Lsub) -> Completion:
    """Name the subscriptions that match, as RFC 3501 has it."""
    if not command.pattern:
        session.say(list_separator_response(b"LSUB"))
        return ok("Listed")
    _, names = _mailboxes(session)
    for entry in select_lsub(command, names):
        session.say(list_response(entry.name, entry.attributes, utf8=session.options.utf8, verb=b"LSUB"))
    return ok("Listed")


def say_name(session: "ImapSession", mailbox: MailboxRow, given: str | None) -> None:
    """One mailbox by its right name, and with OLDNAME as the client spelled it (RFC 9051 §6.3.9.7)."""
    parent = session.context.store.read_now(lambda tx: has_children(tx, session.account_id, mailbox.name))
    attributes = attributes_of(
        ListedMailbox(mailbox.name, mailbox.subscribed, mailbox.special_use), has_children=parent
    )
    session.say(list_response(mailbox.name, attributes, utf8=session.options.utf8, old_name=given))


def _mailboxes(session: "ImapSession") -> tuple[dict[str, MailboxRow], list[ListedMailbox]]:
    account_id = session.account_id
    rows, lone = session.context.store.read_now(
        lambda tx: (list_mailboxes(tx, account_id), lone_subscriptions(tx, account_id))
    )
    names = [ListedMailbox(row.name, row.subscribed, row.special_use) for row in rows]
    names += [ListedMailbox(name, subscribed=True, exists=False) for name in lone]
    return {row.name: row for row in rows}, names
