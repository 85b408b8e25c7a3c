"""A worker that sends, in a world without sockets or waiting: real store, sessions and dispatcher, virtual time.

    with sending_world(tmp_path, zone="far.example. MX 10 mx.far.example. ...", servers={"192.0.2.1": habits}) as world:
        world.run(scenario(world))

`world.submit(...)` puts a message into the queue the way a session does; `world.settle()` lets time pass until the
queue is empty or nothing is due before `until`.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from postino.core.ids import AccountId, Instant
from postino.core.limits import Limits
from postino.delivery.accept import Delivery
from postino.delivery.forwarding import Forwarding
from postino.delivery.recipients import Recipients
from postino.delivery.reports import ReportRules, ReportWriter
from postino.delivery.senders import Senders
from postino.outbound.dispatch.local import LocalDelivery
from postino.outbound.reports import Reporter
from postino.outbound.service import Outbound
from postino.outbound.settings import OutboundSettings
from postino.outbound.signing.signer import Signer
from postino.outbound.targeting.hosts import Ourselves
from postino.outbound.targeting.mta_sts import StsPolicies
from postino.outbound.targeting.routes import Routes
from postino.outbound.targeting.targets import Targets
from postino.outbound.targeting.tls_policy import TlsPolicies
from postino.smtp.envelope import NO_MAIL_OPTIONS, MailOptions
from postino.store.content import Body, InlineBody
from postino.store.queue.enqueue import enqueue_message
from postino.store.queue.values import NewQueued, NewRecipient, Octets, QueueId, QueueKind
from postino.store.store import Store, open_store
from postino.store.verify import verify
from tests.support.fake_dns import FakeResolver
from tests.support.far_server import FarServer, Habits
from tests.support.memory_network import MemoryBus, RecordingLog
from tests.support.memory_pipes import MemoryNetwork
from tests.support.virtual_time import VirtualTime
from tests.support.world import HOSTNAME, NOW, no_seed, seeded_directory

HEADER = b"From: ann@example.org\r\nTo: people\r\nSubject: hello\r\n\r\n"
BODY = b"Some words.\r\n"


class RecordingMetrics:
    """What was counted, as calls."""

    def __init__(self) -> None:
        self.settled: list[tuple[str, int]] = []

    def recipient_settled(self, result: str, seconds: int) -> None:
        self.settled.append((result, seconds))

    def outbound_gauges(self, connections: int, destinations: int, messages: int) -> None:
        assert connections >= 0
        assert messages >= 0

    def queue_measured(self, recipients: int) -> None:
        assert recipients >= 0

    def message_accepted(self, octets: int, recipients: int) -> None:
        pass


class SendingWorld:
    """Made by sending_world()."""

    def __init__(self, store: Store, time: VirtualTime, zone: str, seed: int) -> None:
        self.store = store
        self.time = time
        self.resolver = FakeResolver(zone)
        self.network = MemoryNetwork()
        self.log: Any = RecordingLog()
        self.metrics = RecordingMetrics()
        self.bus = MemoryBus()
        store.on_commit = self.bus.publish
        self.chance = random.Random(seed)
        self.limits = Limits()
        self.delivery: Any = Delivery(
            store=store, limits=self.limits, clock=time, hostname=HOSTNAME, log=self.log, metrics=self.metrics
        )
        # What is remembered for a moment is so in virtual time, too.
        self.delivery.recipients = Recipients(store, lambda: self.limits.message_octets, time.monotonic, time)
        self.delivery.senders = Senders(store, time.monotonic)
        self.outbounds: list[Outbound] = []
        self.filtering: Any = None
        """Runs scripts, where a test has some."""

    def far_server(self, address: str, habits: Habits | None = None) -> FarServer:
        """Have a server there from now on."""
        server = FarServer(habits)
        self.network.servers[address] = server.serve
        return server

    def outbound(
        self,
        settings: OutboundSettings | None = None,
        *,
        worker: int = 0,
        network: Any = None,
        starts: bool = True,
    ) -> Outbound:
        """A worker's way out, started. Several share the queue."""
        settings = settings or OutboundSettings(private_addresses=True)
        writer = ReportWriter(
            resolve=lambda address: self.delivery.recipients.resolve(address, "+", HOSTNAME),
            rules=lambda: ReportRules(
                HOSTNAME, settings.returned_octets, int(settings.report_lifetime_seconds)
            ),
            limits=lambda: self.limits,
        )
        forwarding = Forwarding(self.store, writer, lambda: settings.lifetime_seconds)

        def note(outcome: Any) -> None:
            pass

        sts = StsPolicies(self.resolver, self.store, clock=self.time, log=self.log, note=note)
        outbound = Outbound(
            settings=settings,
            store=self.store,
            bus=self.bus,  # type: ignore[arg-type]
            clock=self.time,
            log=self.log,
            metrics=self.metrics,
            routes=Routes(settings, lambda file: "secret"),
            targets=Targets(
                self.resolver,
                TlsPolicies(self.resolver, sts, note),
                settings,
                hostname=HOSTNAME,
                ourselves=Ourselves(frozenset({HOSTNAME})),
            ),
            signer=Signer(
                self.store,
                resolver=self.resolver,
                hostname=HOSTNAME,
                clock=self.time,
                settings=lambda: settings,
                steady=self.time.monotonic,
            ),
            limits=lambda: self.limits,
            reporter=Reporter(writer, self.store.blobs, self.time, self.log),
            forwarding=forwarding,
            local=lambda judge: LocalDelivery(
                self.delivery,
                forwarding,
                judge,
                blobs=self.store.blobs,
                clock=self.time,
                limits=lambda: self.limits,
                separator=lambda: "+",
                filtering=lambda: self.filtering,
            ),
            chance=self.chance.random,
            network=network or self.network,
            worker=worker,
        )
        if starts:
            outbound.start()
        self.outbounds.append(outbound)
        return outbound

    async def submit(
        self,
        *addresses: str,
        outbound: Outbound | None = None,
        reverse_path: str = "ann@example.org",
        kind: QueueKind = QueueKind.SUBMITTED,
        options: MailOptions = NO_MAIL_OPTIONS,
        recipients: Sequence[NewRecipient] = (),
        header: bytes = HEADER,
        body: bytes = BODY,
        stored: Body | None = None,
        lifetime: int = 5 * 86_400,
        release_at: int = 0,
        account_id: int = 0,
    ) -> QueueId:
        """Enqueue a message; with `outbound` it is born leased to it and sent from memory."""
        now = self.time.now()
        new = NewQueued(
            kind=kind,
            account_id=AccountId(account_id),
            reverse_path=reverse_path,
            recipients=recipients or [recipient(address) for address in addresses],
            header=header,
            body=stored or InlineBody(body),
            size=len(header) + len(body),
            message_id="test-1",
            options=options,
            release_at=Instant(release_at or now),
            expires_at=Instant(now + lifetime),
        )
        dispatcher = outbound.dispatcher if outbound is not None else None
        queued = await self.store.write(
            lambda tx: enqueue_message(
                tx,
                new,
                now=now,
                lease=dispatcher.token if dispatcher else None,
                lease_until=Instant(now + dispatcher.lease_seconds) if dispatcher else Instant(0),
            )
        )
        if dispatcher is not None:
            dispatcher.take(queued, Octets(new.header, new.body, new.size))
        return queued.queue_id

    def waiting(self) -> list[dict[str, Any]]:
        """The queue's recipients, oldest first."""
        columns = "queue_id, address, state, attempts, next_at, lease, last_status, last_reply, last_remote"
        rows = self.store.read_now(
            lambda tx: tx.all(f"SELECT {columns} FROM queue_recipient ORDER BY queue_id, number")
        )
        return [dict(zip(columns.split(", "), row, strict=True)) for row in rows]

    async def pass_time(self, seconds: float) -> None:
        """Let the world go on for that long."""
        await asyncio.sleep(seconds)

    async def until_empty(self, most_seconds: float = 30 * 86_400.0) -> None:
        """Let time pass until nothing is queued."""
        give_up = self.time.monotonic() + most_seconds
        while self.waiting():
            assert self.time.monotonic() < give_up, self.waiting()
            await asyncio.sleep(5.0)

    def events(self, name: str) -> list[Any]:
        """The fields of each log event of that name."""
        return [event.fields for event in self.log.events if event.event == name]


def recipient(address: str, **fields: Any) -> NewRecipient:
    """One forward-path."""
    return NewRecipient(address=address, domain=address.rpartition("@")[2], **fields)


@contextmanager
def sending_world(
    directory: Path,
    scenario: Callable[[SendingWorld], Coroutine[Any, Any, None]],
    *,
    zone: str,
    seed: int = 1,
) -> Iterator[SendingWorld]:
    """Run a scenario to its end, then look whether the store is whole; gives the world as it was left."""
    # In real time: it has a store of its own.
    asyncio.run(seeded_directory("empty", no_seed, directory))
    with VirtualTime(NOW) as time:
        worlds: list[SendingWorld] = []

        async def whole() -> None:
            store = open_store(directory, first=True)
            time.watch_store(store)
            world = SendingWorld(store, time, zone, seed)
            worlds.append(world)
            try:
                await scenario(world)
                for outbound in world.outbounds:
                    await outbound.close(5.0)
                await world.network.close()
                faults = [event for event in world.log.events if event.event.endswith(".fault")]
                assert faults == []
                findings = await store.read(lambda tx: verify(tx, store.blobs))
                assert findings == [], findings
            finally:
                await store.close()

        time.run(whole())
        yield worlds[0]
