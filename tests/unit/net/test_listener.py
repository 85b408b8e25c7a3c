"""Accepting within limits, and ending in order."""

import asyncio
import inspect
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from postino.core.limits import Limits
from postino.net.connection import Connection, ServerClosing
from postino.net.listener import Listeners, Service
from postino.net.self_signed import make_self_signed
from postino.net.sockets import CannotListen, ListenAddress, bind
from postino.net.tls import CertificateFiles, CertificateStore

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
ANYWHERE = ListenAddress("127.0.0.1", 0)


class Events:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def refused(self, service: str, address: str, reason: str) -> None:
        self.told.append(("refused", reason))

    def handshake_failed(self, service: str, address: str, reason: str) -> None:
        self.told.append(("handshake_failed", reason))

    def session_broken(self, service: str, address: str, error: BaseException) -> None:
        self.told.append(("session_broken", repr(error)))

    def accept_paused(self, service: str, reason: str) -> None:
        self.told.append(("accept_paused", reason))


class Worker:
    """Listeners with what a test asks about them."""

    def __init__(self, limits: Limits, tls: ssl.SSLContext | None) -> None:
        self.events = Events()
        self.limits = limits
        self.listeners = Listeners(limits=lambda: self.limits, tls_context=lambda: tls, log=self.events)

    def serve(self, serve: Callable[[Connection], Awaitable[None]], **more: object) -> int:
        bound = bind(ANYWHERE)[0][0]
        port: int = bound.getsockname()[1]
        self.listeners.listen(bound, Service("test", serve, **more))  # type: ignore[arg-type]
        return port


def on_both_loops(scene: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Play the scene on asyncio's own loop and on the one workers use; they differ in what they promise."""

    @pytest.mark.parametrize("loop", LOOPS)
    def play(loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def whole() -> None:
            worker = Worker(Limits(), None)
            given = {"worker": worker, "tmp_path": tmp_path, "monkeypatch": monkeypatch}
            async with asyncio.timeout(30):
                await scene(**{name: given[name] for name in inspect.signature(scene).parameters})
                await worker.listeners.close(0.1)

        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(whole())

    return play


async def echo(connection: Connection) -> None:
    connection.write(b"hello\r\n")
    while not connection.at_end:
        connection.write(await connection.read(10))


async def open_to(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - any condition, not only an event
            await asyncio.sleep(0.001)


@on_both_loops
async def test_each_connection_gets_a_session_and_is_forgotten_at_its_end(worker: Worker) -> None:
    port = worker.serve(echo)
    pairs = [await open_to(port) for _ in range(3)]
    for reader, writer in pairs:
        assert await reader.readline() == b"hello\r\n"
        writer.write(b"x")
        assert await reader.read(1) == b"x"
    assert worker.listeners.connections == 3
    for _, writer in pairs:
        writer.close()
    await until(lambda: worker.listeners.connections == 0)
    assert worker.listeners._by_address == {}


@on_both_loops
async def test_the_last_words_arrive_even_when_input_was_left_unread(worker: Worker) -> None:
    async def serve(connection: Connection) -> None:
        await connection.read(5)
        connection.write(b"421 too long\r\n")

    port = worker.serve(serve)
    reader, writer = await open_to(port)
    writer.write(b"x" * 3_000_000)
    assert await asyncio.wait_for(reader.read(-1), 5) == b"421 too long\r\n"
    writer.close()


@on_both_loops
async def test_too_many_connections_are_told_so(worker: Worker) -> None:
    worker.limits = Limits(connections=2)
    port = worker.serve(echo, refusal=b"421 later\r\n")
    kept = [await open_to(port) for _ in range(2)]
    for reader, _ in kept:
        await reader.readline()
    reader, writer = await open_to(port)
    assert await reader.read(-1) == b"421 later\r\n"
    writer.close()
    assert worker.events.told == [("refused", "too-many")]
    kept[0][1].close()
    await until(lambda: worker.listeners.connections == 1)
    reader, writer = await open_to(port)
    assert await reader.readline() == b"hello\r\n"
    for _, one in [*kept, (reader, writer)]:
        one.close()


@on_both_loops
async def test_loopback_may_connect_more_often_than_other_addresses(worker: Worker) -> None:
    worker.limits = Limits(connections_per_address=1)
    port = worker.serve(echo)
    kept = [await open_to(port) for _ in range(5)]
    for reader, writer in kept:
        assert await reader.readline() == b"hello\r\n"
        writer.close()
    worker.listeners._by_address["192.0.2.9"] = 1
    assert worker.listeners._over_limit("192.0.2.9") == "too-many-from-address"
    assert worker.listeners._over_limit("192.0.2.10") == ""
    assert worker.listeners._over_limit("::ffff:127.0.0.1") == ""
    del worker.listeners._by_address["192.0.2.9"]


@on_both_loops
async def test_a_fault_in_one_session_is_told_and_ends_that_one_only(worker: Worker) -> None:
    async def serve(connection: Connection) -> None:
        if (await connection.read(5)).startswith(b"bad"):
            raise RuntimeError("a fault of ours")
        await echo(connection)

    port = worker.serve(serve)
    good, bad = await open_to(port), await open_to(port)
    bad[1].write(b"bad")
    assert await bad[0].read(-1) == b""
    good[1].write(b"fine")
    assert await good[0].readline() == b"hello\r\n"
    assert worker.events.told == [("session_broken", "RuntimeError('a fault of ours')")]
    good[1].close()
    bad[1].close()


@on_both_loops
async def test_closing_lets_work_finish_and_the_idle_say_goodbye(worker: Worker) -> None:
    release = asyncio.Event()
    order: list[str] = []

    async def serve(connection: Connection) -> None:
        try:
            if (await connection.read(30)) == b"work":
                await release.wait()
                order.append("work done")
                connection.write(b"250 kept\r\n")
                await connection.read(30)
        except ServerClosing:
            connection.write(b"421 closing\r\n")

    port = worker.serve(serve)
    idle, busy = await open_to(port), await open_to(port)
    busy[1].write(b"work")
    await until(lambda: worker.listeners.connections == 2)
    await asyncio.sleep(0.02)
    closing = asyncio.create_task(worker.listeners.close(5))
    assert await idle[0].read(-1) == b"421 closing\r\n"
    assert order == []
    release.set()
    assert await busy[0].read(-1) == b"250 kept\r\n421 closing\r\n"
    for _, writer in (idle, busy):
        writer.close()
    await closing
    assert worker.listeners.connections == 0


@on_both_loops
async def test_closing_does_not_wait_for_ever(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postino.net.connection.LINGER_SECONDS", 0.05)

    async def serve(connection: Connection) -> None:
        await asyncio.sleep(3600)

    port = worker.serve(serve)
    _, writer = await open_to(port)
    await until(lambda: worker.listeners.connections == 1)
    async with asyncio.timeout(8):
        await worker.listeners.close(0.05)
    assert worker.listeners.connections == 0
    writer.close()


@on_both_loops
async def test_tls_from_the_start(tmp_path: Path) -> None:
    files = CertificateFiles(tmp_path / "c.pem", tmp_path / "k.pem")
    make_self_signed(["localhost"], files.certificate, files.key)
    worker = Worker(Limits(), CertificateStore(files).context())
    hashes: list[bytes] = []

    async def serve(connection: Connection) -> None:
        hashes.append(connection.server_certificate_hash)
        assert connection.is_tls
        assert connection.tls_version().startswith("TLSv1.3")
        await echo(connection)

    port = worker.serve(serve, implicit_tls=True)
    client = ssl.create_default_context(cafile=str(files.certificate))
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="localhost")
    assert await reader.readline() == b"hello\r\n"
    assert len(hashes[0]) == 32
    writer.close()
    await writer.wait_closed()
    plain = await open_to(port)
    plain[1].write(b"EHLO there\r\n")
    await plain[0].read(-1)
    plain[1].close()
    await until(lambda: bool(worker.events.told))
    assert worker.events.told[0][0] == "handshake_failed"
    await worker.listeners.close(0.1)


@on_both_loops
async def test_without_a_certificate_tls_ports_close_and_say_why(worker: Worker) -> None:
    port = worker.serve(echo, implicit_tls=True)
    reader, writer = await open_to(port)
    assert await reader.read(-1) == b""
    writer.close()
    assert worker.events.told == [("handshake_failed", "this server has no certificate")]


@on_both_loops
async def test_a_client_that_closes_its_half_still_gets_its_answer(worker: Worker) -> None:
    async def serve(connection: Connection) -> None:
        data = b""
        while not connection.at_end:
            data += await connection.read(5)
        connection.write(b"got " + data)

    port = worker.serve(serve)
    reader, writer = await open_to(port)
    writer.write(b"all")
    writer.write_eof()
    assert await reader.read(-1) == b"got all"
    writer.close()


def test_a_busy_port_is_named() -> None:
    taken = bind(ANYWHERE)[0][0]
    port = taken.getsockname()[1]
    for workers in (1, 2):
        with pytest.raises(CannotListen, match=f"Port {port} on 127.0.0.1 is in use"):
            bind(ListenAddress("127.0.0.1", port), workers)
    taken.close()


def test_two_servers_cannot_share_a_port_by_accident() -> None:
    first = bind(ANYWHERE, 2)
    port = first[0][0].getsockname()[1]
    assert {s.getsockname()[1] for own in first for s in own} == {port}
    with pytest.raises(CannotListen):
        bind(ListenAddress("127.0.0.1", port), 2)
    for own in first:
        for bound in own:
            bound.close()


def test_a_unix_socket_replaces_a_dead_one_but_not_a_live_one(tmp_path: Path) -> None:
    address = ListenAddress("", 0, str(tmp_path / "run" / "lmtp.sock"))
    first = bind(address)[0][0]
    with pytest.raises(CannotListen, match="another server uses it"):
        bind(address)
    first.close()
    bind(address)[0][0].close()


def test_an_address_of_another_machine_is_explained() -> None:
    with pytest.raises(CannotListen, match="does not have that address"):
        bind(ListenAddress("192.0.2.1", 0))
