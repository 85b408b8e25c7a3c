"""The parent of the workers: binds the ports, gives root up, starts workers and starts them again.

Exposure: root until the ports are bound; reads nothing from the network, ever.
Invariants: never runs an event loop, a thread or the database, so it can fork at any time; holds the
    listening sockets, so that a port stays open (and its backlog kept) while a worker is replaced.
Not here: what a worker does (app/worker.py).
"""

import gc
import os
import pwd
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from postino.app import privileges
from postino.app.logging import LogLevel, make_logger
from postino.app.paths import DataPaths
from postino.app.reload import read_again
from postino.app.settings_file import Configuration
from postino.app.wiring import load_servers, make_missing_certificate, open_certificates, open_routes
from postino.app.worker import CANNOT_START, READY, STORE_OPEN, WorkerStart, run_worker
from postino.core.errors import PostinoError, SettingsError
from postino.net.sockets import bind

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

START_SECONDS: Final = 60.0
STEADY_SECONDS: Final = 10.0
"""A worker that lived this long is started again at once; one that did not, PATIENCE times at once and
then a little later each time."""
PATIENCE: Final = 3
LONGEST_PAUSE_SECONDS: Final = 10.0


class CannotStart(PostinoError):
    """The server did not come up; the sentence is the worker's own."""


@dataclass(slots=True)
class _Child:
    """One worker's place: its number and sockets stay while processes come and go."""

    number: int
    sockets: list[tuple[str, socket.socket]]
    pid: int = 0
    tell: int = -1
    told: bytes = b""
    started: float = 0.0
    failures: int = 0
    restart_at: float = 0.0


@dataclass(slots=True)
class Supervisor:
    """Runs one server. `run()` returns its exit status."""

    configuration: Configuration
    prepare: Callable[[], None] | None = None
    """Run in a process of its own, as the server's user, before the first worker starts."""
    on_ready: Callable[["Supervisor"], None] | None = None
    """Called in the supervisor once every worker serves."""
    ports: dict[str, int] = field(default_factory=dict)
    """Service -> the port it is on, for TCP services."""
    _children: list[_Child] = field(default_factory=list)
    _signals: list[int] = field(default_factory=list)
    _wake: int = -1
    _life: tuple[int, int] = (-1, -1)
    _level: LogLevel = field(default_factory=lambda: LogLevel("info"))
    _log: "FilteringBoundLogger | None" = None

    @property
    def log(self) -> "FilteringBoundLogger":
        """The supervisor's own logger."""
        assert self._log is not None
        return self._log

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT. Raises PostinoError when the server cannot start."""
        server = self.configuration.settings.server
        self._level.set(server.log_level)
        self._log = make_logger(self._level, server.log_format)
        paths = DataPaths(self.configuration.data)
        user = privileges.require_user(server.user)
        paths.prepare()
        # Held, also by the workers, until the last of them is gone.
        paths.take_lock()
        for left in paths.run.glob("*.[0-9]*"):
            left.unlink(missing_ok=True)
        if make_missing_certificate(self.configuration):
            self.log.info("certificate.made", certificate=str(paths.self_signed_certificate))
        privileges.allow_many_files()
        self._bind()
        # Before the fork, so that the workers share it.
        load_servers()
        self._give_root_up(user)
        # A wrong certificate or route is better told now, in one sentence, than by each worker.
        open_certificates(self.configuration)
        open_routes(self.configuration)
        self._catch_signals()
        gc.collect()
        gc.freeze()
        try:
            if self.prepare is not None:
                self._run_aside(self.prepare)
            self._start_all()
            self.log.info("server.ready", pid=os.getpid(), workers=len(self._children), **self.ports)
            if self.on_ready is not None:
                self.on_ready(self)
            self._watch()
        finally:
            clean = self._stop()
        self.log.info("server.stopped")
        return 0 if clean else 1

    # Starting

    def _bind(self) -> None:
        workers = self.configuration.workers
        self._children = [_Child(number, []) for number in range(workers)]
        for service, addresses in self.configuration.listen().items():
            for address in addresses:
                for child, bound in zip(self._children, bind(address, workers), strict=True):
                    child.sockets += [(service, one) for one in bound]
                    if not address.path and bound:
                        self.ports.setdefault(service, bound[0].getsockname()[1])

    def _give_root_up(self, user: pwd.struct_passwd | None) -> None:
        if user is not None:
            privileges.hand_over(self.configuration.data, user)
            privileges.become(user)
            privileges.require_program(user.pw_name)

    def _catch_signals(self) -> None:
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake = reading
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda caught, _frame: self._signals.append(caught))
        self._life = os.pipe2(os.O_CLOEXEC)

    def _run_aside(self, work: Callable[[], None]) -> None:
        """Run `work` in a child, so that the supervisor stays without threads and open databases."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        pid = self._fork()
        if pid == 0:
            status = 1
            try:
                work()
                status = 0
            except PostinoError as error:
                os.write(writing, str(error).encode("utf-8", "replace")[:4000])
            finally:
                _end_process(status)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            sentence = pipe.read().decode("utf-8", "replace")
        _, status = os.waitpid(pid, 0)
        if status != 0:
            raise CannotStart(sentence or "The first start could not be prepared; see the lines above")

    def _start_all(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        first, *others = self._children
        # The first opening may bring the database up to date; nobody else may look before.
        self._start(first, first=True)
        self._await(first, STORE_OPEN, deadline)
        for child in others:
            self._start(child)
        for child in self._children:
            self._await(child, READY, deadline)

    def _await(self, child: _Child, what: bytes, deadline: float) -> None:
        while what not in child.told:
            if CANNOT_START in child.told or not self._listen_to(child, deadline):
                sentence = child.told.partition(CANNOT_START)[2].decode("utf-8", "replace")
                raise CannotStart(sentence or "A worker did not start; the lines above say why")
            if {signal.SIGTERM, signal.SIGINT} & set(self._signals):
                raise CannotStart("Stopped while starting")

    def _listen_to(self, child: _Child, deadline: float) -> bool:
        """Read more of what a starting worker tells; False when it will tell nothing more."""
        ready, _, _ = select.select([child.tell, self._wake], [], [], max(0.0, deadline - time.monotonic()))
        if self._wake in ready:
            os.read(self._wake, 4096)
        if child.tell in ready:
            told = os.read(child.tell, 8192)
            child.told += told
            return bool(told)
        return bool(ready)

    def _start(self, child: _Child, *, first: bool = False) -> None:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        pid = self._fork()
        if pid == 0:
            status = 70
            try:
                status = self._be_worker(child, writing, first=first)
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                _end_process(status)
        os.close(writing)
        if child.tell >= 0:
            os.close(child.tell)
        child.pid, child.tell, child.told, child.started = pid, reading, b"", time.monotonic()

    def _fork(self) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            os.close(self._life[1])
        return pid

    def _be_worker(self, child: _Child, tell: int, *, first: bool) -> int:
        # A SIGHUP that comes before the loop listens must not end the worker.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for other in self._children:
            if other is not child:
                mine = {bound.fileno() for _, bound in child.sockets}
                for _, bound in other.sockets:
                    if bound.fileno() not in mine and bound.fileno() >= 0:
                        bound.close()
        return run_worker(
            self.configuration,
            WorkerStart(child.number, len(self._children), child.sockets, tell, self._life[0], first),
        )

    # Watching

    def _watch(self) -> None:
        while True:
            signals, self._signals[:] = list(self._signals), []
            if {signal.SIGTERM, signal.SIGINT} & set(signals):
                return
            if signal.SIGHUP in signals:
                self._reload()
            self._collect()
            self._restart_due()
            pause = [c.restart_at - time.monotonic() for c in self._children if not c.pid]
            tells = [c.tell for c in self._children if c.pid and c.tell >= 0]
            ready, _, _ = select.select([self._wake, *tells], [], [], max(0.0, min(pause)) if pause else None)
            if self._wake in ready:
                os.read(self._wake, 4096)
            for child in self._children:
                if child.tell in ready:
                    self._hear(child)

    def _reload(self) -> None:
        """Have the workers read their settings again, and give those that start later the same."""
        self._send_all(signal.SIGHUP)
        try:
            self.configuration, _ = read_again(self.configuration)
        except SettingsError:
            # Each worker says why, and goes on as before; so does this process.
            return
        self._level.set(self.configuration.settings.server.log_level)

    def _hear(self, child: _Child) -> None:
        """What a worker started again has to tell."""
        told = os.read(child.tell, 8192)
        child.told += told
        if not told:
            os.close(child.tell)
            child.tell = -1
            sentence = child.told.partition(CANNOT_START)[2]
            if sentence:
                self.log.error("worker.cannot_start", worker=child.number, reason=sentence.decode())

    def _collect(self) -> None:
        """Take note of workers that ended, and when to start them again."""
        for child in self._children:
            if not child.pid:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid == 0:
                continue
            now = time.monotonic()
            child.failures = 0 if now - child.started >= STEADY_SECONDS else child.failures + 1
            hopeless = child.failures - PATIENCE
            pause = min(LONGEST_PAUSE_SECONDS, 0.2 * 2**hopeless) if hopeless > 0 else 0.0
            child.pid, child.restart_at = 0, now + pause
            self.log.error("worker.died", worker=child.number, pid=pid, status=_why(status), restart_in=pause)

    def _restart_due(self) -> None:
        for child in self._children:
            if not child.pid and child.restart_at <= time.monotonic():
                self._start(child)
                self.log.info("worker.restarted", worker=child.number, pid=child.pid)

    def _send_all(self, number: int) -> None:
        for child in self._children:
            if child.pid:
                try:
                    os.kill(child.pid, number)
                except ProcessLookupError:
                    pass

    # Stopping

    def _stop(self) -> bool:
        """End every worker; True when each ended well."""
        for child in self._children:
            for _, bound in child.sockets:
                bound.close()
        self._send_all(signal.SIGTERM)
        deadline = time.monotonic() + self.configuration.settings.server.shutdown_seconds + 10.0
        clean = True
        # The first worker, which notes the orderly end, waits until it is the last.
        for child in reversed(self._children):
            if child.number == 0 and self._life[1] >= 0:
                os.close(self._life[1])
                self._life = (self._life[0], -1)
            while child.pid:
                pid, status = os.waitpid(child.pid, os.WNOHANG)
                if pid:
                    clean = clean and status == 0
                    child.pid = 0
                elif time.monotonic() > deadline:
                    os.kill(child.pid, signal.SIGKILL)
                    deadline += 5.0
                else:
                    select.select([self._wake], [], [], 0.05)
                    self._drain_wake()
        return clean

    def _drain_wake(self) -> None:
        try:
            os.read(self._wake, 4096)
        except BlockingIOError:
            pass


def _why(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _end_process(status: int) -> None:
    """End a forked child without running what its parent registered for its own end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
