"""ESEARCH: search several mailboxes, one after the other.

RFC: 7377 §2, 4314 §4 (the right r; l besides where a mailbox was not named), 5465 §6 (sources).
Invariants: which mailbox is selected makes no difference to the others, nor the other way round; a mailbox
    that may not be read is passed over without a word; no mailbox is searched twice.
Not here: searching one (search.py, store/search.py).
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from postino.core.errors import NoPermission, NoSuchMailbox
from postino.core.ids import AccountId
from postino.core.mailbox_name import SEPARATOR
from postino.core.numset import NumberSet
from postino.core.rights import Rights
from postino.imap.commands import Esearch, Numbers, SavedResult, Source, SourceKind
from postino.imap.mailbox_name import encode_mailbox
from postino.imap.responses.message import correlator, esearch_response
from postino.imap.responses.status import LIMIT
from postino.imap.search_key import Surroundings, resolve_key
from postino.servers.imap.completion import Completion, bad, no, ok
from postino.servers.imap.general import enable_condstore
from postino.servers.imap.searching.search import answer, begin, find
from postino.servers.imap.searching.search_context import follow, require_free_tag
from postino.store.access import Reached, list_reachable, reach_mailbox
from postino.store.search import relevancies, search_mailbox
from postino.store.tx import Tx
from postino.store.uids import highest_mod_seq_of, message_uids

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession

NAMES_IN_PLACE: Final = 50
"""Looking one up takes up to 0.1 ms; of more, other sessions of the worker would notice."""
_FEW: Final = frozenset({SourceKind.SELECTED, SourceKind.MAILBOXES})


async def run_esearch(session: "ImapSession", command: Esearch) -> Completion:
    """Find messages in some mailboxes."""
    selected = session.selected
    searches_selected = any(source.kind is SourceKind.SELECTED for source in command.sources)
    if selected is None and (searches_selected or "UPDATE" in command.returning):
        return bad("SELECT a mailbox first, or name others, such as ESEARCH IN (personal) UNSEEN")
    if selected is not None:
        require_free_tag(selected, command.tag, command.returning)
    if command.program.refusal is not None:
        if selected is not None and "SAVE" in command.returning:
            # A search that fails leaves nothing saved (RFC 5182 §2.1).
            selected.saved = NumberSet()
        raise command.program.refusal
    reached = await _reach_all(session, command)
    if len(reached) + searches_selected > session.limits.imap_search_mailboxes:
        most = session.limits.imap_search_mailboxes
        return no(f"At most {most} mailboxes are searched at once; name fewer", LIMIT)
    if searches_selected:
        await _search_selected(session, command)
    for each in reached:
        if selected is not None and (each.account_id, each.mailbox.id) == (selected.account_id, selected.id):
            if not searches_selected:
                await _search_selected(session, command)
            continue
        await _search_other(session, command, each)
    return ok("Found")


async def _reach_all(session: "ImapSession", command: Esearch) -> list[Reached]:
    """The mailboxes to search, but for the selected one."""
    store, sources = session.context.store, command.sources
    named = sum(len(source.names) for source in sources if source.kind is SourceKind.MAILBOXES)
    is_short = named <= NAMES_IN_PLACE and all(source.kind in _FEW for source in sources)

    def reach(tx: Tx) -> list[Reached]:
        return _reach(tx, session.account_id, sources)

    return store.read_now(reach) if is_short else await store.read(reach)


def _reach(tx: Tx, viewer: AccountId, sources: tuple[Source, ...]) -> list[Reached]:
    """The mailboxes meant, each once, in the order they were asked for."""
    found: dict[tuple[int, int], Reached] = {}
    readable: list[Reached] | None = None
    # Saying the same twice costs nothing, and a name is looked up, not compared with every mailbox.
    for source in dict.fromkeys(sources):
        if source.kind is SourceKind.SELECTED:
            continue
        if source.kind is SourceKind.MAILBOXES:
            meant = _named(tx, viewer, source.names)
        else:
            if readable is None:
                readable = sorted(_readable(tx, viewer), key=_name)
            meant = _meant(source, readable)
        for each in meant:
            found.setdefault((each.account_id, each.mailbox.id), each)
    return list(found.values())


def _named(tx: Tx, viewer: AccountId, names: tuple[str, ...]) -> Iterator[Reached]:
    for name in names:
        try:
            yield reach_mailbox(tx, viewer, name, Rights.READ)
        except (NoSuchMailbox, NoPermission):
            # SECURITY: what may not be read and what is not there look alike (RFC 7377 §5).
            continue


def _readable(tx: Tx, viewer: AccountId) -> Iterator[Reached]:
    reachable = list_reachable(tx, viewer)
    yield from reachable.own
    for each in reachable.shared:
        if Rights.READ in each.rights:
            yield each


def _meant(source: Source, readable: list[Reached]) -> Iterator[Reached]:
    """Those of `readable`, which go by name, that the source means."""
    match source.kind:
        case SourceKind.PERSONAL | SourceKind.INBOXES:
            # RFC 5465 §6.3: mail may be delivered to every personal mailbox.
            yield from (each for each in readable if each.is_own)
        case SourceKind.SUBSCRIBED:
            yield from (each for each in readable if each.mailbox.subscribed)
        case _:
            one_level = source.kind is SourceKind.SUBTREE_ONE
            for top in dict.fromkeys(source.names):
                yield from _subtree(top, readable, one_level=one_level)


def _subtree(top: str, readable: list[Reached], *, one_level: bool) -> Iterator[Reached]:
    at = bisect_left(readable, top, key=_name)
    if at < len(readable) and readable[at].name == top:
        yield readable[at]
    below = top + SEPARATOR
    for index in range(bisect_left(readable, below, key=_name), len(readable)):
        each = readable[index]
        if not each.name.startswith(below):
            break
        if not one_level or SEPARATOR not in each.name[len(below) :]:
            yield each


def _name(reached: Reached) -> str:
    return reached.name


async def _search_selected(session: "ImapSession", command: Esearch) -> None:
    selected = session.selected
    assert selected is not None
    criterion = await begin(session, command.program, command.returning, by_uid=True)
    uids = await find(session, selected, criterion)
    if "UPDATE" in command.returning:
        follow(session, command.tag, criterion, uids, by_uid=True)
    if uids:
        about = _about(session, command, selected.name, selected.uid_validity)
        await answer(session, about, command.returning, command.program, criterion, uids, by_uid=True)


async def _search_other(session: "ImapSession", command: Esearch, reached: Reached) -> None:
    store, program, returning = session.context.store, command.program, command.returning
    account_id, mailbox_id = reached.account_id, reached.mailbox.id
    known: list[int] | None = None

    def uids_there() -> list[int]:
        nonlocal known
        if known is None:
            known = store.read_now(lambda tx: message_uids(tx, account_id, mailbox_id))
        return known

    def by_seq(numbers: Numbers) -> NumberSet:
        if isinstance(numbers, SavedResult):
            return NumberSet()
        there = uids_there()
        ranges = numbers.resolve(len(there)).ranges
        return NumberSet(
            (there[low - 1], there[min(high, len(there)) - 1]) for low, high in ranges if low <= len(there)
        )

    def by_number(numbers: Numbers) -> NumberSet:
        if isinstance(numbers, SavedResult):
            return NumberSet()
        there = uids_there()
        return numbers.resolve(there[-1] if there else 0)

    if program.uses_mod_seq:
        enable_condstore(session)
    criterion = resolve_key(program.key, Surroundings(by_seq, by_number, session.context.clock.now()))
    uids = await search_mailbox(store, account_id, mailbox_id, criterion, session.limits)
    if not uids or returning.is_silent:
        return
    scores: list[int] = []
    if "RELEVANCY" in returning:
        scores = await relevancies(store, account_id, mailbox_id, criterion, uids)
    mod_seq = None
    if program.uses_mod_seq:
        told = NumberSet.of(returning.returned(uids))
        mod_seq = store.read_now(lambda tx: highest_mod_seq_of(tx, account_id, mailbox_id, told))
    about = _about(session, command, reached.name, reached.mailbox.uid_validity)
    session.say(
        esearch_response(
            about, by_uid=True, returning=returning, numbers=uids, scores=scores, mod_seq=mod_seq
        )
    )
    # A long list of mailboxes is answered as it is gone through, no faster than the client reads.
    await session.flush()


def _about(session: "ImapSession", command: Esearch, name: str, uid_validity: int) -> bytes:
    return correlator(command.tag, encode_mailbox(name, session.options.utf8), uid_validity)
