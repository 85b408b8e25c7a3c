"""One simulated world from its beginning to its end, decided by one seed.

People write, the weather changes, an operator interferes, workers vanish, the power goes; then all of that ends, and
what was accepted must come to its end. oracle.py says what must be true.
"""

import asyncio
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from postino.core.address import parse_address
from postino.core.ids import AccountId
from postino.core.ports import MailboxChange
from postino.outbound.dispatch import dispatcher as dispatcher_module
from postino.outbound.dispatch import local as local_module
from postino.outbound.dispatch import settling as settling_module
from postino.outbound.settings import OutboundSettings
from postino.sieve import compile_script
from postino.store.accounts import create_account
from postino.store.addresses import add_alias
from postino.store.scripts import ScriptLimits, put_script, set_active
from postino.store.store import Store, open_store
from postino.store.sts_policies import StoredPolicy, find_policy
from postino.store.tx import Tx
from postino.store.verify import verify
from tests.sim.disk import Disk, SimulatedStore
from tests.sim.journal import Commit, Journal, Settling
from tests.sim.network import Link, Network, Taking
from tests.sim.operator import Operator
from tests.sim.oracle import STAYS, Life, Oracle
from tests.sim.people import FORWARDS, SCRIPT, SCRIPTED, Mail, People
from tests.sim.places import World, authorities
from tests.sim.process import Dead, Process, make_task, nobody
from tests.sim.server import Worker
from tests.support.stored import mailbox_contents
from tests.support.virtual_time import VirtualTime
from tests.support.world import DOMAIN, NOW, no_seed, seeded_directory, test_credentials

HOUR = 3600.0
MOST_EVENTS = 150_000
"""Five times what a lively world has."""
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Outcomes:
    """What came of one seed."""

    seed: str
    findings: list[str]
    trace: str
    """The same whenever the seed is."""
    counts: dict[str, int]

    def __str__(self) -> str:
        what = "\n".join(f"  - {finding}" for finding in self.findings) or "  all is well"
        counts = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        return f"seed {self.seed} ({counts}):\n{what}"


class Simulation:
    """Made and run once for a seed."""

    def __init__(self, seed: str, *, trace_to: Path | None = None) -> None:
        self.seed = seed
        plan = self._plan = Random(f"{seed}/plan")
        self.fate = Random(f"{seed}/fate")
        self.hand = Random(f"{seed}/operator")
        self.length = plan.choice((3.0, 8.0, 16.0, 40.0)) * HOUR
        lifetime = plan.choice((1.0, 6.0, 24.0, 120.0)) * HOUR
        self.workers = plan.choice((1, 2, 2))
        self.loses_power = plan.random() < 0.4
        self.calamities = plan.choice((0.0, 0.5, 1.0, 2.0))
        """How often something befalls us, about so many times an hour at most."""
        self.operates = plan.random() < 0.6
        self.reroutes = plan.random() < 0.25
        self.leaves_some = plan.random() < 0.3
        """Whether the operator leaves held and parked mail as it is at the end."""
        self.mail_count = plan.randint(15, 45)
        self.look_seconds = 3.0 if self.length + lifetime < 20 * HOUR else 20.0
        self.settings = OutboundSettings(
            connections=plan.choice((3, 10, 100)),
            connections_per_destination=plan.choice((1, 2, 6, 20)),
            messages_per_connection=plan.choice((1, 3, 100)),
            recipients_per_message=plan.choice((1, 2, 100)),
            idle_connection_seconds=plan.choice((1.0, 5.0, 60.0)),
            connect_seconds=30.0,
            reply_seconds=plan.choice((30.0, 300.0)),
            data_seconds=plan.choice((60.0, 600.0)),
            retry_seconds=plan.choice((60.0, 300.0)),
            longest_retry_seconds=plan.choice((900.0, 4 * HOUR)),
            lifetime_seconds=lifetime,
            report_lifetime_seconds=plan.choice((HOUR, 24 * HOUR)),
            delay_notice_seconds=plan.choice((600.0, 4 * HOUR)),
            suppress_after=plan.choice((0, 5)),
            cut_through=plan.random() < 0.8,
            ipv6=plan.random() < 0.7,
            burst_messages=0,
            daily_messages=0,
            daily_recipients=0,
        )
        self.time = VirtualTime(NOW, threads=False)
        self.journal = Journal()
        self.processes: list[Process] = []
        self.sudden: set[Process] = set()
        self.workers_now: list[Worker | None] = [None] * self.workers
        self.rerouted: set[str] = set()
        self.calm_since: float | None = None
        self.is_down = False
        """No worker runs, and nobody but _all_fall() begins another."""
        self._death = asyncio.Lock()
        self.longest_full = 0.0
        self.forwards: dict[str, list[str]] = {}
        self.events: dict[str, int] = {}
        self._hash = hashlib.sha256()
        self._lines = 0
        self._trace_file = trace_to.open("w") if trace_to is not None else None
        self._ambush: tuple[str, float] | None = None
        self._inboxes: list[tuple[str, bytes]] = []
        self._kills: list[asyncio.Task[None]] = []
        self.network = Network(
            self.time.monotonic,
            Random(f"{seed}/network"),
            self.trace,
            lambda fault: self.oracle.findings.add(fault),
        )
        self.places = World(seed, self.network, plan.choice((0.0, 1.0, 1.0)))
        self.people = People(
            Random(f"{seed}/people"),
            self.time.monotonic,
            [one.name for one in self.places.domains],
            plan.choice((0.0, 0.3, 0.7)),
        )
        self.oracle = Oracle(self)
        self.operator: SimulatedStore
        self.disk: Disk

    # For the oracle

    def wall(self, seconds: float) -> int:
        """What clocks show when that much of the simulation has passed."""
        return NOW + int(seconds)

    def mail_named(self, name: str) -> Mail | None:
        """By its Message-ID."""
        local, _, domain = name.partition("@")
        return self.people.mails[int(local[1:])] if domain == "sim" else None

    def policy_of(self, domain: str) -> StoredPolicy | None:
        """The MTA-STS policy the server keeps now."""
        now = self.time.now()
        return self.operator.store.read_now(lambda tx: find_policy(tx, domain, now))

    def was_sudden(self, process: Process) -> bool:
        """Whether it ended without a chance to write down what it knew."""
        return process in self.sudden

    def may_stay(self, life: Life) -> bool:
        """Whether the operator wants this recipient to wait."""
        return self.leaves_some and life.row.state in STAYS

    def inboxes(self) -> list[tuple[str, bytes]]:
        """(user, octets) of everything delivered."""
        return self._inboxes

    # Telling

    def trace(self, kind: str, *fields: object) -> None:
        """Something happened that must happen again with the same seed."""
        line = f"{self.time.seconds:.4f} {kind} {fields}\n"
        self._hash.update(line.encode())
        self.events[kind] = self.events.get(kind, 0) + 1
        self._lines += 1
        if self._lines == MOST_EVENTS:
            self._main.cancel(f"the world runs away: {self.events}")
        if self._trace_file is not None:
            self._trace_file.write(line)

    def _logged(self, process: Process, event: str, fields: dict[str, Any]) -> None:
        if event.endswith(".fault") or event == "loop.fault":
            self.oracle.findings.add(f"{process}: {event} {fields}")
        if self._trace_file is not None:
            self._trace_file.write(f"{self.time.seconds:.4f} log {process} {event} {fields}\n")

    # The run

    def run(self) -> Outcomes:
        """All of it."""
        directory = Path(tempfile.mkdtemp(prefix="postino-sim-", dir=_MEMORY if _MEMORY.is_dir() else None))
        try:
            # In real time: it has an event loop of its own.
            asyncio.run(seeded_directory("empty", no_seed, directory))
            self._prepare(directory)
            with ExitStack() as stack:
                stack.enter_context(mock.patch.dict(os.environ, SSL_CERT_FILE=str(authorities())))
                stack.enter_context(mock.patch.object(dispatcher_module, "LOOK_SECONDS", self.look_seconds))
                stack.enter_context(self._noting_settlings())
                # What far servers' streams have to say about TLS.
                stack.enter_context(mock.patch.object(logging.getLogger("asyncio"), "disabled", new=True))
                stack.enter_context(self.time)
                self.time.run(self._whole(directory))
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            if self._trace_file is not None:
                self._trace_file.close()
        findings = self.oracle.judge()
        counts = {
            "mails": len(self.people.mails),
            "taken": len(self.network.takings),
            "connections": self.network.connects,
            "commits": len(self.journal.commits),
            "deaths": len(self.sudden),
            "hours": int(self.time.seconds / HOUR),
            "turns": self.time.turns,
        }
        return Outcomes(self.seed, findings, self._hash.hexdigest()[:16], counts)

    @contextmanager
    def _noting_settlings(self) -> Iterator[None]:
        real = settling_module.settle

        def noting(tx: Any, token: Any, outcomes: Any, reports: Any, now: Any, **more: Any) -> Any:
            settled = real(tx, token, outcomes, reports, now, **more)
            lost = frozenset((int(queue_id), number) for queue_id, number in settled.lost)
            self.journal.settling.append(Settling(token, outcomes, reports, lost, now))
            return settled

        with (
            mock.patch.object(settling_module, "settle", noting),
            mock.patch.object(local_module, "settle", noting),
        ):
            yield

    def _prepare(self, directory: Path) -> None:
        """Addresses that forward."""
        chance = Random(f"{self.seed}/forwards")
        store = open_store(directory)
        try:
            (bob,) = store.read_now(
                lambda tx: tx.one("SELECT id FROM account WHERE login=?", (f"bob@{DOMAIN}",))
            )  # type: ignore[misc]
            for name, (keeps, count) in FORWARDS.items():
                targets = [f"{name}{at}@{chance.choice(self.places.domains).name}" for at in range(count)]
                self.forwards[name] = targets
                if name == SCRIPTED:
                    self._script(store, targets[0])
                    continue
                store.write_now(
                    lambda tx, name=name, keeps=keeps, targets=targets: add_alias(  # type: ignore[misc]
                        tx,
                        parse_address(f"{name}@{DOMAIN}"),
                        [AccountId(bob)] if keeps else [],
                        [parse_address(target) for target in targets],
                    )
                )
        finally:
            store.close_now()

    def _script(self, store: Store, target: str) -> None:
        """An account whose script does what the alias of that name would, and more."""
        source = (SCRIPT % (DOMAIN, target)).encode()
        compiled = compile_script(source, name="main").stored

        def make(tx: Tx) -> None:
            address = parse_address(f"{SCRIPTED}@{DOMAIN}")
            account_id = create_account(tx, address, *test_credentials(), 0, NOW)
            put_script(tx, account_id, "main", source, compiled, now=NOW, limits=ScriptLimits())
            set_active(tx, account_id, "main")

        store.write_now(make)

    async def _whole(self, directory: Path) -> None:
        main = asyncio.current_task()
        assert main is not None
        self._main = main
        loop = asyncio.get_running_loop()
        loop.set_task_factory(make_task)
        loop.set_exception_handler(self._loop_fault)
        self.disk = Disk(
            directory, Random(f"{self.seed}/disk"), self.journal, self._publish, loses_power=self.loses_power
        )
        self.disk.when_committed = self._committed
        self.network.when_taken = self._taken
        self.network.when_connected = self._connected
        self._start_server()
        chaos = [
            asyncio.ensure_future(work)
            for work in (self._people_write(), self._weather(), self._operate(), self._calamities())
        ]
        audit = asyncio.ensure_future(self._audit())
        await asyncio.sleep(self.length)
        await chaos[0]
        for task in chaos[1:]:
            task.cancel()
        results = await asyncio.gather(*chaos, *self._kills, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        await self._come_to_rest()
        audit.cancel()
        await self._end()

    def _loop_fault(self, loop: asyncio.AbstractEventLoop, fault: dict[str, Any]) -> None:
        if not isinstance(fault.get("exception"), Dead):
            self.oracle.findings.add(f"loop: {fault.get('message')} {fault.get('exception')!r}")

    # The server

    def _process(self, name: str) -> Process:
        process = Process(
            f"{name}.{len(self.processes)}",
            self.time.monotonic,
            lambda fault: self.oracle.findings.add(fault),
        )
        self.processes.append(process)
        return process

    def _start_server(self) -> None:
        self.is_down = False
        for number in range(self.workers):
            self._start_worker(number, first=number == 0)
        self.operator = self.disk.open(self._process("operator"))

    def _start_worker(self, number: int, *, first: bool = False) -> None:
        process = self._process(f"worker{number}")
        self.trace("start", process.name)
        self.workers_now[number] = Worker(
            number,
            process,
            self.disk,
            self.network,
            self.places,
            self.time,
            self.settings,
            Random(f"{self.seed}/{process.name}"),
            self._logged,
            workers=self.workers,
            first=first,
        )
        self._note_calm()

    def _note_calm(self) -> None:
        is_calm = all(worker is not None for worker in self.workers_now) and not self.disk.is_full
        self.calm_since = self.time.seconds if is_calm else None

    def alive(self) -> list[Worker]:
        """Workers that run."""
        return [worker for worker in self.workers_now if worker is not None and worker.is_alive]

    def _publish(self, source: Process, changes: list[MailboxChange]) -> None:
        loop = asyncio.get_running_loop()
        for worker in self.alive():
            if worker.process is source:
                worker.hear(changes)
            elif self.fate.random() < 0.97:
                # Datagrams between processes may be lost.
                loop.call_later(0.001, worker.hear, changes, context=nobody())

    async def _kill(self, worker: Worker) -> None:
        """It vanishes."""
        self.trace("kill", worker.process.name)
        self.calm_since = None
        self.workers_now[worker.number] = None
        self.sudden.add(worker.process)
        async with self._death:
            await worker.process.die()
            self.network.cut_all_of(worker.process)
            worker.release()

    async def _kill_and_restart(self, worker: Worker, pause_seconds: float) -> None:
        await self._kill(worker)
        await asyncio.sleep(pause_seconds)
        if self.workers_now[worker.number] is None and not self.is_down:
            self._start_worker(worker.number)

    # What happens

    def _taken(self, taking: Taking) -> None:
        self.oracle.look_at_taking(taking)
        self._spring("taken", taking.link.process)

    def _connected(self, link: Link) -> None:
        self.oracle.look_at_connecting(link)
        self._spring("connected", link.process)

    def _committed(self, commit: Commit) -> None:
        rows = [
            (row.op, row.queue_id, row.number, row.address, row.state, row.next_at, bool(row.lease))
            for row in commit.rows
        ]
        self.trace("commit", commit.process.name, commit.act, rows)
        self._spring("settled" if commit.settlings else "committed", commit.process)

    def _spring(self, kind: str, process: Process) -> None:
        """Somebody waits for this very moment to kill whoever it happens to."""
        if self._ambush is None or self._ambush[0] != kind:
            return
        worker = next((one for one in self.alive() if one.process is process), None)
        if worker is None:
            return
        (_, seconds), self._ambush = self._ambush, None

        async def strike() -> None:
            await asyncio.sleep(seconds)
            if worker in self.alive():
                await self._kill_and_restart(worker, self.fate.choice((0.0, 1.0, 60.0, 900.0)))

        self._kills.append(asyncio.get_running_loop().create_task(strike(), context=nobody()))

    async def _people_write(self) -> None:
        pace = self.length / self.mail_count
        sent: list[asyncio.Task[None]] = []
        for _ in range(self.mail_count):
            await asyncio.sleep(self.people.chance.choice((0.0, 0.0, 0.1, pace, 2 * pace)))
            alive = self.alive()
            if not alive:
                continue
            worker = self.people.chance.choice(alive)
            mail = self.people.compose(self.time.now())
            self.trace(
                "mail",
                mail.name,
                mail.reverse_path,
                [one.address for one in mail.recipients],
                mail.parameters,
            )
            sent.append(asyncio.ensure_future(self._hand_in(mail, worker)))
        await asyncio.gather(*sent)

    async def _hand_in(self, mail: Mail, worker: Worker) -> None:
        await self.people.send(mail, worker.process, worker.context)
        self.trace("answer", mail.name, mail.answer[:4], [one.is_taken for one in mail.recipients])

    async def _weather(self) -> None:
        pace = self.length / 60
        while True:
            self.trace("weather", self.places.change_weather())
            await asyncio.sleep(self.fate.uniform(0.2, 2.0) * pace)

    async def _calamities(self) -> None:
        if not self.calamities:
            return
        fate = self.fate
        while True:
            await asyncio.sleep(fate.expovariate(self.calamities / HOUR) * self.length / (12 * HOUR))
            what = fate.choice(("ambush", "ambush", "ambush", "kill", "restart", "all", "power", "full"))
            alive = self.alive()
            self.trace("calamity", what, len(alive))
            match what:
                case "ambush":
                    kind = fate.choice(("taken", "taken", "connected", "committed", "settled"))
                    self._ambush = (kind, fate.choice((0.0, 0.0, 0.001, 0.01, 0.3)))
                case "kill" if alive:
                    await self._kill_and_restart(fate.choice(alive), fate.choice((0.0, 5.0, 700.0)))
                case "restart" if alive:
                    await self._restart(fate.choice(alive))
                case "all":
                    await self._all_fall(power=False)
                case "power" if self.loses_power:
                    await self._all_fall(power=True)
                case "full":
                    await self._fill_disk(fate.choice((5.0, 100.0, 1500.0)))
                case _:
                    pass

    async def _restart(self, worker: Worker) -> None:
        """In order."""
        self.calm_since = None
        self.workers_now[worker.number] = None
        if self.disk.is_full:
            self.sudden.add(worker.process)
        await worker.end(self.fate.choice((1.0, 30.0)))
        await worker.opened.close()
        self.network.cut_all_of(worker.process)
        await worker.process.die()
        if not self.is_down:
            self._start_worker(worker.number)

    async def _all_fall(self, *, power: bool) -> None:
        """The whole server is gone at once, and begins again some time later."""
        self.calm_since = None
        self.is_down = True
        for worker in self.alive():
            await self._kill(worker)
        async with self._death:
            self.operator.close_now()
        if power:
            self.trace("power", self.disk.cut_power())
        await asyncio.sleep(self.fate.choice((1.0, 60.0, 3000.0)))
        self._start_server()

    async def _fill_disk(self, seconds: float) -> None:
        self.disk.is_full = True
        self.longest_full = max(self.longest_full, seconds)
        self.calm_since = None
        await asyncio.sleep(seconds)
        self.disk.is_full = False
        self._note_calm()

    async def _operate(self) -> None:
        if not self.operates:
            return
        operator = Operator(self)
        while True:
            await asyncio.sleep(self.hand.uniform(0.1, 2.0) * self.length / 25)
            if self.alive() and not self.disk.is_full and not self.operator.is_closed:
                await operator.act()

    # The end

    async def _audit(self) -> None:
        while True:
            turns, work = self.time.turns, self._work_done()
            await asyncio.sleep(HOUR)
            self.oracle.look_each_hour(self.time.turns - turns, self._work_done() - work)

    def _work_done(self) -> int:
        """Whatever gives our server something to do."""
        return sum(self.events.values()) + len(self.places.resolver.asked)

    async def _come_to_rest(self) -> None:
        """Everything of ours works from now on; the rest of the world stays as it is."""
        self._ambush = None
        if self.disk.is_full:
            self.disk.is_full = False
        if self.is_down:
            self._start_server()
        for number, worker in enumerate(self.workers_now):
            if worker is None:
                self._start_worker(number)
        self._note_calm()
        if not self.leaves_some:
            Operator(self).let_all_go()
        settings = self.settings
        hold_seconds = 40_000.0
        longest = hold_seconds + settings.lifetime_seconds + settings.report_lifetime_seconds + 6 * HOUR
        last = self.time.seconds + longest
        while self.time.seconds < last and self._is_busy():  # noqa: ASYNC110  (the database sets no event)
            await asyncio.sleep(60.0)
        await asyncio.sleep(120.0 + settings.idle_connection_seconds)

    def _is_busy(self) -> bool:
        condition = "WHERE state=0" if self.leaves_some else ""
        row = self.operator.store.read_now(
            lambda tx: tx.one(f"SELECT count(*) FROM queue_recipient {condition}")
        )
        return row is not None and row[0] > 0

    async def _end(self) -> None:
        findings = self.oracle.findings
        for worker in self.alive():
            for sentence in worker.left_over():
                findings.add(f"left over in {sentence}")
        store = self.operator.store
        rows = store.read_now(
            lambda tx: tx.all(
                "SELECT a.login, a.id, b.name FROM account a JOIN mailbox b ON b.account_id=a.id ORDER BY 1, 3"
            )
        )
        for login, account_id, name in rows:
            self._inboxes += [
                (login.partition("@")[0], octets)
                for octets in mailbox_contents(store, AccountId(account_id), name).values()
            ]
        for finding in store.read_now(lambda tx: verify(tx, store.blobs)):
            findings.add(f"verify: {finding}")
        for worker in self.alive():
            await worker.end(5.0)
            await worker.opened.close()
            await worker.process.die()
        self.operator.close_now()
        await self.network.close()


def simulate(seed: str | int) -> Outcomes:
    """Run one; POSTINO_SIM_TRACE names a file for all that happens."""
    found = os.environ.get("POSTINO_SIM_TRACE")
    return Simulation(str(seed), trace_to=Path(found) if found else None).run()
