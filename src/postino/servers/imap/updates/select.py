r"""SELECT, EXAMINE, CLOSE and UNSELECT.

RFC: 9051 §6.3.2, §6.3.3, §6.4.1, §6.4.2; 3501 §6.3.1 (RECENT, UNSEEN);
    7162 §3.1.2 (HIGHESTMODSEQ), §3.2.5 (QRESYNC), §3.2.8 (CLOSE); 8474 §4.2 (MAILBOXID).
Invariants: the counts told are one moment's, and the view starts from exactly that moment.
"""

from typing import TYPE_CHECKING, Final

from postino.core.errors import NoSuchMailbox
from postino.core.rights import Rights
from postino.imap.commands import Close, Select, Unselect
from postino.imap.object_id import mailbox_object_id
from postino.imap.responses import status
from postino.imap.responses.mailbox import (
    exists_response,
    recent_response,
)
from postino.imap.responses.status import untagged_status
from postino.servers.imap.completion import Completion, no, ok
from postino.servers.imap.mailboxes.list import say_name
from postino.servers.imap.permitted import is_read_only, may, say_flags
from postino.servers.imap.updates.resync import missed_of, require_qresync, say_missed
from postino.servers.imap.updates.selected import READ_IN_PLACE, SelectedMailbox
from postino.store.access import Reached, reach_mailbox
from postino.store.changes import Missed
from postino.store.mailboxes import MailboxRow
from postino.store.messages import expunge
from postino.store.tx import Tx

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession

# PERF: loading a mailbox at SELECT makes UNSEEN and all keywords known, but an idle session
# would then hold 20 octets a message; larger mailboxes are loaded when a command needs it.
LOAD_AT_ONCE: Final = 500
_NUMBERS: Final = b"".join(
    [
        untagged_status("OK", "UIDs are valid", b"UIDVALIDITY %d"),
        untagged_status("OK", "The next UID, or one below it", b"UIDNEXT %d"),
        untagged_status("OK", "The highest mod-sequence", b"HIGHESTMODSEQ %d"),
        untagged_status("OK", "The mailbox's own id", b"MAILBOXID (%b)"),
    ]
)


async def run_select(session: "ImapSession", command: Select) -> Completion:
    """Open a mailbox."""
    if command.qresync is not None:
        require_qresync(session)
    if session.selected is not None:
        session.deselect()
        session.say(untagged_status("OK", "The previous mailbox is no longer selected", status.CLOSED))
    if command.condstore:
        session.condstore = True
    mark = session.context.store.mark()
    try:
        reached, missed = await _open(session, command, mark)
    except NoSuchMailbox as error:
        return no(str(error), status.NONEXISTENT)
    selected = SelectedMailbox(
        session.context.store,
        session.context.bus,
        session.context.state_cache,
        reached,
        read_only=command.read_only,
        mark=mark,
    )
    session.select(selected)
    mailbox = reached.mailbox
    if mailbox.messages <= LOAD_AT_ONCE:
        await selected.load()
    _say_state(session, mailbox, selected)
    if session.options.rev2:
        say_name(session, reached, command.given)
    if missed is not None:
        assert command.qresync is not None
        await say_missed(session, selected, command.qresync, missed)
    if is_read_only(selected):
        return ok("The mailbox is open for reading", status.READ_ONLY)
    return ok("The mailbox is open", status.READ_WRITE)


async def _open(session: "ImapSession", command: Select, mark: bytes) -> tuple[Reached, Missed | None]:
    """The mailbox, and from the same moment what a client that was away missed of it."""
    context = session.context
    if command.qresync is None:
        reached = context.known_mailboxes.reach(context.store, session.account_id, command.mailbox, mark)
        return reached, None

    def read(tx: Tx) -> tuple[Reached, Missed | None]:
        reached = reach_mailbox(tx, session.account_id, command.mailbox, Rights.READ)
        return reached, missed_of(tx, reached, command.qresync)

    store = context.store
    reached = store.read_now(lambda tx: reach_mailbox(tx, session.account_id, command.mailbox, Rights.READ))
    return await store.read(read) if reached.mailbox.messages > READ_IN_PLACE else store.read_now(read)


def _say_state(session: "ImapSession", mailbox: MailboxRow, selected: SelectedMailbox) -> None:
    say = session.say
    say_flags(session, selected)
    say(exists_response(selected.view.told))
    if not session.options.rev2:
        say(recent_response())
        unseen = selected.view.first_unseen()
        if unseen and not session.uid_only:
            say(untagged_status("OK", "The first unseen message", status.unseen(unseen)))
    object_id = mailbox_object_id(selected.account_id, mailbox.id).encode("ascii")
    say(_NUMBERS % (mailbox.uid_validity, mailbox.uid_next, mailbox.highest_mod_seq, object_id))


async def run_close(session: "ImapSession", command: Close) -> Completion:
    r"""Remove the messages with \Deleted, saying nothing of each, and leave the mailbox."""
    selected = session.selected
    assert selected is not None
    session.deselect()
    if may(selected, Rights.EXPUNGE):
        try:
            await session.context.store.write(lambda tx: _expunge_deleted(session, selected, tx))
        except NoSuchMailbox:
            return ok("Closed; the mailbox was deleted meanwhile")
    return ok("Closed")


def _expunge_deleted(session: "ImapSession", selected: SelectedMailbox, tx: Tx) -> None:
    now = session.context.clock.now()
    expunge(tx, selected.account_id, selected.id, None, only_deleted=True, now=now)


async def run_unselect(session: "ImapSession", command: Unselect) -> Completion:
    """Leave the mailbox as it is."""
    session.deselect()
    return ok("No mailbox is selected")
