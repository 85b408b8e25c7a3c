"""STORE and UID STORE.

RFC: 9051 §6.4.6, §6.4.9; 7162 §3.1.3 (UNCHANGEDSINCE, MODIFIED); 2180 §4.2 (messages expunged meanwhile).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from postino.core.flags import FlagSet
from postino.core.numset import NumberSet
from postino.imap.commands import FetchAtt, Store
from postino.imap.commands import FlagMode as CommandMode
from postino.imap.fetch_plan import FetchPlan, compile_fetch
from postino.imap.responses.status import EXPUNGE_ISSUED, LIMIT, modified
from postino.imap.view import Span
from postino.servers.imap.completion import Completion, no, ok
from postino.servers.imap.events import flags_before, flags_changed
from postino.servers.imap.general import enable_condstore
from postino.servers.imap.messages.fetch import is_short, say_from_view
from postino.servers.imap.messages.message_limit import limit_completion, within_limit
from postino.servers.imap.permitted import permitted_change
from postino.store.messages import (
    FlagChange,
    FlagMode,
    FlagsStored,
    KnownFlags,
    store_flags,
    store_known_flags,
)
from postino.store.tx import Tx

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession
    from postino.servers.imap.updates.selected import SelectedMailbox

FEW: Final = 8
"""So many messages are told one by one; more in bulk, which takes longer to begin with."""


async def run_store(session: "ImapSession", command: Store) -> Completion:
    """Change flags."""
    selected = session.selected
    assert selected is not None
    change = permitted_change(selected, _change(command.mode, command.flags))
    if isinstance(change, Completion):
        return change
    if command.unchanged_since is not None:
        enable_condstore(session)
    view = selected.view
    if not view.is_loaded:
        await selected.load()
    spans = selected.resolve(command.numbers, by_uid=command.by_uid)
    if not spans:
        return ok("There are no such messages")
    spans, limit = within_limit(session, spans)
    if _too_many_keywords(session, selected, spans, change):
        return no(f"A message may have at most {session.limits.keywords} keywords", LIMIT)
    uids = view.uid_ranges(spans)
    outcome: dict[FlagSet, FlagSet] = {}
    changed: Sequence[int] = ()
    is_all = False
    if command.unchanged_since is None and not selected.is_current:
        # PERF: what is known need not be read (below), and others may have changed some of it meanwhile.
        await selected.sync()
    is_known = command.unchanged_since is None and not view.gone(spans)
    if is_known:
        counts = view.flag_counts(spans)
        outcome = {old: new for old in counts if (new := change.applied_to(old)) != old}
        is_all = len(outcome) == len(counts)
        if is_all and len(spans) == 1:
            changed = view.uids(spans[0])
        elif outcome:
            changed = view.uids_with(outcome, spans)
        known = KnownFlags(view.mod_seq, counts, changed)

        def run(tx: Tx) -> FlagsStored:
            return store_known_flags(tx, selected.account_id, selected.id, uids, change, known)
    else:

        def run(tx: Tx) -> FlagsStored:
            return store_flags(tx, selected.account_id, selected.id, uids, change, command.unchanged_since)

    before = flags_before(session, spans)
    is_brief = is_short(spans, are_known=is_known and change.leaves_keywords)
    stored = await session.context.store.write(run, durable=False, short=is_brief)
    if stored.was_known:
        if is_all:
            view.restamp_all(outcome, spans, stored.mod_seq)
        elif outcome:
            view.restamp(outcome, spans, stored.mod_seq)
    else:
        changed = [uid for uid, _, _ in stored.changed]
        view.stored(stored.changed, change.applied_to, is_silent=command.silent)
    selected.follow(stored.previous_mod_seq, stored.mod_seq)
    if before:
        flags_changed(session, before)
    if not selected.is_current:
        await selected.sync()
    await _echo(session, command, spans, changed, stored.modified)
    if stored.modified:
        await _say_left_alone(session, command, stored.modified)
    completion = _completion(selected, command, view.gone(spans), stored.modified)
    return limit_completion(session, completion, limit)


# PERF: kept, because a change keeps what it makes of flags (bench: imap.store).
@lru_cache(maxsize=64)
def _change(mode: CommandMode, flags: FlagSet) -> FlagChange:
    return FlagChange(FlagMode(mode.value), flags)


def _too_many_keywords(
    session: "ImapSession", selected: "SelectedMailbox", spans: list[Span], change: FlagChange
) -> bool:
    if not change.flags.keywords or change.mode is FlagMode.REMOVE:
        return False
    before = {flags for span in spans for flags in selected.view.flags(span)}
    return any(len(change.applied_to(flags).keywords) > session.limits.keywords for flags in before)


async def _echo(
    session: "ImapSession", command: Store, spans: list[Span], changed: "Sequence[int]", left_alone: NumberSet
) -> None:
    """Tell the flags as they are now; of a silent STORE the new mod-sequences only (RFC 7162 §3.1.3)."""
    selected = session.selected
    assert selected is not None
    view = selected.view
    if command.silent:
        if session.condstore:
            spans = view.find(NumberSet.of(changed))
            await say_from_view(session, _plan(session, command, FetchAtt.MOD_SEQ), spans)
        return
    untouched = view.gone(spans).union(left_alone)
    if untouched:
        spans = view.find(view.uid_set(spans).difference(untouched))
    form = session.update_form(by_uid=command.by_uid)
    if not form.mod_seq and sum(end - first for first, end in spans) <= FEW:
        session.say(view.flag_lines_of(spans, form))
        view.forget_changes(spans)
        return
    await say_from_view(session, _plan(session, command, FetchAtt.FLAGS), spans)
    view.forget_changes(spans)


def _plan(session: "ImapSession", command: Store, item: FetchAtt) -> FetchPlan:
    form = session.update_form(by_uid=command.by_uid)
    return compile_fetch(
        (item,), uid=form.uid and not form.uid_only, mod_seq=form.mod_seq, uid_only=form.uid_only
    )


async def _say_left_alone(session: "ImapSession", command: Store, left_alone: NumberSet) -> None:
    """What the messages are like that failed UNCHANGEDSINCE, as RFC 7162 §3.1.3 recommends."""
    selected = session.selected
    assert selected is not None
    view = selected.view
    spans = view.find(left_alone.difference(view.gone(view.find(left_alone))))
    await say_from_view(session, _plan(session, command, FetchAtt.FLAGS), spans)
    view.forget_changes(spans)


def _completion(
    selected: "SelectedMailbox", command: Store, gone: NumberSet, left_alone: NumberSet
) -> Completion:
    # RFC 2180 §4.2.1: the others are changed, and NO tells that some were not there any more. By UID
    # there is nothing to tell, for a UID that is gone was never an error.
    is_missing = bool(gone) and not command.by_uid
    if command.unchanged_since is not None:
        failed = left_alone.union(gone) if is_missing else left_alone
        if failed:
            numbers = failed if command.by_uid else NumberSet.of(selected.view.numbers_of(list(failed)))
            code = modified(numbers)
            if is_missing:
                return no("Some of the messages no longer exist", code)
            return ok("Some of the messages were changed by another session", code)
    if is_missing:
        return no("Some of the messages no longer exist", EXPUNGE_ISSUED)
    return ok("Flags changed")
