"""The power fails while mail is filtered and scripts change: what a script decided is there whole, or not at all."""

import asyncio
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from postino.app.filters import build_filtering
from postino.core.address import parse_address
from postino.core.ids import AccountId
from postino.core.limits import Limits
from postino.delivery.accept import Delivery, Envelope, Inbound
from postino.delivery.facts import derive_facts
from postino.delivery.filters.message_filter import MessageFilter
from postino.delivery.filters.plans import never_forged
from postino.delivery.filters.running import Arriving
from postino.delivery.forwarding import Accepted, Forwarding
from postino.delivery.incoming import Content
from postino.delivery.reports import ReportRules, ReportWriter
from postino.delivery.settings import SieveSettings
from postino.sieve import compile_script
from postino.smtp.envelope import NO_MAIL_OPTIONS, NO_RCPT_OPTIONS
from postino.smtp.received import Arrival
from postino.store.accounts import Resolved, ResolvedRecipient, account_by_login
from postino.store.content import InlineBody
from postino.store.engine.sqlite_connection import SqliteOptions
from postino.store.scripts import ScriptLimits, active_script, get_script, put_script, set_active
from postino.store.store import Store, open_store
from postino.store.verify import verify
from tests.crash.disk import Disk, DiskLog, LoggingVfs, read_tree
from tests.crash.test_power_cut import CUTS, SEEDS, cut_power
from tests.crash.workload import NOW, LoggingBlobFiles, fresh_directory, prepare
from tests.support.memory_network import FixedClock, MemoryBus, NullMetrics, RecordingLog

HOSTNAME = "mail.example.org"
LOGIN = "ann@example.org"
LIMITS = Limits()
SCRIPT = (
    "# {version}\r\n"
    'require ["vacation", "copy", "fileinto", "mailbox", "duplicate", "variables"];\r\n'
    "if duplicate {{ discard; stop; }}\r\n"
    'vacation "Away";\r\nredirect :copy "on@far.example";\r\n'
    'if header :matches "X-Box" "*" {{ fileinto :create "Made {version}/${{1}}"; }}\r\n'
)
Note = tuple[str, Any]
"""What began (`mail`, `script`) or is promised (`kept`, `in force`), and which."""


def octets_of(key: str, box: int) -> tuple[bytes, bytes]:
    """(header, body)"""
    head = f"From: s@far.example\r\nTo: {LOGIN}\r\nMessage-ID: <{key}@x>\r\nSubject: {key}\r\nX-Box: b{box}\r\n\r\n"
    return head.encode(), f"{key} words\r\n".encode() * 30


class Run:
    """Mail comes in, some of it twice, while its scripts change."""

    def __init__(self, log: DiskLog, store: Store, seed: int) -> None:
        self.log, self.store, self.seed = log, store, seed
        self.clock: Any = FixedClock(NOW)
        quiet: Any = RecordingLog()
        metrics: Any = NullMetrics()
        self.delivery = Delivery(
            store=store, limits=LIMITS, clock=self.clock, hostname=HOSTNAME, log=quiet, metrics=metrics
        )
        bus = MemoryBus()
        store.on_commit = bus.publish
        context: Any = SimpleNamespace(
            store=store,
            log=quiet,
            metrics=metrics,
            bus=bus,
            hostname=HOSTNAME,
            subaddress_separator="+",
            delivery=self.delivery,
        )
        self.filtering = build_filtering(SieveSettings(), context)
        writer = ReportWriter(
            resolve=lambda address: self.delivery.recipients.resolve_own(address, "+", HOSTNAME),
            rules=lambda: ReportRules(HOSTNAME, 1000, 3600),
            limits=lambda: LIMITS,
        )
        self.forwarding = Forwarding(store, writer, lambda: 3600.0)
        self.account = account_of(store)
        self.version = 0

    async def run(self) -> None:
        await self._put()
        await asyncio.gather(*(self._session(task) for task in range(4)))

    async def _session(self, task: int) -> None:
        rng = random.Random(self.seed * 100 + task)
        for step in range(6):
            if rng.random() < 0.25:
                await self._put()
            key = f"m{task}-{step}"
            for _ in range(rng.choice((1, 1, 2))):
                await self._deliver(key, rng.randrange(3), f"s{rng.randrange(3)}@far.example")

    async def _put(self) -> None:
        self.version += 1
        version = self.version
        source = SCRIPT.format(version=version).encode()
        compiled = compile_script(source, name="main").stored
        self.log.note(("script", version))

        def put(tx: Any) -> None:
            put_script(tx, self.account, "main", source, compiled, now=NOW, limits=ScriptLimits())
            set_active(tx, self.account, "main")

        await self.store.write(put)
        self.log.note(("in force", version))

    async def _deliver(self, key: str, box: int, sender: str) -> None:
        header, body = octets_of(key, box)
        content = Content(header, InlineBody(body), derive_facts(header, body, LIMITS))
        path, arrival = parse_address(sender), Arrival("far.example", "192.0.2.1", "ESMTP")
        arriving = Arriving(
            reverse_path=path, options=NO_MAIL_OPTIONS, message_id=key, content=content, arrival=arrival
        )
        account = ResolvedRecipient(self.account, LOGIN, 0, 0)
        accepted = Accepted(parse_address(LOGIN), Resolved((account,), ()), NO_RCPT_OPTIONS)
        self.log.note(("mail", key))
        message_filter = MessageFilter(
            self.filtering, self.delivery, self.forwarding, arriving, is_forged=never_forged, now=NOW
        )
        plain, filtered, outgoing = await message_filter.plan([(account, accepted)])
        inbound = Inbound(Envelope(path, plain), content, arrival, key, outgoing=outgoing, filtered=filtered)
        await self.delivery.accept(inbound)
        self.log.note(("kept", key))


def account_of(store: Store) -> AccountId:
    found = store.read_now(lambda tx: account_by_login(tx, LOGIN))
    assert found is not None
    return found.id


def record(root: Path, seed: int) -> DiskLog:
    """What one run does to the disk."""
    log = DiskLog(root)
    name = f"scripts-{seed}"
    vfs = LoggingVfs(name, log)
    options = SqliteOptions(vfs=name, checkpoint_pages=60, mmap_octets=0, batch_jobs=4)

    async def run() -> None:
        store = open_store(root, first=True, options=options, blob_files=LoggingBlobFiles(log))
        await Run(log, store, seed).run()
        await store.close()

    asyncio.run(run())
    vfs.unregister()
    return log


def check(root: Path, notes: list[Any]) -> None:
    """Compare what the cut left with what was promised. Raises AssertionError."""
    said: dict[str, list[Any]] = {"mail": [], "kept": [], "script": [], "in force": []}
    for kind, what in notes:
        said[kind].append(what)
    store = open_store(root, first=True)
    try:
        found = store.read_now(lambda tx: verify(tx, store.blobs))
        assert not found, f"the store contradicts itself: {found}"
        account = account_of(store)

        def look(tx: Any) -> tuple[list[Any], list[bytes], int, int, set[str]]:
            copies = tx.all(
                "SELECT o.header, b.name FROM message m JOIN mailbox b ON b.id=m.mailbox_id"
                " AND b.account_id=m.account_id JOIN octets o ON o.account_id=m.account_id"
                " AND o.content_id=m.content_id"
            )
            queued = [row[0] for row in tx.all("SELECT header FROM queue_octets")]
            answered = tx.one("SELECT count(*) FROM vacation_reply")[0]
            seen = tx.one("SELECT count(*) FROM sieve_seen")[0]
            traced = {row[0] for row in tx.all("SELECT message_id FROM trace_event")}
            return copies, queued, answered, seen, traced

        copies, queued, answered, seen, traced = store.read_now(look)
        filed = Counter(subject_of(header) for header, _ in copies)
        answers = [header for header in queued if b"auto-replied (vacation)" in header]
        sent_on = Counter(subject_of(header) for header in queued if header not in answers)
        assert set(filed.values()) <= {1}, f"filed twice: {filed}"
        assert all(name.startswith("Made ") for _, name in copies), copies
        assert filed == sent_on, f"filed is {filed}, sent on is {sent_on}"
        assert set(said["kept"]) <= filed.keys() <= set(said["mail"])
        assert traced == filed.keys()
        assert seen == len(filed)
        assert len(answers) == answered <= 3
        stored = store.read_now(lambda tx: active_script(tx, account))
        assert (stored is None) <= (not said["in force"])
        if stored is not None:
            source = store.read_now(lambda tx: get_script(tx, account, "main"))
            version = int(source.split()[1])
            assert version in said["script"]
            assert version >= max(said["in force"], default=0)
            assert compile_script(source, name="main").stored == stored.compiled
    finally:
        store.close_now()


def subject_of(header: bytes) -> str:
    return header.split(b"\r\nSubject: ", 1)[1].split(b"\r\n", 1)[0].decode()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_power_cut_leaves_what_a_script_did_whole_or_not_at_all(tmp_path: Path, seed: int) -> None:
    root = fresh_directory(tmp_path / "data")
    prepare(root)
    base = read_tree(root)
    log = record(root, seed)
    disk = Disk(log, base)
    cut_power(disk, log, tmp_path, check, seed=seed, cuts=CUTS // len(SEEDS))
    disk.advance(len(log.events))
    assert {kind for kind, _ in disk.notes} == {"mail", "kept", "script", "in force"}
