"""What transcripts cannot show of IMAP: large messages, slow readers, time, pipelines, vanished mailboxes."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from postino.core.ids import AccountId
from postino.core.limits import Limits
from postino.imap.commands import dispatch as grammar
from postino.servers.imap.dispatch import EXECUTORS
from postino.servers.imap.messages import append_groups, fetch
from postino.servers.imap.updates import news
from postino.store import mailboxes, messages
from postino.store.accounts import account_by_login
from postino.store.content import NewEmail
from postino.store.quota import set_quotas
from postino.store.store import Store
from tests.support.memory_network import MemoryClient
from tests.support.world import NOW, World, open_world, serve_function
from tests.transcripts.seeds import add, new_email

HEADER = b"From: carol@example.net\r\nSubject: x\r\nX-Odd: 100%\r\n\r\n"
NOISE = random.Random(3).randbytes(1_500_000).hex().encode()
BIG = HEADER + b"\r\n".join(NOISE[at : at + 76] for at in range(0, len(NOISE), 76)) + b"\r\n"
MIXED = (
    b"From: a@example.net\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    b"--x\r\nContent-Type: text/plain\r\nX-Part: one\r\n\r\nfirst\r\n"
    b"--x\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAwQ=\r\n"
    b"--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nX-Inner: yes\r\n\r\ninner text\r\n"
    b"--x\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: x-strange\r\n\r\nodd\r\n"
    b"--x--\r\n"
)


@asynccontextmanager
async def session(
    world: World, *, select: str = "INBOX", enable: str = "", **how: object
) -> AsyncIterator[MemoryClient]:
    """A logged-in client."""
    async with MemoryClient(serve_function(world.context, "imap"), tls=True, **how) as client:
        assert (await client.quiet()).startswith(b"* OK")
        assert b"a OK" in await client.ask(b"a LOGIN ann@example.org secret\r\n")
        if enable:
            assert b"e OK" in await client.ask(b"e ENABLE " + enable.encode() + b"\r\n")
        if select:
            assert b"s OK" in await client.ask(b"s SELECT " + select.encode() + b"\r\n")
        yield client


async def add_large(store: Store, account_id: AccountId, octets: bytes) -> None:
    """A message whose body is a blob."""
    made = new_email(octets)
    header = made.header
    body = await asyncio.to_thread(store.seal_body, octets[len(header) :])
    large = NewEmail(header, body, made.facts, NOW)

    def run(tx: object) -> None:
        row = mailboxes.mailbox_by_name(tx, account_id, "INBOX")  # type: ignore[arg-type]
        messages.append(tx, account_id, row.id, large, now=NOW)  # type: ignore[arg-type]

    await store.write(run)


async def sizes(store: Store, ids: dict[str, AccountId]) -> None:
    """1 small, 2 in a blob, 3 compressed, 4 with parts, 5 empty body, 6 without the empty line."""
    ann = ids["ann"]
    await add(store, ann, HEADER + b"small\r\n")
    await add_large(store, ann, BIG)
    await add(store, ann, HEADER + b"the same line over and over\r\n" * 60_000)
    await add(store, ann, MIXED)
    await add(store, ann, HEADER)
    await add(store, ann, b"Subject: only a header\r\n")


async def ten(store: Store, ids: dict[str, AccountId]) -> None:
    for number in range(10):
        await add(store, ids["ann"], HEADER + b"message %d\r\n" % number)


async def appended(client: MemoryClient, mailbox: bytes, octets: bytes) -> None:
    """APPEND, and wait until it is done."""
    got = await everything(client, b"APPEND %b {%d+}\r\n%b" % (mailbox, len(octets), octets), b"p")
    assert b"p OK" in got


async def until(client: MemoryClient, ending: bytes) -> bytes:
    """Everything up to an answer that holds `ending`."""
    got = b""
    while ending not in got:
        await client.wait_for_more()
        got += await client.quiet()
    return got


async def stored(world: World) -> list[bytes]:
    """The octets of ann's INBOX, straight from the store."""
    from postino.core.numset import NumberSet
    from postino.store.fetch import Column, body_octets, fetch_rows

    def read(tx: object) -> list[bytes]:
        account = account_by_login(tx, "ann@example.org")  # type: ignore[arg-type]
        assert account is not None
        row = mailboxes.mailbox_by_name(tx, account.id, "INBOX")  # type: ignore[arg-type]
        rows = fetch_rows(
            tx,  # type: ignore[arg-type]
            account.id,
            row.id,
            NumberSet([(1, 999)]),
            frozenset({Column.HEADER, Column.BODY}),
        )
        return [header + body_octets(body, world.store.blobs) for _, header, body in rows]

    return await world.store.read(read)


async def everything(client: MemoryClient, command: bytes, tag: bytes = b"z") -> bytes:
    """Run a command to its tagged answer, however large the answer is."""
    client.send(tag + b" " + command + b"\r\n")
    got = b""
    ending = re.compile(rb"(?:^|\r\n)" + tag + rb" (?:OK|NO|BAD) [^\r\n]*\r\n\Z")
    while not ending.search(got[-2000:]):
        await client.wait_for_more(20)
        client.take()
        got, client.received = got + client.received, b""
        assert not client.is_closed or ending.search(got[-2000:]), got[-200:]
    return got


def literals(answer: bytes) -> list[bytes]:
    """The literals of an answer, in order."""
    found: list[bytes] = []
    at = 0
    while marker := re.compile(rb"\{(\d+)\}\r\n").search(answer, at):
        found.append(answer[marker.end() : marker.end() + int(marker[1])])
        at = marker.end() + int(marker[1])
    return found


def test_every_command_has_its_executor() -> None:
    assert set(EXECUTORS) == set(grammar.Command.__args__)


# FETCH of octets


async def test_messages_of_every_size_come_out_as_they_went_in(tmp_path: Path) -> None:
    async with open_world(tmp_path, seed_name="imap-sizes", seed=sizes) as world, session(world) as client:
        expected = await stored(world)
        assert len(expected) == 6
        answer = await everything(client, b"FETCH 1:* BODY.PEEK[]")
        assert literals(answer) == expected
        assert literals(await everything(client, b"UID FETCH 6,4,2 (RFC822.SIZE RFC822)")) == [
            expected[1],
            expected[3],
            expected[5],
        ]
        for item, text in ((b"BODY.PEEK[TEXT]", 1), (b"BODY.PEEK[HEADER]", 0)):
            got = literals(await everything(client, b"FETCH 1:* " + item))
            assert got == [
                (new_email(octets).header, octets[len(new_email(octets).header) :])[text]
                for octets in expected
            ]


async def test_partials_join_to_the_whole(tmp_path: Path) -> None:
    async with open_world(tmp_path, seed_name="imap-sizes", seed=sizes) as world, session(world) as client:
        expected = await stored(world)
        step = 700_001
        for number, octets in enumerate(expected, 1):
            pieces = []
            for at in range(0, len(octets) + step, step):
                answer = await everything(client, b"FETCH %d BODY.PEEK[]<%d.%d>" % (number, at, step))
                assert b"BODY[]<%d> {" % at in answer
                pieces += literals(answer)
            assert b"".join(pieces) == octets
        edge = len(HEADER)
        answer = await everything(client, b"FETCH 1:3 BODY.PEEK[]<%d.10>" % (edge - 5))
        assert literals(answer) == [octets[edge - 5 : edge + 5] for octets in expected[:3]]


@pytest.mark.parametrize(
    ("item", "value"),
    [
        (b"BODY.PEEK[1]", b"{5}\r\nfirst"),
        (b"BODY.PEEK[1.MIME]", b"{41}\r\nContent-Type: text/plain\r\nX-Part: one\r\n\r\n"),
        (b"BODY.PEEK[2]<2.4>", b"{4}\r\nECAw"),
        (b"BODY.PEEK[3.HEADER]", b"{32}\r\nSubject: inner\r\nX-Inner: yes\r\n\r\n"),
        (b"BODY.PEEK[3.HEADER.FIELDS (x-inner)]", b"{16}\r\nX-Inner: yes\r\n\r\n"),
        (b"BODY.PEEK[3.HEADER.FIELDS.NOT (x-inner)]", b"{18}\r\nSubject: inner\r\n\r\n"),
        (b"BODY.PEEK[3.TEXT]", b"{10}\r\ninner text"),
        (b"BODY.PEEK[3.1]", b"{10}\r\ninner text"),
        (b"BODY.PEEK[9]", b"NIL"),
        (b"BODY.PEEK[1.HEADER]", b"NIL"),
        (b"BINARY.PEEK[2]", b"~{5}\r\n\x00\x01\x02\x03\x04"),
        (b"BINARY.PEEK[2]<1.2>", b"{2}\r\n\x01\x02"),
        (b"BINARY.SIZE[2]", b"5"),
        (b"BINARY.SIZE[9]", b"0"),
        (b"BODY.PEEK[HEADER.FIELDS (From X-Part)]", b"{23}\r\nFrom: a@example.net\r\n\r\n"),
        (b"BODY.PEEK[HEADER.FIELDS (From)]<6.5>", b"{5}\r\na@exa"),
    ],
)
async def test_sections(tmp_path: Path, item: bytes, value: bytes) -> None:
    async with open_world(tmp_path, seed_name="imap-sizes", seed=sizes) as world, session(world) as client:
        answer = await everything(client, b"FETCH 4 (UID %b)" % item)
        label = item.replace(b".PEEK", b"").partition(b"]")[0] + b"]"
        origin = re.search(rb"<(\d+)\.", item)
        if origin:
            label += b"<%b>" % origin[1]
        assert answer == b"* 4 FETCH (UID 4 %b %b)\r\nz OK Fetched\r\n" % (label, value)


async def test_unknown_transfer_encoding_is_refused(tmp_path: Path) -> None:
    async with open_world(tmp_path, seed_name="imap-sizes", seed=sizes) as world, session(world) as client:
        answer = await everything(client, b"FETCH 4 BINARY.PEEK[4]")
        assert answer.startswith(b"z NO [UNKNOWN-CTE]")


async def test_several_octet_items_in_one_response(tmp_path: Path) -> None:
    async with open_world(tmp_path, seed_name="imap-sizes", seed=sizes) as world, session(world) as client:
        answer = await everything(client, b"FETCH 4 (BODY.PEEK[1] BODY.PEEK[3.1] BODY.PEEK[9])")
        assert (
            answer
            == b"* 4 FETCH (BODY[1] {5}\r\nfirst BODY[3.1] {10}\r\ninner text BODY[9] NIL)\r\nz OK Fetched\r\n"
        )


async def test_a_slow_reader_bounds_what_is_held_for_it(tmp_path: Path) -> None:
    async with open_world(tmp_path, seed_name="imap-sizes", seed=sizes) as world, session(world) as client:
        client.transport.client_reads = False
        client.send(b"z FETCH 2,2,2,1 BODY.PEEK[]\r\n" * 3)
        got = b""
        for _ in range(2000):
            got += await client.quiet(10)
            assert len(client.transport.written) < 3 * fetch.PIECE_OCTETS
            if got.count(b"z OK") == 3:
                break
            await client.wait_for_more()
        assert got.count(BIG[len(HEADER) :]) == 3


async def test_reading_sets_seen_and_tells_it(tmp_path: Path) -> None:
    async with open_world(tmp_path, seed_name="imap-ten", seed=ten) as world, session(world) as client:
        answer = await everything(client, b"FETCH 2 BODY[TEXT]")
        assert answer.startswith(b"* 2 FETCH (FLAGS (\\Seen) BODY[TEXT] {11}\r\nmessage 1\r\n)\r\nz OK")
        again = await everything(client, b"FETCH 2 BODY[TEXT]")
        assert b"FLAGS" not in again
        await client.ask(b"x EXAMINE INBOX\r\n")
        assert b"FLAGS" not in await everything(client, b"FETCH 3 BODY[]")
        assert b"FLAGS ()" in await everything(client, b"FETCH 3 FLAGS")


async def test_batches_do_not_change_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_world(tmp_path, seed_name="imap-ten", seed=ten) as world, session(world) as client:
        commands = (
            b"FETCH 1:* (FLAGS UID ENVELOPE)",
            b"FETCH 1:2,4,6:* (UID BODY.PEEK[])",
            b"UID FETCH 1,3:5,7,9:* (RFC822.SIZE BODY.PEEK[HEADER.FIELDS (Subject)] BODY.PEEK[1])",
            b"FETCH 1:* FLAGS",
        )
        before = [await everything(client, command) for command in commands]
        for name in ("MEMORY_BATCH", "ROW_BATCH", "OCTETS_BATCH"):
            monkeypatch.setattr(fetch, name, 3)
        assert [await everything(client, command) for command in commands] == before


# Messages that go while they are wanted


async def delete_elsewhere(world: World, *uids: int) -> None:
    from postino.core.numset import NumberSet

    def run(tx: object) -> None:
        account = account_by_login(tx, "ann@example.org")  # type: ignore[arg-type]
        assert account is not None
        row = mailboxes.mailbox_by_name(tx, account.id, "INBOX")  # type: ignore[arg-type]
        messages.expunge(tx, account.id, row.id, NumberSet.of(uids), only_deleted=False, now=NOW)  # type: ignore[arg-type]

    await world.store.write(run)


async def test_fetch_by_number_of_expunged_messages(tmp_path: Path) -> None:
    async with open_world(tmp_path, seed_name="imap-ten", seed=ten) as world, session(world) as client:
        await delete_elsewhere(world, 2)
        answer = await everything(client, b"FETCH 1:3 (UID BODY.PEEK[TEXT])")
        assert literals(answer) == [b"message 0\r\n", b"message 2\r\n"]
        assert b"* 3 FETCH (UID 3 " in answer
        assert b"EXPUNGE\r\n" not in answer
        assert b"z NO [EXPUNGEISSUED]" in answer
        answer = await everything(client, b"UID FETCH 1:3 (BODY.PEEK[TEXT])")
        assert answer.endswith(b"* 2 EXPUNGE\r\nz OK Fetched\r\n")
        assert b"* 2 FETCH (UID 3 " in await everything(client, b"FETCH 2 (UID BODY.PEEK[])")


@pytest.mark.parametrize(
    ("command", "ending"),
    [
        (b"STORE 1:2 +FLAGS x", rb"\* 1 FETCH \(FLAGS \(x\)\)\r\nz NO \[EXPUNGEISSUED\]"),
        (b"UID STORE 1:2 +FLAGS x", rb"\* 1 FETCH \(UID 1 FLAGS \(x\)\)\r\n\* 2 EXPUNGE\r\nz OK"),
        (b"COPY 1:2 Archive", rb"\* 2 EXPUNGE\r\nz NO \[EXPUNGEISSUED\]"),
        (b"MOVE 1:2 Archive", rb"\* 2 EXPUNGE\r\nz NO \[EXPUNGEISSUED\]"),
        (b"UID COPY 1:2 Archive", rb"\* 2 EXPUNGE\r\nz OK \[COPYUID \d+ 1 1\]"),
        (
            b"UID MOVE 1:2 Archive",
            rb"\* OK \[COPYUID \d+ 1 1\][^\r]*\r\n\* 1 EXPUNGE\r\n\* 1 EXPUNGE\r\nz OK",
        ),
        (b"STORE 1:2 (UNCHANGEDSINCE 99999) +FLAGS x", rb"z NO \[MODIFIED 2\]"),
        (b"SEARCH 1:3", rb"\* SEARCH 1 3\r\nz OK"),
        (b"SEARCH NOT 1", rb"\* SEARCH 3 4 5 6 7 8 9 10\r\nz OK"),
    ],
)
async def test_commands_on_expunged_messages(tmp_path: Path, command: bytes, ending: bytes) -> None:
    async with open_world(tmp_path, seed_name="imap-ten", seed=ten) as world, session(world) as client:
        await delete_elsewhere(world, 2)
        assert re.search(ending, await everything(client, command))


@pytest.mark.parametrize(
    "command",
    [b"FETCH 1 FLAGS", b"FETCH 1 BODY[]", b"STORE 1 FLAGS ()", b"NOOP", b"SEARCH ALL", b"CHECK", b"IDLE"],
)
async def test_a_mailbox_deleted_by_another_session_ends_this_one(tmp_path: Path, command: bytes) -> None:
    async with open_world(tmp_path) as world, session(world, select="") as other:
        await other.ask(b"c CREATE Gone\r\n")
        await appended(other, b"Gone", HEADER)
        async with session(world, select="Gone") as client:
            assert b"d OK" in await other.ask(b"d DELETE Gone\r\n")
            answer = await client.ask(b"z " + command + b"\r\n")
            assert re.search(rb"(^|\r\n)z (NO|OK) ", answer)
            assert b"* BYE" in answer
            assert client.is_closed


async def test_idle_is_told_of_the_mailboxs_end(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, session(world, select="") as other:
        await other.ask(b"c CREATE Gone\r\n")
        async with session(world, select="Gone") as client:
            await client.ask(b"i IDLE\r\n")
            await other.ask(b"d DELETE Gone\r\n")
            await client.wait_for_more()
            assert b"* BYE" in client.take()


async def test_own_selected_mailbox_deleted(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, session(world, select="") as client:
        await client.ask(b"c CREATE Gone\r\nc SELECT Gone\r\n")
        assert (await client.ask(b"d DELETE Gone\r\n")).startswith(b"* OK [CLOSED]")
        assert b"f BAD" in await client.ask(b"f FETCH 1 FLAGS\r\n")


async def test_renamed_mailbox_stays_selected(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, session(world, select="") as other:
        await other.ask(b"c CREATE Old\r\n")
        async with session(world, select="Old") as client:
            await other.ask(b"r RENAME Old New\r\n")
            await appended(other, b"New", HEADER)
            assert b"* 1 EXISTS" in await client.ask(b"n NOOP\r\n")


# APPEND


async def test_pipelined_appends_are_answered_in_order_from_few_commits(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, session(world) as client:
        commits = 0
        publish = world.store.on_commit

        def count(changes: list[object]) -> None:
            nonlocal commits
            commits += 1
            publish(changes)

        world.store.on_commit = count
        octets = [HEADER + b"number %d\r\n" % number for number in range(150)]
        client.send(
            b"".join(
                b"t%d APPEND INBOX {%d+}\r\n%b\r\n" % (number, len(each), each)
                for number, each in enumerate(octets)
            )
            + b"s STATUS INBOX (MESSAGES)\r\n"
        )
        got = await until(client, b"s OK")
        tags = re.findall(rb"\r\nt(\d+) OK \[APPENDUID \d+ (\d+)\]", b"\r\n" + got)
        assert tags == [(b"%d" % number, b"%d" % (number + 1)) for number in range(150)]
        # The command behind them sees them all, and the selected mailbox's new size came before.
        assert got.index(b"* 150 EXISTS") < got.index(b"t149 OK")
        assert b"* STATUS INBOX (MESSAGES 150)\r\ns OK" in got
        assert commits <= 150 // append_groups.GROUP_MESSAGES + 2
        assert await stored(world) == octets


async def test_a_refused_append_among_others_keeps_its_place(tmp_path: Path) -> None:
    async with open_world(tmp_path, limits=Limits(message_octets=2000)) as world, session(world) as client:
        good = HEADER + b"good\r\n"
        line = b"%b APPEND %b {%d+}\r\n%b\r\n"
        large = b"x" * 3000
        got = await client.ask(
            line % (b"t1", b"INBOX", len(good), good)
            + line % (b"t2", b"Nowhere", len(good), good)
            + line % (b"t3", b"INBOX", len(large), large)
            + line % (b"t4", b"INBOX (\\Seen", len(good), good)
            + line % (b"t5", b"INBOX (\\Seen)", len(good), good)
            + b"t6 NOOP\r\n"
        )
        assert re.findall(rb"^(t\d (?:OK|NO|BAD)(?: \[[A-Z]+)?)", got, re.MULTILINE) == [
            b"t1 OK [APPENDUID",
            b"t2 NO [TRYCREATE",
            b"t3 NO [TOOBIG",
            b"t4 BAD",
            b"t5 OK [APPENDUID",
            b"t6 OK",
        ]


async def test_append_beyond_the_quota(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:

        def limit(tx: object) -> None:
            account = account_by_login(tx, "ann@example.org")  # type: ignore[arg-type]
            assert account is not None
            set_quotas(tx, account.id, octets=500)  # type: ignore[arg-type]

        await world.store.write(limit)
        octets = HEADER + b"x" * 200 + b"\r\n"
        async with session(world) as client:
            client.send(
                b"".join(b"t%d APPEND INBOX {%d+}\r\n%b\r\n" % (n, len(octets), octets) for n in range(3))
            )
            got = await until(client, b"t2 ")
            assert re.findall(rb"^(t\d \w+(?: \[[A-Z]+)?)", got, re.MULTILINE) == [
                b"t0 OK [APPENDUID",
                b"t1 NO [OVERQUOTA",
                b"t2 NO [OVERQUOTA",
            ]
            # Not even asked for when it cannot fit.
            assert b"t4 NO [OVERQUOTA]" in await client.ask(b"t4 APPEND INBOX {9999}\r\n")


async def test_large_append_goes_through_a_file(tmp_path: Path) -> None:
    limits = Limits(smtp_memory_octets=100_000)
    async with open_world(tmp_path, limits=limits) as world, session(world) as client:
        client.send(b"t APPEND INBOX {%d}\r\n" % len(BIG))
        assert (await client.quiet()).startswith(b"+ ")
        for at in range(0, len(BIG), 50_000):
            client.send(BIG[at : at + 50_000])
            await asyncio.sleep(0)
        client.send(b"\r\n")
        while b"t OK" not in client.received:
            await client.wait_for_more()
            client.take()
        assert await stored(world) == [BIG]


async def test_several_messages_in_one_append_come_all_or_none(tmp_path: Path) -> None:
    async with open_world(tmp_path, limits=Limits(message_octets=2000)) as world, session(world) as client:
        first, second = HEADER + b"first\r\n", HEADER + b"second\r\n"
        client.send(
            b"t APPEND INBOX {%d+}\r\n%b (\\Seen) {%d+}\r\n%b\r\n" % (len(first), first, len(second), second)
        )
        got = await until(client, b"t OK")
        assert re.search(rb"\* 2 EXISTS\r\nt OK \[APPENDUID \d+ 1:2\]", got)
        got = await client.ask(
            b"t APPEND INBOX {%d+}\r\n%b {3000+}\r\n%b\r\nn NOOP\r\n" % (len(first), first, b"x" * 3000)
        )
        assert re.search(rb"\At NO \[TOOBIG\][^\r]*\r\nn OK", got)
        assert await stored(world) == [first, second]


async def test_append_complete_when_the_client_vanishes_is_kept(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        async with session(world) as client:
            client.send(
                b"t APPEND INBOX {%d+}\r\n%b\r\nu APPEND INBOX {100+}\r\nhalf" % (len(HEADER), HEADER)
            )
            await asyncio.sleep(0)
            client.lose()
        assert await stored(world) == [HEADER]


# Time and ends


async def test_silence_logs_out(tmp_path: Path) -> None:
    limits = Limits(imap_idle_seconds=0.05, login_seconds=0.1)
    async with open_world(tmp_path, limits=limits) as world:
        async with session(world) as client:
            await client.wait_for_more()
            assert client.take().startswith(b"* BYE")
        async with session(world) as client:
            await client.ask(b"i IDLE\r\n")
            await client.wait_for_more()
            assert client.take().startswith(b"* BYE")
        async with MemoryClient(serve_function(world.context, "imap"), tls=True) as client:
            await client.quiet()
            # Chatter does not put the login off.
            while not client.is_closed:
                client.send(b"n NOOP\r\n")
                await asyncio.sleep(0.01)
            assert b"* BYE" in client.take()


async def test_idle_polls_for_lost_hints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "POLL_SECONDS", 0.02)
    async with open_world(tmp_path, seed_name="imap-ten", seed=ten) as world:
        world.store.on_commit = None
        async with session(world) as client:
            await client.ask(b"i IDLE\r\n")
            await delete_elsewhere(world, 1)
            await client.wait_for_more()
            assert client.take() == b"* 1 EXPUNGE\r\n"
            assert (await client.ask(b"DONE\r\n")).endswith(b"i OK No longer idle\r\n")


async def test_idle_ends_with_the_server(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, session(world) as client:
        await client.ask(b"i IDLE\r\n")
        client.connection.end_soon()
        await client.wait_for_more()
        assert client.take().startswith(b"* BYE [UNAVAILABLE]")


async def test_a_fault_ends_one_session_and_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fault(*_: object) -> None:
        raise RuntimeError("a bug")

    async with open_world(tmp_path) as world, session(world) as other:
        async with session(world) as client:
            monkeypatch.setitem(EXECUTORS, grammar.plain.Check, fault)
            assert b"* BYE" in await client.ask(b"c CHECK\r\n")
            assert client.is_closed
        assert b"n OK" in await other.ask(b"n NOOP\r\n")
        assert any(event.event == "session.fault" for event in world.log.events)


async def test_passwords_are_never_logged(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, session(world):
        assert "secret" not in repr(world.log.events)


async def test_pipelined_commands_are_answered_in_order(tmp_path: Path) -> None:
    async with open_world(tmp_path, seed_name="imap-ten", seed=ten) as world, session(world) as client:
        got = await client.ask(
            b"".join(b"t%d FETCH %d FLAGS\r\n" % (number, number % 10 + 1) for number in range(200))
        )
        assert re.findall(rb"t(\d+) OK", got) == [b"%d" % number for number in range(200)]


async def test_bus_is_left_when_a_session_ends(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        async with session(world) as client:
            await client.ask(b"s SELECT Archive\r\n")
        assert not any(world.context.bus.listeners.values())
