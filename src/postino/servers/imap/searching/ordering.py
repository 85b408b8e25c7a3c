"""Put found messages in the order SORT asks for.

RFC: 5256 §3 (sort criteria), 5957 §4 (DISPLAYFROM, DISPLAYTO), 6203 §4 and §6 (RELEVANCY).
Invariants: messages that compare equal keep the mailbox's order, also under REVERSE.
Not here: what is compared (store/sort.py), keeping it in memory (key_cache.py).
"""

import asyncio
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from postino.core.search import Criterion
from postino.core.sort import SortCriterion, SortKey, order_of
from postino.store.search import relevancies
from postino.store.sort import KeyColumn

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession
    from postino.servers.imap.updates.selected import SelectedMailbox

# PERF: ten thousand take some milliseconds; past this many, other sessions of the worker would notice.
IN_PLACE: Final = 5_000
_COLUMNS: Final = {
    SortKey.ARRIVAL: KeyColumn.INTERNAL_DATE,
    SortKey.CC: KeyColumn.CC,
    SortKey.DATE: KeyColumn.SENT_AT,
    SortKey.DISPLAYFROM: KeyColumn.DISPLAY_FROM,
    SortKey.DISPLAYTO: KeyColumn.DISPLAY_TO,
    SortKey.FROM: KeyColumn.FROM,
    SortKey.SIZE: KeyColumn.SIZE,
    SortKey.SUBJECT: KeyColumn.BASE_SUBJECT,
    SortKey.TO: KeyColumn.TO,
}


async def put_in_order(
    session: "ImapSession",
    selected: "SelectedMailbox",
    criteria: tuple[SortCriterion, ...],
    uids: Sequence[int],
    criterion: Criterion | None = None,
) -> Sequence[int]:
    """`uids`, which go upwards, in the order asked for; `criterion` is what found them, for RELEVANCY."""
    if len(uids) < 2:
        return uids
    by_relevancy = any(each.key is SortKey.RELEVANCY for each in criteria)
    context, mailbox = session.context, (selected.account_id, selected.id)
    packed = array("I", uids)
    question = packed.tobytes()
    if not by_relevancy:
        known: Sequence[int] | None = context.key_cache.answer(*mailbox, criteria, question)
        if known is not None:
            return known
    keys = [_COLUMNS[each.key] for each in criteria if each.key is not SortKey.RELEVANCY]
    read = await context.key_cache.values(
        context.store, *mailbox, tuple(dict.fromkeys(keys)), packed, selected.view.told
    )
    values: dict[KeyColumn, Sequence[Any]] = dict(zip(dict.fromkeys(keys), read, strict=True))
    columns: list[tuple[Sequence[Any], bool]] = []
    for each in criteria:
        if each.key is SortKey.RELEVANCY:
            assert criterion is not None
            # The best comes first (RFC 6203 §6).
            scores = await relevancy(session, selected, criterion, uids)
            columns.append(([-score for score in scores], each.is_reverse))
        else:
            columns.append((values[_COLUMNS[each.key]], each.is_reverse))
    if len(uids) <= IN_PLACE:
        order = order_of(len(uids), columns)
    else:
        order = await asyncio.to_thread(order_of, len(uids), columns)
    ordered = array("I", map(packed.__getitem__, order))
    if not by_relevancy:
        context.key_cache.put_answer(*mailbox, criteria, question, ordered, len(question))
    return ordered


async def relevancy(
    session: "ImapSession", selected: "SelectedMailbox", criterion: Criterion, uids: Sequence[int]
) -> list[int]:
    """How well each of `uids` was found, from 1 to 100."""
    upwards = sorted(uids)
    scores = await relevancies(session.context.store, selected.account_id, selected.id, criterion, upwards)
    score_of = dict(zip(upwards, scores, strict=True))
    return [score_of[uid] for uid in uids]
