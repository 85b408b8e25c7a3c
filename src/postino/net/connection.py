"""One TCP, TLS or Unix connection, as a session sees it: read what is there, write, wait.

RFC: 5929 §4 (tls-server-end-point).
Exposure: sees unauthenticated octets first; holds at most `READ_PAUSE_OCTETS` unread ones.
Invariants: octets received before start_tls() are never seen after it; read() never returns
    octets out of order; what was written before close() is sent; nothing here knows a protocol.
Not here: framing (smtp/, imap/, pop3/), which certificate to show (net/tls.py), DEFLATE (compression.py).
"""

import asyncio
import math
import socket
import ssl
import struct
from dataclasses import dataclass
from typing import Final, cast

from postino.net.compression import Deflater, Inflater
from postino.net.tls_client import shown_certificates
from postino.net.tls_memory import tls_begins

READ_PAUSE_OCTETS: Final = 256 * 1024
LINGER_SECONDS: Final = 2.0
_RECEIVE_OCTETS: Final = 64 * 1024
_CREDENTIALS: Final = struct.Struct("3i")
"""struct ucred: process, user, group."""
_TIMER_SECONDS: Final = 0.002
"""What the loop's timers, which count milliseconds, may ring early."""

# PERF: one receive buffer for every connection of the worker: octets are copied out before the
# event loop turns, so an idle session holds no buffer at all (bench: idle sessions).
_receive_buffer: Final = bytearray(_RECEIVE_OCTETS)
_receive_view: Final = memoryview(_receive_buffer)


class ConnectionLost(ConnectionError):
    """The other side is gone, or did not read what it asked for in time."""


class HandshakeFailed(ConnectionLost):
    """TLS could not be agreed on; `cause` is what OpenSSL or the network says."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"TLS handshake failed: {cause}")
        self.cause = cause


class ServerClosing(TimeoutError):
    """The server is shutting down, and the session was waiting for input: say goodbye and end.

    A TimeoutError, because a session does the same for both: `421`, `* BYE`, no deletion in POP3.
    """


class LoginTakenBack(ServerClosing):
    """What the session logged in with does not hold any more; `str()` says why, for the client."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a connection comes from. `address` is empty for a Unix socket."""

    address: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """True for this machine itself, Unix sockets included."""
        return is_loopback(self.address)

    def __str__(self) -> str:
        return f"{self.address}:{self.port}" if self.address else "unix"


def is_loopback(address: str) -> bool:
    """Whether this address is the machine's own; none at all is a Unix socket's."""
    # PERF: without parsing: an IPv4 address is given as four numbers, and so is one inside IPv6.
    return not address or address.removeprefix("::ffff:").startswith("127.") or address == "::1"


class Connection(asyncio.BufferedProtocol):
    """A connection with its unread octets. One coroutine reads it; writes never block."""

    __slots__ = (
        "_chunks",
        "_closed_waiter",
        "_closing",
        "_deflater",
        "_discarding",
        "_end",
        "_ending",
        "_inflater",
        "_linger_timer",
        "_loop",
        "_lost",
        "_paused_reading",
        "_read_deadline",
        "_read_timer",
        "_read_timer_at",
        "_read_waiter",
        "_transport",
        "_unread",
        "_write_paused",
        "_write_waiter",
        "client_names",
        "local",
        "peer",
        "server_certificate_hash",
    )

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._chunks: list[bytes] = []
        self._unread = 0
        self._end = False
        self._lost = False
        self._closing = False
        self._discarding = False
        self._ending: ServerClosing | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._closed_waiter: asyncio.Future[None] | None = None
        self._paused_reading = False
        self._write_paused = False
        self._read_waiter: asyncio.Future[None] | None = None
        self._read_deadline = math.inf
        self._read_timer: asyncio.TimerHandle | None = None
        self._read_timer_at = 0.0
        self._write_waiter: asyncio.Future[None] | None = None
        self._deflater: Deflater | None = None
        self._inflater: Inflater | None = None
        self.peer = Peer("", 0)
        self.local = Peer("", 0)
        self.server_certificate_hash = b""
        """Hash of the certificate shown to the client (tls-server-end-point); empty without TLS."""
        self.client_names: tuple[str, ...] = ()
        """Logins in the certificate the client showed, which an authority of the settings vouches for."""

    # What a session uses

    @property
    def is_tls(self) -> bool:
        """Whether what we say now travels encrypted."""
        return self._transport is not None and self._transport.get_extra_info("ssl_object") is not None

    @property
    def is_secure(self) -> bool:
        """Whether a password may be said here: TLS, or never leaving this machine."""
        return self.is_tls or self.peer.is_loopback

    @property
    def is_closed(self) -> bool:
        """Whether the transport is gone or going; reading gives the end, writing goes nowhere."""
        return self._closing or self._lost or self._transport is None or self._transport.is_closing()

    def peer_user_id(self) -> int | None:
        """Whose process is at the other end of a Unix socket, as the system says; None for others."""
        found = self._transport.get_extra_info("socket") if self._transport is not None else None
        if found is None or found.family != socket.AF_UNIX:
            return None
        credentials = found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(credentials)[1])

    def tls_version(self) -> str:
        """`TLSv1.3 TLS_AES_256_GCM_SHA384`, or empty without TLS; for logs and Received fields."""
        found = self._transport.get_extra_info("ssl_object") if self._transport else None
        if found is None:
            return ""
        tls = cast("ssl.SSLObject", found)
        cipher = tls.cipher()
        return f"{tls.version()} {cipher[0] if cipher else ''}".strip()

    def read_nowait(self) -> bytes:
        """All octets at hand, perhaps none. Never waits.

        Under compression a piece of them, and ProtocolViolation for octets that are not DEFLATE.
        """
        if self._inflater is None:
            return self._received() if self._unread else b""
        if self._unread and not self._inflater.has_more:
            self._inflater.add(self._received())
        data = self._inflater.take()
        if self._inflater.is_over:
            self._inflater = None
        return data

    def _received(self) -> bytes:
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._unread = 0
        if self._paused_reading and self._transport is not None and not self._lost:
            self._paused_reading = False
            self._transport.resume_reading()
        return data

    async def read(self, timeout_seconds: float) -> bytes:
        """All octets at hand, waiting for the first; `b""` at the end of the stream.

        Raises TimeoutError after `timeout_seconds` without an octet, ServerClosing (a TimeoutError)
        when the server is shutting down and nothing is at hand.
        """
        while True:
            if not self._unread and not self._end and not self._may_inflate:
                if self._ending is not None:
                    raise self._ending
                waiter = self._read_waiter = self._loop.create_future()
                self._end_read_at(self._loop.time() + timeout_seconds)
                try:
                    await waiter
                finally:
                    self._read_waiter = None
            data = self.read_nowait()
            # What is received compressed need not be a whole octet of what was sent.
            if data or self.at_end:
                return data

    @property
    def at_end(self) -> bool:
        """Whether the other side has closed and everything it sent has been read."""
        return self._end and not self._unread and not self._may_inflate

    @property
    def _may_inflate(self) -> bool:
        return self._inflater is not None and self._inflater.has_more

    def write(self, data: bytes) -> None:
        """Send `data`, now or when the other side reads on. Nothing happens on a lost connection."""
        # uvloop raises between the loss and telling us of it.
        if self._transport is not None and not self._lost and not self._transport.is_closing():
            self._transport.write(data if self._deflater is None else self._deflater.compress((data,)))

    def write_pieces(self, pieces: list[bytes]) -> None:
        """As write(), for many octets: without TLS they are not copied together first."""
        if self._transport is not None and not self._lost and not self._transport.is_closing():
            if self._deflater is not None:
                self._transport.write(self._deflater.compress(pieces))
            elif self.is_tls:
                # Each piece would be a TLS record of its own.
                self._transport.write(b"".join(pieces))
            else:
                self._transport.writelines(pieces)

    @property
    def must_drain(self) -> bool:
        """Whether so much is unsent that the session should `await drain()` before making more."""
        return self._write_paused

    async def drain(self, timeout_seconds: float = 300.0) -> None:
        """Wait until the other side has read enough. Raises ConnectionLost when it does not."""
        if self._lost:
            raise ConnectionLost("the connection is closed")
        if not self._write_paused:
            return
        waiter = self._write_waiter = self._loop.create_future()
        timer = self._loop.call_later(timeout_seconds, self._time_out, waiter)
        try:
            await waiter
        except TimeoutError:
            self.abort()
            raise ConnectionLost("the client does not read") from None
        finally:
            timer.cancel()
            self._write_waiter = None
        if self._lost:
            raise ConnectionLost("the connection is closed")

    async def drain_or_reply(self, timeout_seconds: float = 300.0) -> None:
        """As drain(), but also return when octets or the end of the stream are at hand.

        For a client that sends much: a server that has said no already may never read the rest.
        """
        if self._lost or not self._write_paused or self._unread or self._end:
            return
        waiter = self._write_waiter = self._read_waiter = self._loop.create_future()
        self._read_deadline = math.inf
        timer = self._loop.call_later(timeout_seconds, self._time_out, waiter)
        try:
            await waiter
        except TimeoutError:
            self.abort()
            raise ConnectionLost("the server does not read") from None
        finally:
            timer.cancel()
            self._write_waiter = self._read_waiter = None

    def peer_certificates(self) -> tuple[bytes, ...]:
        """What the other side showed, each as DER, its own first; nothing of it need be verified."""
        found = self._transport.get_extra_info("ssl_object") if self._transport else None
        return () if found is None else shown_certificates(cast("ssl.SSLObject", found))

    async def start_tls(self, context: ssl.SSLContext, *, timeout_seconds: float = 30.0) -> None:
        """Switch to TLS as the server. Raises ConnectionLost when the handshake fails.

        SECURITY: octets that came before the switch are thrown away here, so a command smuggled in
        behind STARTTLS is never read as if it had come over TLS (RFC 3207 §4.2).
        """
        await self._start_tls(context, None, timeout_seconds)

    async def start_tls_as_client(
        self, context: ssl.SSLContext, server_name: str | None, *, timeout_seconds: float = 30.0
    ) -> None:
        """Switch to TLS as the client, asking for `server_name`. Raises HandshakeFailed, ConnectionLost.

        SECURITY: there must be no octet of plaintext at hand; whoever sent one is not to be trusted
        (RFC 3207 §4.2), and the caller ends the session before it comes here. One that is still on its way is
        read as TLS, and is none.
        """
        assert not self._unread
        await self._start_tls(context, server_name, timeout_seconds, is_client=True)

    async def _start_tls(
        self,
        context: ssl.SSLContext,
        server_name: str | None,
        timeout_seconds: float,
        is_client: bool = False,
    ) -> None:
        transport = self._transport
        if transport is None or self._lost:
            raise ConnectionLost("the connection is closed")
        # Nothing awaits between here and start_tls() taking the transport from us, so no plaintext
        # octet can still arrive; what the kernel holds is then read as TLS, and is none.
        self.read_nowait()
        tls_begins(self._loop)
        try:
            upgraded = await self._loop.start_tls(
                transport,
                self,
                context,
                server_side=not is_client,
                server_hostname=server_name,
                ssl_handshake_timeout=timeout_seconds,
                ssl_shutdown_timeout=LINGER_SECONDS,
            )
        except (OSError, EOFError) as error:
            self.abort()
            raise HandshakeFailed(error) from error
        if upgraded is None or self._lost:
            raise ConnectionLost("the connection was lost during the TLS handshake")
        self._transport = upgraded
        self._note_certificate()

    # Compression

    @property
    def is_compressed(self) -> bool:
        """Whether what we say now is compressed."""
        return self._deflater is not None

    def start_compression(self, already_read: bytes, *, ratio: int) -> None:
        """Compress both directions from here on. `already_read` was read and is compressed already.

        One octet received may become at most `ratio`, a few MiB aside; more ends the session.
        """
        self._deflater = Deflater()
        self._inflater = Inflater(ratio)
        self._inflater.add(already_read)

    def stop_compression(self, last: bytes) -> None:
        """Send `last` as the end of the compressed stream; both directions are plain from there on."""
        deflater, inflater = self._deflater, self._inflater
        assert deflater is not None
        assert inflater is not None
        self._deflater = None
        self.write(deflater.finish(last))
        inflater.end()

    def rest(self) -> None:
        """The session will probably be silent for a while: hold no more memory than must be."""
        if self._deflater is not None:
            self._deflater.rest()

    def close(self) -> None:
        """Close after what was written has been sent; input is no longer read."""
        transport = self._transport
        if transport is None or self._lost or self._closing:
            return
        self._closing = self._discarding = True
        self._chunks.clear()
        self._unread = 0
        at_end, self._end = self._end, True
        self._wake(self._read_waiter)
        if at_end or self.is_tls or not transport.can_write_eof():
            transport.close()
            return
        # Closing a socket with unread octets makes TCP reset it, and the other side may then never
        # see our last reply; so we say that we are done, and swallow input until it is done too.
        try:
            transport.write_eof()
            if self._paused_reading:
                self._paused_reading = False
                transport.resume_reading()
        except (OSError, RuntimeError):
            transport.abort()
            return
        self._linger_timer = self._loop.call_later(LINGER_SECONDS, transport.abort)

    def abort(self) -> None:
        """Close now; unsent octets are lost."""
        if self._transport is not None and not self._lost:
            self._closing = True
            self._transport.abort()

    # What the listener uses

    def end_soon(self, why: ServerClosing | None = None) -> None:
        """Have the session end where it next waits for input, by raising `why`; for shutdown without one."""
        why = self._ending = self._ending or why or ServerClosing()
        waiter = self._read_waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(why)

    async def wait_closed(self) -> None:
        """Return once the transport is gone; call close() or abort() first."""
        if self._transport is None or self._lost:
            return
        if self._closed_waiter is None:
            self._closed_waiter = self._loop.create_future()
        await asyncio.shield(self._closed_waiter)

    def _note_certificate(self) -> None:
        assert self._transport is not None
        tls = self._transport.get_extra_info("ssl_object")
        if tls is not None:
            # After a choice by server name this is the chosen context (net/tls.py gives it the hash).
            shown = getattr(tls, "context", None)
            self.server_certificate_hash = getattr(shown, "certificate_hash", self.server_certificate_hash)
            # SECURITY: a certificate is only told here when its chain was verified; ssl gives an empty
            # one otherwise, and none to contexts that do not ask for it.
            find_names = getattr(shown, "client_names", None)
            if find_names is not None:
                self.client_names = find_names(tls.getpeercert())

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; called again after start_tls on some loops."""
        self._transport = cast("asyncio.Transport", transport)
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if isinstance(peer, tuple):
            self.peer = Peer(str(peer[0]), int(peer[1]))
        if isinstance(local, tuple):
            self.local = Peer(str(local[0]), int(local[1]))
        self._note_certificate()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the loop puts the next octets."""
        return _receive_view

    def buffer_updated(self, nbytes: int) -> None:
        """Take `nbytes` octets out of the shared buffer."""
        if self._discarding:
            return
        self.feed(bytes(_receive_view[:nbytes]))

    def feed(self, data: bytes) -> None:
        """Add received octets; also how the in-memory network delivers."""
        self._chunks.append(data)
        self._unread += len(data)
        if self._unread >= READ_PAUSE_OCTETS and not self._paused_reading and self._transport is not None:
            self._paused_reading = True
            self._transport.pause_reading()
        self._wake(self._read_waiter)

    def eof_received(self) -> bool:
        """The other side will send no more; what it is owed is still sent."""
        self._end = True
        self._wake(self._read_waiter)
        if self._closing:
            return False
        # A TLS transport cannot be half closed; on TCP the answers to what came are still wanted.
        return not self.is_tls

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone; waiters learn it."""
        self._lost = self._end = True
        self._wake(self._read_waiter)
        self._wake(self._write_waiter)
        self._wake(self._closed_waiter)
        for timer in (self._linger_timer, self._read_timer):
            if timer is not None:
                timer.cancel()
        self._linger_timer = self._read_timer = None
        self._deflater = None
        # PERF: a session's objects may point at one another and live until the collector comes by;
        # the TLS state below, some 100 KB, shall not live with them (bench: idle sessions).
        self._transport = None

    def pause_writing(self) -> None:
        """Too much unsent."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """Enough was sent."""
        self._write_paused = False
        self._wake(self._write_waiter)

    def _end_read_at(self, deadline: float) -> None:
        """Have the read that begins now time out then."""
        self._read_deadline = deadline
        timer = self._read_timer
        # PERF: the timer of an earlier read stays, and looks when it rings whether the time is up:
        # one for each read costs 2 us, twice a message (bench: smtp).
        if timer is not None:
            if self._read_timer_at <= deadline:
                return
            timer.cancel()
        self._read_timer_at = deadline
        self._read_timer = self._loop.call_at(deadline, self._read_timer_rings)

    def _read_timer_rings(self) -> None:
        self._read_timer = None
        waiter, deadline = self._read_waiter, self._read_deadline
        if waiter is None or waiter.done() or deadline == math.inf:
            return
        if self._loop.time() + _TIMER_SECONDS < deadline:
            self._end_read_at(deadline)
        else:
            waiter.set_exception(TimeoutError())

    @staticmethod
    def _wake(waiter: asyncio.Future[None] | None) -> None:
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    @staticmethod
    def _time_out(waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            waiter.set_exception(TimeoutError())
