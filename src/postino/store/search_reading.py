"""Look into messages' own texts: for what the search index does not have.

Invariants: texts are read in batches that fit into memory, each in a transaction of its own.
Not here: which messages are to be read (search.py).
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from postino.core.ids import AccountId, MailboxId
from postino.core.limits import Limits
from postino.core.numset import NumberSet
from postino.core.search import BodyContains, HeaderContains, TextContains
from postino.mime.encoded_word import decode_header_text
from postino.mime.header import LISTED_FIELDS, raw_fields
from postino.mime.part import unpack_index
from postino.mime.text import body_text, fold, header_text
from postino.store.blobs import BlobStore
from postino.store.fetch import Column, MessageOctets, fetch_rows
from postino.store.search_sql import Sql, named_text
from postino.store.text_index.document import Document, make_document
from postino.store.tx import RunTx, Tx
from postino.store.uids import uid_conditions

_BATCH: Final = 200
"""Messages whose texts are read in one transaction."""
_BATCH_OCTETS: Final = 16 * 1024 * 1024


class MessageReader:
    """Reads messages of one mailbox."""

    def __init__(
        self, run: RunTx, account_id: AccountId, mailbox_id: MailboxId, limits: Limits, blobs: BlobStore
    ) -> None:
        self._run = run
        self._account_id = account_id
        self._mailbox_id = mailbox_id
        self._limits = limits
        self._blobs = blobs

    def matching(self, criterion: HeaderContains | BodyContains | TextContains, uids: NumberSet) -> NumberSet:
        """Which of these messages meet the key."""
        match criterion:
            case HeaderContains(name, text):
                sql = self._run(lambda tx: named_text(criterion, tx.dialect))
                if sql is not None:
                    return self._by_columns(uids, sql)
                return self._by_headers(uids, _header_test(name, text), listed=name.encode() in LISTED_FIELDS)
            case BodyContains(text):
                return self._by_texts(uids, fold(text), with_header=False)
            case TextContains(text):
                return self._by_texts(uids, fold(text), with_header=True)

    def documents(self, uids: NumberSet) -> Iterator[tuple[int, Document]]:
        """(content id, texts) of messages, as the search index would have them."""
        for batch in self._batches(uids):
            for _, content_id, parts, header, body in self._fetch(
                batch, Column.CONTENT_ID, Column.PARTS, Column.HEADER, Column.BODY
            ):
                octets = MessageOctets(header, body, self._blobs)
                yield content_id, make_document(header, unpack_index(parts), octets, self._limits)

    def _batches(self, uids: NumberSet) -> list[NumberSet]:
        """Sets of messages whose texts together are not too much for memory."""
        sizes = self._run(
            lambda tx: fetch_rows(tx, self._account_id, self._mailbox_id, uids, frozenset({Column.SIZE}))
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

    def _by_columns(self, uids: NumberSet, sql: Sql) -> NumberSet:
        def read(tx: Tx) -> list[int]:
            found: list[int] = []
            for condition in uid_conditions(tx, self._account_id, self._mailbox_id, uids):
                rows = tx.all(
                    "SELECT m.uid FROM message m CROSS JOIN content c ON c.account_id=m.account_id"
                    " AND c.id=m.content_id WHERE m.account_id=? AND m.mailbox_id=?"
                    f" AND m.{condition.sql} AND ({sql.condition})",
                    (self._account_id, self._mailbox_id, *condition.params, *sql.params),
                )
                found += [uid for (uid,) in rows]
            return found

        return NumberSet.of(self._run(read))

    def _by_headers(self, uids: NumberSet, test: Callable[[bytes], bool], *, listed: bool) -> NumberSet:
        # The fields that lists show lie apart and are smaller than the header.
        column = Column.FIELDS if listed else Column.HEADER
        found: list[int] = []
        for batch in self._batches(uids):
            found += [uid for uid, header in self._fetch(batch, column) if test(header)]
        return NumberSet.of(found)

    def _by_texts(self, uids: NumberSet, needle: str, *, with_header: bool) -> NumberSet:
        found: list[int] = []
        for batch in self._batches(uids):
            for uid, parts, header, body in self._fetch(batch, Column.PARTS, Column.HEADER, Column.BODY):
                if with_header and needle in fold(header_text(header)):
                    found.append(uid)
                    continue
                octets = MessageOctets(header, body, self._blobs)
                if needle in fold(body_text(unpack_index(parts), octets, self._limits)):
                    found.append(uid)
        return NumberSet.of(found)


def _header_test(name: str, text: str) -> Callable[[bytes], bool]:
    wanted = name.encode()
    needle = fold(text)

    def test(header: bytes) -> bool:
        return any(
            found.lower() == wanted and (not needle or needle in fold(decode_header_text(value)))
            for _, found, value in raw_fields(header)
        )

    return test
