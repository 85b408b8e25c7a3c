"""Keep what SORT, THREAD and SEARCH compare in memory, and last answers, so that only new messages are read.

Invariants: what is kept never becomes wrong: a UID of a mailbox always means the same message, and the ids of
    accounts and mailboxes are never given twice; an answer is kept with the messages it is the answer for.
    So nothing is ever taken back, only forgotten for lack of room, and the room is bounded by `octets`.
Not here: the SQL (store/sort.py), which messages are asked about (sort.py, thread.py, recall.py).
"""

from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any, Final, TypeVar

from postino.core.ids import AccountId, MailboxId
from postino.core.numset import NumberSet
from postino.servers.imap.searching.text_column import NOWHERE, TextColumn
from postino.store.sort import KeyColumn, read_keys, read_keys_of
from postino.store.store import Store
from postino.store.tx import RunTx, TxFunction

DEFAULT_OCTETS: Final = 64 * 1024 * 1024
NUMBER_OCTETS: Final = 12
TEXT_OCTETS: Final = 80
"""What one text takes besides its letters: its UID, its place in a list, the object's head."""
TABLE_OCTETS: Final = 1024
MOST_APART: Final = 20_000
"""Of more messages, texts are kept laid end to end, in a third of the room; taking them apart again for the
next SORT takes 0.1 us each."""

# PERF: a row takes about a microsecond; past this many, other sessions of the worker would notice.
READ_IN_PLACE: Final = 1_000
PIECE: Final = 20_000
FEW: Final = 16
"""Of less than a 16th of a mailbox the keys are read by UID, not with all the others."""

T = TypeVar("T")
Values = Any
"""Of a column that SEARCH looks through, Texts; of others a sequence with a value for each message."""
Row = tuple[Any, ...]
_Place = tuple[AccountId, MailboxId, Hashable]


class _Table:
    """One column of one mailbox, up to some UID."""

    __slots__ = ("_places", "column", "is_kept", "last_uid", "octets", "uids", "values")

    def __init__(self, column: KeyColumn) -> None:
        self.column = column
        self.uids = array("I")
        self.values: Any = array("q") if column.is_number else TextColumn() if column.is_searched else []
        self._places: tuple[bytes, array[int]] | None = None
        """The UIDs asked about last, where they were not all there are, and their places."""
        self.last_uid = 0
        self.octets = TABLE_OCTETS
        self.is_kept = True

    def add(self, uids: Sequence[int], values: Sequence[Any], last_uid: int) -> int:
        """Take in messages up to `last_uid`; gives how many octets the table has grown."""
        if uids and uids[0] <= self.last_uid:
            # Another session read the same meanwhile.
            new = bisect_right(uids, self.last_uid)
            uids, values = uids[new:], values[new:]
        self.last_uid = max(self.last_uid, last_uid)
        if not uids:
            return 0
        self.uids.extend(uids)
        if not self.column.is_number and len(self.uids) > MOST_APART and isinstance(self.values, list):
            together = TextColumn()
            together.extend(self.values)
            self.values = together
        if self.column.is_number:
            self.values.extend(values)
            grown = NUMBER_OCTETS * len(uids)
        elif isinstance(self.values, TextColumn):
            self.values.extend(values)
            grown = TABLE_OCTETS + NUMBER_OCTETS * len(self.uids) + self.values.octets - self.octets
        else:
            # PERF: the same few people write, and answers share a subject: one object for equal texts.
            one: dict[str, str] = {}
            self.values.extend([one.setdefault(value, value) for value in values])
            grown = NUMBER_OCTETS * len(uids) + TEXT_OCTETS * len(one) + sum(map(len, one))
        self.octets += grown
        return grown

    def find(self, uids: "array[int]") -> Values:
        """The value for each of these UIDs; of a message that was gone before it was read, an empty one."""
        # PERF: as octets, arrays are compared 50 times as fast.
        is_each = len(uids) == len(self.uids) and uids.tobytes() == self.uids.tobytes()
        if self.column.is_searched:
            return self.values.snapshot(None if is_each else self._places_of(uids))
        if is_each:
            # A copy: the table grows while a thread may be looking.
            return self._each()
        known: dict[int, Any] = dict(zip(self.uids, self._each(), strict=True))
        nothing: Any = 0 if self.column.is_number else ""
        return [known.get(uid, nothing) for uid in uids]

    def _each(self) -> Sequence[Any]:
        return self.values.texts() if isinstance(self.values, TextColumn) else self.values[:]

    def _places_of(self, uids: "array[int]") -> "array[int]":
        """Where each of these is, NOWHERE for one that is not."""
        question = uids.tobytes()
        if self._places is None or self._places[0] != question:
            place = dict(zip(self.uids, range(len(self.uids)), strict=True))
            self._places = question, array("i", [place.get(uid, NOWHERE) for uid in uids])
        return self._places[1]


class _Answer:
    """What came out for a list of messages."""

    __slots__ = ("is_kept", "octets", "question", "result")

    def __init__(self, question: bytes, result: Any, octets: int) -> None:
        self.is_kept = True
        self.question = question
        self.result = result
        self.octets = TABLE_OCTETS + len(question) + octets


class KeyCache:
    """One for each worker. What was used last stays."""

    def __init__(self, octets: int = DEFAULT_OCTETS) -> None:
        self.octets = octets
        self.used = 0
        self._kept: OrderedDict[_Place, _Table | _Answer] = OrderedDict()

    async def values(
        self,
        store: Store,
        account_id: AccountId,
        mailbox_id: MailboxId,
        columns: Sequence[KeyColumn],
        uids: "array[int]",
        messages: int,
    ) -> list[Values]:
        """For each column, its values for `uids`, which go upwards; the mailbox has `messages`."""
        if not uids:
            return [()] * len(columns)
        tables = [self._table(account_id, mailbox_id, column) for column in columns]
        lacking = [table for table in tables if table.last_uid < uids[-1]]
        if lacking and len(uids) * FEW < messages and len(uids) <= READ_IN_PLACE:
            wanted = NumberSet.of(uids)
            rows = store.read_now(lambda tx: read_keys_of(tx, account_id, mailbox_id, tuple(columns), wanted))
            return self._apart(columns, uids, rows)
        for after_uid in {table.last_uid for table in lacking}:
            same = [table for table in lacking if table.last_uid == after_uid]
            rows = await _read(store, account_id, mailbox_id, same, after_uid, messages - len(same[0].uids))
            self._add(same, rows, uids[-1])
        found = [table.find(uids) for table in tables]
        self._make_room()
        return found

    def _table(self, account_id: AccountId, mailbox_id: MailboxId, column: KeyColumn) -> _Table:
        place = (account_id, mailbox_id, column)
        found = self._kept.get(place)
        if found is None:
            found = self._kept[place] = _Table(column)
            self.used += found.octets
        else:
            self._kept.move_to_end(place)
        assert isinstance(found, _Table)
        return found

    def _add(self, tables: list[_Table], rows: list[Row], last_uid: int) -> None:
        if rows:
            found, *columns = zip(*rows, strict=True)
        else:
            found, columns = (), [()] * len(tables)
        for table, values in zip(tables, columns, strict=True):
            grown = table.add(found, values, max(last_uid, found[-1] if found else 0))
            if table.is_kept:
                self.used += grown

    def _apart(self, columns: Sequence[KeyColumn], uids: "array[int]", rows: list[Row]) -> list[Values]:
        tables = [_Table(column) for column in columns]
        found, *values = zip(*rows, strict=True) if rows else ((), *([()] * len(tables)))
        for table, column in zip(tables, values, strict=True):
            table.add(found, column, 0)
        return [table.find(uids) for table in tables]

    def answer(self, account_id: AccountId, mailbox_id: MailboxId, kind: Hashable, question: bytes) -> Any:
        """What put_answer() was given for this, or None."""
        place = (account_id, mailbox_id, kind)
        found = self._kept.get(place)
        if not isinstance(found, _Answer) or found.question != question:
            return None
        self._kept.move_to_end(place)
        return found.result

    def put_answer(
        self,
        account_id: AccountId,
        mailbox_id: MailboxId,
        kind: Hashable,
        question: bytes,
        result: Any,
        octets: int,
    ) -> None:
        """Keep what came out for `question`, in the place of what is kept for `kind`."""
        place = (account_id, mailbox_id, kind)
        before = self._kept.pop(place, None)
        if before is not None:
            self.used -= before.octets
        made = self._kept[place] = _Answer(question, result, octets)
        self.used += made.octets
        self._make_room()

    def _make_room(self) -> None:
        while self.used > self.octets and self._kept:
            _, oldest = self._kept.popitem(last=False)
            oldest.is_kept = False
            self.used -= oldest.octets


async def _read(
    store: Store,
    account_id: AccountId,
    mailbox_id: MailboxId,
    tables: list[_Table],
    after_uid: int,
    expected: int,
) -> list[Row]:
    """Every message above `after_uid`; probably about `expected`."""
    columns = tuple(table.column for table in tables)

    def piece_after(uid: int) -> TxFunction[list[Row]]:
        return lambda tx: read_keys(tx, account_id, mailbox_id, columns, after_uid=uid, limit=PIECE)

    def read(run: RunTx) -> list[Row]:
        rows: list[Row] = []
        while True:
            last = rows[-1][0] if rows else after_uid
            more = run(piece_after(last))
            rows += more
            if len(more) < PIECE:
                return rows

    if expected <= READ_IN_PLACE:
        return store.read_now(lambda tx: read(lambda fn: fn(tx)))
    return await store.read_in_pieces(read)
