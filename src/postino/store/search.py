"""Find the messages a SEARCH asks for: in SQL what rows can tell, by reading texts what they cannot.

RFC: 9051 §6.4.4 (keys), 7162 §3.1.5 (MODSEQ), 8514 (SAVEDBEFORE, SAVEDSINCE).
Invariants: the answer is what evaluating the criterion on each message alone would give; text is
    read only of messages that every cheaper key has let through.
Not here: SEARCH's grammar and answers (imap/), how text is decoded (mime/text.py).
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, assert_never

from postino.core.ids import AccountId, MailboxId
from postino.core.limits import Limits
from postino.core.numset import NumberSet
from postino.core.search import (
    AllOf,
    AnyOf,
    ArrivedBefore,
    ArrivedFrom,
    ArrivedSince,
    ArrivedUntil,
    BodyContains,
    ContentIs,
    Criterion,
    Everything,
    Fuzzy,
    HasFlags,
    HasKeyword,
    HeaderContains,
    ModSeqFrom,
    Negated,
    SavedBefore,
    SavedSince,
    SentBefore,
    SentSince,
    SizeOver,
    SizeUnder,
    TextContains,
    ThreadIs,
    UidIn,
)
from postino.mime.encoded_word import decode_header_text
from postino.mime.header import LISTED_FIELDS, raw_fields
from postino.mime.part import unpack_index
from postino.mime.text import body_text, fold, header_text
from postino.store.blobs import BlobStore
from postino.store.dialect import Dialect
from postino.store.fetch import Column, body_octets, fetch_rows
from postino.store.store import Store
from postino.store.tx import RunTx, SqlValue, Tx

_DAY: Final = 86_400
_MAX_SQL_RANGES: Final = 50
_SHORT_MESSAGES: Final = 2000
"""Mailboxes up to this size are searched on the event loop, when SQL can do it."""
_BATCH: Final = 200
"""Messages whose texts are read in one transaction."""
_BATCH_OCTETS: Final = 16 * 1024 * 1024
_TEXT_COLUMNS: Final = {
    "subject": "c.subject_text",
    "from": "c.from_text",
    "to": "c.to_text",
    "cc": "c.cc_text",
    "bcc": "c.bcc_text",
}


class _Sql(NamedTuple):
    condition: str
    params: tuple[SqlValue, ...]


_ALWAYS: Final = _Sql("1=1", ())
_NEVER: Final = _Sql("1=0", ())


def search(
    tx: Tx,
    account_id: AccountId,
    mailbox_id: MailboxId,
    criterion: Criterion,
    limits: Limits,
    blobs: BlobStore,
) -> list[int]:
    """The UIDs of the messages for which `criterion` holds, upwards, all in one transaction.

    May read every message's text, and hold the transaction so long; see search_mailbox.
    """
    return list(_Search(lambda fn: fn(tx), account_id, mailbox_id, limits, blobs).run(criterion))


async def search_mailbox(
    store: Store, account_id: AccountId, mailbox_id: MailboxId, criterion: Criterion, limits: Limits
) -> list[int]:
    """As `search`, in a thread and holding no transaction longer than it takes to read some texts.

    Short searches run in place. A change made meanwhile may or may not be seen.
    """

    def run_short(tx: Tx) -> list[int] | None:
        if compile_sql(criterion, tx.dialect) is None:
            return None
        row = tx.one("SELECT messages FROM mailbox WHERE account_id=? AND id=?", (account_id, mailbox_id))
        if row is None or row[0] > _SHORT_MESSAGES:
            return None
        return search(tx, account_id, mailbox_id, criterion, limits, store.blobs)

    found = store.read_now(run_short)
    if found is not None:
        return found
    return await store.read_in_pieces(
        lambda run: list(_Search(run, account_id, mailbox_id, limits, store.blobs).run(criterion))
    )


class _Search:
    """One search: evaluates the tree on sets of UIDs, narrowing them before texts are read."""

    def __init__(
        self,
        run: RunTx,
        account_id: AccountId,
        mailbox_id: MailboxId,
        limits: Limits,
        blobs: BlobStore,
    ) -> None:
        self._run = run
        self._account_id = account_id
        self._mailbox_id = mailbox_id
        self._limits = limits
        self._blobs = blobs

    def run(self, criterion: Criterion) -> NumberSet:
        return self._evaluate(criterion, None)

    def _evaluate(self, criterion: Criterion, among: NumberSet | None) -> NumberSet:
        """Which messages of `among` (None: of the mailbox) meet `criterion`."""
        if among is not None and not among:
            return among
        sql = self._run(lambda tx: compile_sql(criterion, tx.dialect))
        if sql is not None:
            found = self._select(sql)
            return found if among is None else found.intersection(among)
        match criterion:
            case AllOf(keys):
                for key in self._cheapest_first(keys, AllOf):
                    among = self._evaluate(key, among)
                return self._select(_ALWAYS) if among is None else among
            case AnyOf(keys):
                left = self._select(_ALWAYS) if among is None else among
                found = NumberSet()
                for key in self._cheapest_first(keys, AnyOf):
                    more = self._evaluate(key, left)
                    found = found.union(more)
                    left = left.difference(more)
                return found
            case Negated(key):
                among = self._select(_ALWAYS) if among is None else among
                return among.difference(self._evaluate(key, among))
            case UidIn(uids):
                return uids.intersection(self._select(_ALWAYS) if among is None else among)
            case HeaderContains(name, text):
                listed = name.encode() in LISTED_FIELDS
                return self._read_headers(among, _header_test(name, text), listed=listed)
            case BodyContains(text):
                return self._read_texts(among, fold(text), with_header=False)
            case TextContains(text):
                return self._read_texts(among, fold(text), with_header=True)
            case Fuzzy(key):
                return self._evaluate(key, among)
            case _:
                raise AssertionError(f"{criterion!r} should have been compiled to SQL")

    def _cheapest_first(
        self, keys: Sequence[Criterion], together: type[AllOf] | type[AnyOf]
    ) -> list[Criterion]:
        """What SQL can do in one query, then headers, then texts."""
        dialect = self._run(lambda tx: tx.dialect)
        quick = tuple(key for key in keys if compile_sql(key, dialect) is not None)
        slow = sorted((key for key in keys if compile_sql(key, dialect) is None), key=_cost)
        return [together(quick), *slow] if quick else slow

    def _select(self, sql: _Sql) -> NumberSet:
        source = "message m"
        if "c." in sql.condition:
            source += " CROSS JOIN content c ON c.account_id=m.account_id AND c.id=m.content_id"
        rows = self._run(
            lambda tx: tx.all(
                f"SELECT m.uid FROM {source} WHERE m.account_id=? AND m.mailbox_id=? AND ({sql.condition})"
                " ORDER BY m.uid",
                (self._account_id, self._mailbox_id, *sql.params),
            )
        )
        return NumberSet.of(uid for (uid,) in rows)

    def _batches(self, among: NumberSet | None) -> list[NumberSet]:
        """Sets of messages whose texts together are not too much for memory."""
        wanted = self._select(_ALWAYS) if among is None else among
        sizes = self._run(
            lambda tx: fetch_rows(tx, self._account_id, self._mailbox_id, wanted, frozenset({Column.SIZE}))
        )
        batches: list[NumberSet] = []
        batch: list[int] = []
        octets = 0
        for uid, size in sizes:
            if batch and (len(batch) >= _BATCH or octets + size > _BATCH_OCTETS):
                batches.append(NumberSet.of(batch))
                batch, octets = [], 0
            batch.append(uid)
            octets += size
        if batch:
            batches.append(NumberSet.of(batch))
        return batches

    def _fetch(self, uids: NumberSet, *columns: Column) -> list[tuple[Any, ...]]:
        return self._run(
            lambda tx: fetch_rows(tx, self._account_id, self._mailbox_id, uids, frozenset(columns))
        )

    def _read_headers(
        self, among: NumberSet | None, test: Callable[[bytes], bool], *, listed: bool
    ) -> NumberSet:
        # The fields that lists show lie apart and are smaller than the header.
        column = Column.FIELDS if listed else Column.HEADER
        found: list[int] = []
        for batch in self._batches(among):
            found += [uid for uid, header in self._fetch(batch, column) if test(header)]
        return NumberSet.of(found)

    def _read_texts(self, among: NumberSet | None, needle: str, *, with_header: bool) -> NumberSet:
        found: list[int] = []
        for batch in self._batches(among):
            for uid, parts, header, body in self._fetch(batch, Column.PARTS, Column.HEADER, Column.BODY):
                if with_header and needle in fold(header_text(header)):
                    found.append(uid)
                    continue
                octets = header + body_octets(body, self._blobs)
                if needle in fold(body_text(unpack_index(parts), octets, self._limits)):
                    found.append(uid)
        return NumberSet.of(found)


def _cost(criterion: Criterion) -> int:
    match criterion:
        case AllOf(keys) | AnyOf(keys):
            return max(map(_cost, keys), default=0)
        case Negated(key) | Fuzzy(key):
            return _cost(key)
        case HeaderContains():
            return 1
        case BodyContains() | TextContains():
            return 2
        case _:
            return 0


def _header_test(name: str, text: str) -> Callable[[bytes], bool]:
    wanted = name.encode()
    needle = fold(text)

    def test(header: bytes) -> bool:
        return any(
            found.lower() == wanted and (not needle or needle in fold(decode_header_text(value)))
            for _, found, value in raw_fields(header)
        )

    return test


def compile_sql(criterion: Criterion, dialect: Dialect) -> _Sql | None:
    """The criterion as a condition on `message m` and `content c`; None when rows cannot tell."""
    match criterion:
        case Everything():
            return _ALWAYS
        case AllOf(keys):
            return _joined(keys, " AND ", _ALWAYS, dialect)
        case AnyOf(keys):
            return _joined(keys, " OR ", _NEVER, dialect)
        case Negated(key):
            inner = compile_sql(key, dialect)
            return _Sql(f"NOT ({inner.condition})", inner.params) if inner else None
        case HasFlags(system):
            return _Sql("(m.flags & ?) = ?", (system, system))
        case HasKeyword(keyword):
            spaced = dialect.contains.format("' ' || lower(m.keywords) || ' '")
            return _Sql(f"{spaced}", (f" {keyword.lower()} ",))
        case UidIn(uids):
            if len(uids.ranges) > _MAX_SQL_RANGES:
                return None
            if not uids:
                return _NEVER
            return _Sql(
                " OR ".join(["m.uid BETWEEN ? AND ?"] * len(uids.ranges)),
                tuple(number for pair in uids.ranges for number in pair),
            )
        case SizeOver(octets):
            return _Sql("m.size > ?", (octets,))
        case SizeUnder(octets):
            return _Sql("m.size < ?", (octets,))
        case ArrivedBefore(day):
            return _Sql("m.internal_date < ?", (day * _DAY,))
        case ArrivedSince(day):
            return _Sql("m.internal_date >= ?", (day * _DAY,))
        case SentBefore(day):
            return _Sql("c.sent_day < ?", (day,))
        case SentSince(day):
            return _Sql("c.sent_day >= ?", (day,))
        case SavedBefore(day):
            return _Sql("m.save_date < ?", (day * _DAY,))
        case SavedSince(day):
            return _Sql("m.save_date >= ?", (day * _DAY,))
        case ModSeqFrom(mod_seq):
            return _Sql("m.mod_seq >= ?", (mod_seq,))
        case ArrivedUntil(instant):
            return _Sql("m.internal_date <= ?", (instant,))
        case ArrivedFrom(instant):
            return _Sql("m.internal_date >= ?", (instant,))
        case ContentIs(account_id, content_id):
            return _Sql("m.account_id = ? AND m.content_id = ?", (account_id, content_id))
        case ThreadIs(account_id, thread_id):
            return _Sql("c.account_id = ? AND c.thread_id = ?", (account_id, thread_id))
        case Fuzzy(key):
            return compile_sql(key, dialect)
        case HeaderContains(name, text):
            column = _TEXT_COLUMNS.get(name)
            # An empty text asks whether the field is there, which an empty column does not tell.
            if column is None or not text:
                return None
            return _Sql(dialect.contains.format(column), (fold(text),))
        case BodyContains(text) | TextContains(text):
            return None if text else _ALWAYS
        case _:
            assert_never(criterion)


def _joined(keys: Sequence[Criterion], word: str, of_none: _Sql, dialect: Dialect) -> _Sql | None:
    conditions: list[str] = []
    params: list[SqlValue] = []
    for key in keys:
        compiled = compile_sql(key, dialect)
        if compiled is None:
            return None
        conditions.append(f"({compiled.condition})")
        params += compiled.params
    return _Sql(word.join(conditions), tuple(params)) if conditions else of_none
