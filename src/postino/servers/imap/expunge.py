"""EXPUNGE and UID EXPUNGE.

RFC: 9051 §6.4.3, §6.4.9; 4315 §2.1; 7162 §3.2.7 and §3.2.9 (HIGHESTMODSEQ).
"""

from typing import TYPE_CHECKING

from postino.core.numset import NumberSet
from postino.imap.commands import Expunge, UidExpunge
from postino.imap.responses.status import CANNOT
from postino.servers.imap.completion import Completion, no, ok
from postino.servers.imap.resync import highest_told
from postino.store.messages import expunge

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession


async def run_expunge(session: "ImapSession", command: Expunge) -> Completion:
    r"""Remove every message with \Deleted; the EXPUNGE responses come with the news."""
    return await _expunge(session, None)


async def run_uid_expunge(session: "ImapSession", command: UidExpunge) -> Completion:
    r"""Remove those messages of the set that have \Deleted."""
    selected = session.selected
    assert selected is not None
    await selected.load()
    spans = selected.resolve(command.uids, by_uid=True)
    return await _expunge(session, selected.view.uid_ranges(spans))


async def _expunge(session: "ImapSession", uids: NumberSet | None) -> Completion:
    selected = session.selected
    assert selected is not None
    if selected.read_only:
        return no("The mailbox is open for reading only; SELECT it to remove messages", CANNOT)
    now = session.context.clock.now()
    if uids is None or uids:
        expunged = await session.context.store.write(
            lambda tx: expunge(tx, selected.account_id, selected.id, uids, only_deleted=True, now=now)
        )
        selected.view.follow(
            expunged.previous_mod_seq, expunged.mod_seq or expunged.previous_mod_seq, expunged.uids
        )
        if expunged.uids:
            return ok("Expunged", await highest_told(session))
    return ok("Expunged")
