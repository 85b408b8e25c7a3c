"""CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE.

RFC: 9051 §6.3.4-6.3.8, 6154 §3 (CREATE with USE), 8474 §4.1 (MAILBOXID), 5530 §3 (codes).
Not here: the rules of names and of INBOX (store/mailboxes.py).
"""

from typing import TYPE_CHECKING

from postino.core.errors import NotPermitted
from postino.core.mailbox_name import INBOX
from postino.imap.commands import Create, Delete, Rename, Subscribe, Unsubscribe
from postino.imap.object_id import mailbox_object_id
from postino.imap.responses import status
from postino.imap.responses.mailbox import list_response
from postino.imap.responses.status import untagged_status
from postino.servers.imap.completion import Completion, no, ok
from postino.servers.imap.list import say_name
from postino.store import mailboxes

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession


async def run_create(session: "ImapSession", command: Create) -> Completion:
    """Make a mailbox, and the levels above it that are missing."""
    if len(command.special_use) > 1:
        return no("A mailbox here has one special use", status.USE_ATTR)
    use = command.special_use[0] if command.special_use else ""
    now = session.context.clock.now()
    created = await session.context.store.write(
        lambda tx: mailboxes.create_mailbox(
            tx, session.account_id, command.mailbox, session.limits, special_use=use, now=now
        )
    )
    if command.given is not None and session.options.utf8:
        say_name(session, created, command.given)
    return ok("Created", status.mailbox_id(mailbox_object_id(session.account_id, created.id)))


async def run_delete(session: "ImapSession", command: Delete) -> Completion:
    """Remove a mailbox and its messages."""
    now = session.context.clock.now()
    try:
        removed = await session.context.store.write(
            lambda tx: mailboxes.delete_mailbox(tx, session.account_id, command.mailbox, now=now)
        )
    except NotPermitted as error:
        # RFC 9051 §7.1 has a code of its own for the one refusal the user can do something about.
        has_children = "below" in str(error)
        return no(str(error), status.HAS_CHILDREN if has_children else status.CANNOT)
    if session.selected is not None and session.selected.id == removed.id:
        session.deselect()
        session.say(untagged_status("OK", "The selected mailbox was deleted", status.CLOSED))
    if command.given is not None and session.options.utf8:
        session.say(list_response(removed.name, ("\\NonExistent",), utf8=True, old_name=command.given))
    return ok("Deleted")


async def run_rename(session: "ImapSession", command: Rename) -> Completion:
    """Give a mailbox another name."""
    now = session.context.clock.now()
    renamed = await session.context.store.write(
        lambda tx: mailboxes.rename_mailbox(
            tx, session.account_id, command.source, command.target, session.limits, now=now
        )
    )
    if session.selected is not None and session.selected.id == renamed.id:
        session.selected.name = renamed.name
    if command.given is not None and session.options.utf8 and command.source != INBOX:
        say_name(session, renamed, command.given)
    return ok("Renamed")


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
