"""Our own server in the simulated world: workers that begin, end in order, or vanish."""

from collections.abc import Callable
from random import Random
from typing import Any

from postino.app.filters import build_filtering
from postino.core.limits import Limits
from postino.core.ports import MailboxChange
from postino.delivery.accept import Delivery
from postino.delivery.forwarding import Forwarding
from postino.delivery.recipients import Recipients
from postino.delivery.reports import ReportRules, ReportWriter
from postino.delivery.senders import Senders
from postino.delivery.settings import SieveSettings
from postino.outbound.dispatch.attempt import Judge
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
from postino.servers.authentication import Authentication
from postino.servers.context import ServerContext
from tests.sim.disk import Disk, SimulatedStore
from tests.sim.network import Network
from tests.sim.process import Process
from tests.support.memory_network import MemoryBus, NullMetrics
from tests.support.virtual_time import VirtualTime
from tests.support.world import HOSTNAME, TEST_CREDENTIALS

LIMITS = Limits()


class Log:
    """A bound logger; what dead processes still say goes nowhere."""

    def __init__(self, process: Process, note: Callable[[Process, str, dict[str, Any]], None]) -> None:
        self._process = process
        self._note = note
        self._bound: dict[str, Any] = {}

    def bind(self, **more: Any) -> "Log":
        found = Log(self._process, self._note)
        found._bound = {**self._bound, **more}
        return found

    new = bind

    def _event(self, event: str, **fields: Any) -> None:
        if not self._process.is_dead:
            self._note(self._process, event, {**self._bound, **fields})

    debug = info = warning = error = critical = exception = _event


class Worker:
    """One process that serves and sends."""

    def __init__(
        self,
        number: int,
        process: Process,
        disk: Disk,
        network: Network,
        places: Any,
        time: VirtualTime,
        settings: OutboundSettings,
        chance: Random,
        note: Callable[[Process, str, dict[str, Any]], None],
        *,
        workers: int,
        first: bool,
    ) -> None:
        self.number = number
        self.process = process
        self.opened: SimulatedStore = disk.open(process, first=first)
        self.bus = MemoryBus()
        store = self.opened.store
        log: Any = Log(process, note)
        metrics: Any = NullMetrics()
        self.delivery = delivery = Delivery(
            store=store, limits=LIMITS, clock=time, hostname=HOSTNAME, log=log, metrics=metrics
        )
        delivery.recipients = Recipients(store, lambda: LIMITS.message_octets, time.monotonic, time)
        delivery.senders = Senders(store, time.monotonic)
        writer = ReportWriter(
            resolve=lambda address: delivery.recipients.resolve_own(address, "+", HOSTNAME),
            rules=lambda: ReportRules(
                HOSTNAME, settings.returned_octets, int(settings.report_lifetime_seconds)
            ),
            limits=lambda: LIMITS,
        )
        forwarding = Forwarding(store, writer, lambda: settings.lifetime_seconds)

        def local(judge: Judge) -> LocalDelivery:
            return LocalDelivery(
                delivery,
                forwarding,
                judge,
                blobs=store.blobs,
                clock=time,
                limits=lambda: LIMITS,
                separator=lambda: "+",
                filtering=lambda: self.context.filtering,
            )

        def note_tls(outcome: Any) -> None:
            pass

        sts = StsPolicies(
            places.resolver,
            store,
            clock=time,
            log=log,
            note=note_tls,
            fetch=places.fetch,
            steady=time.monotonic,
        )
        self.outbound = Outbound(
            settings=settings,
            store=store,
            bus=self.bus,  # type: ignore[arg-type]
            clock=time,
            log=log,
            metrics=metrics,
            routes=Routes(settings, lambda file: "secret"),
            targets=Targets(
                places.resolver,
                TlsPolicies(places.resolver, sts, note_tls),
                settings,
                hostname=HOSTNAME,
                ourselves=Ourselves(frozenset({HOSTNAME})),
            ),
            signer=Signer(
                store,
                resolver=places.resolver,
                hostname=HOSTNAME,
                clock=time,
                settings=lambda: settings,
                steady=time.monotonic,
            ),
            limits=lambda: LIMITS,
            reporter=Reporter(writer, store.blobs, time, log),
            forwarding=forwarding,
            local=local,
            chance=chance.random,
            network=network.of(process),
            worker=number,
            workers=workers,
        )
        self.reporter = Reporter(writer, store.blobs, time, log)
        self.context = ServerContext(
            hostname=HOSTNAME,
            limits=LIMITS,
            store=store,
            delivery=delivery,
            outbound=self.outbound,
            authentication=Authentication(
                store=store,
                limits=LIMITS,
                clock=time,
                log=log,
                credentials=TEST_CREDENTIALS,
                steady=time.monotonic,
            ),
            bus=self.bus,  # type: ignore[arg-type]
            clock=time,
            log=log,
            metrics=metrics,
            tls_context=lambda: None,
        )
        self.context.filtering = filtering = build_filtering(SieveSettings(), self.context)
        filtering.scripts._steady = time.monotonic
        process.run(self.outbound.start)

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return not self.process.is_dead

    def hear(self, changes: list[MailboxChange]) -> None:
        """What another process has committed."""
        if self.is_alive:
            self.bus.publish(changes)

    async def end(self, seconds: float) -> None:
        """As by SIGTERM."""
        await self.process.start(self.outbound.close(seconds))
        self.context.authentication.close()

    def release(self) -> None:
        """Close the files of a process that has died."""
        self.opened.close_now()
        self.context.authentication.close()

    def left_over(self) -> list[str]:
        """What its tables hold that nothing is under way for; empty after all is done."""
        dispatcher = self.outbound.dispatcher
        settler = dispatcher._means.settler
        tables: dict[str, Any] = {
            "held": dispatcher._held,
            "held count": dispatcher._held_count,
            "octets held": dispatcher._budget.held,
            "couriers": dispatcher._couriers,
            "idle": dispatcher._idle,
            "hungry": dispatcher._hungry,
            "waiting for the store": settler._waiting,
            "stuck": settler._stuck,
            "asked ahead": self.outbound.cut_through._open,
            "lanes at work": [
                lane.destination.key
                for lane in dispatcher._lanes
                if lane.waiting or lane.connections or lane.idle
            ],
        }
        return [f"{self.process}: {name}: {table}" for name, table in tables.items() if table]
