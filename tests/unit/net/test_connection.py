"""What a session may rely on, over real sockets and both event loops."""

import asyncio
import ipaddress
import socket
import zlib
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from postino.net.connection import READ_PAUSE_OCTETS, Connection, ConnectionLost, Peer, ServerClosing

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def play(loop: str, scene: Callable[[Connection, socket.socket], Awaitable[None]]) -> None:
    """Run `scene` with a connection and its client's blocking socket."""

    async def run() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.settimeout(5)
        _, connection = await asyncio.get_running_loop().connect_accepted_socket(Connection, ours)
        try:
            async with asyncio.timeout(20):
                await scene(connection, theirs)
        finally:
            connection.abort()
            theirs.close()
            await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(run())


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_reading_gives_everything_at_hand_in_order(loop: str) -> None:
    async def scene(connection: Connection, client: socket.socket) -> None:
        assert connection.read_nowait() == b""
        client.send(b"one")
        assert await connection.read(5) == b"one"
        client.send(b"two")
        client.send(b"three")
        await asyncio.sleep(0.02)
        assert connection.read_nowait() == b"twothree"
        client.shutdown(socket.SHUT_WR)
        assert await connection.read(5) == b""
        assert connection.at_end

    play(loop, scene)


def test_silence_is_a_timeout_and_costs_no_octet(loop: str) -> None:
    async def scene(connection: Connection, client: socket.socket) -> None:
        with pytest.raises(TimeoutError) as caught:
            await connection.read(0.01)
        assert not isinstance(caught.value, ServerClosing)
        client.send(b"late")
        assert await connection.read(5) == b"late"

    play(loop, scene)


def test_each_read_has_its_own_time_whatever_the_reads_before_it_had(loop: str) -> None:
    async def scene(connection: Connection, client: socket.socket) -> None:
        now = asyncio.get_running_loop().time
        client.send(b"at once")
        assert await connection.read(30) == b"at once"
        waiting = asyncio.create_task(connection.read(30))
        await asyncio.sleep(0.01)
        client.send(b"soon")
        assert await waiting == b"soon"
        for seconds in (0.03, 0.08):
            begun = now()
            with pytest.raises(TimeoutError):
                await connection.read(seconds)
            assert seconds - 0.01 < now() - begun < seconds + 5
        waiting = asyncio.create_task(connection.read(0.03))
        await asyncio.sleep(0.01)
        client.send(b"in time")
        assert await waiting == b"in time"
        # The timer of that read rings meanwhile; this one has longer.
        waiting = asyncio.create_task(connection.read(30))
        await asyncio.sleep(0.06)
        assert not waiting.done()
        client.send(b"x")
        assert await waiting == b"x"

    play(loop, scene)


def test_shutdown_wakes_the_waiting_but_not_those_with_input(loop: str) -> None:
    async def scene(connection: Connection, client: socket.socket) -> None:
        waiting = asyncio.create_task(connection.read(30))
        await asyncio.sleep(0.01)
        connection.end_soon()
        with pytest.raises(ServerClosing):
            await waiting
        client.send(b"one more")
        await asyncio.sleep(0.02)
        assert await connection.read(30) == b"one more"
        with pytest.raises(ServerClosing):
            await connection.read(30)

    play(loop, scene)


def test_a_flooding_client_is_made_to_wait(loop: str) -> None:
    async def scene(connection: Connection, client: socket.socket) -> None:
        client.setblocking(False)
        sent = 0
        for _ in range(200):
            try:
                sent += client.send(b"x" * 65_536)
            except BlockingIOError:
                await asyncio.sleep(0.002)
        await asyncio.sleep(0.02)
        assert connection._unread <= READ_PAUSE_OCTETS + 65_536
        got = 0
        while got < sent:
            got += len(await connection.read(5))
        assert got == sent

    play(loop, scene)


def test_a_client_that_does_not_read_is_given_up(loop: str) -> None:
    async def scene(connection: Connection, client: socket.socket) -> None:
        while not connection.must_drain:
            connection.write(b"x" * 65_536)
        with pytest.raises(ConnectionLost):
            await connection.drain(0.05)
        assert connection.is_closed

    play(loop, scene)


def test_draining_returns_once_the_client_reads(loop: str) -> None:
    async def scene(connection: Connection, client: socket.socket) -> None:
        total = 0
        while not connection.must_drain:
            connection.write(b"x" * 65_536)
            total += 65_536
        draining = asyncio.create_task(connection.drain(5))
        got = 0
        while got < total:
            got += len(await asyncio.to_thread(client.recv, 1 << 20))
        await draining
        assert not connection.must_drain

    play(loop, scene)


def test_close_sends_what_was_written(loop: str) -> None:
    async def scene(connection: Connection, client: socket.socket) -> None:
        client.send(b"never read by the session")
        connection.write(b"y" * 3_000_000)
        connection.close()
        connection.close()
        assert connection.is_closed
        assert connection.read_nowait() == b""
        got = 0
        while more := await asyncio.to_thread(client.recv, 1 << 20):
            got += len(more)
        assert got == 3_000_000
        client.close()
        await connection.wait_closed()

    play(loop, scene)


def test_a_lost_client_ends_reading_and_makes_writing_harmless(loop: str) -> None:
    async def scene(connection: Connection, client: socket.socket) -> None:
        client.close()
        assert await connection.read(5) == b""
        connection.write(b"x")
        await asyncio.sleep(0.02)
        connection.write(b"y")
        connection.close()
        await connection.wait_closed()
        with pytest.raises(ConnectionLost):
            await connection.drain(1)

    play(loop, scene)


@pytest.mark.parametrize(
    ("address", "is_loopback"),
    [("127.0.0.1", True), ("127.8.9.10", True), ("::1", True), ("::ffff:127.0.0.1", True), ("", True),
     ("192.0.2.1", False), ("2001:db8::1", False), ("12.7.0.1", False), ("::ffff:127.9.9.9", True),
     ("::ffff:10.0.0.1", False), ("::2", False), ("::1:1", False), ("128.0.0.1", False), ("fe80::1%lo", False)],
)  # fmt: skip
def test_who_is_loopback(address: str, is_loopback: bool) -> None:
    assert Peer(address, 1).is_loopback is is_loopback
    if address:
        parsed = ipaddress.ip_address(address)
        mapped = getattr(parsed, "ipv4_mapped", None)
        assert (mapped or parsed).is_loopback is is_loopback


def test_both_directions_are_compressed_and_then_plain_again(loop: str) -> None:
    async def scene(connection: Connection, client: socket.socket) -> None:
        deflater, inflater = zlib.compressobj(wbits=-15), zlib.decompressobj(-15)

        def compressed(data: bytes) -> bytes:
            return deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)

        first = compressed(b"already read")
        client.send(first[7:])
        connection.start_compression(first[:7], ratio=200)
        assert connection.is_compressed
        got = await connection.read(5)
        assert got + await connection.read(5) == b"already read"
        client.send(compressed(b"x" * 200_000))
        got = b""
        while len(got) < 200_000:
            got += await connection.read(5)
        assert got == b"x" * 200_000
        # A piece of an octet is no octet: the read waits on, and for as long as it was told.
        piece = compressed(b"more")
        client.send(piece[:1])
        with pytest.raises(TimeoutError):
            await connection.read(0.05)
        client.send(piece[1:])
        assert await connection.read(5) == b"more"
        connection.write(b"one ")
        connection.rest()
        connection.write_pieces([b"two ", b"three "])
        connection.stop_compression(b"last")
        connection.write(b"plain")
        client.send(b"c NOOP\r\n")
        assert await connection.read(5) == b"c NOOP\r\n"
        assert not connection.is_compressed
        heard = b""
        while not inflater.unused_data.endswith(b"plain"):
            heard += inflater.decompress(await asyncio.to_thread(client.recv, 65536))
        assert heard == b"one two three last"
        client.shutdown(socket.SHUT_WR)
        assert await connection.read(5) == b""

    play(loop, scene)


def test_what_a_compressing_client_sent_before_it_went_is_still_read(loop: str) -> None:
    async def scene(connection: Connection, client: socket.socket) -> None:
        connection.start_compression(b"", ratio=200)
        deflater = zlib.compressobj(wbits=-15)
        client.send(deflater.compress(b"a NOOP\r\n") + deflater.flush(zlib.Z_SYNC_FLUSH))
        client.close()
        await asyncio.sleep(0.02)
        assert await connection.read(5) == b"a NOOP\r\n"
        assert await connection.read(5) == b""
        assert connection.at_end

    play(loop, scene)
