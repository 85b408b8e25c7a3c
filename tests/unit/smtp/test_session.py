"""A session's time, its end, and the limits on what it holds; over memory, with a real store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from postino.core.errors import DiskFull, NoSuchAccount, TemporarilyUnavailable
from postino.core.limits import Limits
from tests.support.memory_network import MemoryClient
from tests.support.world import World, open_world, serve_function

ENVELOPE = b"MAIL FROM:<bob@other.example>\r\nRCPT TO:<ann@example.org>\r\n"


@asynccontextmanager
async def world_of(path: Path, **limits: Any) -> AsyncIterator[World]:
    async with open_world(path / "data", limits=Limits(**limits)) as world:
        yield world


@asynccontextmanager
async def client_of(world: World, kind: str = "smtp", **options: Any) -> AsyncIterator[MemoryClient]:
    async with MemoryClient(serve_function(world.context, kind), **options) as client:
        await client.quiet()
        yield client


async def say_hello(client: MemoryClient) -> None:
    assert (await client.ask(b"EHLO client.example\r\n")).startswith(b"250-")


def messages_in(world: World) -> int:
    found: int = world.store.read_now(lambda tx: tx.all("SELECT count(*) FROM message"))[0][0]
    return found


def spool_files(path: Path) -> list[Path]:
    return list((path / "data" / "blobs").rglob("*/*")) if (path / "data" / "blobs").exists() else []


async def ended(client: MemoryClient) -> bytes:
    await asyncio.wait_for(asyncio.shield(client.task), 5)
    return client.take()


async def test_silence_ends_the_session(tmp_path: Path) -> None:
    async with world_of(tmp_path, smtp_idle_seconds=0.05) as world, client_of(world) as client:
        assert await ended(client) == b"421 4.4.2 Silent for too long; closing\r\n"


async def test_silence_inside_a_message_ends_the_session_and_forgets_it(tmp_path: Path) -> None:
    async with (
        world_of(tmp_path, smtp_idle_seconds=0.1, smtp_memory_octets=10) as world,
        client_of(world) as client,
    ):
        await say_hello(client)
        await client.ask(ENVELOPE + b"DATA\r\n")
        client.send(b"a: b\r\n\r\n0123456789012345678901234567890")
        assert b"421 4.4.2" in await ended(client)
        assert messages_in(world) == 0
        assert not [path for path in spool_files(tmp_path) if path.is_file()]


async def test_submission_must_log_in_in_time_however_much_it_says(tmp_path: Path) -> None:
    async with (
        world_of(tmp_path, login_seconds=0.15) as world,
        client_of(world, "submission", tls=True) as client,
    ):
        for _ in range(100):
            if client.task.done():
                break
            client.send(b"NOOP\r\n")
            await asyncio.sleep(0.01)
        assert (await ended(client)).endswith(b"421 4.7.0 No login in time; closing\r\n")


async def test_shutting_down_says_goodbye_when_idle(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, client_of(world) as client:
        client.connection.end_soon()
        assert (await ended(client)).startswith(b"421 4.3.2 ")


async def test_shutting_down_answers_for_the_message_at_hand_first(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, client_of(world) as client:
        await say_hello(client)
        await client.ask(ENVELOPE + b"DATA\r\n")
        client.send(b"a: b\r\n\r\nc\r\n.\r\n")
        client.connection.end_soon()
        replies = (await ended(client)).split(b"\r\n")
        assert replies[0].startswith(b"250 2.0.0 Kept as ")
        assert replies[1].startswith(b"421 4.3.2 ")
        assert messages_in(world) == 1


@pytest.mark.parametrize(
    "cut", [b"", b"a: b\r\n", b"a: b\r\n\r\nbody", b"a: b\r\n\r\nbody\r\n.", b"a: b\r\n\r\nb\r\n.\r"]
)
async def test_a_connection_lost_inside_a_message_delivers_nothing(tmp_path: Path, cut: bytes) -> None:
    async with world_of(tmp_path) as world, client_of(world) as client:
        await say_hello(client)
        await client.ask(ENVELOPE + b"DATA\r\n")
        client.send(cut)
        await asyncio.sleep(0)
        client.lose()
        await asyncio.wait_for(asyncio.shield(client.task), 5)
        assert messages_in(world) == 0


async def test_pipelined_replies_leave_in_one_write(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, client_of(world) as client:
        await say_hello(client)
        writes = client.transport.writes
        assert (await client.ask(ENVELOPE + b"RSET\r\nNOOP\r\n")).count(b"\r\n") == 4
        assert client.transport.writes == writes + 1


async def test_a_client_that_does_not_read_waits_and_costs_bounded_memory(tmp_path: Path) -> None:
    async with world_of(tmp_path, write_seconds=0.2) as world, client_of(world) as client:
        client.transport.client_reads = False
        for _ in range(200):
            client.send(b"HELP\r\n" * 5000)
            await asyncio.sleep(0)
            if client.transport.reading_paused:
                break
        assert client.transport.reading_paused
        await asyncio.wait_for(asyncio.shield(client.task), 5)
        assert client.transport.aborted


async def test_a_large_message_is_never_held_whole(tmp_path: Path) -> None:
    async with (
        world_of(tmp_path, smtp_memory_octets=100_000) as world,
        client_of(world) as client,
    ):
        await say_hello(client)
        await client.ask(ENVELOPE + b"DATA\r\n")
        client.send(b"Subject: large\r\n\r\n")
        line = b"x" * 998 + b"\r\n"
        for _ in range(100):
            client.send(line * 60)
            await client.quiet()
        answer = await client.ask(b".\r\n")
        assert answer.startswith(b"250 2.0.0 ")
        row = world.store.read_now(lambda tx: tx.all("SELECT codec, body, blob_id FROM octets"))[0]
        assert row[1] is None
        blob = world.store.blobs.read(row[2], 0, 6_000_000)
        assert blob == line * 6000


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (DiskFull("The disk is full; make room"), b"452 4.3.1 "),
        (TemporarilyUnavailable("Somebody else writes"), b"451 4.3.0 "),
        (NoSuchAccount("It was removed meanwhile"), b"451 4.3.0 "),
    ],
)
async def test_a_store_that_cannot_write_is_a_temporary_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reply: bytes
) -> None:
    async with world_of(tmp_path) as world, client_of(world) as client:
        await say_hello(client)
        await client.ask(ENVELOPE + b"DATA\r\n")

        async def refuse(*_: object, **__: object) -> None:
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(world.store, "write", refuse)
            assert (await client.ask(b"a: b\r\n\r\n.\r\n")).startswith(reply)
        await client.ask(ENVELOPE + b"DATA\r\n")
        assert (await client.ask(b"a: b\r\n\r\n.\r\n")).startswith(b"250 2.0.0 ")


async def test_a_fault_of_ours_ends_this_session_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world_of(tmp_path) as world, client_of(world) as client, client_of(world) as other:
        await say_hello(client)

        def fail(*_: object) -> None:
            raise RuntimeError("a bug")

        with monkeypatch.context() as patched:
            patched.setattr(world.store, "read_now", fail)
            client.send(ENVELOPE)
            assert (await ended(client)).endswith(
                b"421 4.3.0 Something went wrong on this server; try again later\r\n"
            )
        assert (await other.ask(b"NOOP\r\n")).startswith(b"250 ")
        assert [event for event in world.log.events if event.event == "session.fault"]


async def test_one_event_for_each_thing_and_no_secret(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, client_of(world, "submission", tls=True) as client:
        await say_hello(client)
        await client.ask(b"AUTH PLAIN AGFubkBleGFtcGxlLm9yZwBzZWNyZXQ=\r\n")
        await client.ask(b"MAIL FROM:<ann@example.org>\r\nRCPT TO:<x@other.example>\r\n")
        await client.ask(b"RCPT TO:<nobody@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n")
        assert (await client.ask(b"From: ann@example.org\r\n\r\n.\r\n")).startswith(b"250 ")
        names = [event.event for event in world.log.events]
        assert names == [
            "connection.opened",
            "login.ok",
            "message.refused",
            "message.accepted",
            "message.delivered",
        ]
        refused = world.log.events[2].fields
        assert (refused["reason"], refused["account"], refused["forward_path"]) == (
            "unknown-recipient",
            "ann@example.org",
            "<nobody@example.org>",
        )
        accepted = world.log.events[3].fields
        assert (accepted["queue_id"], accepted["kind"], accepted["recipients"]) == (
            1,
            "submitted",
            ["x@other.example"],
        )
        assert "secret" not in repr(world.log.events)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"QUIT\r\n", "quit"),
        (b"BDAT x\r\n", "framing lost"),
        (b"X\r\n" * 20, "too many bad commands"),
        (b"", "lost"),
    ],
)
async def test_the_log_tells_why_a_session_ended(tmp_path: Path, said: bytes, reason: str) -> None:
    async with world_of(tmp_path) as world:
        async with client_of(world) as client:
            client.send(said)
            if not said:
                client.end()
            await ended(client)
        closed = [event.fields["reason"] for event in world.log.events if event.event == "connection.closed"]
        assert closed == [reason]


async def test_one_client_s_pipelined_flood_lets_others_have_their_turn(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, client_of(world) as client, client_of(world) as other:
        client.send(b"NOOP\r\n" * 10_000)
        other.send(b"NOOP\r\n")
        await other.wait_for_more()
        assert client.transport.written.count(b"\n") < 10_000
        assert (await client.quiet()).count(b"250 ") == 10_000
