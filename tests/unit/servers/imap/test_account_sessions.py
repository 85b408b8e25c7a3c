"""Sessions and their accounts: how many, what UNAUTHENTICATE forgets, what long commands say, and whose
login does not hold any more."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from postino.core.limits import Limits
from postino.net.connection import Connection
from postino.servers.imap.session import ImapSession
from postino.store import accounts
from tests.support.memory_network import MemoryClient
from tests.support.world import TEST_CREDENTIALS, World, open_world, serve_function
from tests.transcripts.seeds import SEEDS

LOGIN = b"a LOGIN ann@example.org secret\r\n"
BOB = b"a LOGIN bob@example.org secret\r\n"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    limits = Limits(connections_per_account=2)
    async with open_world(
        tmp_path, limits=limits, seed_name="two-messages", seed=SEEDS["two-messages"]
    ) as made:
        yield made


def client(world: World, kind: str = "imap") -> MemoryClient:
    return MemoryClient(serve_function(world.context, kind), tls=True)


async def removed(world: World, login: str = "ann@example.org") -> None:
    def remove(tx: Any) -> None:
        account = accounts.account_by_login(tx, login)
        assert account is not None
        accounts.remove_account(tx, account.id)

    await world.store.write(remove)


async def with_new_password(world: World) -> None:
    def change(tx: Any) -> None:
        account = accounts.account_by_login(tx, "ann@example.org")
        assert account is not None
        accounts.set_password(tx, account.id, TEST_CREDENTIALS.hash_password("other"), "")

    await world.store.write(change)


async def test_one_account_has_so_many_sessions_in_all_protocols(world: World) -> None:
    async with client(world) as first, client(world, "pop3") as second:
        assert b"a OK" in await first.ask(LOGIN)
        answer = await second.ask(b"USER ann@example.org\r\nPASS secret\r\n")
        assert answer.count(b"+OK") == 3
        async with client(world) as third:
            answer = await third.ask(LOGIN)
            assert (
                b"a NO [LIMIT] 2 programs are logged in to this account; close some and try again" in answer
            )
            # Somebody else is not affected, on the same connection.
            assert b"a OK" in await third.ask(BOB)
        async with client(world, "pop3") as third:
            answer = await third.ask(b"USER ann@example.org\r\nPASS secret\r\n")
            assert b"-ERR [SYS/TEMP] 2 programs are logged in" in answer
        async with client(world, "submission") as third:
            await third.ask(b"EHLO x\r\n")
            answer = await third.ask(b"AUTH PLAIN AGFubkBleGFtcGxlLm9yZwBzZWNyZXQ=\r\n")
            assert answer.startswith(b"454 4.7.0 2 programs are logged in")
        assert b"a OK" in await first.ask(b"a UNAUTHENTICATE\r\n")
        async with client(world, "submission") as third:
            await third.ask(b"EHLO x\r\n")
            answer = await third.ask(b"AUTH PLAIN AGFubkBleGFtcGxlLm9yZwBzZWNyZXQ=\r\n")
            assert answer.startswith(b"235")
    assert world.context.sessions.count(1) == 0


@pytest.mark.parametrize("end", ["close", "lose", "logout"])
async def test_a_session_that_ends_makes_room(world: World, end: str) -> None:
    for _ in range(4):
        async with client(world) as one:
            assert b"a OK" in await one.ask(LOGIN)
            if end == "lose":
                one.lose()
            elif end == "logout":
                await one.ask(b"b LOGOUT\r\n")
    assert world.context.sessions.count(1) == 0


Change = Callable[[World], Any]


@pytest.mark.parametrize(
    ("change", "reason"),
    [(removed, b"This account was removed"), (with_new_password, b"The password was changed; log in again")],
)
async def test_sessions_end_when_their_login_does_not_hold_any_more(
    world: World, change: Change, reason: bytes
) -> None:
    async with client(world) as idle, client(world, "pop3") as pop, client(world) as other:
        assert b"a OK" in await idle.ask(LOGIN)
        await idle.ask(b"b SELECT INBOX\r\n")
        await idle.ask(b"c IDLE\r\n")
        await pop.ask(b"USER ann@example.org\r\nPASS secret\r\n")
        assert b"a OK" in await other.ask(BOB)
        await world.context.sessions.check(world.store)
        assert not idle.is_closed
        await change(world)
        await world.context.sessions.check(world.store)
        assert b"* BYE " + reason in await idle.quiet()
        await asyncio.wait_for(idle.task, 5)
        await asyncio.wait_for(pop.task, 5)
        assert b"b OK" in await other.ask(b"b NOOP\r\n")


@pytest.mark.parametrize(
    "command",
    [
        b"CREATE new",
        b"SUBSCRIBE nowhere",
        b"APPEND INBOX {3+}\r\nx\r\n",
        b"SELECT INBOX",
        b"DELETE Sent",
        b"NOOP",
    ],
)
async def test_an_account_that_is_gone_is_said_to_be(world: World, command: bytes) -> None:
    async with client(world) as one:
        await one.ask(LOGIN)
        await removed(world)
        answer = await one.ask(b"b " + command + b"\r\n")
        assert b"fault in Postino" not in answer
        assert b"Something went wrong" not in answer
        assert (b"b OK" in answer) is (command == b"NOOP")


async def test_subscribing_in_a_removed_account_ends_the_session(world: World) -> None:
    async with client(world) as one:
        await one.ask(LOGIN)
        await removed(world)
        answer = await one.ask(b"b SUBSCRIBE nowhere\r\n")
        assert answer == (
            b"b NO [NONEXISTENT] The account does not exist any more\r\n* BYE This account was removed\r\n"
        )


async def test_unauthenticate_leaves_nothing_behind(world: World) -> None:
    """RFC 8437 section 4.1: whatever a session comes to hold is as in a new one after the next login."""
    sessions: list[ImapSession] = []

    async def serve(connection: Connection) -> None:
        sessions.append(ImapSession(world.context, connection))
        await sessions[-1].run()

    used, fresh = MemoryClient(serve, tls=True), MemoryClient(serve, tls=True)
    async with used, fresh:
        await used.ask(LOGIN)
        await used.ask(b"b ENABLE CONDSTORE QRESYNC UTF8=ACCEPT UIDONLY IMAP4rev2\r\n")
        await used.ask(b"c NOTIFY SET (personal (MessageNew MessageExpunge MailboxName))\r\n")
        await used.ask(b"d SELECT INBOX\r\n")
        await used.ask(b"e UID SEARCH RETURN (SAVE) ALL\r\n")
        assert b"f OK" in await used.ask(b"f UNAUTHENTICATE\r\n")
        assert b"a OK" in await used.ask(LOGIN)
        assert b"a OK" in await fresh.ask(LOGIN)
        one, other = sessions
        of_the_connection = {
            "_login_ends",
            "_turn",
            "appending",
            "connection",
            "framer",
            "log",
            "_bad_commands",
            "_farewell",
            "failed_logins",
        }
        for name in set(ImapSession.__slots__) - of_the_connection:
            assert getattr(one, name, None) == getattr(other, name, None), name
        assert one.framer.limits == other.framer.limits


class Slow:
    """An executor that takes its time."""

    def __init__(self, said: bytes = b"") -> None:
        self.said = said
        self.go = asyncio.Event()

    async def __call__(self, session: ImapSession, command: Any) -> Any:
        from postino.servers.imap.completion import ok

        session.say(self.said)
        await self.go.wait()
        return ok("At last")


async def slowly(
    world: World, monkeypatch: pytest.MonkeyPatch, line: bytes, beats: int, said: bytes = b""
) -> bytes:
    """What is said while a command runs for so many beats."""
    from postino.servers.imap import session as module

    slow = Slow(said)
    monkeypatch.setattr(module, "EXECUTORS", dict.fromkeys(module.EXECUTORS, slow))
    async with client(world) as one:
        monkeypatch.undo()
        await one.ask(LOGIN)
        await one.ask(b"b SELECT INBOX\r\n")
        monkeypatch.setattr(module, "EXECUTORS", dict.fromkeys(module.EXECUTORS, slow))
        one.send(line)
        for _ in range(3):
            await asyncio.sleep(0)
        for _ in range(beats):
            world.context.sessions.beat()
        before = one.take()
        slow.go.set()
        one.received = b""
        assert b"OK At last" in await one.quiet()
        return before


async def test_a_long_command_says_that_it_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    line = b"A001 SEARCH TEXT x\r\n"
    told = b'* OK [INPROGRESS ("A001" NIL NIL)] SEARCH goes on\r\n'
    assert await slowly(world, monkeypatch, line, 1) == b""
    assert await slowly(world, monkeypatch, line, 2) == told
    assert await slowly(world, monkeypatch, line, 3) == told
    assert await slowly(world, monkeypatch, line, 4) == told * 2
    assert await slowly(world, monkeypatch, line, 2, b"* SEARCH\r\n") == b"* SEARCH\r\n" + told


@pytest.mark.parametrize("line", [b"a FETCH 1:* BODY[]\r\n", b"a IDLE\r\n"])
async def test_commands_that_speak_for_themselves_say_no_such_thing(
    world: World, monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    assert await slowly(world, monkeypatch, line, 4) == b""


async def test_nothing_is_said_inside_a_line(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await slowly(world, monkeypatch, b"a SEARCH ALL\r\n", 4, b"* SEARCH 1") == b""


async def test_a_session_without_a_command_is_left_alone(world: World) -> None:
    async with client(world) as one:
        await one.ask(LOGIN)
        for _ in range(4):
            world.context.sessions.beat()
        assert await one.ask(b"b NOOP\r\n") == b"b OK Nothing done\r\n"


async def test_a_compressed_session_goes_on_after_resting(world: World) -> None:
    import zlib

    compressor, decompressor = zlib.compressobj(wbits=-15), zlib.decompressobj(-15)
    async with client(world) as one:
        await one.ask(LOGIN)
        await one.ask(b"b COMPRESS DEFLATE\r\n")
        for _ in range(3):
            line = compressor.compress(b"c NOOP\r\n") + compressor.flush(zlib.Z_SYNC_FLUSH)
            assert decompressor.decompress(await one.ask(line)) == b"c OK Nothing done\r\n"
            world.context.sessions.beat()


async def test_a_bomb_ends_the_session_and_says_why(world: World) -> None:
    import zlib

    compressor, decompressor = zlib.compressobj(wbits=-15), zlib.decompressobj(-15)
    async with client(world) as one:
        await one.ask(LOGIN)
        await one.ask(b"b COMPRESS DEFLATE\r\n")
        await one.ask(
            compressor.compress(b"c APPEND INBOX {40000000+}\r\n") + compressor.flush(zlib.Z_SYNC_FLUSH)
        )
        one.send(compressor.compress(b"x" * 40_000_000) + compressor.flush(zlib.Z_SYNC_FLUSH))
        await asyncio.wait_for(one.task, 10)
        said = decompressor.decompress(one.take())
        assert said.startswith(
            b"* BYE One compressed octet stands for more than 200 (imap_compression_ratio)"
        )
