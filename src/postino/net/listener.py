"""Accept connections within limits, and run one coroutine for each until it ends.

Exposure: the first code an unknown client reaches; holds nothing for a client before the limits allow it.
Invariants: every accepted connection is counted once and given back once; a session's end closes its
    connection, after what it wrote was sent; a worker out of file descriptors pauses instead of spinning.
Not here: what is spoken (servers/), which ports (app/supervisor.py), TLS contexts (net/tls.py).
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from postino.core.limits import Limits
from postino.net.connection import LINGER_SECONDS, Connection, is_loopback
from postino.net.tls_memory import tls_begins

ACCEPT_BATCH: Final = 64
HANDSHAKE_SECONDS: Final = 30.0
_OUT_OF_RESOURCES: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE_SECONDS: Final = 0.2


class ListenerLog(Protocol):
    """The events a listener tells of; app/ turns them into log lines."""

    def refused(self, service: str, address: str, reason: str) -> None:
        """A connection was turned away: `too-many` or `too-many-from-address`."""

    def handshake_failed(self, service: str, address: str, reason: str) -> None:
        """A client did not manage TLS."""

    def session_broken(self, service: str, address: str, error: BaseException) -> None:
        """A session let an exception out: a fault of ours."""

    def accept_paused(self, service: str, reason: str) -> None:
        """The worker has no file descriptors or memory for another connection."""


@dataclass(frozen=True, slots=True)
class Service:
    """What is spoken on a listening socket."""

    name: str
    serve: Callable[[Connection], Awaitable[None]]
    implicit_tls: bool = False
    refusal: bytes = b""
    """What a client hears in the clear when there are too many connections."""
    tls_context: Callable[[], ssl.SSLContext | None] | None = None
    """For implicit TLS, instead of the one all listeners have."""


class Listeners:
    """All listening sockets of one worker, and the sessions they began."""

    def __init__(
        self,
        *,
        limits: Callable[[], Limits],
        tls_context: Callable[[], ssl.SSLContext | None],
        log: ListenerLog,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._tls_context = tls_context
        self._log = log
        self._listening: dict[socket.socket, Service] = {}
        self._sessions: dict[asyncio.Task[None], Connection | None] = {}
        self._by_address: dict[str, int] = {}
        self._closing = False

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._sessions)

    def listen(self, bound: socket.socket, service: Service) -> None:
        """Begin to accept on a bound, non-blocking socket, which is ours from now on."""
        self._listening[bound] = service
        self._loop.add_reader(bound.fileno(), self._accept, bound, service)

    def stop_listening(self) -> None:
        """Accept no more; sessions go on."""
        for bound in self._listening:
            self._loop.remove_reader(bound.fileno())
            bound.close()
        self._listening.clear()

    async def close(self, grace_seconds: float) -> None:
        """Stop listening, let sessions end by themselves for a while, then end them.

        Sessions that wait for input say goodbye at once (ServerClosing); those at work finish the
        command they are at. Returns when every connection is closed.
        """
        self._closing = True
        self.stop_listening()
        for connection in list(self._sessions.values()):
            if connection is not None:
                connection.end_soon()
        if self._sessions:
            await asyncio.wait(list(self._sessions), timeout=grace_seconds)
        for task in list(self._sessions):
            task.cancel()
        if self._sessions:
            await asyncio.wait(list(self._sessions), timeout=LINGER_SECONDS + 1)
        for connection in list(self._sessions.values()):
            if connection is not None:
                connection.abort()
        await asyncio.sleep(0)

    # Accepting

    def _accept(self, bound: socket.socket, service: Service) -> None:
        for _ in range(ACCEPT_BATCH):
            try:
                accepted, peer = bound.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    self._log.accept_paused(service.name, error.strerror or str(error))
                    self._loop.remove_reader(bound.fileno())
                    self._loop.call_later(_PAUSE_SECONDS, self._resume, bound, service)
                return
            address = peer[0] if isinstance(peer, tuple) else ""
            reason = self._over_limit(address)
            if reason:
                self._log.refused(service.name, address, reason)
                self._turn_away(accepted, service)
                continue
            accepted.setblocking(False)
            task = self._loop.create_task(self._run(accepted, address, service))
            self._sessions[task] = None
            self._by_address[address] = self._by_address.get(address, 0) + 1

    def _resume(self, bound: socket.socket, service: Service) -> None:
        if bound in self._listening:
            self._loop.add_reader(bound.fileno(), self._accept, bound, service)

    def _over_limit(self, address: str) -> str:
        limits = self._limits()
        if len(self._sessions) >= limits.connections:
            return "too-many"
        if self._by_address.get(address, 0) >= limits.connections_per_address and not is_loopback(address):
            return "too-many-from-address"
        return ""

    @staticmethod
    def _turn_away(accepted: socket.socket, service: Service) -> None:
        try:
            if service.refusal and not service.implicit_tls:
                accepted.send(service.refusal, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:
            pass
        finally:
            accepted.close()

    # One connection

    async def _run(self, accepted: socket.socket, address: str, service: Service) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection: Connection | None = None
        try:
            connection = await self._open(accepted, address, service)
            if connection is None:
                return
            self._sessions[task] = connection
            if self._closing:
                connection.end_soon()
            await service.serve(connection)
        except asyncio.CancelledError:
            # Only close() cancels sessions; the task ends here.
            pass
        except Exception as error:
            self._log.session_broken(service.name, address, error)
        finally:
            if connection is not None:
                connection.close()
                try:
                    async with asyncio.timeout(LINGER_SECONDS * 2):
                        await connection.wait_closed()
                except (TimeoutError, asyncio.CancelledError):
                    connection.abort()
            del self._sessions[task]
            left = self._by_address[address] - 1
            if left:
                self._by_address[address] = left
            else:
                del self._by_address[address]

    async def _open(self, accepted: socket.socket, address: str, service: Service) -> Connection | None:
        find_context = service.tls_context or self._tls_context
        context = find_context() if service.implicit_tls else None
        # What the loop returns beside the transport is the TLS layer on uvloop, so we keep our own.
        connection = Connection()
        try:
            if service.implicit_tls:
                if context is None:
                    accepted.close()
                    self._log.handshake_failed(service.name, address, "this server has no certificate")
                    return None
                tls_begins(self._loop)
                await self._loop.connect_accepted_socket(
                    lambda: connection,
                    accepted,
                    ssl=context,
                    ssl_handshake_timeout=HANDSHAKE_SECONDS,
                    ssl_shutdown_timeout=LINGER_SECONDS,
                )
            else:
                await self._loop.connect_accepted_socket(lambda: connection, accepted)
        except (OSError, EOFError) as error:
            accepted.close()
            if service.implicit_tls:
                self._log.handshake_failed(service.name, address, _tls_reason(error))
            return None
        except asyncio.CancelledError:
            accepted.close()
            raise
        return connection


def _tls_reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
