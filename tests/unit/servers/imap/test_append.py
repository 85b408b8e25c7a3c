"""What transcripts cannot show of APPEND and its kin: memory, floods, large parts, limits."""

import asyncio
import re
from pathlib import Path

import pytest

from postino.core.errors import NoSuchMailbox
from postino.core.ids import AccountId, Instant, MailboxId
from postino.core.limits import Limits
from postino.servers.imap.messages import append, append_groups
from postino.store.content import NewEmail
from postino.store.mailboxes import mailbox_by_name
from postino.store.tx import Tx
from postino.store.verify import verify
from tests.support.memory_network import MemoryClient
from tests.support.world import NOW, World, open_world
from tests.transcripts.seeds import new_email
from tests.unit.servers.imap.test_session import BIG, HEADER, session, stored, until

ENOUGH = 8 * 1024 * 1024
SMALL = HEADER + b"small\r\n"


def appended(tag: bytes, octets: bytes, mailbox: bytes = b"INBOX") -> bytes:
    return b"%b APPEND %b {%d+}\r\n%b\r\n" % (tag, mailbox, len(octets), octets)


async def flood(client: MemoryClient, octets: bytes) -> int:
    """Send the same again and again, as long as the server takes it, and read nothing; how much it took."""
    client.transport.client_reads = False
    taken = still = 0
    piece = octets * (16 * 1024 // len(octets) + 1)
    while taken < ENOUGH and still < 100:
        if client.transport.reading_paused:
            still += 1
            await asyncio.sleep(0.001)
        else:
            still = 0
            client.send(piece)
            taken += len(piece)
            await asyncio.sleep(0)
    return taken


@pytest.mark.parametrize(
    "command",
    [
        b"a NOOP\r\n",
        b"a CAPABILITY\r\n",
        b'a LIST "" *\r\n',
        b"a FETCH 1:* (UID FLAGS ENVELOPE)\r\n",
        b"a FETCH 1:* BODY.PEEK[]\r\n",
        b"a SEARCH ALL\r\n",
        b"a STATUS INBOX (MESSAGES UIDNEXT)\r\n",
        # Refused without being a BAD command, and before its octets come.
        b"a APPEND nowhere {1}\r\n",
        b"a APPEND nowhere {1+}\r\nx\r\n",
        b"a APPEND INBOX {0}\r\n",
        b"a APPEND INBOX CATENATE (URL /INBOX/;UID=99)\r\n",
        b"a APPEND INBOX CATENATE (TEXT {1+}\r\nx URL /x/;UID=9)\r\n",
        b"a UID REPLACE 99 INBOX {1}\r\n",
        b"a LOGIN {1}\r\nb c\r\n",
        appended(b"a", b"x"),
    ],
)
async def test_a_client_that_never_reads_is_not_listened_to_for_ever(tmp_path: Path, command: bytes) -> None:
    limits = Limits(imap_bad_commands=1_000_000)
    async with open_world(tmp_path, limits=limits) as world, session(world) as client:
        await client.ask(appended(b"x", SMALL))
        taken = await flood(client, command)
        assert taken < ENOUGH
        # What waits to be sent and what was not read yet stays small, whatever was asked for.
        assert len(client.transport.written) < 1024 * 1024
        assert client.connection._unread < 1024 * 1024
        client.lose()


async def test_a_large_part_is_copied_in_pieces(tmp_path: Path) -> None:
    limits = Limits(smtp_memory_octets=100_000)
    async with open_world(tmp_path, limits=limits) as world, session(world) as client:
        client.send(appended(b"a", BIG))
        await until(client, b"a OK")
        client.send(b"b APPEND INBOX CATENATE (URL /INBOX/;UID=1 TEXT {3+}\r\nend)\r\n")
        await until(client, b"b OK")
        client.send(
            b"c APPEND INBOX CATENATE (TEXT {8+}\r\na: b\r\n\r\n URL /INBOX/;UID=1/;PARTIAL=700000.900000)\r\n"
        )
        await until(client, b"c OK")
        assert await stored(world) == [BIG, BIG + b"end", b"a: b\r\n\r\n" + BIG[700_000:1_600_000]]


async def test_parts_count_together(tmp_path: Path) -> None:
    limits = Limits(message_octets=len(BIG) + 10)
    async with open_world(tmp_path, limits=limits) as world, session(world) as client:
        client.send(appended(b"a", BIG))
        await until(client, b"a OK")
        got = await client.ask(b"b APPEND INBOX CATENATE (URL /INBOX/;UID=1 URL /INBOX/;UID=1)\r\n")
        assert got.startswith(b"b NO [TOOBIG]")
        got = await client.ask(b"c APPEND INBOX CATENATE (URL /INBOX/;UID=1 TEXT {11}\r\n")
        assert got.startswith(b"c NO [TOOBIG]")
        assert await stored(world) == [BIG]


async def test_many_messages_of_one_command_go_to_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(append, "HELD_OCTETS", 500)
    octets = [HEADER + b"number %d\r\n" % number * 10 for number in range(20)]
    async with open_world(tmp_path) as world, session(world) as client:
        client.send(
            b"a APPEND INBOX" + b"".join(b" {%d+}\r\n%b" % (len(each), each) for each in octets) + b"\r\n"
        )
        assert b"a OK [APPENDUID" in await until(client, b"a OK")
        assert await stored(world) == octets
        blobs = await world.store.read(
            lambda tx: tx.one("SELECT count(*) FROM octets WHERE blob_id IS NOT NULL")
        )
        assert 5 < blobs[0] < 20


async def test_a_command_of_too_many_messages_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(append, "HELD_OCTETS", 500)
    monkeypatch.setattr(append, "HEADS_OCTETS", 20_000)
    async with open_world(tmp_path) as world, session(world) as client:
        client.send(
            b"a APPEND INBOX" + b"".join(b" {%d+}\r\n%b" % (len(SMALL), SMALL) for _ in range(20)) + b"\r\n"
        )
        assert b"a NO [LIMIT]" in await until(client, b"a NO")
        assert b"* STATUS INBOX (MESSAGES 0)" in await client.ask(b"b STATUS INBOX (MESSAGES)\r\n")
        assert await stored(world) == []


async def test_a_command_of_too_many_parts_is_refused(tmp_path: Path) -> None:
    async with open_world(tmp_path, limits=Limits(imap_append_parts=9)) as world, session(world) as client:
        await client.ask(appended(b"x", SMALL))
        urls = b" ".join([b"URL /INBOX/;UID=1"] * 9)
        assert b"a NO [LIMIT]" in await client.ask(b"a APPEND INBOX CATENATE (%b)\r\n" % urls)
        texts = b" ".join([b"TEXT {1+}\r\nx"] * 9)
        assert b"b NO [LIMIT]" in await client.ask(b"b APPEND INBOX CATENATE (%b)\r\n" % texts)
        assert await stored(world) == [SMALL]


async def test_a_client_that_vanishes_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    for at, start in enumerate(
        [
            b"a APPEND INBOX {5+}\r\nhello {9+}\r\nxx",
            b"a APPEND INBOX CATENATE (URL /INBOX/;UID=1 TEXT {9+}\r\nxx",
            b"a REPLACE 1 INBOX {9+}\r\nxx",
            b"a REPLACE 1 INBOX CATENATE (TEXT {9+}\r\n012345678",
        ]
    ):
        async with open_world(tmp_path / str(at)) as world:
            async with session(world) as client:
                await client.ask(appended(b"x", SMALL))
                client.send(start)
                await client.quiet()
                client.lose()
            assert await stored(world) == [SMALL]


async def test_replace_is_one_step_for_the_store(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, session(world) as client:
        client.send(appended(b"x", SMALL))
        await until(client, b"x OK")
        before = await _totals(world)
        new = HEADER + b"new\r\n"
        got = await client.ask(b"a REPLACE 1 INBOX {%d+}\r\n%b\r\n" % (len(new), new))
        assert b"* 1 EXPUNGE\r\n* 1 EXISTS\r\na OK" in got
        assert await stored(world) == [new]
        assert await _totals(world) == (before[0] - len(SMALL) + len(new), 1)
        assert await world.store.read(lambda tx: verify(tx, world.store.blobs)) == []


async def _totals(world: World) -> tuple[int, int]:
    row = await world.store.read(
        lambda tx: tx.one("SELECT used_octets, used_messages FROM account WHERE login='ann@example.org'")
    )
    assert row is not None
    return row[0], row[1]


async def test_a_group_that_fails_half_way_is_undone_and_each_of_it_tried_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, sizes = append_groups.append_many, []

    def failing(
        tx: Tx, account_id: AccountId, mailbox_id: MailboxId, news: list[NewEmail], *, now: Instant
    ) -> object:
        sizes.append(len(news))
        done = real(tx, account_id, mailbox_id, news, now=now)
        if any(b"bad" in new.header for new in news):
            # Too late for a store function to refuse, so everything it wrote must go.
            raise NoSuchMailbox("The mailbox does not exist any more")
        return done

    monkeypatch.setattr(append_groups, "append_many", failing)
    octets = [b"Subject: %b\r\n\r\n" % word for word in (b"one", b"two", b"bad", b"four")]
    async with open_world(tmp_path) as world, session(world) as client:
        client.send(b"".join(appended(b"t%d" % at, each) for at, each in enumerate(octets)))
        got = await until(client, b"t3 ")
        assert re.findall(rb"^(t\d \w+ \[\w+)", got, re.MULTILINE) == [
            b"t0 OK [APPENDUID",
            b"t1 OK [APPENDUID",
            b"t2 NO [TRYCREATE",
            b"t3 OK [APPENDUID",
        ]
        assert await stored(world) == [octets[0], octets[1], octets[3]]
        assert max(sizes) == 4


async def test_a_group_costs_few_statements(tmp_path: Path) -> None:
    """What makes pipelined APPENDs fast stays so: rows are inserted in bulk, counters touched once."""
    async with open_world(tmp_path) as world:
        news = [new_email(HEADER + b"number %d\r\n" % number) for number in range(32)]

        def run(tx: Tx) -> int:
            statements = 0
            row = mailbox_by_name(tx, AccountId(1), "INBOX")

            class Counting:
                def __getattr__(self, name: str) -> object:
                    nonlocal statements
                    statements += name in {"run", "one", "all", "run_many"}
                    return getattr(tx, name)

            done = append_groups.append_many(Counting(), AccountId(1), row.id, news, now=NOW)  # type: ignore[arg-type]
            assert [each.uid for each in done] == list(range(1, 33))
            assert len({each.mod_seq for each in done}) == 32
            return statements

        # No message of these names another: each of them asks for its thread at most.
        assert await world.store.write(run) <= 5 + 32


def files(world: World) -> int:
    return len(list(world.store.blobs.listed(before=1e12)))


@pytest.mark.parametrize(
    ("ending", "answer"),
    [(b" {0+}\r\n\r\n", b"x NO"), (b" {70000000}\r\n", b"x NO"), (b" nonsense\r\n", b"x BAD")],
)
async def test_a_command_that_is_taken_back_leaves_no_file(
    tmp_path: Path, ending: bytes, answer: bytes
) -> None:
    """Else whoever does that again and again fills the disk."""
    async with open_world(tmp_path) as world, session(world) as client:
        for _ in range(2):
            client.send(b"x APPEND INBOX {%d+}\r\n%b%b" % (len(BIG), BIG, ending))
            await until(client, answer)
        assert files(world) == 0
        assert await stored(world) == []


async def test_a_command_that_is_cut_off_leaves_no_file(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        async with session(world) as client:
            client.send(b"x APPEND INBOX {%d+}\r\n%b {10}\r\n" % (len(BIG), BIG))
            await until(client, b"+ ")
            assert files(world) == 1
        assert files(world) == 0
        assert await stored(world) == []


async def test_what_is_stored_keeps_its_file(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, session(world) as client:
        client.send(appended(b"x", BIG))
        await until(client, b"x OK")
        client.send(b"y UID REPLACE 1 INBOX {%d+}\r\n%b\r\n" % (len(BIG), BIG))
        await until(client, b"y OK")
        client.send(b"n UID REPLACE 77 INBOX {%d+}\r\n%b\r\n" % (len(BIG), BIG))
        await until(client, b"n NO")
        # The replaced one's is remembered for as long as expunged mail is.
        assert files(world) == 2
        assert await stored(world) == [BIG]
