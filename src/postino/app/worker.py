"""One worker: an event loop, the store, and every service on the sockets it was given.

Invariants: runs in a process of its own, forked before any thread or loop began; sessions end before
    the store closes; a worker whose supervisor is gone ends itself.
Not here: choosing parts (app/wiring.py), starting workers (app/supervisor.py).
"""

import asyncio
import gc
import os
import signal
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from postino.app import wiring
from postino.app.logging import LogLevel, make_logger
from postino.app.metrics_page import metrics_page, own_counts, socket_path
from postino.app.paths import DataPaths
from postino.app.reload import read_again
from postino.app.settings_file import Configuration
from postino.core.errors import PostinoError, SettingsError
from postino.net.bus import DatagramBus, LocalBus
from postino.net.listener import Listeners, Service
from postino.net.sockets import ListenAddress, bind
from postino.servers.account_sessions import CHECK_SECONDS
from postino.servers.metrics import Metrics

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

SWITCH_SECONDS: Final = 0.0001
STORE_OPEN: Final = b"\x01"
READY: Final = b"\x02"
CANNOT_START: Final = b"\x03"
"""What a worker writes to its supervisor; after the last, the sentence that says why."""
_DAY_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class WorkerStart:
    """What the supervisor gives a worker."""

    number: int
    workers: int
    sockets: list[tuple[str, socket.socket]]
    """Service name and bound socket."""
    tell: int
    """Descriptor on which the worker tells how its start goes."""
    life: int
    """Descriptor that reaches its end when the supervisor is gone."""
    first: bool
    """Whether this is the first opening of the store at this start of the server."""


def run_worker(configuration: Configuration, start: WorkerStart) -> int:
    """Serve until told to stop; gives the process's exit status."""
    import uvloop

    # PERF: by default a thread that has done its work (a commit, a search) waits up to 5 ms for a busy
    # loop to notice; 0.1 ms gave 15 % more messages a second with 50 sessions (docs/adr/0006).
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_Worker(configuration, start).serve())
    except PostinoError as error:
        os.write(start.tell, CANNOT_START + str(error).encode("utf-8", "replace")[:4000])
        return 1
    return 0


class _ListenerEvents:
    """What listeners tell, as log lines and counts."""

    def __init__(self, log: "FilteringBoundLogger", metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics

    def refused(self, service: str, address: str, reason: str) -> None:
        protocol = _protocol(service)
        self._metrics.connection_refused(protocol, reason)
        self._log.warning(
            "connection.refused", protocol=protocol, service=service, peer=address, reason=reason
        )

    def handshake_failed(self, service: str, address: str, reason: str) -> None:
        protocol = _protocol(service)
        self._metrics.tls_failed(protocol)
        self._log.info("tls.failed", protocol=protocol, service=service, peer=address, reason=reason)

    def session_broken(self, service: str, address: str, error: BaseException) -> None:
        protocol = _protocol(service)
        self._metrics.session_fault(protocol)
        self._log.error("session.fault", protocol=protocol, service=service, peer=address, exc_info=error)

    def accept_paused(self, service: str, reason: str) -> None:
        self._log.error("accept.paused", service=service, reason=reason)


def _protocol(service: str) -> str:
    """The name under which sessions of a service are logged and counted."""
    return wiring.PROTOCOLS.get(service, service)


class _Worker:
    def __init__(self, configuration: Configuration, start: WorkerStart) -> None:
        self.configuration = configuration
        self.start = start
        server = configuration.settings.server
        self.level = LogLevel(server.log_level)
        self.log = make_logger(self.level, server.log_format)
        if start.workers > 1:
            self.log = self.log.bind(worker=start.number)
        self.paths = DataPaths(configuration.data)
        self.stopping = asyncio.Event()
        self.alone = asyncio.Event()
        """No other worker writes any more, or the supervisor is gone."""
        self.metrics = Metrics()

    async def serve(self) -> None:
        """Everything from opening the store to closing it."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._loop_fault)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signal_stop, number)
        loop.add_reader(self.start.life, self._life_ended)
        self.certificates = wiring.open_certificates(self.configuration)
        store = wiring.open_data(self.configuration, first=self.start.first)
        self._tell(STORE_OPEN)
        bus = self._open_bus()
        try:
            store.on_commit = bus.publish
            self.context = wiring.build_context(
                self.configuration,
                store=store,
                bus=bus,
                metrics=self.metrics,
                log=self.log,
                certificates=self.certificates,
            )
            self.outbound = wiring.build_outbound(
                self.configuration, self.context, worker=self.start.number, workers=self.start.workers
            )
            self.context.outbound = self.outbound
            loop.add_signal_handler(signal.SIGHUP, self._reload)
            listeners = self._listen()
            if self.outbound is not None:
                self.outbound.start()
            tasks = [asyncio.create_task(self._watch_certificates())]
            tasks += [asyncio.create_task(self._beat()), asyncio.create_task(self._check_sessions())]
            if self.start.number == 0:
                tasks.append(asyncio.create_task(self._sweep()))
                if self.configuration.settings.store.search_index:
                    tasks.append(asyncio.create_task(wiring.index(self.context)))
                tasks.append(asyncio.create_task(self._warn_of_expiry()))
                if self.outbound is not None:
                    tasks += [asyncio.create_task(chore()) for chore in self.outbound.chores]
            # What lives from here to the end need not be looked at by the collector again; and a
            # server's sessions are no garbage, so look at the old ones seldom.
            gc.collect()
            gc.freeze()
            gc.set_threshold(10_000, 20, 20)
            self._tell(READY)
            await self.stopping.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            seconds = self.configuration.settings.server.shutdown_seconds
            await asyncio.gather(listeners.close(seconds), self._stop_sending(seconds))
            if self.context.mailbox_events is not None:
                await self.context.mailbox_events.close(seconds)
            self.context.authentication.close()
            if self.start.first and self.start.workers > 1:
                # Closing notes that the run ended in order, which nothing may be written after.
                async with asyncio.timeout(self.configuration.settings.server.shutdown_seconds + 5.0):
                    await self.alone.wait()
        finally:
            if isinstance(bus, DatagramBus):
                bus.close()
            await store.close()

    async def _stop_sending(self, seconds: float) -> None:
        if self.outbound is not None:
            await self.outbound.close(seconds)

    def _life_ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self.start.life)
        self.alone.set()
        self.stopping.set()

    def _tell(self, what: bytes) -> None:
        try:
            os.write(self.start.tell, what)
        except OSError:
            # The supervisor is gone; the life descriptor tells us to end.
            pass

    def _open_bus(self) -> LocalBus:
        if self.start.workers == 1:
            return LocalBus()
        return DatagramBus(self.paths.run, self.start.number, self.start.workers)

    def _listen(self) -> Listeners:
        listeners = Listeners(
            limits=lambda: self.context.limits,
            tls_context=self.certificates.asking_context,
            log=_ListenerEvents(self.log, self.metrics),
        )
        page = metrics_page(self.metrics, self.paths.run, self.start.number, self.start.workers)
        if self.start.workers > 1:
            own = ListenAddress("", 0, socket_path(self.paths.run, self.start.number))
            listeners.listen(bind(own)[0][0], Service("worker-counts", own_counts(self.metrics)))
        for name, bound in self.start.sockets:
            if name == "metrics":
                listeners.listen(bound, Service("metrics", page))
            else:
                listeners.listen(bound, wiring.service(name, self.context))
        return listeners

    def _signal_stop(self, number: int) -> None:
        # Ctrl-C at a terminal reaches every process of the server; the supervisor decides.
        if number == signal.SIGTERM:
            self.stopping.set()

    def _loop_fault(self, loop: asyncio.AbstractEventLoop, fault: dict[str, object]) -> None:
        self.log.error("loop.fault", reason=str(fault.get("message", "")), exc_info=fault.get("exception"))

    # While serving

    def _reload(self) -> None:
        """Read the settings and certificates again; what cannot be used changes nothing."""
        try:
            configuration, waiting = read_again(self.configuration)
            self.certificates.replace(*wiring.certificate_files(configuration))
            routes = wiring.open_routes(configuration)
            self.configuration = configuration
            wiring.change_settings(self.context, self.level, configuration)
            if self.outbound is not None:
                self.outbound.change_settings(configuration.settings.outbound, routes)
            self.log.info("settings.loaded", at_next_start=waiting)
        except SettingsError as error:
            self.log.error("settings.refused", reason=str(error))

    async def _watch_certificates(self) -> None:
        while True:
            await asyncio.sleep(self.configuration.settings.tls.check_seconds)
            for change in self.certificates.refresh():
                if change.error:
                    self.log.error("certificate.refused", reason=change.error)
                else:
                    self.log.info("certificate.loaded", certificate=str(change.files.certificate))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.context.limits.imap_progress_seconds)
            self.context.sessions.beat()

    async def _check_sessions(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self.context.sessions.check(self.context.store)
            except PostinoError as error:
                self.log.warning("sessions.unchecked", reason=str(error))

    async def _warn_of_expiry(self) -> None:
        while True:
            for files, not_after in self.certificates.expiring(wiring.soon()):
                self.log.warning(
                    "certificate.expires",
                    certificate=str(files.certificate),
                    not_after=f"{not_after:%Y-%m-%dT%H:%M:%SZ}",
                )
            await asyncio.sleep(_DAY_SECONDS)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self.configuration.settings.store.sweep_seconds)
            try:
                await wiring.sweep(self.configuration, self.context)
            except PostinoError as error:
                self.log.warning("sweep.failed", reason=str(error))
