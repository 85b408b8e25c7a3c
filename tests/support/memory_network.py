"""A network made of memory: what a Connection needs below it, without a socket.

A test feeds octets as the client, reads what the server wrote, ends the stream, or stops reading so
that the server must wait. STARTTLS is played: the server waits, throwing away what comes, until the
client says it has shaken hands.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partialmethod
from types import SimpleNamespace
from typing import Any

from postino.net.connection import Connection, ConnectionLost, Peer

OUTSIDER = Peer("192.0.2.1", 40_000)
"""The default client: not on this machine, so nothing that loopback alone may do is allowed."""
CERTIFICATE_HASH = bytes(range(32))


class FakeTls:
    """What Connection.tls_version asks an SSLObject for."""

    def version(self) -> str:
        return "TLSv1.3"

    def cipher(self) -> tuple[str, str, int]:
        return ("TLS_AES_256_GCM_SHA384", "TLSv1.3", 256)


class MemoryTransport(asyncio.Transport):
    """Keeps what the server writes; pauses the server when the client has stopped reading."""

    def __init__(self, peer: Peer, *, tls: bool, high_water: int = 64 * 1024) -> None:
        super().__init__()
        self.peer = peer
        self.written = bytearray()
        """Everything the server wrote that the client has not taken yet."""
        self.total_written = 0
        self.writes = 0
        self.tls = FakeTls() if tls else None
        self.high_water = high_water
        self.client_reads = True
        self.reading_paused = False
        self.aborted = False
        self.protocol: Any = None
        self.changed = asyncio.Event()
        self._paused_writer = False
        self._closing = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "peername":
            return (self.peer.address, self.peer.port) if self.peer.address else ""
        if name == "sockname":
            return ("192.0.2.25", 25)
        if name == "ssl_object":
            return self.tls if self.tls is not None else default
        return default

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return not self.reading_paused

    def pause_reading(self) -> None:
        self.reading_paused = True

    def resume_reading(self) -> None:
        self.reading_paused = False
        self.changed.set()

    def write(self, data: Any) -> None:
        if self._closing:
            return
        self.written += data
        self.total_written += len(data)
        self.writes += 1
        self.changed.set()
        if not self.client_reads and len(self.written) > self.high_water and not self._paused_writer:
            self._paused_writer = True
            self.protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return 0 if self.client_reads else len(self.written)

    def can_write_eof(self) -> bool:
        return self.tls is None

    def write_eof(self) -> None:
        self.close()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)
            self.changed.set()

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def client_takes(self) -> bytes:
        """What the client reads: everything at hand; the server may write on."""
        taken = bytes(self.written)
        self.written.clear()
        if self._paused_writer:
            self._paused_writer = False
            self.protocol.resume_writing()
        return taken


class MemoryConnection(Connection):
    """A Connection whose STARTTLS needs no socket; everything else is the real thing."""

    memory: MemoryTransport
    _handshake: asyncio.Event

    async def start_tls(self, context: Any, *, timeout_seconds: float = 30.0) -> None:
        self.read_nowait()
        self._discarding = True
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._handshake.wait()
        except TimeoutError:
            self.abort()
            raise ConnectionLost("TLS handshake failed: no octet in time") from None
        finally:
            self._discarding = False
        if self.is_closed:
            raise ConnectionLost("the connection is closed")
        self.memory.tls = FakeTls()
        self.server_certificate_hash = CERTIFICATE_HASH

    @property
    def awaits_client(self) -> bool:
        """Whether the server has done all it can and waits for octets."""
        waiter = self._read_waiter
        return not self._unread and waiter is not None and not waiter.done()


class MemoryClient:
    """The client's end. `serve` runs as a task from the start; leave the `async with` to end it."""

    def __init__(
        self,
        serve: Callable[[Connection], Awaitable[None]],
        *,
        peer: Peer = OUTSIDER,
        tls: bool = False,
        high_water: int = 64 * 1024,
        connection: MemoryConnection | None = None,
    ) -> None:
        self.transport = MemoryTransport(peer, tls=tls, high_water=high_water)
        self.connection = connection if connection is not None else MemoryConnection()
        self.connection.memory = self.transport
        self.connection._handshake = asyncio.Event()
        if tls:
            self.connection.server_certificate_hash = CERTIFICATE_HASH
        self.transport.protocol = self.connection
        self.connection.connection_made(self.transport)
        self.received = b""
        """What the client has read and not yet looked at."""
        self.task: asyncio.Task[None] = asyncio.ensure_future(self._run(serve))  # type: ignore[arg-type]

    async def _run(self, serve: Callable[[Connection], Awaitable[None]]) -> None:
        try:
            await serve(self.connection)
        finally:
            self.connection.close()
            self.transport.changed.set()

    async def __aenter__(self) -> "MemoryClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.transport.close()
        await asyncio.wait_for(self.task, 10)

    def send(self, data: bytes) -> None:
        """Deliver `data` to the server in one piece (64 KiB pieces when larger, as a socket would)."""
        for at in range(0, len(data), 64 * 1024):
            piece = data[at : at + 64 * 1024]
            self.connection.get_buffer(-1)[: len(piece)] = piece
            self.connection.buffer_updated(len(piece))

    def end(self) -> None:
        """Say that no more will come; the server closes when it likes."""
        if not self.connection.eof_received():
            self.transport.close()

    def shake_hands(self) -> None:
        """Do the client's part of STARTTLS; the server's start_tls then returns."""
        self.connection._handshake.set()

    def lose(self) -> None:
        """The wire is cut: nothing more in either direction."""
        self.transport.abort()

    def take(self) -> bytes:
        """Read everything at hand into `received` and give it all."""
        self.received += self.transport.client_takes()
        return self.received

    @property
    def is_closed(self) -> bool:
        """Whether the server has closed."""
        return self.transport.is_closing()

    async def wait_for_more(self, timeout_seconds: float = 5.0) -> None:
        """Return when the server wrote, closed, or ended."""
        if self.transport.written or self.is_closed or self.task.done():
            return
        self.transport.changed.clear()
        async with asyncio.timeout(timeout_seconds):
            await self.transport.changed.wait()

    async def quiet(self, timeout_seconds: float = 5.0) -> bytes:
        """Wait until the server waits for the client (or ended), and give what was received and forget it."""
        turns = 0
        async with asyncio.timeout(timeout_seconds):
            while not (self.task.done() or self.is_closed or self.connection.awaits_client):
                turns += 1
                # A thread of the store may need the interpreter: do not spin for long.
                await asyncio.sleep(0 if turns < 20 else 0.0005)
                if self.connection._write_paused or self.connection._discarding:
                    break
        received, self.received = self.take(), b""
        return received

    async def ask(self, data: bytes) -> bytes:
        """Send and give everything the server answers before it waits again."""
        self.send(data)
        await asyncio.sleep(0)
        return await self.quiet()


class FixedClock:
    """A wall clock that stands still until told."""

    def __init__(self, now: int = 1_767_225_600) -> None:
        self.instant = now

    def now(self) -> Any:
        return self.instant


class MemoryBus:
    """The bus of one worker: listeners are called at once."""

    def __init__(self) -> None:
        self.listeners: dict[Any, list[Any]] = {}

    def publish(self, changes: list[Any]) -> None:
        for change in changes:
            for key in ((change.account_id, change.mailbox_id), change.account_id):
                for listener in list(self.listeners.get(key, ())):
                    listener(change)

    def subscribe_account(self, account_id: Any, listener: Any) -> None:
        self.listeners.setdefault(account_id, []).append(listener)

    def unsubscribe_account(self, account_id: Any, listener: Any) -> None:
        found = self.listeners.get(account_id, [])
        if listener in found:
            found.remove(listener)

    def subscribe(self, account_id: Any, mailbox_id: Any, listener: Any) -> None:
        self.listeners.setdefault((account_id, mailbox_id), []).append(listener)

    def unsubscribe(self, account_id: Any, mailbox_id: Any, listener: Any) -> None:
        found = self.listeners.get((account_id, mailbox_id), [])
        if listener in found:
            found.remove(listener)


class NullMetrics:
    """Counts nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_args, **_kwargs: None


class RecordingLog:
    """A bound logger that keeps its events in a list shared with everything bound from it."""

    def __init__(self, events: list[SimpleNamespace] | None = None, **bound: Any) -> None:
        self.events = events if events is not None else []
        self.bound = bound

    def bind(self, **more: Any) -> "RecordingLog":
        return RecordingLog(self.events, **{**self.bound, **more})

    new = bind

    def _event(self, level: str, event: str, **fields: Any) -> None:
        self.events.append(SimpleNamespace(event=event, level=level, fields={**self.bound, **fields}))

    debug = partialmethod(_event, "debug")
    info = partialmethod(_event, "info")
    warning = partialmethod(_event, "warning")
    error = partialmethod(_event, "error")
    critical = partialmethod(_event, "critical")
    exception = partialmethod(_event, "error")
