"""EXPUNGE and UID EXPUNGE.

RFC: 9051 §6.4.3, §6.4.9; 4315 §2.1; 7162 §3.2.7 and §3.2.9 (HIGHESTMODSEQ).
"""

from typing import TYPE_CHECKING

from postino.core.flags import Flag
from postino.core.numset import NumberSet
from postino.core.rights import Rights
from postino.imap.commands import Expunge, UidExpunge
from postino.servers.imap.completion import Completion, ok
from postino.servers.imap.messages.message_limit import limit_completion, within_limit
from postino.servers.imap.permitted import refusal_to
from postino.servers.imap.updates.resync import highest_told
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
    limit = None
    if session.limits.imap_messages_a_command:
        spans, limit = within_limit(session, selected.view.having(Flag.DELETED, spans))
    completion = await _expunge(session, selected.view.uid_ranges(spans))
    return limit_completion(session, completion, limit)


async def _expunge(session: "ImapSession", uids: NumberSet | None) -> Completion:
    selected = session.selected
    assert selected is not None
    refused = refusal_to(selected, "remove messages", Rights.EXPUNGE)
    if refused is not None:
        return refused
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
