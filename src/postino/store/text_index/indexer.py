"""Bring an account's search index up to date, in small steps, behind deliveries.

Invariants: contents are taken by id, upwards, and only what was committed (and synced, as messages are) is
    read; what cannot be read now stays out of the index, and a search reads it itself.
Not here: when an account is looked at and how fast (app/indexing.py).
"""

from collections.abc import Generator, Sequence
from typing import Final

from postino.core.errors import PostinoError
from postino.core.ids import AccountId, Instant
from postino.core.limits import Limits
from postino.mime.part import unpack_index
from postino.store.blobs import BlobStore
from postino.store.fetch import MessageOctets, stored_bodies
from postino.store.text_index.document import Document, Field, make_document
from postino.store.text_index.file import IndexBusy, IndexDamaged, IndexFile
from postino.store.text_index.folder import TextIndexes, current_run, is_of_this_store
from postino.store.text_index.segment import MOST_DOCUMENTS, MOST_OCTETS, Segment, SegmentBuilder
from postino.store.tx import Row, RunTx, Tx

_BATCH: Final = 100
_BATCH_OCTETS: Final = 4 * 1024 * 1024
CLEAN_SECONDS: Final = 7 * 86_400
_SMALL_DOCUMENTS: Final = MOST_DOCUMENTS // 4
_SMALL_OCTETS: Final = MOST_OCTETS // 4


class AccountIndexing:
    """One visit to an account's index. Each step may run in another thread, one after the other."""

    def __init__(
        self, texts: TextIndexes, account_id: AccountId, blobs: BlobStore, limits: Limits, now: Instant
    ) -> None:
        self._texts = texts
        self._account_id = account_id
        self._blobs = blobs
        self._limits = limits
        self._now = now
        self._work = self._visit()
        self.documents = 0
        """How many messages were taken in."""

    def step(self, run: RunTx) -> bool:
        """Do about a millisecond's work, reading the store through `run`; False when all is done.

        What is wrong with an index file ends the visit; the file is made anew at the next.
        """
        self._run = run
        try:
            next(self._work)
        except StopIteration:
            return False
        except IndexBusy:
            return False
        except IndexDamaged:
            self._texts.remove(self._account_id)
            return False
        return True

    def close(self) -> None:
        """Break off; what is not stored yet is done again at the next visit."""
        self._work.close()

    # The visit

    def _visit(self) -> Generator[None]:
        newest = self._run(self._newest)
        if newest is None:
            self._texts.remove(self._account_id)
            return
        if newest == 0 and not self._texts.path(self._account_id).exists():
            return
        file = self._texts.open(self._account_id)
        try:
            if not is_of_this_store(self._run, self._account_id, file):
                file.close()
                self._texts.remove(self._account_id)
                file = self._texts.open(self._account_id)
            if file.done < newest:
                yield from self._index(file, newest)
            if self._now - int(file.fact("cleaned") or 0) >= CLEAN_SECONDS:
                yield from self._clean(file)
        finally:
            file.close()

    def _newest(self, tx: Tx) -> int | None:
        """The account's last content id, 0 for none; None when there is no such account."""
        row = tx.one(
            "SELECT (SELECT coalesce(max(id), 0) FROM content c WHERE c.account_id=a.id)"
            " FROM account a WHERE id=?",
            (self._account_id,),
        )
        return row[0] if row else None

    # Taking in

    def _index(self, file: IndexFile, newest: int) -> Generator[None]:
        with file.snapshot():
            done = expected = file.done
            extent = file.extent()
        recent, octets = extent.recent, extent.recent_octets
        documents: list[tuple[int, Document]] = []
        while done < newest:
            rows = self._run(lambda tx, done=done: self._contents(tx, done))  # type: ignore[misc]
            if not rows:
                break
            for content_id, parts, header, body in rows:
                done = content_id
                try:
                    whole = MessageOctets(header, body, self._blobs)
                    document = make_document(header, unpack_index(parts), whole, self._limits)
                except (PostinoError, OSError):
                    continue
                documents.append((content_id, document))
                octets += len(document[Field.HEADER]) + len(document[Field.BODY])
                self.documents += 1
                yield
                if recent + len(documents) >= MOST_DOCUMENTS or octets >= MOST_OCTETS:
                    yield from self._seal(file, documents, done, expected)
                    expected = done
                    documents = []
                    recent = octets = 0
        with file.change(expected_done=expected):
            file.add_recent(documents)
            self._note(file, done)

    def _contents(self, tx: Tx, done: int) -> list[Row]:
        """(id, parts, header, body) of the next contents, not too many for memory."""
        sizes = tx.all(
            "SELECT id, size FROM content WHERE account_id=? AND id>? ORDER BY id LIMIT ?",
            (self._account_id, done, _BATCH),
        )
        if not sizes:
            return []
        last = sizes[0][0]
        octets = 0
        for content_id, size in sizes:
            octets += size
            if octets > _BATCH_OCTETS and content_id != last:
                break
            last = content_id
        return stored_bodies(tx, self._account_id, done + 1, last)

    def _note(self, file: IndexFile, done: int) -> None:
        file.note("done", done)
        file.note("run", self._run(current_run))
        if not file.fact("cleaned"):
            file.note("cleaned", self._now)

    def _seal(
        self, file: IndexFile, documents: Sequence[tuple[int, Document]], done: int, expected: int
    ) -> Generator[None]:
        """Put what lay by itself and `documents` into a segment."""
        with file.snapshot():
            recent = list(file.recent())
        builder = SegmentBuilder()
        for content_id, document in (*recent, *documents):
            builder.add(content_id, document)
            yield
        built = builder.finish()
        yield
        with file.change(expected_done=expected):
            file.drop_recent([content_id for content_id, _ in recent])
            file.add_segment(built)
            self._note(file, done)

    # Cleaning

    def _clean(self, file: IndexFile) -> Generator[None]:
        """Take out what the sweep has removed for good, and join segments that have become small."""
        with file.snapshot():
            done = file.done
            recent = file.recent_ids()
            rows = file.segments()
        gone = self._gone(recent)
        with file.change(expected_done=done):
            file.drop_recent(sorted(gone))
        group: list[int] = []
        documents = octets = 0
        changed = False
        for row in rows:
            yield
            lost = self._lost(file, row.number)
            left = row.documents - lost
            joins = lost > 0 or (left < _SMALL_DOCUMENTS and row.octets < _SMALL_OCTETS)
            if group and (
                not joins or documents + left > MOST_DOCUMENTS or octets + row.octets > MOST_OCTETS
            ):
                yield from self._rewrite(file, group, done, changed=changed)
                group, documents, octets, changed = [], 0, 0, False
            if joins:
                group.append(row.number)
                documents += left
                octets += row.octets
                changed = changed or lost > 0
        if group:
            yield from self._rewrite(file, group, done, changed=changed)
        with file.change(expected_done=done):
            file.note("cleaned", self._now)

    def _gone(self, ids: Sequence[int]) -> set[int]:
        """Which of these contents the store has no more."""
        if not ids:
            return set()
        rows = self._run(
            lambda tx: tx.all(
                "SELECT id FROM content WHERE account_id=? AND id BETWEEN ? AND ?",
                (self._account_id, ids[0], ids[-1]),
            )
        )
        return set(ids).difference([content_id for (content_id,) in rows])

    def _lost(self, file: IndexFile, number: int) -> int:
        with file.snapshot():
            ids = file.segment(number).ids
        return len(self._gone(ids))

    def _rewrite(self, file: IndexFile, numbers: list[int], done: int, *, changed: bool) -> Generator[None]:
        """Make segments of what is left of some."""
        if len(numbers) == 1 and not changed:
            return
        builders = [SegmentBuilder()]
        with file.snapshot():
            segments = [file.segment(number) for number in numbers]
        for segment in segments:
            gone = self._gone(segment.ids)
            for content_id, document in self._kept(file, segment):
                if content_id not in gone:
                    if builders[-1].is_full and len(builders) < len(numbers):
                        builders.append(SegmentBuilder())
                    builders[-1].add(content_id, document)
                yield
        # Not more than there were, so that their numbers keep segments in order.
        built = [builder.finish() for builder in builders if len(builder)]
        with file.change(expected_done=done):
            for number in numbers:
                file.drop_segment(number)
            for number, one in zip(numbers, built, strict=False):
                file.add_segment(one, number)

    @staticmethod
    def _kept(file: IndexFile, segment: Segment) -> list[tuple[int, Document]]:
        with file.snapshot():
            return list(segment.documents())
