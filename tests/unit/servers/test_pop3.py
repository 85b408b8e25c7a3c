"""What transcripts cannot show of POP3: time, slow readers, large messages, failures below."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from postino.core.errors import TemporarilyUnavailable
from postino.core.ids import AccountId
from postino.core.limits import Limits
from postino.pop3.replies import stuffed
from postino.servers import pop3, pop3_reading
from postino.store import mailboxes, messages
from postino.store.content import NewEmail
from postino.store.store import Store
from tests.support.memory_network import MemoryClient
from tests.support.world import NOW, World, open_world, serve_function
from tests.transcripts.seeds import add, new_email

HEADER = b"From: carol@example.net\r\nSubject: x\r\n\r\n"
NOISE = random.Random(7).randbytes(1_500_000)
BIG = HEADER + b"\r\n.".join(
    NOISE[at : at + 70].replace(b"\n", b" ").replace(b"\r", b" ") for at in range(0, len(NOISE), 70)
)


@asynccontextmanager
async def session(world: World, **how: object) -> AsyncIterator[MemoryClient]:
    """A logged-in client."""
    async with MemoryClient(serve_function(world.context, "pop3"), tls=True, **how) as client:
        greeting = await client.quiet()
        assert greeting.startswith(b"+OK")
        await client.ask(b"USER ann@example.org\r\n")
        assert (await client.ask(b"PASS secret\r\n")).startswith(b"+OK ")
        yield client


async def ten(store: Store, ids: dict[str, AccountId]) -> None:
    for number in range(10):
        await add(store, ids["ann"], HEADER + b"message %d\r\n" % number)


async def big(store: Store, ids: dict[str, AccountId]) -> None:
    """UID 1 small, UID 2 in a blob."""
    await add(store, ids["ann"], HEADER + b"small\r\n")
    made = new_email(BIG)
    body = await asyncio.to_thread(store.seal_body, BIG[len(HEADER) :])
    large = NewEmail(HEADER, body, made.facts, NOW)

    def append(tx: object) -> None:
        row = mailboxes.mailbox_by_name(tx, ids["ann"], "INBOX")  # type: ignore[arg-type]
        messages.append(tx, ids["ann"], row.id, large, now=NOW)  # type: ignore[arg-type]

    await store.write(append)


async def test_a_large_message_is_streamed_to_a_slow_reader(tmp_path: Path) -> None:
    async with open_world(tmp_path, seed_name="pop3-big", seed=big) as world, session(world) as client:
        client.transport.client_reads = False
        client.send(b"RETR 2\r\nRETR 1\r\n")
        got = b""
        for _ in range(200):
            got += await client.quiet(10)
            assert len(client.transport.written) < 3 * pop3.PIECE_OCTETS
            if got.endswith(b"small\r\n.\r\n"):
                break
            await client.wait_for_more()
        first, _, rest = got.partition(b"\r\n")
        assert first == b"+OK %d octets" % len(BIG)
        expected = stuffed(BIG)
        assert rest[: len(expected)] == expected


async def test_top_of_a_large_message_is_its_beginning(tmp_path: Path) -> None:
    async with open_world(tmp_path, seed_name="pop3-big", seed=big) as world, session(world) as client:
        lines = BIG[len(HEADER) :].split(b"\r\n")
        for count in (0, 1, 3, 5000, 10_000_000):
            wanted = b"".join(line + b"\r\n" for line in lines[:count])
            assert await client.ask(b"TOP 2 %d\r\n" % count) == b"+OK\r\n" + stuffed(HEADER + wanted)


async def test_reading_ahead_gives_each_message_and_is_forgotten_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pop3, "GUESS_SECONDS", 0.02)
    async with open_world(tmp_path, seed_name="pop3-ten", seed=ten) as world, session(world) as client:
        queries: list[int] = []
        real = pop3_reading.fetch_rows

        def counted(*how: Any) -> list[tuple[Any, ...]]:
            queries.append(len(how[3]))
            return real(*how)

        monkeypatch.setattr(pop3_reading, "fetch_rows", counted)
        for number in range(1, 11):
            assert b"message %d\r\n" % (number - 1) in await client.ask(b"RETR %d\r\n" % number)
        assert queries == [10]
        for number in (3, 1, 2, 3, 7):
            assert b"message %d\r\n" % (number - 1) in await client.ask(b"RETR %d\r\n" % number)
            assert b"message" not in await client.ask(b"TOP %d 0\r\n" % number)
        assert queries[1:] == [1] * 10
        queries.clear()
        await client.ask(b"RETR 1\r\n")
        await client.ask(b"RETR 2\r\n")
        await client.ask(b"RETR 3\r\n")
        assert queries == [1, 9]
        await asyncio.sleep(0.05)
        await client.ask(b"RETR 4\r\n")
        assert queries == [1, 9, 7]


async def test_a_client_that_never_reads_is_cut_off(tmp_path: Path) -> None:
    limits = Limits(write_seconds=0.05)
    async with (
        open_world(tmp_path, seed_name="pop3-big", seed=big, limits=limits) as world,
        session(world) as client,
    ):
        client.transport.client_reads = False
        client.send(b"DELE 1\r\nRETR 2\r\n")
        await asyncio.wait_for(client.task, 5)
        assert client.transport.aborted
        assert world.log.events[-1].fields["reason"] == "lost"


async def test_silence_ends_the_session_without_a_word_and_without_deleting(tmp_path: Path) -> None:
    limits = Limits(pop3_idle_seconds=0.05)
    async with open_world(tmp_path, seed_name="pop3-ten", seed=ten, limits=limits) as world:
        async with session(world) as client:
            await client.ask(b"DELE 1\r\n")
            await asyncio.wait_for(client.task, 5)
            assert client.take() == b""
            assert client.is_closed
        async with session(world) as client:
            assert (await client.ask(b"STAT\r\n")).startswith(b"+OK 10 ")


async def test_who_does_not_log_in_is_sent_away_even_when_talking(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, limits=Limits(login_seconds=0.1)) as world,
        MemoryClient(serve_function(world.context, "pop3"), tls=True) as client,
    ):
        for _ in range(50):
            if client.task.done():
                break
            client.send(b"CAPA\r\n")
            await asyncio.sleep(0.01)
        assert client.task.done()


async def test_a_failed_delete_is_told_and_deletes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise TemporarilyUnavailable("the disk is full")

    async with open_world(tmp_path, seed_name="pop3-ten", seed=ten) as world:
        monkeypatch.setattr(pop3, "expunge", fail)
        async with session(world) as client:
            await client.ask(b"DELE 1\r\nDELE 2\r\n")
            assert (await client.ask(b"QUIT\r\n")).startswith(b"-ERR [SYS/TEMP]")
            assert client.is_closed
        monkeypatch.undo()
        async with session(world) as client:
            assert (await client.ask(b"STAT\r\n")).startswith(b"+OK 10 ")


async def test_mail_that_comes_later_is_seen_by_the_next_session(tmp_path: Path) -> None:
    async with open_world(tmp_path, seed_name="pop3-ten", seed=ten) as world, session(world) as client:
        account = await world.context.authentication.password(
            client.connection, "ann@example.org", "secret", protocol="pop3"
        )
        await add(world.store, account.account_id, HEADER + b"late\r\n")
        assert (await client.ask(b"STAT\r\n")).startswith(b"+OK 10 ")
        assert (await client.ask(b"RETR 11\r\n")).startswith(b"-ERR")
        async with session(world) as other:
            assert (await other.ask(b"STAT\r\n")).startswith(b"+OK 11 ")


async def test_pipelined_answers_leave_in_one_write(tmp_path: Path) -> None:
    async with open_world(tmp_path, seed_name="pop3-ten", seed=ten) as world, session(world) as client:
        before = client.transport.writes
        got = await client.ask(b"".join(b"RETR %d\r\n" % number for number in range(1, 11)))
        assert got.count(b"\r\n.\r\n") == 10
        assert client.transport.writes == before + 1


async def test_a_long_maildrop_is_opened_off_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pop3, "LONG_MAILDROP", 5)
    async with open_world(tmp_path, seed_name="pop3-ten", seed=ten) as world, session(world) as client:
        assert (await client.ask(b"UIDL\r\n")).count(b"\r\n") == 12


async def test_events_name_the_account_and_no_secret(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        async with session(world) as client:
            await client.ask(b"QUIT\r\n")
        events = world.log.events
        assert [event.event for event in events] == ["connection.opened", "login.ok", "connection.closed"]
        assert len({event.fields["session"] for event in events}) == 1
        assert "secret" not in repr(events)
