"""What happens in the queue before the power fails or the process is killed, and what must be found afterwards.

Tasks accept messages (some with a copy for an account, some born leased), lease what is due, send and settle it with its
reports, and drop. The notes say how far each recipient was; check() compares them with what is in the queue.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from postino.core.ids import AccountId, BlobId, Instant
from postino.store.blobs import BlobFiles
from postino.store.content import Body, InlineBody, SealedBlob
from postino.store.engine.sqlite_connection import SqliteOptions
from postino.store.messages import deliver
from postino.store.queue.choice import Choice
from postino.store.queue.enqueue import enqueue_message
from postino.store.queue.lease import lease_token, read_octets, take_due
from postino.store.queue.operate import drop
from postino.store.queue.settle import settle
from postino.store.queue.values import LeaseToken, Outcome, QueuedMessage, QueueId, QueueKind, Result
from postino.store.shared_bodies import SharedBodies
from postino.store.store import Store, open_store
from postino.store.tx import Tx
from postino.store.verify import verify
from tests.crash.workload import NOW, body_of
from tests.support.queued import new_queued
from tests.support.stored import email

UNTIL = Instant(NOW + 600)
Key = tuple[str, int]
"""(name of the message, number of the recipient)."""


@dataclass(frozen=True, slots=True)
class Accepting:
    """A message is on its way in."""

    name: str
    recipients: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """A client has been told 250."""

    name: str


@dataclass(frozen=True, slots=True)
class Given:
    """A far server has said 250."""

    key: Key


@dataclass(frozen=True, slots=True)
class Ending:
    """The write that takes a recipient out was asked for."""

    key: Key
    how: str


@dataclass(frozen=True, slots=True)
class Ended:
    """That write is synced."""

    key: Key


@dataclass(frozen=True, slots=True)
class Killed:
    """The process that wrote the notes before this one is no more."""


class Notes(Protocol):
    """Who remembers what happened, whatever becomes of us."""

    def note(self, what: object) -> None: ...


@dataclass(slots=True)
class Queue:
    """One run: tasks that accept, and one dispatcher a task that sends, in an order chosen by `seed`."""

    log: Notes
    store: Store
    account: AccountId
    seed: int
    names: dict[QueueId, str] = field(default_factory=dict)

    async def run(self, *, tasks: int, steps: int) -> None:
        for queue_id, header in self.store.read_now(
            lambda tx: tx.all("SELECT queue_id, header FROM queue_octets")
        ):
            name = name_in(header)
            if not name.startswith("report-"):
                self.names[queue_id] = name
        await asyncio.gather(*(self._session(task, steps) for task in range(tasks)))

    async def _session(self, task: int, steps: int) -> None:
        rng = random.Random(self.seed * 1000 + task)
        token = lease_token(task, str(self.seed))
        for step in range(steps):
            match rng.choice(("accept", "accept", "big", "send", "send", "send", "drop")):
                case "send":
                    await self._send(token, rng)
                case "drop":
                    await self._drop(rng)
                case action:
                    await self._accept(f"q{self.seed}-{task}-{step}", token, rng, is_big=action == "big")
            if rng.random() < 0.3:
                await asyncio.sleep(0)

    async def _accept(self, name: str, token: LeaseToken, rng: random.Random, *, is_big: bool) -> None:
        octets = body_of(name, 200_000 if is_big else rng.choice((20, 700, 5000, 30_000)))
        count = rng.choice((1, 1, 3))
        self.log.note(Accepting(name, count))
        body: Body = InlineBody(octets)
        if is_big:
            body = SealedBlob(await asyncio.to_thread(self._seal, octets), 0)
        new = new_queued(
            *[f"x{number}@{rng.choice('ab')}.example" for number in range(count)],
            body=body,
            size=len(octets),
            header=header_of(name),
            account_id=self.account,
        )
        copy = email(octets, header=header_of(name), stored=body)
        with_copy = rng.random() < 0.5
        leased = rng.random() < 0.5

        def accept(tx: Tx) -> QueuedMessage:
            shared = SharedBodies([body, body]) if with_copy else None
            if with_copy:
                deliver(tx, [(self.account, None, copy)], NOW, shared=shared)
            return enqueue_message(
                tx, new, now=NOW, lease=token if leased else None, lease_until=UNTIL, shared=shared
            )

        message = await self.store.write(accept, short=rng.random() < 0.7)
        self.names[message.queue_id] = name
        self.log.note(Accepted(name))
        for recipient in message.recipients:
            await self._attempt(token, message.queue_id, recipient.number, rng)

    def _seal(self, octets: bytes) -> BlobId:
        with self.store.blobs.open_spool() as spool:
            spool.write(octets[:70_000])
            spool.write(octets[70_000:])
            return spool.seal()

    async def _send(self, token: LeaseToken, rng: random.Random) -> None:
        taken = await self.store.write(
            lambda tx: take_due(tx, token, now=NOW, until=UNTIL, most=3), durable=False, short=True
        )
        for message in taken:
            for recipient in message.recipients:
                await self._attempt(token, message.queue_id, recipient.number, rng)

    async def _attempt(self, token: LeaseToken, queue_id: QueueId, number: int, rng: random.Random) -> None:
        if queue_id not in self.names:
            # A report of ours; it may stay where it is.
            return
        key = (self.names[queue_id], number)
        result = rng.choice((Result.SENT, Result.SENT, Result.RELAYED, Result.DEFERRED, Result.FAILED))
        reports = []
        if result in (Result.SENT, Result.RELAYED):
            self.log.note(Given(key))
        if result is Result.FAILED:
            reports = [
                new_queued(
                    "ann@elsewhere.example",
                    kind=QueueKind.REPORT,
                    reverse_path="",
                    header=header_of(f"report-{key[0]}-{number}"),
                )
            ]
        if result is not Result.DEFERRED:
            self.log.note(Ending(key, "failed" if reports else "sent"))
        outcome = Outcome(
            queue_id=queue_id, number=number, result=result, status="2.0.0", reply="so", next_at=NOW
        )
        settled = await self.store.write(
            lambda tx: settle(tx, token, [outcome], reports, NOW),
            durable=result is not Result.DEFERRED,
            short=rng.random() < 0.7,
        )
        if result is not Result.DEFERRED:
            self.log.note(Ended(key))
        for blob_id in settled.blobs:
            await asyncio.to_thread(self.store.blobs.delete, blob_id)

    async def _drop(self, rng: random.Random) -> None:
        rows = self.store.read_now(
            lambda tx: tx.all("SELECT queue_id, number FROM queue_recipient WHERE lease='' ORDER BY 1, 2")
        )
        rows = [row for row in rows if row[0] in self.names]
        if not rows:
            return
        queue_id, number = rng.choice(rows)
        choice = Choice(picks=((queue_id, number),))
        key = (self.names[queue_id], number)
        self.log.note(Ending(key, "dropped"))
        await self.store.write(lambda tx: drop(tx, [queue_id], choice, NOW))
        self.log.note(Ended(key))


def header_of(name: str) -> bytes:
    """The header says whose it is."""
    return f"Message-ID: <{name}@example.org>\r\n\r\n".encode()


def name_in(header: bytes) -> str:
    """What header_of() was given."""
    return header.split(b"<", 1)[1].split(b"@", 1)[0].decode()


async def run_queue(
    root: Path,
    log: Notes,
    *,
    seed: int,
    steps: int,
    options: SqliteOptions | None = None,
    files: BlobFiles | None = None,
) -> None:
    """Open what is below `root` and have four tasks of `steps` steps work on it."""
    store = open_store(root, first=True, options=options, blob_files=files)
    row = store.read_now(lambda tx: tx.one("SELECT min(id) FROM account"))
    assert row is not None
    await Queue(log, store, AccountId(row[0]), seed).run(tasks=4, steps=steps)
    await store.close()


def check(root: Path, notes: Iterable[object]) -> None:
    """Open what the cut left, as the next start does, and compare it with what was promised."""
    accepting: dict[str, int] = {}
    accepted: set[str] = set()
    given: Counter[Key] = Counter()
    may_double: Counter[Key] = Counter()
    ending: dict[Key, set[str]] = {}
    ended: set[Key] = set()
    for note in notes:
        match note:
            case Accepting(name, recipients):
                accepting[name] = recipients
            case Accepted(name):
                accepted.add(name)
            case Given(key):
                given[key] += 1
                assert given[key] <= 1 + may_double[key], f"{key} was sent twice without a cause"
            case Ending(key, how):
                ending.setdefault(key, set()).add(how)
            case Ended(key):
                ended.add(key)
            case Killed():
                # Given, and nobody knows whether that was written down.
                may_double.update(key for key in given if key not in ended)
    store = open_store(root, first=True)
    try:
        found = store.read_now(lambda tx: verify(tx, store.blobs))
        assert not found, f"the store contradicts itself: {found}"
        waiting: set[Key] = set()
        reported: set[str] = set()
        for queue_id, number, kind, lease in store.read_now(
            lambda tx: tx.all(
                "SELECT r.queue_id, r.number, m.kind, r.lease FROM queue_recipient r"
                " JOIN queue_message m ON m.id=r.queue_id"
            )
        ):
            assert lease == "", "a lease outlived its dispatcher"
            octets = store.read_now(lambda tx, q=queue_id: read_octets(tx, q))
            name = name_in(octets.header)
            assert octets.header == header_of(name)
            if kind == QueueKind.REPORT:
                reported.add(name.removeprefix("report-"))
                continue
            body = octets.body
            whole = (
                store.blobs.read(body.blob_id, body.offset, octets.size - len(octets.header))
                if isinstance(body, SealedBlob)
                else body.octets
            )
            assert whole == body_of(name, len(whole) - len(name) - 11), f"{name} is not whole"
            waiting.add((name, number))
        for name, recipients in accepting.items():
            for number in range(1, recipients + 1):
                key = (name, number)
                is_there = key in waiting
                is_reported = f"{name}-{number}" in reported
                assert not (is_there and is_reported), f"{key} is reported on and would be sent"
                if key in ended:
                    assert not is_there, f"{key} would be {ending[key]} a second time"
                    if ending[key] == {"failed"}:
                        assert is_reported, f"{key} failed and nobody is told"
                elif name in accepted and key not in ending:
                    assert is_there, f"{key} was accepted and is lost"
                elif name in accepted and not is_there:
                    # Its last write was under way: it happened as a whole.
                    assert "failed" not in ending[key] or is_reported or len(ending[key]) > 1
        for name, _ in waiting:
            assert name in accepting
    finally:
        store.close_now()
