"""SEARCH and UID SEARCH, and what SORT, THREAD and ESEARCH share with them.

RFC: 9051 §6.4.4 and §7.3.4 (ESEARCH), 3501 §7.2.5 (SEARCH), 4731, 5182 (SAVE and `$`), 7162 §3.1.5 (MODSEQ),
    5267 §4 (UPDATE, PARTIAL), 9394 §3 (PARTIAL), 6203 §4 (RELEVANCY), 7377 §2 (numbers beyond the mailbox).
Invariants: the answer names only messages the client has been told of.
Not here: keeping results up to date (search_context.py), other mailboxes (esearch.py).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from postino.core.numset import MAX_NUMBER, NumberSet, SequenceSet
from postino.core.search import Criterion, Everything
from postino.imap.commands import Numbers, SavedResult, Search
from postino.imap.commands.search import Program
from postino.imap.responses.message import correlator, esearch_response, search_response
from postino.imap.search_key import Surroundings, resolve_key
from postino.imap.search_return import RETURN_ALL, Returning
from postino.imap.view import Span, View
from postino.servers.imap.completion import Completion, ok
from postino.servers.imap.general import enable_condstore
from postino.servers.imap.messages.message_limit import limit_completion, limit_search
from postino.servers.imap.searching.ordering import relevancy
from postino.servers.imap.searching.recall import recall
from postino.servers.imap.searching.search_context import follow, require_free_tag
from postino.store.search import search_mailbox

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession
    from postino.servers.imap.updates.selected import SelectedMailbox


async def run_search(session: "ImapSession", command: Search) -> Completion:
    """Find messages."""
    selected = session.selected
    assert selected is not None
    require_free_tag(selected, command.tag, command.returning)
    criterion = await begin(session, command.program, command.returning, by_uid=command.by_uid)
    looked_at, limit = limit_search(session, selected, criterion)
    uids = await find(session, selected, looked_at)
    returning = command.returning
    if returning is None and not session.options.rev2:
        numbers = uids if command.by_uid else selected.view.numbers_of(uids)
        session.say(search_response(numbers, mod_seq=told_mod_seq(selected.view, command.program, uids)))
        return limit_completion(session, ok("Found"), limit)
    # IMAP4rev2 has no SEARCH response: without RETURN the answer is ESEARCH with ALL.
    returning = returning or RETURN_ALL
    if "UPDATE" in returning:
        follow(session, command.tag, criterion, uids, by_uid=command.by_uid, items=returning.items)
    await answer(
        session, correlator(command.tag), returning, command.program, criterion, uids, by_uid=command.by_uid
    )
    return limit_completion(session, ok("Found"), limit)


async def begin(
    session: "ImapSession", program: Program, returning: Returning | None, *, by_uid: bool
) -> Criterion:
    """Turn what is looked for into what the store understands, and tell of new messages.

    Numbers mean what the client knew when it wrote them; then it is told of new messages, so that the
    answer may name them.
    """
    selected = session.selected
    assert selected is not None
    if returning is not None and "SAVE" in returning:
        # A search that fails leaves nothing saved (RFC 5182 §2.1).
        saved, selected.saved = selected.saved, NumberSet()
    else:
        saved = selected.saved
    if program.refusal is not None:
        raise program.refusal
    if program.uses_mod_seq:
        enable_condstore(session)
    await selected.load()
    view = selected.view
    is_followed = returning is not None and "UPDATE" in returning

    def by_seq(numbers: Numbers) -> NumberSet:
        if isinstance(numbers, SavedResult):
            return saved
        return view.uid_ranges(_spans(view, numbers.resolve(view.told)))

    def by_number(numbers: Numbers) -> NumberSet:
        if isinstance(numbers, SavedResult):
            return saved
        known = view.uid_ranges(view.by_uid(numbers))
        # What is followed goes on with messages that are still to come.
        return known.union(_to_come(numbers, view.last_uid)) if is_followed else known

    criterion = resolve_key(program.key, Surroundings(by_seq, by_number, session.context.clock.now()))
    await selected.sync()
    await session.tell_news(by_uid=by_uid, may_expunge=False)
    return criterion


def _spans(view: View, numbers: NumberSet) -> list[Span]:
    """Where these sequence numbers are; in a search those beyond the mailbox are no error."""
    return [(low - 1, min(high, view.told)) for low, high in numbers.ranges if low <= view.told]


def _to_come(numbers: SequenceSet, last: int) -> NumberSet:
    """The UIDs above `last` that are meant: `10:*` will hold every later message too."""
    found: list[tuple[int, int]] = []
    for first, second in numbers.parts:
        low, high = min(first, second), max(first, second)
        if not low and high:
            # Each new message is the last one when it comes, so it is in the range even when `high` is above.
            low, high = last + 1, MAX_NUMBER
        if high > last:
            found.append((max(low, last + 1), high))
    return NumberSet(found)


async def find(session: "ImapSession", selected: "SelectedMailbox", criterion: Criterion) -> Sequence[int]:
    """The UIDs of the messages that meet `criterion` and that the client knows, upwards."""
    view = selected.view
    if isinstance(criterion, Everything):
        # PERF: 3 ms less for 10,000 messages than asking the store for all it has.
        every = view.everything()
        gone = view.gone(every)
        if len(every) == 1 and not gone:
            return view.uids(every[0])
        uids = [uid for span in every for uid in view.uids(span)]
        return [uid for uid in uids if uid not in gone] if gone else uids
    recalled = await recall(session, selected, criterion)
    if recalled is not None:
        return recalled
    found = await search_mailbox(
        session.context.store, selected.account_id, selected.id, criterion, session.limits
    )
    return view.known(found)


async def answer(
    session: "ImapSession",
    about: bytes,
    returning: Returning,
    program: Program,
    criterion: Criterion,
    uids: Sequence[int],
    *,
    by_uid: bool,
) -> None:
    """Say the ESEARCH response for `uids`, in the order asked for, and save them for `$`."""
    selected = session.selected
    assert selected is not None
    view = selected.view
    if "SAVE" in returning:
        selected.saved = NumberSet.of(returning.returned(uids))
    if returning.is_silent:
        return
    scores: Sequence[int] = ()
    if "RELEVANCY" in returning:
        scores = await relevancy(session, selected, criterion, uids)
    session.say(
        esearch_response(
            about,
            by_uid=by_uid,
            returning=returning,
            numbers=uids if by_uid else view.numbers_of(uids),
            scores=scores,
            mod_seq=told_mod_seq(view, program, returning.returned(uids)),
        )
    )


def told_mod_seq(view: View, program: Program, uids: Sequence[int]) -> int | None:
    """The highest mod-sequence of what is answered, for a search by mod-sequence (RFC 7162 §3.1.5)."""
    if not program.uses_mod_seq or not uids:
        return None
    spans = view.find(NumberSet.of(uids))
    return max((max(view.mod_seqs(span)) for span in spans), default=None)
