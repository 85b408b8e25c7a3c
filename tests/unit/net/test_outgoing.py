"""Connections to other servers: overlapping attempts, source addresses, Unix sockets, real sockets throughout."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from postino.net import outgoing
from postino.net.connection import ConnectionLost
from postino.net.outgoing import CannotConnect, SystemNetwork

NETWORK = SystemNetwork()


@asynccontextmanager
async def listening(*addresses: str) -> AsyncIterator[tuple[int, list[Any]]]:
    """The same port on some addresses of loopback; (port, peers that came)."""
    came: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append((writer.get_extra_info("sockname")[0], writer.get_extra_info("peername")[0]))
        await reader.read()
        writer.close()

    first = await asyncio.start_server(serve, addresses[0], 0)
    port = first.sockets[0].getsockname()[1]
    servers = [first, *[await asyncio.start_server(serve, one, port) for one in addresses[1:]]]
    try:
        yield port, came
    finally:
        for server in servers:
            server.close()
        for server in servers:
            await server.wait_closed()


async def connect(addresses: list[str], port: int, *sources: str, seconds: float = 5.0) -> str:
    connection = await NETWORK.connect(addresses, port, sources=sources, timeout_seconds=seconds)
    try:
        return connection.peer.address
    finally:
        connection.abort()
        await connection.wait_closed()


async def test_the_first_address_that_takes_it_is_the_one() -> None:
    async with listening("127.0.0.2", "127.0.0.3") as (port, came):
        assert await connect(["127.0.0.2", "127.0.0.3"], port) == "127.0.0.2"
        # Refused at once, so the next is tried at once.
        before = asyncio.get_running_loop().time()
        assert await connect(["127.0.0.9", "127.0.0.8", "127.0.0.3", "127.0.0.2"], port) == "127.0.0.3"
        assert asyncio.get_running_loop().time() - before < outgoing.HEAD_START_SECONDS
        assert [address for address, _ in came] == ["127.0.0.2", "127.0.0.3"]


async def test_an_address_that_does_not_answer_has_a_head_start_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "HEAD_START_SECONDS", 0.02)
    with socket.socket() as full:
        # A queue that is full: further attempts are left without an answer.
        full.bind(("127.0.0.4", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.4", port))
            loop = asyncio.get_running_loop()
            server = await asyncio.start_server(lambda _r, writer: writer.close(), "127.0.0.2", port)
            async with server:
                before = loop.time()
                assert await connect(["127.0.0.4", "127.0.0.2"], port) == "127.0.0.2"
                assert 0.015 <= loop.time() - before < 1
            with pytest.raises(CannotConnect, match="no connection in time"):
                await connect(["127.0.0.4"], port, seconds=0.05)
        finally:
            for filler in fillers:
                filler.close()


async def test_nobody_is_there() -> None:
    async with listening("127.0.0.2") as (port, _):
        with pytest.raises(CannotConnect, match=r"^connection refused$"):
            await connect(["127.0.0.9"], port)
    with pytest.raises(CannotConnect, match=r"^the host has no address$"):
        await connect([], port)


async def test_we_connect_from_the_address_of_the_family() -> None:
    async with listening("127.0.0.2") as (port, came):
        await connect(["127.0.0.2"], port, "::1", "127.0.0.7", "127.0.0.8")
        assert came[-1] == ("127.0.0.2", "127.0.0.7")
        # None of the family: the system chooses.
        await connect(["127.0.0.2"], port, "::1")
        assert came[-1] == ("127.0.0.2", "127.0.0.1")
        with pytest.raises(CannotConnect, match="cannot assign requested address"):
            await connect(["127.0.0.2"], port, "192.0.2.77")


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")
async def test_ipv6() -> None:
    async with listening("::1", "127.0.0.1") as (port, _):
        assert await connect(["::1", "127.0.0.1"], port, "::1", "127.0.0.1") == "::1"


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 90) / "lmtp"
    path.parent.mkdir()
    short = tmp_path / "lmtp"
    for where in (short, path):
        with socket.socket(socket.AF_UNIX) as bound:
            directory = os.open(where.parent, os.O_RDONLY)
            bound.bind(f"/proc/self/fd/{directory}/lmtp")
            os.close(directory)
            bound.listen(1)
            connection = await NETWORK.connect_unix(str(where), timeout_seconds=5)
            assert connection.peer.address == ""
            assert connection.is_secure
            connection.abort()
            await connection.wait_closed()
    with pytest.raises(CannotConnect, match="no such file or directory"):
        await NETWORK.connect_unix(str(tmp_path / "none"), timeout_seconds=5)
    with pytest.raises(CannotConnect, match="connection refused"):
        await NETWORK.connect_unix(str(short), timeout_seconds=5)


async def test_a_server_that_reads_no_more_and_has_said_no() -> None:
    ready = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await ready.wait()
        writer.write(b"552 too much\r\n")
        await writer.drain()
        await done.wait()
        writer.close()

    done = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        connection = await NETWORK.connect(["127.0.0.1"], port, sources=(), timeout_seconds=5)
        while not connection.must_drain:
            connection.write(b"x" * 1_000_000)
        waiting = asyncio.ensure_future(connection.drain_or_reply(5))
        await asyncio.sleep(0)
        assert not waiting.done()
        ready.set()
        await waiting
        assert connection.read_nowait() == b"552 too much\r\n"
        with pytest.raises(ConnectionLost, match="the server does not read"):
            await connection.drain_or_reply(0.02)
        # Over: nothing is waited for any more.
        await connection.wait_closed()
        await connection.drain_or_reply(5)
        done.set()
