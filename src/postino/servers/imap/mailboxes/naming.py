"""CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE.

RFC: 9051 §6.3.4-6.3.8, 4314 §4 (rights), 6154 §3 (CREATE with USE), 8474 §4.1 (MAILBOXID), 5530 §3 (codes).
Not here: the rules of names and of INBOX (store/mailboxes.py), whose mailbox a name means (store/access.py).
"""

from typing import TYPE_CHECKING

from postino.core.mailbox_name import INBOX, is_shared
from postino.core.rights import Rights
from postino.imap.commands import Create, Delete, Rename, Subscribe, Unsubscribe
from postino.imap.object_id import mailbox_object_id
from postino.imap.responses import status
from postino.imap.responses.mailbox import list_response
from postino.imap.responses.status import untagged_status
from postino.servers.imap.completion import Completion, no, ok
from postino.servers.imap.mailboxes.list import say_name
from postino.store import mailboxes
from postino.store.access import Reached, reach_mailbox, reach_new, reach_place, rename_place
from postino.store.tx import Tx

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession


async def run_create(session: "ImapSession", command: Create) -> Completion:
    """Make a mailbox, and the levels above it that are missing."""
    if len(command.special_use) > 1:
        return no("A mailbox here has one special use", status.USE_ATTR)
    use = command.special_use[0] if command.special_use else ""
    if use and is_shared(command.mailbox):
        return no("Only its owner can give a mailbox a special use", status.USE_ATTR)
    now = session.context.clock.now()

    def run(tx: Tx) -> Reached:
        place = reach_place(tx, session.account_id, command.mailbox)
        created = mailboxes.create_mailbox(
            tx, place.account_id, place.name, session.limits, special_use=use, now=now
        )
        return reach_new(tx, session.account_id, place.account_id, created)

    created = await session.context.store.write(run)
    if command.given is not None and session.options.rev2:
        say_name(session, created, command.given)
    return ok("Created", status.mailbox_id(mailbox_object_id(created.account_id, created.mailbox.id)))


async def run_delete(session: "ImapSession", command: Delete) -> Completion:
    """Remove a mailbox and its messages."""
    now = session.context.clock.now()

    def run(tx: Tx) -> Reached:
        reached = reach_mailbox(tx, session.account_id, command.mailbox, Rights.DELETE_MAILBOX)
        mailboxes.delete_mailbox(tx, reached.account_id, reached.mailbox.name, now=now)
        return reached

    removed = await session.context.store.write(run)
    if _is_selected(session, removed):
        session.deselect()
        session.say(untagged_status("OK", "The selected mailbox was deleted", status.CLOSED))
    if command.given is not None and session.options.rev2:
        session.say(list_response(removed.name, ("\\NonExistent",), utf8=True, old_name=command.given))
    return ok("Deleted")


async def run_rename(session: "ImapSession", command: Rename) -> Completion:
    """Give a mailbox another name; it stays with its owner."""
    now = session.context.clock.now()

    def run(tx: Tx) -> Reached:
        source = reach_mailbox(tx, session.account_id, command.source, Rights.DELETE_MAILBOX)
        target = rename_place(tx, source, command.target)
        renamed = mailboxes.rename_mailbox(
            tx, source.account_id, source.mailbox.name, target, session.limits, now=now
        )
        return reach_new(tx, session.account_id, source.account_id, renamed)

    renamed = await session.context.store.write(run)
    if session.selected is not None and _is_selected(session, renamed):
        session.selected.name = renamed.name
    if command.given is not None and session.options.rev2 and command.source != INBOX:
        say_name(session, renamed, command.given)
    return ok("Renamed")


def _is_selected(session: "ImapSession", reached: Reached) -> bool:
    selected = session.selected
    return (
        selected is not None
        and selected.id == reached.mailbox.id
        and selected.account_id == reached.account_id
    )


async def run_subscribe(session: "ImapSession", command: Subscribe) -> Completion:
    """Subscribe to a name, whether or not there is a mailbox."""
    await session.context.store.write(
        lambda tx: mailboxes.set_subscribed(tx, session.account_id, command.mailbox, True, session.limits)
    )
    return ok("Subscribed")


async def run_unsubscribe(session: "ImapSession", command: Unsubscribe) -> Completion:
    """Stop subscribing to a name."""
    await session.context.store.write(
        lambda tx: mailboxes.set_subscribed(tx, session.account_id, command.mailbox, False)
    )
    return ok("No longer subscribed")
