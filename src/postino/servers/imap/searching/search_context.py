"""Keep the results of searches up to date, and tell the client what joined and what left them.

RFC: 5267 §4.3 (UPDATE, ADDTO, REMOVEFROM), §4.3.1 (NOUPDATE), §4.3.5 (CANCELUPDATE),
    5465 §7 (items of new messages).
Invariants: a client that applies every ADDTO and REMOVEFROM in turn has the results the search would
    give now, in their order; what leaves is told before the EXPUNGE that says so, what joins after the
    EXISTS; only messages that changed are searched again.
Not here: finding (store/search.py), sequence numbers (imap/view.py).
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from postino.core.numset import NumberSet
from postino.core.search import AllOf, Criterion, UidIn
from postino.core.sort import SortCriterion, SortKey
from postino.imap.bad_command import BadCommand
from postino.imap.commands import CancelUpdate, FetchItem
from postino.imap.responses.message import context_response, correlator, ordered_set
from postino.imap.responses.status import CLIENT_BUG, no_update, untagged_status
from postino.imap.search_return import Returning
from postino.servers.imap.completion import Completion, bad, ok
from postino.servers.imap.messages.fetch import say_items
from postino.servers.imap.searching.followed import SearchContext
from postino.servers.imap.searching.ordering import put_in_order
from postino.store.changes import changes_since
from postino.store.search import search_mailbox

if TYPE_CHECKING:
    from postino.imap.view import View
    from postino.servers.imap.session import ImapSession
    from postino.servers.imap.updates.selected import SelectedMailbox


def require_free_tag(selected: "SelectedMailbox", tag: bytes, returning: Returning | None) -> None:
    """Refuse UPDATE under the tag of a search that is being followed already (RFC 5267 §4.3)."""
    if returning is not None and "UPDATE" in returning and tag in selected.contexts.by_tag:
        raise BadCommand("A search with this tag is being updated; use another tag", code=CLIENT_BUG)


def follow(
    session: "ImapSession",
    tag: bytes,
    criterion: Criterion,
    uids: Iterable[int],
    *,
    by_uid: bool,
    criteria: tuple[SortCriterion, ...] = (),
    items: tuple[FetchItem, ...] = (),
) -> None:
    """Tell from now on what changes in these results, or say that it will not be told."""
    selected = session.selected
    assert selected is not None
    contexts = selected.contexts
    if len(contexts.by_tag) >= session.limits.imap_search_contexts:
        session.say(
            untagged_status("NO", "Too many searches are being updated; use CANCELUPDATE", no_update(tag))
        )
    elif any(each.key is SortKey.RELEVANCY for each in criteria):
        session.say(untagged_status("NO", "An order by relevancy is not kept up to date", no_update(tag)))
    else:
        if not contexts:
            # Whatever is newer than the view is found when the view hears of it.
            contexts.mod_seq, contexts.uid_next = selected.view.mod_seq, selected.view.uid_next
        contexts.by_tag[tag] = SearchContext(
            tag, criterion, uids, by_uid=by_uid, criteria=criteria, items=items
        )


async def run_cancel_update(session: "ImapSession", command: CancelUpdate) -> Completion:
    """Tell no more of some results."""
    selected = session.selected
    assert selected is not None
    known = selected.contexts.by_tag
    if not all(tag in known for tag in command.tags):
        return bad("No search with such a tag is being updated")
    for tag in command.tags:
        known.pop(tag, None)
    return ok("No further updates")


async def tell_news(session: "ImapSession", *, by_uid: bool, may_expunge: bool) -> None:
    """Tell what is pending in the view, and what it means for the searches that are followed."""
    selected = session.selected
    assert selected is not None
    contexts = selected.contexts
    if contexts.mod_seq == selected.view.mod_seq:
        session.say_news(by_uid=by_uid, may_expunge=may_expunge)
        return
    # An idle session may have let go of its messages, and their numbers are needed now.
    await selected.load()
    view = selected.view
    changes = session.context.store.read_now(
        lambda tx: changes_since(tx, selected.account_id, selected.id, contexts.mod_seq, contexts.uid_next)
    )
    changed = NumberSet.of(row[0] for row in changes.rows)
    first_new = contexts.uid_next
    contexts.mod_seq, contexts.uid_next = view.mod_seq, view.uid_next
    joining: list[tuple[SearchContext, set[int]]] = []
    for context in list(contexts.by_tag.values()):
        matching = set(await _still_found(session, selected, context.criterion, changed))
        had = set(context.uids)
        left = {uid for uid in had if uid in changes.expunged or (uid in changed and uid not in matching)}
        if left:
            _say_left(session, view, context, left)
        if matching - had:
            joining.append((context, matching - had))
    session.say_news(by_uid=by_uid, may_expunge=may_expunge)
    for context, joined in joining:
        # A message the view has not heard of yet will be found again when it has.
        known = sorted(uid for uid in joined if view.index_of(uid) >= 0)
        new = NumberSet.of(uid for uid in known if uid >= first_new)
        if context.items and new:
            # Between EXISTS and ADDTO (RFC 5465 §7; its §5.2 has the last two the other way).
            await say_items(session, new, context.items)
        if known:
            await _say_joined(session, selected, context, known)


async def _still_found(
    session: "ImapSession", selected: "SelectedMailbox", criterion: Criterion, changed: NumberSet
) -> list[int]:
    if not changed:
        return []
    return await search_mailbox(
        session.context.store,
        selected.account_id,
        selected.id,
        AllOf((UidIn(changed), criterion)),
        session.limits,
    )


def _say_left(session: "ImapSession", view: "View", context: SearchContext, left: set[int]) -> None:
    uids = context.uids
    if context.criteria:
        places = [at for at, uid in enumerate(uids) if uid in left]
        # The last run first, so that no place moves before it is named.
        updates = [
            (first + 1, _set_of(view, context, uids[first:end]))
            for first, end in reversed(list(_runs(places)))
        ]
    else:
        updates = [(0, _set_of(view, context, sorted(left)))]
    context.uids = array("I", [uid for uid in uids if uid not in left])
    _say(session, context, b"REMOVEFROM", updates)


async def _say_joined(
    session: "ImapSession", selected: "SelectedMailbox", context: SearchContext, joined: list[int]
) -> None:
    every = sorted([*context.uids, *joined])
    if context.criteria:
        ordered = await put_in_order(session, selected, context.criteria, every)
        new = set(joined)
        places = [at for at, uid in enumerate(ordered) if uid in new]
        updates = [
            (first + 1, _set_of(selected.view, context, ordered[first:end])) for first, end in _runs(places)
        ]
    else:
        ordered = every
        updates = [(0, _set_of(selected.view, context, joined))]
    context.uids = array("I", ordered)
    _say(session, context, b"ADDTO", updates)


def _set_of(view: "View", context: SearchContext, uids: Sequence[int]) -> bytes:
    return ordered_set(uids if context.by_uid else view.numbers_of(uids))


def _runs(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Neighbouring places as half-open ranges, upwards."""
    first = end = -1
    for place in places:
        if place != end:
            if end > 0:
                yield first, end
            first = place
        end = place + 1
    if end > 0:
        yield first, end


def _say(
    session: "ImapSession", context: SearchContext, item: bytes, updates: Sequence[tuple[int, bytes]]
) -> None:
    # A message whose EXPUNGE was told already has no number any more, and the client knows it is gone.
    told = [update for update in updates if update[1]]
    if told:
        session.say(context_response(correlator(context.tag), by_uid=context.by_uid, item=item, updates=told))
