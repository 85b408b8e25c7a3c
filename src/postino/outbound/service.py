"""The way out as the rest of a worker knows it: one object, put together from its parts.

Invariants: settings that change while the server runs hold for what begins from then on.
Not here: which resolver, keys and routes (app/wiring.py), what the parts do (dispatcher.py and others).
"""

import asyncio
import secrets
from typing import TYPE_CHECKING, Protocol

from postino.core.ports import Bus, Clock
from postino.delivery.forwarding import Forwarding
from postino.outbound.client.held_session import HeldSession
from postino.outbound.client.outgoing import sendable
from postino.outbound.client.session import SYSTEM_NETWORK, ClientSession
from postino.outbound.client.tls_outcome import TlsNote
from postino.outbound.cut_through import CutThrough
from postino.outbound.dispatch.attempt import Judge
from postino.outbound.dispatch.courier import Means, Session
from postino.outbound.dispatch.destinations import BadHosts
from postino.outbound.dispatch.dispatcher import Dispatcher
from postino.outbound.dispatch.local import LocalDelivery
from postino.outbound.dispatch.preparation import Preparation
from postino.outbound.dispatch.retry import Chance, Retry
from postino.outbound.dispatch.settling import Done, OutboundMetrics, Settler
from postino.outbound.reports import Reporter
from postino.outbound.settings import OutboundSettings
from postino.outbound.signing.signer import Signer, Signers
from postino.outbound.targeting.routes import Routes
from postino.outbound.targeting.target import Host, Target
from postino.outbound.targeting.targets import Targets
from postino.store.content import Body
from postino.store.queue.lease import lease_token
from postino.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from structlog.typing import FilteringBoundLogger

    from postino.core.limits import Limits
    from postino.net.outgoing import Network


class Upkeep(Protocol):
    """Work beside sending (outbound/targeting/finding.py)."""

    async def run(self) -> None:
        """Work until cancelled."""
        ...

    async def close(self) -> None:
        """Leave everything in order; nothing is sent any more."""
        ...

    def change_settings(self, settings: OutboundSettings) -> None:
        """Have new settings hold from now on."""
        ...


class Outbound:
    """One for each worker; servers.context.Outbound is what sessions see of it."""

    def __init__(
        self,
        *,
        settings: OutboundSettings,
        store: Store,
        bus: Bus,
        clock: Clock,
        log: "FilteringBoundLogger",
        metrics: OutboundMetrics,
        routes: Routes,
        targets: Targets,
        signer: Signer,
        limits: "Callable[[], Limits]",
        reporter: Reporter,
        forwarding: Forwarding,
        local: "Callable[[Judge], LocalDelivery]",
        chance: Chance,
        note_tls: TlsNote | None = None,
        worker: int = 0,
        workers: int = 1,
        network: "Network" = SYSTEM_NETWORK,
    ) -> None:
        self.settings = settings
        self.routes = routes
        self.chores: list[Callable[[], Coroutine[None, None, None]]] = []
        """What one worker does for all of them, for as long as it runs."""
        self.upkeep: list[Upkeep] = []
        """What each worker does beside sending; it ends after the last message."""
        self._upkeep_tasks: list[asyncio.Task[None]] = []
        self.forwarding = forwarding
        """What becomes of received mail beyond its recipients' mailboxes."""
        self._targets = targets
        self._signer = signer
        self._blobs = store.blobs
        self._clock = clock
        self._network = network
        self._note_tls = note_tls
        self.cut_through = CutThrough(
            store,
            settings=lambda: self.settings,
            destination=lambda path, domain: self.routes.destination(path, domain),
            find_target=targets.find,
            open_session=self._open_held,
            seal=signer.pass_on_from,
            log=log,
        )
        """Asks the next server while the sender waits."""
        token = lease_token(worker, secrets.token_hex(8))
        retry = Retry(lambda: self.settings, chance)
        judge = Judge(retry)
        settler = Settler(
            store,
            token,
            clock=clock,
            log=log,
            metrics=metrics,
            delay_notice_seconds=lambda: int(self.settings.delay_notice_seconds),
            when_settled=self._settled,
        )
        here = local(judge)
        means = Means(
            settings=lambda: self.settings,
            clock=clock,
            log=log,
            retry=retry,
            judge=judge,
            settler=settler,
            preparation=Preparation(store, signer=signer, limits=limits),
            find_target=targets.find,
            open_session=self._open_session,
            make_reports=reporter.make_reports,
            deliver_here=lambda work, octets: here.deliver(work, octets, token),
            is_here=here.is_here,
            bad_hosts=BadHosts(),
        )
        self.dispatcher = Dispatcher(
            means,
            store=store,
            bus=bus,
            token=token,
            worker=worker,
            routes=lambda: self.routes,
            reporter=reporter,
            metrics=metrics,
            # A destination does not see our workers, only how many connections it gets from this machine.
            connections_per_destination=lambda: max(1, self.settings.connections_per_destination // workers),
        )

    def change_settings(self, settings: OutboundSettings, routes: Routes) -> None:
        """Have new settings and routes hold from now on."""
        self.settings = self._targets.settings = settings
        for part in self.upkeep:
            part.change_settings(settings)
        self.routes = routes
        self.dispatcher.wake()

    async def signers_of(self, header: bytes, body: Body, size: int) -> Signers:
        """Whose DKIM signatures a received message bears; `size` is the body's."""
        return await self._signer.signers_of(header, sendable(body, size, self._blobs))

    def start(self) -> None:
        """Begin to send; in the event loop."""
        self.dispatcher.start()
        self._upkeep_tasks = [asyncio.create_task(part.run()) for part in self.upkeep]

    async def close(self, seconds: float) -> None:
        """Finish what is being sent, within that time, and give the rest back to the queue."""
        await self.dispatcher.close(seconds)
        for task in self._upkeep_tasks:
            task.cancel()
        await asyncio.gather(*self._upkeep_tasks, return_exceptions=True)
        for part in self.upkeep:
            await part.close()

    def _settled(self, done: Done) -> None:
        self.dispatcher.settled(done)

    async def _open_held(self, host: Host, target: Target) -> HeldSession:
        return await HeldSession.open(
            host,
            target,
            self.settings,
            now=self._clock.now(),
            network=self._network,
            note=self._note_tls,
        )

    async def _open_session(self, host: Host, target: Target) -> Session:
        return await ClientSession.open(
            host,
            target,
            self.settings,
            now=self._clock.now(),
            network=self._network,
            note=self._note_tls,
        )
