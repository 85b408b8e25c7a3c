r"""FETCH and UID FETCH: read rows in batches, fill the plan's template, send.

RFC: 9051 §6.4.5, §6.4.9; 7162 §3.1.4 (CHANGEDSINCE, MODSEQ); 2180 §4.1 (messages expunged meanwhile).
Invariants: no read transaction is open while the client is waited for; what a client makes us hold is a
    batch of about BATCH_OCTETS, or one message that must be decompressed; a response names the UID and
    the octets of one message, never of two.
Not here: items and templates (postino.imap.fetch_plan), the SQL (store/fetch.py).
"""

import asyncio
import time
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, cast

from postino.core.flags import Flag, flag_set
from postino.core.numset import MAX_NUMBER, NumberSet, parse_sequence_set
from postino.core.rights import Rights
from postino.imap.commands import Fetch, FetchAtt, FetchItem
from postino.imap.fetch_plan import (
    Batch,
    BodyItem,
    FetchPlan,
    Found,
    Need,
    UnknownTransferEncodingError,
    compile_fetch,
    literal_head,
)
from postino.imap.responses.status import EXPUNGE_ISSUED, UNKNOWN_CTE
from postino.imap.search_return import PartialRange
from postino.imap.view import Span, View
from postino.mime.part import Part, unpack_index
from postino.net.connection import ConnectionLost
from postino.servers.imap.completion import Completion, no, ok
from postino.servers.imap.events import flags_before, flags_changed
from postino.servers.imap.general import enable_condstore
from postino.servers.imap.messages.list_cache import Shelf
from postino.servers.imap.messages.message_limit import limit_completion, within_limit
from postino.servers.imap.permitted import may
from postino.servers.imap.updates.resync import require_qresync, say_vanished
from postino.store.blobs import BlobStore
from postino.store.fetch import (
    BodySource,
    Column,
    StoredBody,
    body_octets,
    fetch_rows,
    open_body,
    plain_octets,
)
from postino.store.messages import FlagChange, FlagMode, store_flags
from postino.store.tx import Tx, TxFunction

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession
    from postino.servers.imap.updates.selected import SelectedMailbox

# PERF: batches this long cost the other sessions about a millisecond each (bench: imap fetch).
MEMORY_BATCH: Final = 4_096
KNOWN_BATCH: Final = 1_024
ROW_BATCH: Final = 512
OCTETS_BATCH: Final = 256
BATCH_OCTETS: Final = 1024 * 1024
"""Octets of messages read at once; a larger message is sent in pieces."""
PIECE_OCTETS: Final = 256 * 1024
FEW_PIECES: Final = 13
SHORT_KNOWN: Final = 2_000
"""Changing flags that are known takes half a millisecond for so many: the event loop does it itself."""
SHORT_UNKNOWN: Final = 200
"""As many when they must be read first."""
SLOW_SECONDS: Final = 0.01
"""A FETCH that once took this long for a batch has its next ones read in a thread."""

_COLUMNS: Final = {need: Column[need.name] for need in Need}
_SIZE_ONLY: Final = frozenset({Column.SIZE})
_SEEN: Final = flag_set(["\\Seen"])
Row = tuple[Any, ...]


async def run_fetch(session: "ImapSession", command: Fetch) -> Completion:
    """Answer for each message that is still there."""
    selected = session.selected
    assert selected is not None
    if command.vanished:
        require_qresync(session)
    if command.changed_since is not None or FetchAtt.MOD_SEQ in command.items:
        enable_condstore(session)
    if not selected.view.is_loaded:
        await selected.load()
    spans = selected.resolve(command.numbers, by_uid=command.by_uid)
    if not selected.is_current:
        await selected.sync()
    if command.partial is not None:
        # First so many messages, then what changed among them (RFC 9394 §3.4).
        spans = _part(spans, command.partial)
    if command.changed_since is not None:
        spans = selected.view.changed_since(command.changed_since, spans)
        if command.vanished:
            await say_vanished(session, selected, command.numbers, command.changed_since)
    spans, limit = within_limit(session, spans)
    tells_mod_seq = command.changed_since is not None
    # With UIDFETCH the UID stands before the items (RFC 9586).
    uid = command.by_uid and not session.uid_only
    plan = compile_fetch(command.items, uid=uid, mod_seq=tells_mod_seq, uid_only=session.uid_only)
    if plan.sets_seen and may(selected, Rights.SEEN) and await _mark_seen(session, selected, spans):
        # The flags have changed, so they are told (RFC 9051 §6.4.5), and with them their MODSEQ.
        form = session.update_form(by_uid=command.by_uid)
        plan = compile_fetch(
            command.items,
            uid=form.uid and not form.uid_only,
            flags=True,
            mod_seq=tells_mod_seq or form.mod_seq,
            uid_only=form.uid_only,
        )
    if plan.is_from_memory:
        is_known = selected.view.with_state(spans)
        await say_from_view(session, plan, is_known)
        is_whole = is_known == spans
    elif plan.is_one_whole and len(spans) == 1 and _say_whole(session, selected, plan, spans[0]):
        is_whole = True
    else:
        try:
            is_whole = await _Reader(session, selected, plan).run(spans)
        except UnknownTransferEncodingError:
            return no("The transfer encoding of a part is not known here; fetch BODY instead", UNKNOWN_CTE)
    if plan.tells_flags and (plan.tells_mod_seq or not session.condstore):
        selected.view.forget_changes(spans)
    if not is_whole and not command.by_uid:
        # RFC 2180 §4.1.3: what is there was sent, and NO says that it is not all. A UID that is gone
        # was never an error (RFC 9051 §6.4.9), and its EXPUNGE follows at once.
        return limit_completion(session, no("Some of the messages no longer exist", EXPUNGE_ISSUED), limit)
    return limit_completion(session, ok("Fetched"), limit)


async def say_items(session: "ImapSession", uids: NumberSet, items: tuple[FetchItem, ...]) -> None:
    """Tell of these messages unasked (RFC 5465 §5.2, §7)."""
    numbers = parse_sequence_set(str(uids).encode("ascii"), max_parts=MAX_NUMBER)
    await run_fetch(session, Fetch(b"", numbers, True, items))


async def say_from_view(session: "ImapSession", plan: FetchPlan, spans: list[Span]) -> None:
    """Answer what the view knows without the store."""
    assert session.selected is not None
    view = session.selected.view
    is_long = sum(end - first for first, end in spans) > MEMORY_BATCH
    for group in _groups(spans, MEMORY_BATCH):
        octets = plan.responses(_told(view, group))
        if is_long:
            # The client reads the batch before while this one is made.
            await session.flush()
        session.say(octets)
        if is_long:
            session.send_now()
            # A client that reads as fast as we write must not keep the others waiting.
            await asyncio.sleep(0)


def _say_whole(session: "ImapSession", selected: "SelectedMailbox", plan: FetchPlan, span: Span) -> bool:
    """Answer with one whole message, as it is fetched to be read; False when that is not so simple.

    PERF: it takes a third less than what is made for thousands (bench: imap.fetch.single).
    """
    view = selected.view
    if span[1] - span[0] != 1 or view.gone([span]):
        return False
    message = _told(view, [span])
    (uid,) = message.uids
    octets = session.context.store.read_now(
        lambda tx: plain_octets(tx, selected.account_id, selected.id, uid)
    )
    if octets is None:
        return False
    _say_pieces(session, plan.whole_response(message, *octets))
    return True


def _say_pieces(session: "ImapSession", pieces: list[bytes]) -> None:
    if len(pieces) <= FEW_PIECES and sum(map(len, pieces)) <= PIECE_OCTETS // 4:
        # PERF: copying so few costs less than sending them apart from the tagged answer.
        session.say(b"".join(pieces))
    else:
        session.say_pieces(pieces)


def is_short(spans: list[Span], *, are_known: bool) -> bool:
    """Whether changing the flags of these messages may be done on the event loop."""
    count = sum(end - first for first, end in spans)
    return count <= (SHORT_KNOWN if are_known else SHORT_UNKNOWN)


async def _mark_seen(session: "ImapSession", selected: "SelectedMailbox", spans: list[Span]) -> bool:
    r"""Set \Seen where it is missing; whether anything changed."""
    uids = selected.view.lacking(int(Flag.SEEN), spans)
    if not uids:
        return False
    wanted = NumberSet.of(uids)
    change = FlagChange(FlagMode.ADD, _SEEN)
    before = flags_before(session, spans)
    stored = await session.context.store.write(
        lambda tx: store_flags(tx, selected.account_id, selected.id, wanted, change),
        durable=False,
        short=len(uids) <= SHORT_UNKNOWN,
    )
    selected.view.stored(stored.changed, change.applied_to, is_silent=False)
    selected.view.follow(stored.previous_mod_seq, stored.mod_seq)
    if before:
        flags_changed(session, before)
    return bool(stored.changed)


class _Reader:
    """Carries out one FETCH that needs the store."""

    def __init__(self, session: "ImapSession", selected: "SelectedMailbox", plan: FetchPlan) -> None:
        self.session = session
        self.selected = selected
        self.plan = plan
        self.needs = sorted((need for need in plan.needs), key=lambda need: need.value)
        self.columns = frozenset(_COLUMNS[need] for need in plan.needs)
        self.blobs = session.context.store.blobs
        self._is_slow = False
        """The octets come from a disk: other sessions must not wait for it."""

    async def run(self, spans: list[Span]) -> bool:
        """Send everything; False when some messages were gone."""
        return await (self._run_octets(spans) if self.plan.apart else self._run_list(spans))

    # Lists: everything but octets of messages

    async def _run_list(self, spans: list[Span]) -> bool:
        session = self.session
        assert self.plan.stored is not None
        shelf = session.context.list_cache.shelf(
            self.selected.account_id, self.selected.id, self.plan.stored.template, self.plan.between
        )
        count = sum(end - first for first, end in spans)
        is_whole = True
        for group in self._list_groups(spans, shelf, count):
            batch = _told(self.selected.view, group)
            joined = shelf.joined(batch.uids)
            if joined is not None and not self.selected.view.gone(group):
                octets = self.plan.joined_responses(batch, joined)
            else:
                batch, kept = self._listed(group, batch, shelf)
                is_whole = is_whole and kept
                octets = self.plan.responses(batch)
            # The client reads the batch before while this one is made.
            await session.flush()
            session.say(octets)
            if count > ROW_BATCH:
                session.send_now()
                # A client that reads as fast as we write must not keep the others waiting.
                await asyncio.sleep(0)
        return is_whole

    def _list_groups(self, spans: list[Span], shelf: Shelf, count: int) -> Iterator[list[Span]]:
        known = shelf.count
        if known and known >= count:
            most = min(KNOWN_BATCH, BATCH_OCTETS * known // shelf.said_octets + 1)
            # PERF: kept together as they were read, so a group that ends elsewhere has a pack undone twice.
            return _groups(spans, max(most // ROW_BATCH * ROW_BATCH, min(most, ROW_BATCH)))
        # Whole headers are as large as their senders like.
        return self._groups_by_size(spans) if Need.HEADER in self.needs else _groups(spans, ROW_BATCH)

    def _listed(self, group: list[Span], batch: Batch, shelf: Shelf) -> tuple[Batch, bool]:
        """The messages of a group with their answers; False when some are gone."""
        answers = shelf.find(batch.uids)
        if not all(answers):
            self._read_missing(group, batch, answers, shelf)
        gone = self.selected.view.gone(group)
        is_whole = not gone and all(answers)
        if not is_whole:
            kept = [at for at, uid in enumerate(batch.uids) if answers[at] and uid not in gone]
            batch, answers = _only(batch, kept), [answers[at] for at in kept]
        batch.stored = cast("list[bytes]", answers)
        return batch, is_whole

    def _read_missing(
        self, group: list[Span], batch: Batch, answers: list[bytes | None], shelf: Shelf
    ) -> None:
        """Fill `answers` where they are None, but for messages that are not there."""
        assert self.plan.stored is not None
        store, cache = self.session.context.store, self.session.context.list_cache
        missing = [at for at, answer in enumerate(answers) if answer is None]
        uids = (
            self.selected.view.uid_ranges(group)
            if len(missing) == len(answers)
            else NumberSet.of(batch.uids[at] for at in missing)
        )
        rows = store.read_now(self._rows_of(uids))
        if not rows:
            return
        found, *columns = zip(*rows, strict=True)
        made = self.plan.stored.answers(dict(zip(self.needs, columns, strict=True)))
        cache.put(shelf, found, made)
        by_uid = dict(zip(found, made, strict=True))
        for at in missing:
            answers[at] = by_uid.get(batch.uids[at])

    # Octets

    async def _run_octets(self, spans: list[Span]) -> bool:
        is_whole = True
        for group in self._groups_by_size(spans):
            rows = await self._read_octets(group)
            batch, kept = self._batch(group, rows)
            is_whole = is_whole and kept
            # The client reads the batch before while this one is read from the store.
            await self.session.flush()
            await self._say_octets(batch)
        return is_whole

    async def _read_octets(self, group: list[Span]) -> list[Row]:
        store, read = self.session.context.store, self._octets_of(group)
        if self._is_slow:
            return await store.read(read)
        # PERF: a megabyte takes a millisecond when the system has it in memory, and a thread would make it
        # a fifth more (bench: imap.fetch.full); when it has to be fetched from a disk, once is enough.
        started = time.monotonic()
        rows = store.read_now(read)
        self._is_slow = time.monotonic() - started > SLOW_SECONDS
        if len(rows) > FEW_PIECES:
            # A client that reads as fast as we write must not keep the others waiting.
            await asyncio.sleep(0)
        return rows

    def _groups_by_size(self, spans: list[Span]) -> Iterator[list[Span]]:
        """Groups whose messages together have about BATCH_OCTETS."""
        view = self.selected.view
        if len(spans) == 1 and spans[0][1] - spans[0][0] == 1:
            yield spans
            return
        for group in _groups(spans, ROW_BATCH):
            uids = view.uid_ranges(group)
            rows = self.session.context.store.read_now(
                lambda tx, uids=uids: fetch_rows(  # type: ignore[misc]
                    tx, self.selected.account_id, self.selected.id, uids, _SIZE_ONLY
                )
            )
            sizes = dict(rows)
            total = count = 0
            part: list[Span] = []
            for first, end in group:
                start = first
                for at, uid in enumerate(view.uids((first, end)), first):
                    total += sizes.get(uid, 0)
                    count += 1
                    if total >= BATCH_OCTETS or count >= OCTETS_BATCH:
                        yield [*part, (start, at + 1)]
                        part, start, total, count = [], at + 1, 0, 0
                if start < end:
                    part.append((start, end))
            if part:
                yield part

    def _rows_of(self, uids: NumberSet) -> TxFunction[list[Row]]:
        def read(tx: Tx) -> list[Row]:
            return fetch_rows(tx, self.selected.account_id, self.selected.id, uids, self.columns)

        return read

    def _octets_of(self, group: list[Span]) -> TxFunction[list[Row]]:
        read = self._rows_of(self.selected.view.uid_ranges(group))
        has_body, blobs = Need.BODY in self.plan.needs, self.blobs

        def read_octets(tx: Tx) -> list[Row]:
            rows = read(tx)
            if not has_body:
                return rows
            # Decompressing gives other threads their turn.
            return [row if type(row[-1]) is bytes else (*row[:-1], _small(row[-1], blobs)) for row in rows]

        return read_octets

    def _batch(self, group: list[Span], rows: list[Row]) -> tuple[Batch, bool]:
        """The rows as columns, each with its number; False when rows are missing."""
        batch = _told(self.selected.view, group)
        columns = list(zip(*rows, strict=True)) if rows else [()] * (len(self.needs) + 1)
        is_whole = len(rows) == len(batch.uids)
        if not is_whole:
            # Rows and view are both by UID: keep of the view what has a row.
            there = set(columns[0])
            batch = _only(batch, [at for at, uid in enumerate(batch.uids) if uid in there])
        assert list(columns[0]) == list(batch.uids), "rows and view are of different messages"
        batch.columns = dict(zip(self.needs, columns[1:], strict=True))
        if self.plan.stored is not None:
            batch.stored = self.plan.stored.answers(batch.columns)
        return batch, is_whole

    async def _say_octets(self, batch: Batch) -> None:
        plan = self.plan
        bodies = batch.columns.get(Need.BODY, ())
        if plan.whole is not None and all(type(body) is bytes for body in bodies):
            _say_pieces(self.session, plan.whole_responses(batch))
            return
        headers = batch.columns[Need.HEADER]
        count = len(headers)
        parts = batch.columns.get(Need.PARTS) or [b""] * count
        heads = plan.heads(batch)
        for head, header, body, packed in zip(heads, headers, bodies or [b""] * count, parts, strict=True):
            message = StoredOctets(header, body, packed, self.blobs)
            found = [plan.find(item, message) for item in plan.apart]
            await self._say_one(head, message, found)

    async def _say_one(self, head: bytes, message: "StoredOctets", found: list[Found | None]) -> None:
        session = self.session
        pieces = [head]
        item: BodyItem
        for place, (item, each) in enumerate(zip(self.plan.apart, found, strict=True)):
            if place:
                pieces.append(b" ")
            before = literal_head(item, each)
            pieces.append(before)
            if each is None or before[-1:] != b"\n":
                continue
            if each.octets is not None:
                pieces.append(each.octets)
            elif each.end - each.start <= PIECE_OCTETS:
                pieces.append(message.read(each.start, each.end))
            else:
                session.say(b"".join(pieces))
                pieces.clear()
                await self._stream(message, each)
        pieces.append(b")\r\n")
        session.say(b"".join(pieces))

    async def _stream(self, message: "StoredOctets", found: Found) -> None:
        """Send a large literal in pieces, each read when the client has taken the one before."""
        session = self.session
        for start in range(found.start, found.end, PIECE_OCTETS):
            end = min(start + PIECE_OCTETS, found.end)
            try:
                # A blob is read from the disk, and the first piece of a large row decompresses it.
                octets = await asyncio.to_thread(message.read, start, end)
            except Exception as error:
                octets = b""
                session.log.error("fetch.failed", error=str(error))
            if len(octets) != end - start:
                # Its length is said already: the client must not take what follows for the message.
                session.connection.abort()
                raise ConnectionLost("a stored message could not be read")
            session.say(octets)
            await session.flush()


class StoredOctets:
    """One message, header and body as one range of octets."""

    __slots__ = ("_body", "_packed", "_part", "header", "size")

    def __init__(self, header: bytes, body: bytes | StoredBody, packed: bytes, blobs: BlobStore) -> None:
        self.header = header
        self._body: bytes | BodySource = body if isinstance(body, bytes) else open_body(body, blobs)
        self.size = len(header) + (len(self._body) if isinstance(self._body, bytes) else self._body.size)
        self._packed = packed
        self._part: Part | None = None

    def read(self, start: int, end: int) -> bytes:
        """The octets from `start` up to `end`."""
        edge = len(self.header)
        if end <= edge:
            return self.header[start:end]
        before = self.header[start:] if start < edge else b""
        low, high = max(start, edge) - edge, end - edge
        body = self._body
        octets = body[low:high] if isinstance(body, bytes) else body.read(low, high - low)
        return before + octets if before else octets

    def part(self) -> Part:
        """The index of the message's parts."""
        if self._part is None:
            self._part = unpack_index(self._packed)
        return self._part


def _part(spans: list[Span], partial: PartialRange) -> list[Span]:
    """Those of the messages that are meant."""
    first, end = partial.places(sum(after - start for start, after in spans))
    found: list[Span] = []
    passed = 0
    for start, after in spans:
        low, high = max(start, start + first - passed), min(after, start + end - passed)
        if low < high:
            found.append((low, high))
        passed += after - start
    return found


def _told(view: View, group: list[Span]) -> Batch:
    """What the view knows of a group."""
    if len(group) == 1:
        (span,) = group
        return Batch(range(span[0] + 1, span[1] + 1), view.uids(span), view.flags(span), view.mod_seqs(span))
    return Batch(
        [number for first, end in group for number in range(first + 1, end + 1)],
        list(chain.from_iterable(view.uids(span) for span in group)),
        list(chain.from_iterable(view.flags(span) for span in group)),
        list(chain.from_iterable(view.mod_seqs(span) for span in group)),
    )


def _only(batch: Batch, at: list[int]) -> Batch:
    """The messages of a batch in these places."""
    return Batch(
        [batch.numbers[i] for i in at],
        [batch.uids[i] for i in at],
        [batch.flags[i] for i in at],
        [batch.mod_seqs[i] for i in at],
    )


def _small(body: StoredBody, blobs: BlobStore) -> bytes | StoredBody:
    return body_octets(body, blobs) if body.size <= BATCH_OCTETS else body


def _groups(spans: list[Span], most: int) -> Iterator[list[Span]]:
    """The spans in order, cut into groups of at most `most` messages."""
    group: list[Span] = []
    room = most
    for first, end in spans:
        start = first
        while end - start >= room:
            yield [*group, (start, start + room)]
            start += room
            group, room = [], most
        if start < end:
            group.append((start, end))
            room -= end - start
    if group:
        yield group
