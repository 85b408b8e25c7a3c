"""Find the messages a SEARCH asks for: in SQL what rows can tell, in the search index what texts say.

RFC: 9051 §6.4.4 (keys), 6203 (FUZZY; how is in fuzzy.py).
Invariants: the answer is what evaluating the criterion on each message alone would give, whatever the index
    holds; texts are looked into only for messages that every cheaper key has let through.
Not here: SEARCH's grammar and answers (imap/), SQL (search_sql.py), the index (text_index/), how text is
    decoded (mime/text.py).
"""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, TypeVar

from postino.core.ids import AccountId, MailboxId
from postino.core.limits import Limits
from postino.core.numset import NumberSet
from postino.core.search import (
    AllOf,
    AnyOf,
    BodyContains,
    Criterion,
    Fuzzy,
    HeaderContains,
    Negated,
    TextContains,
    UidIn,
)
from postino.mime.text import fold
from postino.store.blobs import BlobStore
from postino.store.fuzzy import (
    PHRASE,
    Fit,
    Part,
    TextCriterion,
    as_relevancies,
    document_parts,
    fields_of,
    fits_of_parts,
    fuzzy_keys,
    spread,
    words_like,
    words_of,
)
from postino.store.search_reading import MessageReader
from postino.store.search_sql import ALWAYS, Sql, compile_sql
from postino.store.store import Store
from postino.store.text_index.document import NAMED, Field
from postino.store.text_index.file import IndexBusy, IndexDamaged, IndexFile
from postino.store.text_index.folder import TextIndexes, is_of_this_store
from postino.store.text_index.lookup import Found, InFields, InHeaderField, TextKey, find, parts
from postino.store.text_index.needle import needle_of
from postino.store.tx import RunTx, Tx
from postino.store.uids import uid_conditions

T = TypeVar("T")
_SHORT_MESSAGES: Final = 2000
"""Mailboxes up to this size are searched on the event loop, when SQL can do it ..."""
_SHORT_CONTENTS: Final = 300
"""... and up to this one when it must look into the rows that lists show, which are larger."""
_AT_ONCE: Final = 2
"""Long searches of one account's mail that run at the same time; the store has twice as many threads."""
_FEW: Final = 8
"""Messages that are read rather than looked up."""
_MOST_READ: Final = 500
"""Messages outside the index that are read to judge how well they fit, or for words like one."""


def search(
    tx: Tx,
    account_id: AccountId,
    mailbox_id: MailboxId,
    criterion: Criterion,
    limits: Limits,
    blobs: BlobStore,
) -> list[int]:
    """The UIDs of the messages for which `criterion` holds, upwards, in one transaction and without an index.

    May read every message's text, and hold the transaction so long; see search_mailbox.
    """
    return list(TextSearch(lambda fn: fn(tx), account_id, mailbox_id, limits, blobs, None).run(criterion))


async def search_mailbox(
    store: Store, account_id: AccountId, mailbox_id: MailboxId, criterion: Criterion, limits: Limits
) -> list[int]:
    """As `search`, in a thread, with the index, and holding no transaction longer than some reads take.

    Short searches run in place. A change made meanwhile may or may not be seen.
    """

    def run_short(tx: Tx) -> list[int] | None:
        sql = compile_sql(criterion, tx.dialect)
        if sql is None:
            return None
        row = tx.one("SELECT messages FROM mailbox WHERE account_id=? AND id=?", (account_id, mailbox_id))
        if row is None or row[0] > (_SHORT_CONTENTS if sql.reads_content else _SHORT_MESSAGES):
            return None
        return search(tx, account_id, mailbox_id, criterion, limits, store.blobs)

    found = store.read_now(run_short)
    if found is not None:
        return found
    async with _turn(store, account_id):
        return await store.read_in_pieces(
            lambda run: list(
                TextSearch(run, account_id, mailbox_id, limits, store.blobs, store.texts).run(criterion)
            )
        )


async def relevancies(
    store: Store, account_id: AccountId, mailbox_id: MailboxId, criterion: Criterion, uids: Sequence[int]
) -> list[int]:
    """How well each of these messages, which a search for `criterion` found, fits: 1 to 100 (RFC 6203 §4)."""
    async with _turn(store, account_id):
        return await store.read_in_pieces(
            lambda run: TextSearch(
                run, account_id, mailbox_id, Limits(), store.blobs, store.texts
            ).relevancies(criterion, uids)
        )


def _turn(store: Store, account_id: AccountId) -> asyncio.Semaphore:
    """SECURITY: hundreds of texts looked for in a large mailbox take a minute; others need threads too."""
    turn = store.searching.get(account_id)
    if turn is None:
        turn = store.searching[account_id] = asyncio.Semaphore(_AT_ONCE)
    return turn


class TextSearch:
    """One search: evaluates the tree on sets of UIDs, narrowing them before texts are looked into."""

    def __init__(
        self,
        run: RunTx,
        account_id: AccountId,
        mailbox_id: MailboxId,
        limits: Limits,
        blobs: BlobStore,
        texts: TextIndexes | None,
    ) -> None:
        self._run = run
        self._account_id = account_id
        self._mailbox_id = mailbox_id
        self._reader = MessageReader(run, account_id, mailbox_id, limits, blobs)
        self._texts = texts

    def run(self, criterion: Criterion) -> NumberSet:
        """The messages for which `criterion` holds."""
        return self._evaluate(criterion, None)

    def _evaluate(self, criterion: Criterion, among: NumberSet | None) -> NumberSet:
        """Which messages of `among` (None: of the mailbox) meet `criterion`."""
        if among is not None and not among:
            return among
        sql = self._compiled(criterion)
        if sql is not None:
            found = self._select(sql)
            return found if among is None else found.intersection(among)
        match criterion:
            case AllOf(keys):
                for key in self._cheapest_first(keys, AllOf):
                    among = self._evaluate(key, among)
                return self._select(ALWAYS) if among is None else among
            case AnyOf(keys):
                left = self._select(ALWAYS) if among is None else among
                found = NumberSet()
                for key in self._cheapest_first(keys, AnyOf):
                    more = self._evaluate(key, left)
                    found = found.union(more)
                    left = left.difference(more)
                return found
            case Negated(key):
                among = self._select(ALWAYS) if among is None else among
                return among.difference(self._evaluate(key, among))
            case UidIn(uids):
                return uids.intersection(self._select(ALWAYS) if among is None else among)
            case HeaderContains() | BodyContains() | TextContains():
                return self._with_text(criterion, among)
            case Fuzzy(HeaderContains() | BodyContains() | TextContains() as key):
                return self._with_words(key, among)
            case Fuzzy(key):
                return self._evaluate(spread(key), among)
            case _:
                raise AssertionError(f"{criterion!r} should have been compiled to SQL")

    def _compiled(self, criterion: Criterion) -> Sql | None:
        by_columns = self._texts is None
        return self._run(lambda tx: compile_sql(criterion, tx.dialect, by_columns=by_columns))

    def _cheapest_first(
        self, keys: Sequence[Criterion], together: type[AllOf] | type[AnyOf]
    ) -> list[Criterion]:
        """What SQL can do in one query, then headers, then texts."""
        quick = tuple(key for key in keys if self._compiled(key) is not None)
        slow = sorted((key for key in keys if self._compiled(key) is None), key=_cost)
        return [together(quick), *slow] if quick else slow

    def _select(self, sql: Sql) -> NumberSet:
        source = "message m"
        if sql.reads_content:
            source += " CROSS JOIN content c ON c.account_id=m.account_id AND c.id=m.content_id"
        rows = self._run(
            lambda tx: tx.all(
                f"SELECT m.uid FROM {source} WHERE m.account_id=? AND m.mailbox_id=? AND ({sql.condition})"
                " ORDER BY m.uid",
                (self._account_id, self._mailbox_id, *sql.params),
            )
        )
        return NumberSet.of(uid for (uid,) in rows)

    # Texts

    def _with_text(self, criterion: TextCriterion, among: NumberSet | None) -> NumberSet:
        rows = self._contents(among)
        key = text_key(criterion)
        found = self._look_up(key, rows) if key is not None and len(rows) >= _FEW else None
        if found is None:
            return self._reader.matching(criterion, NumberSet.of(uid for _, uid in rows))
        if len(found.matching) == len(rows):
            return NumberSet.of(uid for _, uid in rows)
        matching = NumberSet.of(_uids_of(found.matching, rows))
        if not found.unknown:
            return matching
        return matching.union(self._reader.matching(criterion, NumberSet.of(_uids_of(found.unknown, rows))))

    def _contents(self, among: NumberSet | None) -> list[tuple[int, int]]:
        """(content id, uid) of messages, upwards."""

        def read(tx: Tx) -> list[tuple[int, int]]:
            rows: list[tuple[int, int]] = []
            for condition in uid_conditions(tx, self._account_id, self._mailbox_id, among):
                rows += tx.all(
                    "SELECT content_id, uid FROM message WHERE account_id=? AND mailbox_id=?"
                    f" AND {condition.sql}",
                    (self._account_id, self._mailbox_id, *condition.params),
                )
            return rows

        rows = self._run(read)
        rows.sort()
        return rows

    def _look_up(self, key: TextKey, rows: list[tuple[int, int]]) -> Found | None:
        """What the index says; None when there is none."""
        if self._texts is None:
            return None
        wanted = [content_id for content_id, _ in rows]
        if len(set(wanted)) != len(wanted):  # a message was copied within its mailbox
            wanted = sorted(set(wanted))
        try:
            with self._texts.reading(self._account_id) as index:
                if index is None or not is_of_this_store(self._run, self._account_id, index):
                    return None
                with index.snapshot():
                    return find(index, key, wanted)
        except (IndexBusy, IndexDamaged):
            return None

    # FUZZY

    def _with_words(self, key: TextCriterion, among: NumberSet | None) -> NumberSet:
        words = words_of(key.text)
        if not words:
            return self._with_text(key, among)
        found = among
        for word in words:
            found = self._union(
                [self._with_text(with_text(key, one), found) for one in self._alike(key, word, found)]
            )
        assert found is not None
        return found

    @staticmethod
    def _union(sets: list[NumberSet]) -> NumberSet:
        return NumberSet(pair for one in sets for pair in one.ranges)

    def _alike(self, key: TextCriterion, word: str, among: NumberSet | None) -> list[str]:
        """The word, if one of these messages has it; else the words they have that are like it."""
        if self._with_text(with_text(key, word), among):
            return [word]
        fields = fields_of(key)
        return self._look_at(self._contents(among), lambda found: words_like(word, found, fields))

    def _look_at(self, rows: list[tuple[int, int]], use: Callable[[Iterator[Part]], T]) -> T:
        """Give `use` the texts of messages, wherever they are; of those outside the index only the first."""
        wanted = sorted({content_id for content_id, _ in rows})

        def read(contents: Sequence[int]) -> Iterator[Part]:
            uids = NumberSet.of(_uids_of(contents[:_MOST_READ], rows))
            yield from document_parts(self._reader.documents(uids))

        def look(index: IndexFile) -> Iterator[Part]:
            for part in parts(index, wanted):
                if isinstance(part, list):
                    yield from read(part)
                else:
                    yield part

        if self._texts is not None:
            try:
                with self._texts.reading(self._account_id) as index:
                    if index is not None and is_of_this_store(self._run, self._account_id, index):
                        with index.snapshot():
                            return use(look(index))
            except (IndexBusy, IndexDamaged):
                return use(read(wanted))
        return use(read(wanted))

    def relevancies(self, criterion: Criterion, uids: Sequence[int]) -> list[int]:
        """How well these messages fit, each from 1 to 100."""
        among = NumberSet.of(uids)
        rows = self._contents(among)
        scores: dict[int, float] = {}
        for key in fuzzy_keys(criterion):
            words = words_of(key.text)
            fits = [
                [Fit(one, is_like=one != word) for one in self._alike(key, word, among)] for word in words
            ]
            of_key = self._look_at(rows, partial(fits_of_parts, fits, fields_of(key)))
            if len(words) > 1:
                exact = set(self._with_text(key, among))
                for content_id, uid in rows:
                    if uid in exact and content_id in of_key:
                        of_key[content_id] *= PHRASE
            for content_id, score in of_key.items():
                scores[content_id] = scores.get(content_id, 0.0) + score
        content_of = {uid: content_id for content_id, uid in rows}
        return as_relevancies([scores.get(content_of.get(uid, 0), 0.0) for uid in uids])


def text_key(criterion: TextCriterion) -> TextKey | None:
    """What to look up for a key; None when the index cannot tell."""
    needle = needle_of(fold(criterion.text))
    match criterion:
        case HeaderContains(name, text):
            if name in NAMED and text:
                return InFields((NAMED[name],), needle)
            if not name.isascii() or not name.isprintable() or " " in name:
                return None
            return InHeaderField(name.encode("ascii"), needle)
        case BodyContains():
            return InFields((Field.BODY,), needle)
        case TextContains():
            return InFields((Field.BODY, Field.HEADER), needle)


def with_text(key: TextCriterion, text: str) -> TextCriterion:
    """The same key for another text."""
    match key:
        case HeaderContains(name):
            return HeaderContains(name, text)
        case BodyContains():
            return BodyContains(text)
        case TextContains():
            return TextContains(text)


def _uids_of(contents: Sequence[int], rows: list[tuple[int, int]]) -> list[int]:
    """The messages that have one of these contents; both upwards."""
    if len(contents) * 16 > len(rows):
        wanted = set(contents)
        return [uid for content_id, uid in rows if content_id in wanted]
    found: list[int] = []
    for content_id in contents:
        at = bisect_left(rows, (content_id, 0))
        while at < len(rows) and rows[at][0] == content_id:
            found.append(rows[at][1])
            at += 1
    return found


def _cost(criterion: Criterion) -> int:
    match criterion:
        case AllOf(keys) | AnyOf(keys):
            return max(map(_cost, keys), default=0)
        case Negated(key) | Fuzzy(key):
            return _cost(key)
        case HeaderContains(name):
            return 1 if name in NAMED else 2
        case BodyContains() | TextContains():
            return 3
        case _:
            return 0
