"""Tell a client that was away what it missed: SELECT with QRESYNC, UID FETCH with VANISHED.

RFC: 7162 §3.2.5, §3.2.6, §3.2.10.1.
Invariants: VANISHED (EARLIER) comes before any FETCH response, and never names a message that the client
    still counts; the numbers of the FETCH responses are those of the EXISTS before them.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from postino.core.flags import stored_flag_set
from postino.core.numset import NumberSet
from postino.imap.bad_command import BadCommand
from postino.imap.commands import FetchAtt, Numbers, QresyncParam, SavedResult
from postino.imap.fetch_plan import Batch, compile_fetch
from postino.imap.responses.message import vanished_response
from postino.imap.responses.status import highest_mod_seq
from postino.servers.imap.updates.selected import READ_IN_PLACE
from postino.store.access import Reached
from postino.store.changes import Missed, missed_since, vanished_since
from postino.store.tx import Tx

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession
    from postino.servers.imap.updates.selected import SelectedMailbox

_BATCH: Final = 4_096


def require_qresync(session: "ImapSession") -> None:
    """Raise BadCommand when the client has not enabled QRESYNC (RFC 7162 §3.2.3)."""
    if not session.qresync:
        raise BadCommand("Give the command ENABLE QRESYNC first")


def missed_of(tx: Tx, reached: Reached, since: QresyncParam | None) -> Missed | None:
    """What happened since the moment the client remembers; None when it does not remember this mailbox."""
    mailbox = reached.mailbox
    if since is None or since.uid_validity != mailbox.uid_validity:
        return None
    known = None if since.known_uids is None else since.known_uids.resolve(0)
    sample: Iterable[tuple[int, int]] = ()
    if since.seq_match is not None:
        numbers, uids = since.seq_match
        sample = zip(numbers.resolve(0), uids.resolve(0), strict=True)
    return missed_since(tx, reached.account_id, mailbox.id, since.mod_seq, known, sample)


async def say_missed(
    session: "ImapSession", selected: "SelectedMailbox", since: QresyncParam, missed: Missed
) -> None:
    """Say what vanished, then what is new or changed."""
    session.say(vanished_response(missed.vanished, earlier=True))
    plan = compile_fetch(
        (FetchAtt.FLAGS, FetchAtt.MOD_SEQ), uid=not session.uid_only, uid_only=session.uid_only
    )
    if missed.rows is None:
        # So many that the view itself takes less room.
        await selected.load()
        view = selected.view
        known = view.everything() if since.known_uids is None else view.find(since.known_uids.resolve(0))
        for first, end in view.changed_since(missed.since, view.without_gone(known)):
            for at in range(first, end, _BATCH):
                span = (at, min(end, at + _BATCH))
                numbers = range(span[0] + 1, span[1] + 1)
                batch = Batch(numbers, view.uids(span), view.flags(span), view.mod_seqs(span))
                session.say(plan.responses(batch))
                await session.flush()
        return
    for start in range(0, len(missed.rows), _BATCH):
        rows = missed.rows[start : start + _BATCH]
        batch = Batch(
            missed.numbers[start : start + _BATCH],
            [row[0] for row in rows],
            [stored_flag_set(row[1], row[2]) for row in rows],
            [row[3] for row in rows],
        )
        session.say(plan.responses(batch))
        await session.flush()


async def say_vanished(
    session: "ImapSession", selected: "SelectedMailbox", numbers: Numbers, mod_seq: int
) -> None:
    """Say which of these UIDs were expunged after `mod_seq`; the view must be in step with the store."""
    view, store = selected.view, session.context.store
    uids = selected.saved if isinstance(numbers, SavedResult) else numbers.resolve(view.last_uid)

    def read(tx: Tx) -> NumberSet:
        return vanished_since(tx, selected.account_id, selected.id, mod_seq, uids)

    if view.told > READ_IN_PLACE:
        vanished = await store.read(read)
        await selected.sync()
    else:
        vanished = store.read_now(read)
    # Those the client still counts are told of when the command ends, without EARLIER.
    vanished = vanished.difference(view.gone(view.everything()))
    session.say(vanished_response(vanished, earlier=True))


async def highest_told(session: "ImapSession") -> bytes | None:
    """The code HIGHESTMODSEQ for the answer to a command that expunged, once QRESYNC is enabled.

    RFC: 7162 §3.2.7. All news up to that mod-sequence is told before the answer.
    """
    selected = session.selected
    if not session.qresync or selected is None:
        return None
    await selected.sync()
    return highest_mod_seq(selected.view.mod_seq)
