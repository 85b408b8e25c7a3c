"""GET /metrics: one page for all workers.

Each worker answers on a Unix socket in the run directory with its own counts; the worker that is asked
for the page adds them up. A worker that does not answer in time is left out, and `postino_workers`
shows it.
Exposure: the port is for loopback; whoever reaches it sees counts, no names and no addresses.
Not here: what is counted (servers/metrics.py).
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from postino.net.connection import Connection, ConnectionLost
from postino.net.sockets import reachable
from postino.servers.metrics import Metrics, Snapshot, merge, render_page

REQUEST_OCTETS: Final = 8192
REQUEST_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 0.5
_decoder: Final = msgspec.msgpack.Decoder(Snapshot)


def own_counts(metrics: Metrics) -> Callable[[Connection], Awaitable[None]]:
    """What a worker says on its own socket: its counts, then the end."""

    async def serve(connection: Connection) -> None:
        connection.write(msgspec.msgpack.encode(metrics.snapshot()))

    return serve


def metrics_page(
    metrics: Metrics, run: Path, number: int, workers: int
) -> Callable[[Connection], Awaitable[None]]:
    """The HTTP service."""

    async def serve(connection: Connection) -> None:
        try:
            request = await _read_request(connection)
        except (TimeoutError, ConnectionLost):
            return
        method, _, rest = request.partition(b" ")
        target = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in {b"GET", b"HEAD"}:
            _answer(connection, b"405 Method Not Allowed", b"Only GET is understood here.\n")
        elif target != b"/metrics":
            _answer(connection, b"404 Not Found", b"The page is /metrics.\n")
        else:
            others = [n for n in range(workers) if n != number]
            answers = await asyncio.gather(*(_ask(run, n) for n in others))
            page = render_page(merge([metrics.snapshot(), *(a for a in answers if a is not None)]))
            _answer(connection, b"200 OK", b"" if method == b"HEAD" else page)

    return serve


def socket_path(run: Path, number: int) -> str:
    """Where worker `number` tells its counts."""
    return str(run / f"metrics.{number}")


async def _read_request(connection: Connection) -> bytes:
    """The request's head; empty when there is none in reasonable size."""
    head = b""
    async with asyncio.timeout(REQUEST_SECONDS):
        while b"\r\n\r\n" not in head and b"\n\n" not in head:
            more = await connection.read(REQUEST_SECONDS)
            head += more
            if not more or len(head) > REQUEST_OCTETS:
                break
    return head


async def _ask(run: Path, number: int) -> Snapshot | None:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            with reachable(run) as directory:
                reader, writer = await asyncio.open_unix_connection(socket_path(directory, number))
            try:
                return _decoder.decode(await reader.read(-1))
            finally:
                writer.close()
    except (OSError, TimeoutError, msgspec.MsgspecError):
        return None


def _answer(connection: Connection, status: bytes, body: bytes) -> None:
    connection.write(
        b"HTTP/1.1 %b\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
        b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body)
    )
