"""What becomes of a submitted message: queue entry, copies, limits, identities; over memory, with a real store."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from postino.core.ids import AccountId, Instant
from postino.outbound.settings import OutboundSettings
from postino.smtp.envelope import BodyType, ByMode, Notify, Return
from postino.store.content import InlineBody
from postino.store.identities import add_identity, parse_identity
from postino.store.queue.lease import take_due
from postino.store.queue.rows import read_octets
from postino.store.queue.suppression import suppress
from postino.store.queue.values import LeaseToken, QueuedMessage, QueueKind
from postino.store.quota import set_quotas
from postino.store.sending import set_limits, set_save_sent, set_undo_seconds
from postino.store.store import Store
from postino.store.tx import Tx
from tests.support.memory_network import MemoryClient
from tests.support.world import NOW, World, open_world, serve_function

MESSAGE = b"From: ann@example.org\r\nMessage-ID: <one@example.org>\r\nDate: x\r\n\r\nhello\r\n"
LATER = Instant(NOW + 10**9)


@asynccontextmanager
async def submitting(
    path: Path, *changes: Any, settings: dict[str, Any] | None = None
) -> AsyncIterator[tuple[World, MemoryClient]]:
    """A session in which ann has logged in; `changes` are made to her account before."""

    async def seed(store: Store, ids: dict[str, AccountId]) -> None:
        for change in changes:
            await store.write(lambda tx, change=change: change(tx, ids["ann"]))

    name = f"submitting-{len(changes)}-{id(changes)}-{path.name}"
    async with open_world(path / "data", seed_name=name, seed=seed) as world:
        if settings:
            world.context.outbound.settings = OutboundSettings(**settings)
        async with session(world) as client:
            yield world, client


@asynccontextmanager
async def session(world: World, kind: str = "submission") -> AsyncIterator[MemoryClient]:
    async with MemoryClient(serve_function(world.context, kind), tls=True) as client:
        await client.quiet()
        await client.ask(b"EHLO client.example\r\n")
        assert b"235" in await client.ask(b"AUTH PLAIN AGFubkBleGFtcGxlLm9yZwBzZWNyZXQ=\r\n")
        yield client


async def send(
    client: MemoryClient,
    *recipients: str,
    octets: bytes = MESSAGE,
    mail: str = "",
    rcpt: str = "",
    sender: str = "ann@example.org",
) -> bytes:
    """The last answer."""
    for line in (f"MAIL FROM:<{sender}>{mail}", *(f"RCPT TO:<{one}>{rcpt}" for one in recipients)):
        answer = await client.ask(line.encode() + b"\r\n")
        if not answer.startswith(b"250"):
            await client.ask(b"RSET\r\n")
            return answer
    await client.ask(b"DATA\r\n")
    return await client.ask(octets + b".\r\n")


def queued(world: World, *, now: Instant = LATER) -> list[QueuedMessage]:
    """All that waits, as a dispatcher would take it."""
    token = LeaseToken("1.other")
    found: list[QueuedMessage] = world.store.write_now(
        lambda tx: take_due(tx, token, now=now, until=Instant(now + 60), most=1000)
    )
    return found


def addresses_of(message: QueuedMessage) -> list[tuple[str, str]]:
    return [(one.address, one.domain) for one in sorted(message.recipients, key=lambda one: one.number)]


def octets_of(world: World, message: QueuedMessage) -> bytes:
    octets = world.store.read_now(lambda tx: read_octets(tx, message.queue_id))
    assert isinstance(octets.body, InlineBody)
    whole = octets.header + octets.body.octets
    assert len(whole) == octets.size == message.size
    return whole


def in_mailbox(world: World, name: str, login: str = "ann@example.org") -> list[tuple[Any, ...]]:
    """(octets, flags, keywords) of each message."""
    rows: list[tuple[Any, ...]] = world.store.read_now(
        lambda tx: tx.all(
            "SELECT CAST(o.header || coalesce(o.body, s.body) AS BLOB), m.flags, m.keywords FROM account a"
            " JOIN mailbox b ON b.account_id=a.id JOIN message m ON m.account_id=a.id AND m.mailbox_id=b.id"
            " JOIN octets o ON o.account_id=a.id AND o.content_id=m.content_id"
            " LEFT JOIN shared_body s ON s.id=o.blob_id WHERE a.login=? AND b.name=? ORDER BY m.uid",
            (login, name),
        )
    )
    return rows


def account(change: Any, *values: Any, **named: Any) -> Any:
    return lambda tx, account_id: change(tx, account_id, *values, **named)


@asynccontextmanager
async def mail_program(world: World) -> AsyncIterator[Callable[[bytes, bytes], Awaitable[None]]]:
    """ann's IMAP session: say something and wait for an answer with this."""
    async with MemoryClient(serve_function(world.context, "imap"), tls=True) as client:

        async def say(said: bytes, answer: bytes) -> None:
            client.send(said)
            async with asyncio.timeout(5):
                while answer not in client.take():
                    await client.wait_for_more()

        await say(b"a LOGIN ann@example.org secret\r\n", b"a OK")
        yield say


# The queue


async def test_what_goes_elsewhere_is_in_the_queue_as_it_was_submitted(tmp_path: Path) -> None:
    async with submitting(tmp_path) as (world, client):
        answer = await send(
            client,
            "Bob@Other.Example",
            '"odd name"@bücher.example',
            "bob@example.org",
            mail=" RET=HDRS ENVID=a+2Bb SMTPUTF8 MT-PRIORITY=2 BY=3600;N REQUIRETLS",
            rcpt=" NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2B@other.example",
        )
        assert answer.startswith(b"250 2.0.0 Queued as 1 (")
        (message,) = queued(world)
        assert (message.kind, message.account_id, message.reverse_path) == (
            QueueKind.SUBMITTED,
            1,
            "ann@example.org",
        )
        assert addresses_of(message) == [
            ("Bob@other.example", "other.example"),
            ('"odd name"@bücher.example', "bücher.example"),
        ]
        assert {(one.notify, one.original) for one in message.recipients} == {
            (Notify.SUCCESS | Notify.DELAY, "rfc822;Bob+@other.example")
        }
        options = message.options
        assert (options.ret, options.envid, options.smtputf8, options.priority) == (
            Return.HEADERS,
            "a+b",
            True,
            2,
        )
        assert (options.by_mode, options.deliver_by, options.require_tls) == (ByMode.NOTIFY, NOW + 3600, True)
        assert (message.created_at, message.expires_at) == (NOW, NOW + 5 * 86_400)
        octets = octets_of(world, message)
        assert octets.endswith(b"\r\n\tPRIORITY 2;\r\n\tThu, 01 Jan 2026 00:00:00 +0000\r\n" + MESSAGE)
        assert octets.startswith(
            b"Received: from client.example ([192.0.2.1])\r\n\tby mail.example.org with UTF8SMTPSA"
        )
        # The copy here shares the body.
        ((delivered, _, _),) = in_mailbox(world, "INBOX", "bob@example.org")
        assert delivered.startswith(b"Return-Path: <ann@example.org>\r\n")
        assert world.store.read_now(lambda tx: tx.all("SELECT count(*) FROM shared_body")) == [(1,)]


@pytest.mark.parametrize(
    ("declared", "octets", "kind"),
    [
        ("", MESSAGE, BodyType.SEVEN_BIT),
        (" BODY=8BITMIME", MESSAGE, BodyType.SEVEN_BIT),
        ("", MESSAGE + "ü\r\n".encode(), BodyType.EIGHT_BIT_MIME),
        ("", b"Subject: \xfc\r\n" + MESSAGE, BodyType.EIGHT_BIT_MIME),
    ],
)
async def test_the_next_server_is_told_what_the_octets_are(
    tmp_path: Path, declared: str, octets: bytes, kind: BodyType
) -> None:
    async with submitting(tmp_path) as (world, client):
        assert b"Queued" in await send(client, "bob@other.example", mail=declared, octets=octets)
        (message,) = queued(world)
        assert message.options.body is kind
        assert octets_of(world, message).endswith(octets)


async def test_who_is_named_twice_gets_it_once(tmp_path: Path) -> None:
    async with submitting(tmp_path) as (world, client):
        await send(client, "bob@other.example", "bob@OTHER.example", "carol@other.example")
        (message,) = queued(world)
        assert [address for address, _ in addresses_of(message)] == [
            "bob@other.example",
            "carol@other.example",
        ]


async def test_with_room_the_dispatcher_gets_it_from_memory(tmp_path: Path) -> None:
    async with submitting(tmp_path) as (world, client):
        dispatcher = world.context.outbound.dispatcher
        dispatcher.has_room = True
        await send(client, "bob@other.example")
        ((message, octets),) = dispatcher.taken
        assert queued(world, now=NOW) == []
        assert (message.queue_id, [one.address for one in message.recipients]) == (1, ["bob@other.example"])
        assert octets.header + octets.body.octets == octets_of(world, message)
        # What is to go later waits in the queue for whoever is free then.
        await send(client, "bob@other.example", mail=" HOLDFOR=60")
        assert len(dispatcher.taken) == 1
        assert [one.queue_id for one in queued(world, now=Instant(NOW + 60))] == [2]


async def test_a_suppressed_address_is_refused_with_the_reason(tmp_path: Path) -> None:
    def failed(tx: Tx, _: AccountId) -> None:
        suppress(tx, "bob@other.example", "550 no such user", NOW)

    async with submitting(tmp_path, failed) as (_, client):
        answer = await send(client, "Bob@other.example")
        assert answer.startswith(b"550 5.1.1 Mail to this address keeps failing; correct it, ")
        assert answer.endswith(b"(550 no such user)\r\n")
        assert b"Queued" in await send(client, "carol@other.example")


async def test_without_a_way_out_nothing_of_it_is_offered(tmp_path: Path) -> None:
    async with submitting(tmp_path) as (world, client):
        world.context.outbound = None
        hello = await client.ask(b"EHLO client.example\r\n")
        assert not any(word in hello for word in (b"DSN", b"FUTURE", b"DELIVERBY", b"PRIORITY", b"REQUIRE"))
        assert (await send(client, "bob@other.example")).startswith(b"550 5.1.2 ")
        assert (await send(client, "bob@example.org", mail=" ENVID=1")).startswith(b"555 ")
        assert (await send(client, "bob@example.org", rcpt=" NOTIFY=NEVER")).startswith(b"555 ")
        assert (await send(client, "bob@example.org")).startswith(b"250 2.0.0 Kept")


# Later, and taken back


@pytest.mark.parametrize(("mail", "seconds"), [("", 30), (" HOLDFOR=10", 30), (" HOLDFOR=90", 90)])
async def test_what_may_be_taken_back_waits_whatever_the_client(
    tmp_path: Path, mail: str, seconds: int
) -> None:
    async with submitting(tmp_path, account(set_undo_seconds, 30)) as (world, client):
        answer = await send(client, "bob@other.example", "bob@example.org", mail=mail)
        assert b"Queued as 1 (" in answer
        assert f", to go at 2026-01-01 00:0{seconds // 60}:{seconds % 60:02} UTC".encode() in answer
        assert in_mailbox(world, "INBOX", "bob@example.org") == []
        assert queued(world, now=Instant(NOW + seconds - 1)) == []
        (message,) = queued(world, now=Instant(NOW + seconds))
        assert [address for address, _ in addresses_of(message)] == ["bob@other.example", "bob@example.org"]
        assert message.expires_at == NOW + seconds + 5 * 86_400
        assert message.options.hold == (mail.strip().lower().replace("hold", "").replace("=", ";"))


async def test_a_deadline_is_not_missed_for_the_time_to_take_back(tmp_path: Path) -> None:
    async with submitting(tmp_path, account(set_undo_seconds, 300)) as (world, client):
        assert b"to go at" not in await send(client, "bob@other.example", mail=" BY=120;R")
        assert b"to go at" in await send(client, "bob@other.example", mail=" BY=120;N")
        assert len(queued(world, now=NOW)) == 1


# Identities


@pytest.mark.parametrize(
    ("granted", "address", "allowed"),
    [
        ("sales@shop.example", "sales@shop.example", True),
        ("sales@shop.example", "SALES+x@Shop.example", True),
        ("sales@shop.example", "other@shop.example", False),
        ("@shop.example", "anybody@shop.example", True),
        ("@shop.example", "anybody@sub.shop.example", False),
        ("bob@example.org", "bob@example.org", True),
        ("@xn--bcher-kva.example", "a@bücher.example", True),
    ],
)
async def test_an_account_sends_as_the_identities_it_was_granted(
    tmp_path: Path, granted: str, address: str, allowed: bool
) -> None:
    async with submitting(tmp_path, account(add_identity, parse_identity(granted))) as (_, client):
        code = b"250" if allowed else b"553"
        options = "" if address.isascii() else " SMTPUTF8"
        octets = f"From: {address}\r\n\r\n".encode()
        assert (
            await send(client, "bob@example.org", sender=address, mail=options, octets=octets)
        ).startswith(code)
        code = b"250" if allowed else b"550"
        assert (await send(client, "bob@example.org", octets=octets)).startswith(code)


# Limits


async def test_messages_a_day(tmp_path: Path) -> None:
    limits = account(set_limits, daily_messages=2, daily_recipients=-1)
    async with submitting(tmp_path, limits) as (world, client):
        assert b"Queued" in await send(client, "bob@other.example")
        # Mail within the house counts too.
        assert b"Kept" in await send(client, "bob@example.org")
        for recipient in ("bob@other.example", "bob@example.org"):
            assert await send(client, recipient) == (
                b"452 4.7.1 You have sent 2 messages today, the most this account may; "
                b"go on at 00:00 UTC, or ask the postmaster for more\r\n"
            )
        assert len(queued(world)) == 1
        # The operator is told once: in the log, and by mail to postmaster, who is the oldest account here.
        warnings = [event for event in world.log.events if event.event == "sending.limit"]
        assert len(warnings) == 2
        ((note, _, _),) = in_mailbox(world, "INBOX", "ann@example.org")
        assert b"Subject: ann@example.org has reached a limit on sending\r\n" in note
        assert b"postino account limit ann@example.org" in note
        world.context.clock.instant = NOW + 86_400
        assert b"Queued" in await send(client, "bob@other.example")


async def test_new_people_a_day(tmp_path: Path) -> None:
    async with submitting(tmp_path, settings={"daily_recipients": 3}) as (world, client):
        assert b"Queued" in await send(client, "a@other.example", "b@other.example")
        # Whoever was written to before does not count, in whatever spelling.
        assert b"Queued" in await send(client, "A@other.example", "b@OTHER.example", "c@other.example")
        assert b"Queued" in await send(client, "c@other.example", "bob@example.org")
        assert (await send(client, "c@other.example", "d@other.example")).startswith(
            b"452 4.7.1 You have written to 3 people today you never wrote to before, 1 more are too many: "
            b"this account may write to 3; go on at 00:00 UTC"
        )
        # Who was refused was not written to.
        assert (await send(client, "d@other.example")).startswith(b"452 4.7.1 ")
        many = [f"{number}@other.example" for number in range(4)]
        assert (await send(client, *many)).startswith(b"550 5.7.1 The message is for 4 people")
        assert b"Queued" in await send(client, "a@other.example")
        world.context.clock.instant = NOW + 86_400
        assert b"Queued" in await send(client, "d@other.example")


async def test_a_burst(tmp_path: Path) -> None:
    async with submitting(tmp_path, settings={"burst_messages": 2}) as (world, client):
        world.context.clock.instant = NOW + 30
        assert b"Queued" in await send(client, "a@other.example")
        assert b"Queued" in await send(client, "a@other.example")
        assert (await send(client, "a@other.example")).startswith(
            b"452 4.7.1 You have sent 2 messages within a minute, the most this account may; go on at 00:01 UTC"
        )
        world.context.clock.instant = NOW + 60
        assert b"Queued" in await send(client, "a@other.example")


async def test_no_limits(tmp_path: Path) -> None:
    none = {"daily_messages": 0, "daily_recipients": 0, "burst_messages": 0}
    async with submitting(tmp_path, settings=none) as (_, client):
        for number in range(3):
            assert b"Queued" in await send(client, f"{number}@other.example")


async def test_what_another_server_sends_is_not_counted(tmp_path: Path) -> None:
    async with (
        submitting(tmp_path, settings={"daily_messages": 1}) as (world, _),
        MemoryClient(serve_function(world.context, "smtp")) as stranger,
    ):
        await stranger.quiet()
        await stranger.ask(b"EHLO client.example\r\n")
        for _ in range(2):
            assert (await send(stranger, "ann@example.org")).startswith(b"250 ")


# Sent


async def test_a_copy_is_filed_in_sent_with_the_bcc_field(tmp_path: Path) -> None:
    octets = b"From: ann@example.org\r\nBcc: bob@other.example\r\n\r\nhello\r\n"
    async with submitting(tmp_path, account(set_save_sent, True)) as (world, client):
        assert b"Queued" in await send(client, "bob@other.example", "bob@example.org", octets=octets)
        ((copy, flags, keywords),) = in_mailbox(world, "Sent")
        assert (flags, keywords) == (1, "$Submitted")
        assert copy.startswith(b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <")
        assert copy.endswith(octets)
        (message,) = queued(world)
        assert b"Bcc" not in octets_of(world, message)
        ((delivered, _, _),) = in_mailbox(world, "INBOX", "bob@example.org")
        assert b"Bcc" not in delivered
        rows = world.store.read_now(
            lambda tx: tx.all("SELECT bcc_text, size FROM content WHERE account_id=1")
        )
        assert rows == [("bob@other.example", len(copy))]
        assert world.store.read_now(lambda tx: tx.all("SELECT count(*) FROM shared_body")) == [(1,)]


@pytest.mark.parametrize("length", [200_000, 2_000_000])
async def test_a_large_body_lies_on_disk_once(tmp_path: Path, length: int) -> None:
    octets = MESSAGE + random.Random(1).randbytes(length // 2).hex().encode() + b"\r\n"
    async with submitting(tmp_path, account(set_save_sent, True)) as (world, client):
        assert b"Queued" in await send(client, "bob@other.example", "bob@example.org", octets=octets)
        names = world.store.read_now(
            lambda tx: tx.all("SELECT blob_id FROM octets UNION ALL SELECT blob_id FROM queue_octets")
        )
        assert len(names) == 3
        assert len(set(names)) == 1
        (message,) = queued(world)
        assert message.options.body is BodyType.SEVEN_BIT or length > 1_000_000


async def test_no_copy_is_filed_when_the_program_filed_its_own_first(tmp_path: Path) -> None:
    async with submitting(tmp_path, account(set_save_sent, True)) as (world, client):
        async with mail_program(world) as say:
            said = b"b APPEND Sent (\\Seen) {%d+}\r\n%b\r\n" % (len(MESSAGE), MESSAGE)
            await say(said, b"b OK")
        await send(client, "bob@other.example")
        assert in_mailbox(world, "Sent") == [(MESSAGE, 1, "")]
        # An hour later it is another message, whatever it is called.
        world.context.clock.instant = NOW + 3601
        await send(client, "bob@other.example")
        assert [row[2] for row in in_mailbox(world, "Sent")] == ["", "$Submitted"]


@pytest.mark.parametrize("mailbox", ["Drafts", "Archive"])
async def test_a_copy_filed_elsewhere_leaves_the_servers(tmp_path: Path, mailbox: str) -> None:
    async with submitting(tmp_path, account(set_save_sent, True)) as (world, client):
        await send(client, "bob@other.example")
        async with mail_program(world) as say:
            said = b"b APPEND %b {%d+}\r\n%b\r\n" % (mailbox.encode(), len(MESSAGE), MESSAGE)
            await say(said, b"b OK")
        assert len(in_mailbox(world, "Sent")) == len(in_mailbox(world, mailbox)) == 1


async def test_one_copy_of_each_when_programs_file_several_at_once(tmp_path: Path) -> None:
    first, second = MESSAGE, MESSAGE.replace(b"<one", b"<two")
    async with submitting(tmp_path, account(set_save_sent, True)) as (world, client):
        for octets in (first, second):
            await send(client, "bob@other.example", octets=octets)
        async with mail_program(world) as say:
            said = b"".join(
                b"%d APPEND Sent {%d+}\r\n%b\r\n" % (number, len(octets), octets)
                for number, octets in enumerate((second, first))
            )
            await say(said, b"1 OK")
        assert [row[0] for row in in_mailbox(world, "Sent")] == [second, first]


async def test_one_copy_where_a_draft_is_replaced_by_what_was_sent(tmp_path: Path) -> None:
    """RFC 8508, as some programs file what they send."""
    async with submitting(tmp_path, account(set_save_sent, True)) as (world, client):
        async with mail_program(world) as say:
            literal = b"{%d+}\r\n%b\r\n" % (len(MESSAGE), MESSAGE)
            await say(b"b APPEND Drafts " + literal, b"b OK")
            await say(b"c SELECT Drafts\r\n", b"c OK")
            await send(client, "bob@other.example")
            await say(b"d REPLACE 1 Sent (\\Seen) " + literal, b"d OK")
        assert in_mailbox(world, "Sent") == [(MESSAGE, 1, "")]
        assert in_mailbox(world, "Drafts") == []


async def test_one_copy_of_each_of_many_filed_when_all_are_sent(tmp_path: Path) -> None:
    many = [MESSAGE.replace(b"<one", b"<%d" % number) for number in range(40)]
    async with submitting(tmp_path, account(set_save_sent, True)) as (world, client):
        for octets in many:
            await send(client, "bob@other.example", octets=octets)
        async with mail_program(world) as say:
            for number, octets in enumerate(many):
                said = b"%d APPEND Sent {%d+}\r\n%b\r\n" % (number, len(octets), octets)
                await say(said, b"%d OK" % number)
        assert [row[0] for row in in_mailbox(world, "Sent")] == many


@pytest.mark.parametrize("again", [b"", b"x CREATE Sent\r\n"])
async def test_a_sent_mailbox_that_was_removed(tmp_path: Path, again: bytes) -> None:
    async with submitting(tmp_path, account(set_save_sent, True)) as (world, client):
        async with mail_program(world) as say:
            await say(b"b DELETE Sent\r\n" + again, b"x OK" if again else b"b OK")
            await send(client, "bob@other.example")
            assert [row[2] for row in in_mailbox(world, "Sent")] == ["$Submitted"]
            said = b"c APPEND Sent {%d+}\r\n%b\r\n" % (len(MESSAGE), MESSAGE)
            await say(said, b"c OK")
        assert in_mailbox(world, "Sent") == [(MESSAGE, 0, "")]


async def test_a_sent_mailbox_by_another_name(tmp_path: Path) -> None:
    async with submitting(tmp_path, account(set_save_sent, True)) as (world, client):
        async with mail_program(world) as say:
            await say(b"b RENAME Sent Gesendet\r\n", b"b OK")
            await send(client, "bob@other.example")
        assert [row[2] for row in in_mailbox(world, "Gesendet")] == ["$Submitted"]
        assert in_mailbox(world, "Sent") == []


async def test_a_sent_mailbox_that_cannot_be_made(tmp_path: Path) -> None:
    changes = account(set_save_sent, True), account(set_quotas, mailboxes=1)
    async with submitting(tmp_path, *changes) as (world, client):
        async with mail_program(world) as say:
            await say(b"b DELETE Sent\r\n", b"b OK")
        assert b"Queued" in await send(client, "bob@other.example")
        assert in_mailbox(world, "Sent") == []


async def test_what_has_no_room_in_sent_is_sent_all_the_same(tmp_path: Path) -> None:
    changes = account(set_save_sent, True), account(set_quotas, octets=50)
    async with submitting(tmp_path, *changes) as (world, client):
        assert b"Queued" in await send(client, "bob@other.example")
        assert in_mailbox(world, "Sent") == []
        assert len(queued(world)) == 1


async def test_a_held_message_is_in_sent_at_once(tmp_path: Path) -> None:
    changes = account(set_save_sent, True), account(set_undo_seconds, 10)
    async with submitting(tmp_path, *changes) as (world, client):
        assert b"to go at" in await send(client, "ann@example.org")
        assert [row[0] for row in in_mailbox(world, "Sent")] == [MESSAGE]
        assert in_mailbox(world, "INBOX") == []
