"""COPY, MOVE and their UID forms.

RFC: 9051 §6.4.7, §6.4.8, §6.4.9; 4315 §3 (COPYUID); 6851 (MOVE, and §4.2: its rights); 2180 §4.4 (messages
    expunged meanwhile); 4314 §4 (the flags a copy keeps).
Invariants: all or none; after a MOVE every message is in exactly one of the two mailboxes.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from postino.core.errors import NoSuchMailbox, StoreError
from postino.core.rights import Rights
from postino.delivery.filters.events import Cause
from postino.imap.commands import Copy, Move
from postino.imap.responses.status import EXPUNGE_ISSUED, copy_uid, untagged_status
from postino.imap.view import Span
from postino.servers.imap.completion import Completion, no, ok, refusal_of_target
from postino.servers.imap.events import messages_came
from postino.servers.imap.messages.message_limit import limit_completion, within_limit
from postino.servers.imap.permitted import refusal_to
from postino.servers.imap.updates.resync import highest_told
from postino.store import messages
from postino.store.access import Reached, reach_mailbox
from postino.store.messages import Copied
from postino.store.tx import Tx

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession


class _MessagesGone(StoreError):
    """Some of the messages were expunged by another session; nothing was copied."""


class _NoTarget(StoreError):
    """The mailbox to copy to does not exist."""


@dataclass(frozen=True, slots=True)
class _Transferred:
    """Messages were copied or moved; `code` tells where they are, unless that is none of the client's."""

    code: bytes | None


async def run_copy(session: "ImapSession", command: Copy) -> Completion:
    """Copy messages to another mailbox."""
    spans, limit = await _chosen(session, command)
    if limit is not None:
        # All or nothing (RFC 9051 §6.4.7).
        most = session.limits.imap_messages_a_command
        return no(f"One command copies at most {most} messages; copy fewer at once", limit)
    copied = await _transfer(session, command, spans)
    if isinstance(copied, Completion):
        return copied
    return ok("Copied", copied.code)


async def run_move(session: "ImapSession", command: Move) -> Completion:
    """Move messages to another mailbox."""
    selected = session.selected
    assert selected is not None
    refused = refusal_to(selected, "move messages", Rights.DELETE_MESSAGES | Rights.EXPUNGE)
    if refused is not None:
        return refused
    spans, limit = await _chosen(session, command)
    copied = await _transfer(session, command, spans)
    if isinstance(copied, Completion):
        return copied
    # Before the EXPUNGEs, so that the client knows where the messages went (RFC 6851 §4.3).
    if copied.code is not None:
        session.say(untagged_status("OK", "Where the messages are now", copied.code))
    return limit_completion(session, ok("Moved", await highest_told(session)), limit)


async def _chosen(session: "ImapSession", command: Copy | Move) -> tuple[list[Span], bytes | None]:
    selected = session.selected
    assert selected is not None
    await selected.load()
    return within_limit(session, selected.resolve(command.numbers, by_uid=command.by_uid))


async def _transfer(
    session: "ImapSession", command: Copy | Move, spans: list[Span]
) -> _Transferred | Completion:
    selected = session.selected
    assert selected is not None
    expected = sum(end - first for first, end in spans)
    uids = selected.view.uid_ranges(spans)
    now = session.context.clock.now()
    transfer = messages.move if isinstance(command, Move) else messages.copy

    def run(tx: Tx) -> tuple[Copied, Reached]:
        try:
            target = reach_mailbox(tx, session.account_id, command.mailbox, Rights.INSERT)
        except NoSuchMailbox as error:
            raise _NoTarget(str(error)) from None
        copied = transfer(
            tx,
            selected.account_id,
            selected.id,
            uids,
            target.mailbox.id,
            target_account=target.account_id,
            rights=target.rights,
            now=now,
        )
        if not command.by_uid and len(copied.source_uids) != expected:
            raise _MessagesGone("Some of the messages no longer exist; nothing was copied")
        return copied, target

    try:
        copied, target = await session.context.store.write(run)
    except _MessagesGone as error:
        return no(str(error), EXPUNGE_ISSUED)
    except _NoTarget as error:
        return refusal_of_target(NoSuchMailbox(str(error)))
    if not copied.source_uids:
        return ok("There are no such messages")
    messages_came(
        session, Cause.COPY, target.account_id, target.mailbox.id, copied.target_uids, source=selected
    )
    if Rights.READ not in target.rights:
        # SECURITY: UIDs tell how much comes in; not to those who may only put messages there (RFC 4315 §4).
        return _Transferred(None)
    return _Transferred(copy_uid(copied.uid_validity, copied.source_uids, copied.target_uids))
