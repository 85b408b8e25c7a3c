"""Connect to other servers: many addresses of one host, IPv6 and IPv4, or a Unix socket.

RFC: 8305 §5 (attempts that overlap), 5321 §5.1 (each address in turn).
Invariants: the first attempt that succeeds is the connection, and no other stays open; no call takes longer
    than its time.
Not here: which addresses (outbound/targeting/hosts.py), what is spoken (outbound/client/session.py).
"""

import asyncio
import errno
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from postino.net.connection import Connection
from postino.net.sockets import reachable

HEAD_START_SECONDS: Final = 0.25
"""How long an attempt is alone before the next address is tried beside it (RFC 8305 §8)."""
_IP_BIND_ADDRESS_NO_PORT: Final = 24
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 30), (socket.TCP_KEEPCNT, 4))


class CannotConnect(ConnectionError):
    """No address took the connection; `str()` says why, in a few words."""


class Network(Protocol):
    """Where connections come from: the machine's network, or one made of memory."""

    async def connect(
        self, addresses: Sequence[str], port: int, *, sources: Sequence[str], timeout_seconds: float
    ) -> Connection:
        """A connection to the first of the addresses that takes one. Raises CannotConnect."""
        ...

    async def connect_unix(self, path: str, *, timeout_seconds: float) -> Connection:
        """A connection to a Unix socket. Raises CannotConnect."""
        ...


class SystemNetwork:
    """Network by this machine's sockets."""

    async def connect(
        self, addresses: Sequence[str], port: int, *, sources: Sequence[str], timeout_seconds: float
    ) -> Connection:
        """Try the addresses in their order, each a moment after the one before or when that has failed."""
        by_family = _by_family(sources)
        waiting = list(addresses)
        attempts: set[asyncio.Task[Connection]] = set()
        connected: Connection | None = None
        failures: list[Exception] = []
        try:
            async with asyncio.timeout(timeout_seconds):
                while connected is None and (waiting or attempts):
                    if waiting:
                        address = waiting.pop(0)
                        attempts.add(asyncio.ensure_future(_connect(address, port, by_family)))
                    done, attempts = await asyncio.wait(
                        attempts,
                        timeout=HEAD_START_SECONDS if waiting else None,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    for attempt in done:
                        error = attempt.exception()
                        if error is None and connected is None:
                            connected = attempt.result()
                        elif error is None:
                            attempt.result().abort()
                        elif isinstance(error, OSError):
                            failures.append(error)
                        else:
                            raise error
        except TimeoutError:
            raise CannotConnect("no connection in time") from None
        finally:
            for attempt in attempts:
                attempt.cancel()
                attempt.add_done_callback(_give_back)
        if connected is None:
            raise CannotConnect(_reason(failures[0]) if failures else "the host has no address")
        return connected

    async def connect_unix(self, path: str, *, timeout_seconds: float) -> Connection:
        """Connect to a Unix socket."""
        loop = asyncio.get_running_loop()
        target = Path(path)
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.setblocking(False)
        connection = Connection()
        try:
            with reachable(target.parent) as parent:
                async with asyncio.timeout(timeout_seconds):
                    await loop.sock_connect(link, str(parent / target.name))
            await loop.create_unix_connection(lambda: connection, sock=link)
        except TimeoutError:
            link.close()
            raise CannotConnect("no connection in time") from None
        except OSError as error:
            link.close()
            raise CannotConnect(_reason(error)) from error
        except BaseException:
            link.close()
            raise
        return connection


async def _connect(address: str, port: int, sources: dict[int, str]) -> Connection:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    link = socket.socket(family, socket.SOCK_STREAM)
    connection = Connection()
    try:
        link.setblocking(False)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            link.setsockopt(socket.IPPROTO_TCP, option, value)
        source = sources.get(family)
        if source is not None:
            # The port is chosen when the destination is known: else no port could serve two destinations.
            link.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            link.bind((source, 0))
        await loop.sock_connect(link, (address, port))
        await loop.create_connection(lambda: connection, sock=link)
    except BaseException:
        link.close()
        raise
    return connection


def _by_family(sources: Sequence[str]) -> dict[int, str]:
    found: dict[int, str] = {}
    for source in sources:
        found.setdefault(socket.AF_INET6 if ":" in source else socket.AF_INET, source)
    return found


def _give_back(attempt: "asyncio.Task[Connection]") -> None:
    """Close what an attempt nobody waits for any more still brought."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().abort()


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        if error.errno == errno.ECONNREFUSED:
            return "connection refused"
        if error.errno == errno.ETIMEDOUT:
            return "no connection in time"
        if error.strerror:
            return error.strerror.lower()
    return str(error) or type(error).__name__
