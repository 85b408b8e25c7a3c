"""A disk that remembers what was promised: every write, sync and rename of a run, in order.

A run happens on the real file system, under a VFS and a blob directory that log each operation. Afterwards
`Disk.image(cut, ...)` says what a file system may hold if the power had failed right after operation `cut`:

- what was synced before the cut is there;
- of what was not, any subset of 512-octet sectors, in any order, and any file length in between;
- a created, renamed or removed name is certain only once its directory was synced.

One run so gives as many power cuts as it has operations, each with as many outcomes as there are seeds.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import apsw

SECTOR_OCTETS = 512


@dataclass(frozen=True, slots=True)
class Write:
    name: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """`began` counts the operations logged when the sync started: later writes are not covered."""

    name: str
    began: int


@dataclass(frozen=True, slots=True)
class Rename:
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Unlink:
    name: str


@dataclass(frozen=True, slots=True)
class SyncDirectory:
    name: str
    began: int


@dataclass(frozen=True, slots=True)
class Note:
    """Something the workload learned: an operation was begun or acknowledged."""

    what: object


Event = Write | Truncate | Sync | Rename | Unlink | SyncDirectory | Note


@dataclass(slots=True)
class DiskLog:
    """The operations of one run, from every thread, in the order in which they finished."""

    root: Path
    events: list[Event] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, event: Event) -> None:
        with self.lock:
            self.events.append(event)

    def note(self, what: object) -> None:
        self.add(Note(what))

    def mark(self) -> int:
        with self.lock:
            return len(self.events)

    def relative(self, path: str | Path) -> str:
        return str(Path(path).resolve().relative_to(self.root.resolve()))

    def sync_points(self) -> list[int]:
        """Positions right before and right after each sync: where a cut is most telling."""
        points: list[int] = []
        for at, event in enumerate(self.events):
            if isinstance(event, Sync | SyncDirectory):
                points += [at, at + 1]
        return sorted(set(points))


class LoggingVfs(apsw.VFS):
    """The system's VFS, with each operation that changes a file told to a DiskLog."""

    def __init__(self, name: str, log: DiskLog, *, honest_sync: bool = True) -> None:
        self.log = log
        self.honest_sync = honest_sync
        super().__init__(name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "LoggingFile":  # noqa: N802
        return LoggingFile(self.log, name, flags, honest_sync=self.honest_sync)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        self.log.add(Unlink(self.log.relative(filename)))
        if syncdir:
            self.log.add(SyncDirectory(self.log.relative(Path(filename).parent), self.log.mark()))


class LoggingFile(apsw.VFSFile):
    """A file of LoggingVfs. `honest_sync=False` is a disk that lies, to prove that the test notices."""

    def __init__(
        self, log: DiskLog, name: str | apsw.URIFilename | None, flags: list[int], *, honest_sync: bool
    ) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self.log, self.honest_sync = log, honest_sync
        # A file without a name is SQLite's own scratch space; it is gone after a crash anyway.
        self.kept = log.relative(path) if path else None
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        if self.kept:
            self.log.add(Write(self.kept, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        if self.kept:
            self.log.add(Truncate(self.kept, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        # PERF: the real sync is left out: what it promises is simulated, and it is the slowest part.
        if self.kept and self.honest_sync:
            self.log.add(Sync(self.kept, self.log.mark()))


@dataclass(slots=True)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, Write | Truncate]] = field(default_factory=list)


class Disk:
    """Replays a DiskLog up to a cut, keeping apart what is durable and what is pending."""

    def __init__(self, log: DiskLog, base: dict[str, bytes]) -> None:
        """`base` is what was on the disk, durably, before the log began."""
        self._events = log.events
        self._at = 0
        self._files = {name: _File(bytearray(data)) for name, data in base.items()}
        self._names = {name: name for name in base}
        """Visible name -> file, as the running system sees it."""
        self._durable_names = dict(self._names)
        self._name_changes: list[tuple[int, Callable[[dict[str, str]], None], str]] = []
        self._created = 0
        self.notes: list[object] = []

    def advance(self, cut: int) -> None:
        """Replay up to and without operation `cut`; cuts must not go backwards."""
        while self._at < cut:
            self._replay(self._at, self._events[self._at])
            self._at += 1

    def _file(self, at: int, name: str) -> _File:
        key = self._names.get(name)
        if key is None:
            self._created += 1
            key = f"{name}#{self._created}"
            self._files[key] = _File()
            self._names[name] = key
            made = key
            self._name_changes.append((at, lambda names: names.__setitem__(name, made), name))
        return self._files[key]

    def _replay(self, at: int, event: Event) -> None:
        match event:
            case Note(what):
                self.notes.append(what)
            case Write(name) | Truncate(name):
                self._file(at, name).pending.append((at, event))
            case Sync(name, began):
                file = self._file(at, name)
                covered = [op for when, op in file.pending if when < began]
                file.pending = [(when, op) for when, op in file.pending if when >= began]
                for op in covered:
                    _apply(file.durable, op)
                # SQLite's own files: the VFS syncs their directory with the first sync of the file.
                # Ours are synced by name through SyncDirectory.
                if "blobs" not in name and "spool" not in name:
                    self._settle_names(began, only=name)
            case Rename(old, new):
                key = self._names.pop(old)
                self._names[new] = key

                def renamed(names: dict[str, str], old: str = old, new: str = new, key: str = key) -> None:
                    names.pop(old, None)
                    names[new] = key

                self._name_changes.append((at, renamed, new))
            case Unlink(name):
                self._names.pop(name, None)
                self._name_changes.append((at, lambda names: names.pop(name, None), name))  # type: ignore[arg-type, return-value]
            case SyncDirectory(name, began):
                self._settle_names(began, directory=name)

    def _settle_names(self, began: int, *, only: str | None = None, directory: str | None = None) -> None:
        kept = []
        for when, change, name in self._name_changes:
            here = name == only if only is not None else str(Path(name).parent) == directory
            if when < began and here:
                change(self._durable_names)
            else:
                kept.append((when, change, name))
        self._name_changes = kept

    def image(self, rng: random.Random) -> dict[str, bytes]:
        """One of the states the disk may be in now, chosen by `rng`: name -> octets."""
        names = dict(self._durable_names)
        keep_names = rng.choice((0.0, 0.5, 1.0))
        for _, change, _name in self._name_changes:
            if rng.random() < keep_names:
                change(names)
        keep = rng.choice((0.0, 0.2, 0.5, 0.9, 1.0))
        found = {}
        for name, key in names.items():
            file = self._files[key]
            octets = file.durable
            if file.pending:
                octets = bytearray(octets)
                ops = [op for _, op in file.pending]
                if rng.random() < 0.3:
                    # The device may have written out of order, too.
                    rng.shuffle(ops)
                for op in ops:
                    _apply_some(octets, op, rng, keep)
            found[name] = bytes(octets)
        return found


def _apply(octets: bytearray, op: Write | Truncate) -> None:
    if isinstance(op, Truncate):
        del octets[op.size :]
        return
    if len(octets) < op.offset:
        octets.extend(bytes(op.offset - len(octets)))
    octets[op.offset : op.offset + len(op.data)] = op.data


def _apply_some(octets: bytearray, op: Write | Truncate, rng: random.Random, keep: float) -> None:
    if isinstance(op, Truncate):
        if rng.random() < keep:
            _apply(octets, op)
        return
    at = op.offset
    end = op.offset + len(op.data)
    while at < end:
        stop = min(end, (at // SECTOR_OCTETS + 1) * SECTOR_OCTETS)
        if rng.random() < keep:
            _apply(octets, Write(op.name, at, op.data[at - op.offset : stop - op.offset]))
        at = stop


def write_image(image: dict[str, bytes], root: Path) -> None:
    """Lay the image down as real files below `root`."""
    for name, octets in image.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets)


def read_tree(root: Path) -> dict[str, bytes]:
    """Every file below `root`, by relative name."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }
