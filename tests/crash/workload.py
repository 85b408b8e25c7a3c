"""What happens on the disk before the power fails: deliveries, appends, moves, copies, flags, expunges, side by side.

Each task owns its messages and works on one at a time, so a message's history is a line of states; the log knows
how far it was begun and how far it was acknowledged. After a cut the message must be in the last acknowledged state
or, when a step was under way, in the one that step leads to: whole, and nowhere twice.
"""

import asyncio
import random
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from postino.core.address import parse_address
from postino.core.flags import flag_set
from postino.core.ids import AccountId, BlobId, Instant, MailboxId
from postino.core.limits import Limits
from postino.core.numset import NumberSet
from postino.delivery.facts import derive_facts
from postino.store import accounts, messages
from postino.store.blobs import BlobFiles, DiskFiles
from postino.store.content import Body, InlineBody, NewEmail, SealedBlob
from postino.store.engine.sqlite_connection import SqliteOptions
from postino.store.fetch import Column, body_octets, fetch_rows
from postino.store.flagging import FlagChange, FlagMode
from postino.store.mailboxes import list_mailboxes, mailbox_by_name
from postino.store.store import Store, open_store
from postino.store.verify import verify
from tests.crash.disk import DiskLog, LoggingVfs, Rename, Sync, SyncDirectory, Unlink, Write

NOW = Instant(1_767_225_600)
LOGINS = ("ann", "bob", "cyd")
LIMITS = Limits()
Place = tuple[str, str]
"""(login, mailbox)."""
State = Counter[Place]


@dataclass(frozen=True, slots=True)
class Begun:
    """Step `step` of message `key` was asked for; it leads to `state`."""

    key: str
    step: int
    state: tuple[tuple[Place, int], ...]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The step's function returned: a server would now have said 250 or OK."""

    key: str
    step: int
    uids: tuple[tuple[Place, int], ...] = ()


class LoggingBlobFiles(DiskFiles):
    """The system's files, with each operation that a power cut may undo told to a DiskLog."""

    def __init__(self, log: DiskLog) -> None:
        self._log = log
        self._names: dict[int, str] = {}
        self._sizes: dict[int, int] = {}

    def create(self, path: Path) -> int:
        descriptor = super().create(path)
        self._names[descriptor] = self._log.relative(path)
        self._sizes[descriptor] = 0
        self._log.add(Write(self._names[descriptor], 0, b""))
        return descriptor

    def write(self, descriptor: int, octets: bytes) -> None:
        super().write(descriptor, octets)
        self._log.add(Write(self._names[descriptor], self._sizes[descriptor], bytes(octets)))
        self._sizes[descriptor] += len(octets)

    def fsync(self, descriptor: int) -> None:
        self._log.add(Sync(self._names[descriptor], self._log.mark()))

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self._log.add(Rename(self._log.relative(source), self._log.relative(target)))

    def fsync_dir(self, path: Path) -> None:
        self._log.add(SyncDirectory(self._log.relative(path), self._log.mark()))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self._log.add(Unlink(self._log.relative(path)))


def body_of(key: str, octets: int) -> bytes:
    """A body that says whose it is and can be told from any torn one."""
    line = f"{key} ".encode()
    return (line * (octets // len(line) + 1))[:octets] + b"\r\nend of " + key.encode() + b"\r\n"


def header_of(key: str) -> bytes:
    """The header every copy of the message has."""
    return f"Message-ID: <{key}@example.org>\r\nSubject: {key}\r\n\r\n".encode()


@dataclass(slots=True)
class Workload:
    """One run: `tasks` sessions with `steps` steps each, chosen by `seed`."""

    log: DiskLog
    store: Store
    ids: dict[str, AccountId]
    boxes: dict[Place, MailboxId]
    seed: int
    states: dict[str, State] = field(default_factory=dict)
    uids: dict[str, dict[Place, int]] = field(default_factory=dict)

    async def run(self, *, tasks: int, steps: int) -> None:
        await asyncio.gather(*(self._session(task, steps) for task in range(tasks)))

    async def _session(self, task: int, steps: int) -> None:
        rng = random.Random(self.seed * 1000 + task)
        mine: list[str] = []
        numbers: dict[str, int] = {}
        for step in range(steps):
            held = [key for key in mine if sum(self.states[key].values()) > 0]
            action = rng.choice(("deliver", "deliver", "append", "copy", "move", "flag", "expunge", "big"))
            if action in ("deliver", "append", "big") or not held:
                key = f"m{self.seed}-{task}-{step}"
                mine.append(key)
                numbers[key] = 0
                await self._create(key, action, rng)
            else:
                key = rng.choice(held)
                numbers[key] += 1
                await self._change(key, numbers[key], action, rng)
            if rng.random() < 0.3:
                await asyncio.sleep(0)

    async def _create(self, key: str, action: str, rng: random.Random) -> None:
        if action == "append":
            places: list[Place] = [(rng.choice(LOGINS), rng.choice(("INBOX", "Drafts", "Archive")))]
        else:
            places = [(login, "INBOX") for login in rng.sample(LOGINS, rng.choice((1, 1, 3)))]
        octets = body_of(key, rng.choice((20, 700, 5000, 30_000)) if action != "big" else 200_000)
        state = Counter(places)
        self.log.note(Begun(key, 0, tuple(state.items())))
        body: Body = InlineBody(octets)
        if action == "big":
            body = SealedBlob(await asyncio.to_thread(self._seal, octets), 0)
        header = header_of(key)
        new = NewEmail(header, body, derive_facts(header, octets, LIMITS), NOW)
        targets = [(self.ids[login], self.boxes[login, box], new) for login, box in places]
        short = rng.random() < 0.7
        appended = await self.store.write(lambda tx: messages.deliver(tx, targets, NOW), short=short)
        self.states[key] = state
        self.uids[key] = {place: done.uid for place, done in zip(places, appended, strict=True)}
        self.log.note(Acknowledged(key, 0, tuple(self.uids[key].items())))

    def _seal(self, octets: bytes) -> BlobId:
        with self.store.blobs.open_spool() as spool:
            spool.write(octets[:70_000])
            spool.write(octets[70_000:])
            return spool.seal()

    async def _change(self, key: str, step: int, action: str, rng: random.Random) -> None:
        place = rng.choice(sorted(self.uids[key]))
        login, box = place
        account, here = self.ids[login], self.boxes[place]
        uids = NumberSet.of([self.uids[key][place]])
        after = Counter(self.states[key])
        known = dict(self.uids[key])
        if action in ("copy", "move"):
            other = rng.choice([name for name in ("INBOX", "Archive", "Sent", "Trash") if name != box])
            target = (login, other)
            if target in known:
                action = "flag"
            else:
                after[target] += 1
        if action in ("move", "expunge"):
            after -= Counter([place])
            del known[place]
        self.log.note(Begun(key, step, tuple(after.items())))
        if action == "flag":
            flags = FlagChange(FlagMode.ADD, flag_set([rng.choice(("\\Seen", "\\Flagged", "$Work"))]))
            await self.store.write(
                lambda tx: messages.store_flags(tx, account, here, uids, flags, None), durable=False
            )
        elif action == "expunge":
            await self.store.write(
                lambda tx: messages.expunge(tx, account, here, uids, only_deleted=False, now=NOW)
            )
        else:
            there = self.boxes[target]
            transfer = messages.copy if action == "copy" else messages.move
            done = await self.store.write(lambda tx: transfer(tx, account, here, uids, there, now=NOW))
            known[target] = done.target_uids.first
        self.states[key], self.uids[key] = after, known
        self.log.note(Acknowledged(key, step, tuple(known.items())))


def prepare(root: Path) -> None:
    """Make accounts and mailboxes, closed in order: what was on the disk long before the cut."""
    store = open_store(root, first=True)

    def make(tx: object) -> None:
        accounts.create_domain(tx, "example.org", NOW)
        for login in LOGINS:
            accounts.create_account(tx, parse_address(f"{login}@example.org"), "hash", "scram", 0, NOW)

    store.write_now(make)
    store.close_now()


def record(
    root: Path, vfs_name: str, *, seed: int, tasks: int, steps: int, honest_sync: bool = True
) -> DiskLog:
    """Run a workload below `root` and give the log of what it did to the disk."""
    log = DiskLog(root)
    vfs = LoggingVfs(vfs_name, log, honest_sync=honest_sync)
    # Small log and small batches: checkpoints and many syncs belong to the picture.
    options = SqliteOptions(vfs=vfs_name, checkpoint_pages=60, mmap_octets=0, batch_jobs=4)
    files: BlobFiles = LoggingBlobFiles(log)

    async def run() -> None:
        store = open_store(root, first=True, options=options, blob_files=files)
        ids = {
            login: account.id
            for login in LOGINS
            if (
                account := store.read_now(
                    lambda tx, key=f"{login}@example.org": accounts.account_by_login(tx, key)
                )
            )
        }
        boxes = {
            (login, box.name): box.id
            for login in LOGINS
            for box in store.read_now(lambda tx, account=ids[login]: list_mailboxes(tx, account))
        }
        await Workload(log, store, ids, boxes, seed).run(tasks=tasks, steps=steps)
        await store.close()

    asyncio.run(run())
    vfs.unregister()
    return log


def recover(root: Path, vfs_name: str) -> DiskLog:
    """Open and close what a cut left, as the server's next start does, and give the log of that."""
    log = DiskLog(root)
    vfs = LoggingVfs(vfs_name, log)
    options = SqliteOptions(vfs=vfs_name, checkpoint_pages=60, mmap_octets=0)
    store = open_store(root, first=True, options=options, blob_files=LoggingBlobFiles(log))
    store.close_now()
    vfs.unregister()
    return log


def check(root: Path, notes: list[object]) -> None:
    """The oracle: open what the cut left, and compare it with what was promised. Raises AssertionError."""
    allowed: dict[str, list[State]] = {}
    acked_uid: Counter[Place] = Counter()
    begun: dict[str, State] = {}
    for note in notes:
        if isinstance(note, Begun):
            begun[note.key] = Counter(dict(note.state))
            allowed.setdefault(note.key, [Counter()]).append(begun[note.key])
        elif isinstance(note, Acknowledged):
            allowed[note.key] = [begun[note.key]]
            for place, uid in note.uids:
                acked_uid[place] = max(acked_uid[place], uid)

    store = open_store(root, first=True)
    try:
        found = store.read_now(lambda tx: verify(tx, store.blobs))
        assert not found, f"the store contradicts itself: {found}"
        observed: dict[str, State] = {}
        for login in LOGINS:
            account = store.read_now(
                lambda tx, key=f"{login}@example.org": accounts.account_by_login(tx, key)
            )
            assert account is not None
            for box in store.read_now(lambda tx, owner=account.id: list_mailboxes(tx, owner)):
                assert box.uid_next > acked_uid[login, box.name], "a UID would be given twice"
                rows = store.read_now(
                    lambda tx, a=account.id, b=box.id: fetch_rows(
                        tx, a, b, NumberSet([(1, 1 << 31)]), frozenset({Column.HEADER, Column.BODY})
                    )
                )
                for _uid, header, body in rows:
                    octets = body_octets(body, store.blobs)
                    key = header.split(b"<", 1)[1].split(b"@", 1)[0].decode()
                    assert header == header_of(key)
                    assert octets == body_of(key, len(octets) - len(key) - 11), f"{key} is not whole"
                    observed.setdefault(key, Counter())[login, box.name] += 1
        for key, states in allowed.items():
            assert observed.get(key, Counter()) in states, (
                f"{key} is in {dict(observed.get(key, Counter()))}, but was promised to be in one of "
                f"{[dict(state) for state in states]}"
            )
        assert observed.keys() <= allowed.keys()
        # Life goes on: a new message gets a fresh UID.
        account = store.read_now(lambda tx: accounts.account_by_login(tx, "ann@example.org"))
        assert account is not None
        inbox = store.read_now(lambda tx: mailbox_by_name(tx, account.id, "INBOX"))
        header, body = header_of("after"), b"after\r\n"
        new = NewEmail(header, InlineBody(body), derive_facts(header, body, LIMITS), NOW)
        done = store.write_now(lambda tx: messages.append(tx, account.id, inbox.id, new, now=NOW))
        assert done.uid > acked_uid["ann", "INBOX"]
    finally:
        store.close_now()


def fresh_directory(path: Path) -> Path:
    """An empty directory at `path`."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path
