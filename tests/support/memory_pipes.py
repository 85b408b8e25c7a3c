"""A network made of memory that joins our client to fake servers: linked transports, no sockets, no threads.

A pipe carries TLS too (asyncio's own, on its standard loop). Time-outs follow the loop's clock, so that with a
virtual clock days pass at once. `MemoryNetwork` is what `ClientSession.open(network=...)` takes.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from postino.net.connection import Connection
from postino.net.outgoing import CannotConnect

HIGH_WATER = 64 * 1024
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class PipeTransport(asyncio.Transport):
    """One end of a pipe. What is written here is delivered to the other end's protocol, a moment later."""

    _start_tls_compatible = True

    def __init__(self, loop: asyncio.AbstractEventLoop, peername: Any, sockname: Any) -> None:
        super().__init__({"peername": peername, "sockname": sockname})
        self._loop = loop
        self.other: PipeTransport
        self._protocol: Any = None
        self._arrived: deque[bytes] = deque()
        self._arrived_octets = 0
        self._reading = True
        self._writer_paused = False
        self._closing = False
        self._closed = False
        self._end_arrived = False
        self._end_told = False
        self._delivering = False

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def get_protocol(self) -> Any:
        return self._protocol

    # Writing

    def write(self, data: Any) -> None:
        if self._closing or not data:
            return
        self.other._arrive(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def get_write_buffer_size(self) -> int:
        return self.other._arrived_octets

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.other._end()

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self.other._end()
            self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        self.close()

    def _force_close(self, error: Exception) -> None:
        # What asyncio's TLS calls on its own transports when a handshake fails.
        if not self._closing:
            self._closing = True
            self.other._end()
            self._loop.call_soon(self._lose, error)

    def reset(self) -> None:
        """As a server that vanishes: the other end gets an error, and what it had not read is lost."""
        self._closing = True
        self.other._arrived.clear()
        self.other._closing = True
        self._loop.call_soon(self.other._lose, ConnectionResetError(104, "Connection reset by peer"))
        self._loop.call_soon(self._lose, None)

    # Reading

    def is_reading(self) -> bool:
        return self._reading

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._schedule()

    def _arrive(self, data: bytes) -> None:
        if self._closing:
            return
        self._arrived.append(data)
        self._arrived_octets += len(data)
        if self._arrived_octets > HIGH_WATER and not self.other._writer_paused:
            self.other._writer_paused = True
            self.other._protocol.pause_writing()
        self._schedule()

    def _end(self) -> None:
        self._end_arrived = True
        self._schedule()

    def _schedule(self) -> None:
        if not self._delivering:
            self._delivering = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._delivering = False
        while self._arrived and self._reading and not self._closing:
            data = self._arrived.popleft()
            self._arrived_octets -= len(data)
            self._hand_over(data)
        if self._arrived_octets <= HIGH_WATER // 4 and self.other._writer_paused:
            self.other._writer_paused = False
            self.other._protocol.resume_writing()
        if self._end_arrived and not self._arrived and not self._end_told and not self._closing:
            self._end_told = True
            if not self._protocol.eof_received():
                self.close()

    def _hand_over(self, data: bytes) -> None:
        protocol = self._protocol
        if not isinstance(protocol, asyncio.BufferedProtocol):
            protocol.data_received(data)
            return
        while data:
            buffer = protocol.get_buffer(len(data))
            count = min(len(buffer), len(data))
            buffer[:count] = data[:count]
            protocol.buffer_updated(count)
            data = data[count:]

    def _lose(self, error: Exception | None) -> None:
        if not self._closed:
            self._closed = True
            self._protocol.connection_lost(error)


def pipe(client_address: str, server_address: str, port: int) -> tuple[PipeTransport, PipeTransport]:
    """(the client's end, the server's end)."""
    loop = asyncio.get_running_loop()
    near, far = (client_address, 40_000), (server_address, port)
    client = PipeTransport(loop, far if server_address else "", near if server_address else "")
    server = PipeTransport(loop, near if server_address else "", far if server_address else "")
    client.other, server.other = server, client
    return client, server


class MemoryNetwork:
    """`servers` by address; those in `silent` never answer, all others refuse."""

    def __init__(self) -> None:
        self.servers: dict[str, Serve] = {}
        """By IP address, or by the path of a Unix socket."""
        self.silent: set[str] = set()
        self.connects: list[tuple[str, int, tuple[str, ...]]] = []
        """(address, port, sources) of each attempt."""
        self.tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(
        self, addresses: Sequence[str], port: int, *, sources: Sequence[str], timeout_seconds: float
    ) -> Connection:
        is_silent = False
        for address in addresses:
            self.connects.append((address, port, tuple(sources)))
            if address in self.servers:
                return self._join(self.servers[address], address, port)
            is_silent = is_silent or address in self.silent
        if is_silent:
            await asyncio.sleep(timeout_seconds)
            raise CannotConnect("no connection in time")
        raise CannotConnect("connection refused")

    async def connect_unix(self, path: str, *, timeout_seconds: float) -> Connection:
        self.connects.append((path, 0, ()))
        if path not in self.servers:
            raise CannotConnect("no such file or directory")
        return self._join(self.servers[path], "", 0)

    def _join(self, serve: Serve, address: str, port: int) -> Connection:
        near, far = pipe("192.0.2.25", address, port)
        connection = Connection()
        near.set_protocol(connection)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = loop.create_task(serve(reader, writer))  # type: ignore[arg-type]
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            self._writers.append(writer)

        protocol = asyncio.StreamReaderProtocol(reader, begin, loop=loop)
        far.set_protocol(protocol)
        connection.connection_made(near)
        protocol.connection_made(far)
        return connection

    async def close(self) -> None:
        """End every server's task."""
        for task in list(self.tasks):
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)
        for writer in self._writers:
            writer.close()
        await self.settle()

    async def settle(self) -> None:
        """Let everything that was written arrive, and be answered."""
        for _ in range(20):
            await asyncio.sleep(0)
