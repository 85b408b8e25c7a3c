"""Forwarded mail from port 25 to the next server: its answers become ours, and trouble becomes the queue's."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from postino.core.address import parse_address
from postino.core.ids import Instant
from postino.outbound.cut_through import AVOID_SECONDS, MOST_AT_ONE_DESTINATION
from postino.outbound.settings import OutboundSettings
from postino.servers.context import ServerContext
from postino.store.accounts import account_by_login, add_alias
from postino.store.forwards import set_forwarding
from tests.support.far_server import DEFAULT_EXTENSIONS, FarServer, Habits
from tests.support.front_door import Sender, context_of
from tests.support.outbound_world import SendingWorld, sending_world

ZONE = """
far.example.        MX 10 mx.far.example.
mx.far.example.     A  192.0.2.1
null.example.       MX 0 .
client.example.     MX 10 mx.client.example.
mx.client.example.  A  192.0.2.9
"""
ADDRESS = "192.0.2.1"
MESSAGE = b"From: Sue <sue@client.example>\r\nSubject: hello\r\n\r\nSome words.\r\n"
LONG_PATH = f"bounces+{'x' * 60}@lists.client.example"
Scenario = Callable[["Door"], Awaitable[None]]


class Door:
    """The world, with team@ and ann@ sent on to far.example."""

    def __init__(self, world: SendingWorld, context: ServerContext, far: FarServer) -> None:
        self.world = world
        self.context = context
        self.far = far

    async def open(self) -> Sender:
        return await Sender(self.context).begin()

    async def send(
        self, *recipients: str, reverse_path: str = "sue@client.example", message: bytes = MESSAGE
    ) -> list[str]:
        sender = await self.open()
        replies = await sender.send(reverse_path, *recipients, message=message)
        await sender.close()
        return replies

    def mailboxes(self, login: str) -> dict[str, int]:
        def look(tx):
            return dict(
                tx.all(
                    "SELECT b.name, b.messages FROM mailbox b JOIN account a ON a.id=b.account_id"
                    " WHERE a.login=? AND b.messages>0",
                    (login,),
                )
            )

        return self.world.store.read_now(look)


def at_the_door(
    path: Path, scenario: Scenario, *, far: Habits | None = None, settings: OutboundSettings | None = None
) -> None:
    async def whole(world: SendingWorld) -> None:
        def make(tx):
            add_alias(tx, parse_address("team@example.org"), [], [parse_address("bob@far.example")])
            add_alias(tx, parse_address("lost@example.org"), [], [parse_address("bob@null.example")])
            add_alias(tx, parse_address("joerg@example.org"), [], [parse_address("jörg@far.example")])
            ann = account_by_login(tx, "ann@example.org").id
            add_alias(tx, parse_address("both@example.org"), [ann], [parse_address("bob@far.example")])
            bob = account_by_login(tx, "bob@example.org").id
            set_forwarding(tx, bob, [parse_address("bob@far.example")], keeps=False)

        await world.store.write(make)
        outbound = world.outbound(settings)
        door = Door(world, context_of(world, outbound), world.far_server(ADDRESS, far))
        await scenario(door)

    with sending_world(path / "data", whole, zone=ZONE):
        pass


async def passed(door: Door, *recipients: str) -> None:
    replies = await door.send(*recipients)
    assert replies[-1].startswith("250 2.0.0 Passed on as ")
    assert not door.world.waiting()


def test_what_the_next_server_takes_is_passed_on_and_kept_nowhere(tmp_path: Path) -> None:
    async def scenario(door: Door) -> None:
        await passed(door, "team@example.org")
        (message,) = door.far.messages
        assert message.reverse_path.startswith("SRS0=")
        assert message.reverse_path.endswith("=client.example=sue@example.org")
        assert [to for to, _ in message.recipients] == ["bob@far.example"]
        assert message.recipients[0][1] == {"ORCPT": "rfc822;team@example.org"}
        top, _, rest = message.octets.partition(b"Received: from client.example")
        assert top.endswith(b"Delivered-To: team@example.org\r\n")
        assert rest.endswith(MESSAGE)
        (event,) = door.world.events("message.passed")
        assert event["to"] == "bob@far.example"
        # Accounts that keep no copy are no different.
        await passed(door, "bob@example.org")
        assert not door.mailboxes("bob@example.org")

    at_the_door(tmp_path, scenario)


def test_an_alias_may_lead_to_an_address_beyond_ascii(tmp_path: Path) -> None:
    async def scenario(door: Door) -> None:
        await passed(door, "joerg@example.org")
        assert [to for to, _ in door.far.messages[0].recipients] == ["jörg@far.example"]
        door.far.habits = Habits(extensions=("8BITMIME",))
        (reply,) = await door.send("joerg@example.org")
        assert reply.startswith("550 5.6.7")

    at_the_door(tmp_path, scenario)


def test_a_server_without_pipelining(tmp_path: Path) -> None:
    async def scenario(door: Door) -> None:
        await passed(door, "team@example.org")

    at_the_door(tmp_path, scenario, far=Habits(extensions=("SIZE 1000000", "8BITMIME")))


@pytest.mark.parametrize(
    ("stage", "reply", "answer"),
    [
        ("RCPT", "550 5.1.1 No such user", "550 5.1.1 mx.far.example (192.0.2.1) said: 550 5.1.1 No such user"),
        ("MAIL", "554 Not from you", "554 5.0.0 mx.far.example (192.0.2.1) said: 554 Not from you"),
        ("RCPT", "599 4.1.1 Odd", "599 5.0.0 mx.far.example (192.0.2.1) said: 599 4.1.1 Odd"),
    ],
)  # fmt: skip
def test_a_refused_recipient_is_refused_here(tmp_path: Path, stage: str, reply: str, answer: str) -> None:
    async def scenario(door: Door) -> None:
        replies = await door.send("team@example.org", "ann@example.org")
        assert replies[0] == answer
        assert replies[1].startswith("250 2.1.5")
        assert replies[2].startswith("250 2.0.0")
        assert door.mailboxes("ann@example.org") == {"INBOX": 1}
        assert not door.world.waiting()

    at_the_door(tmp_path, scenario, far=Habits(replies={stage: reply}))


def test_a_refused_message_is_refused_here(tmp_path: Path) -> None:
    async def scenario(door: Door) -> None:
        for stage in ("END", "DATA"):
            door.far.habits = Habits(replies={stage: "550 5.7.1 Looks like spam"})
            replies = await door.send("team@example.org")
            said = "550 5.7.1 mx.far.example (192.0.2.1) said: 550 5.7.1 Looks like spam"
            assert replies == ["250 2.1.5 Recipient taken", said]
            assert not door.world.waiting()
        assert not door.far.messages

    at_the_door(tmp_path, scenario)


def test_a_domain_that_takes_no_mail_is_refused_here(tmp_path: Path) -> None:
    async def scenario(door: Door) -> None:
        (reply,) = await door.send("lost@example.org")
        assert reply.startswith("550 5.1.10")

    at_the_door(tmp_path, scenario)


@pytest.mark.parametrize(
    "habits",
    [
        Habits(greylist=1),
        Habits(replies={"END": "451 4.3.0 Not now"}),
        Habits(replies={"DATA": "250 2.0.0 Fine"}),
        Habits(drop_at="END"),
        Habits(drop_at="RCPT"),
        Habits(stall_at="RCPT"),
        Habits(stall_at="END"),
        Habits(stall_at="CONNECT"),
        Habits(replies={"CONNECT": "554 No connections"}),
        Habits(replies={"RCPT": b"nonsense\r\n"}),
        Habits(extensions=tuple(e for e in DEFAULT_EXTENSIONS if e != "SMTPUTF8")),
    ],
    ids=lambda habits: repr({k: v for k, v in vars(habits).items() if v != vars(Habits()).get(k)}),
)
def test_trouble_is_the_queues(tmp_path: Path, habits: Habits) -> None:
    async def scenario(door: Door) -> None:
        needs_utf8 = "SMTPUTF8" not in habits.extensions
        begun = door.world.time.monotonic()
        path = "sue@client.example> SMTPUTF8" if needs_utf8 else "sue@client.example"
        replies = await door.send("team@example.org", reverse_path=path)
        assert [reply[:3] for reply in replies] == ["250", "250"]
        assert door.world.time.monotonic() - begun < 75
        assert "Kept as" in replies[1]
        door.far.habits = Habits()
        await door.world.until_empty()
        assert door.far.messages[-1].octets.endswith(MESSAGE)

    at_the_door(tmp_path, scenario, far=habits)


def test_a_server_that_did_not_answer_is_not_waited_for_again_at_once(tmp_path: Path) -> None:
    async def scenario(door: Door) -> None:
        time = door.world.time
        for waits in (True, False, True):
            begun = time.monotonic()
            assert (await door.send("team@example.org"))[0].startswith("250")
            assert (time.monotonic() - begun >= 8) == waits
            if not waits:
                await door.world.pass_time(AVOID_SECONDS)

    at_the_door(tmp_path, scenario, far=Habits(stall_at="CONNECT"))


def test_several_recipients_are_asked_about_and_queued(tmp_path: Path) -> None:
    async def scenario(door: Door) -> None:
        replies = await door.send("team@example.org", "bob@example.org")
        assert [reply[:3] for reply in replies] == ["250", "250", "250"]
        assert "Kept as" in replies[-1]
        await door.world.until_empty()
        assert len(door.far.messages) == 2
        assert not door.context.outbound.cut_through._open

    at_the_door(tmp_path, scenario)


def test_who_keeps_a_copy_or_has_several_targets_is_not_asked_about(tmp_path: Path) -> None:
    async def scenario(door: Door) -> None:
        replies = await door.send("both@example.org")
        assert "Kept as" in replies[-1]
        assert door.mailboxes("ann@example.org") == {"INBOX": 1}
        await door.world.until_empty()
        assert len(door.far.messages) == 1
        assert len(door.far.messages[0].octets) > len(MESSAGE)

    at_the_door(tmp_path, scenario)


def test_what_was_asked_is_let_go_of(tmp_path: Path) -> None:
    async def scenario(door: Door) -> None:
        cut_through = door.context.outbound.cut_through
        sender = await door.open()
        for end in ("RSET", "EHLO again.example", "NOOP", "QUIT"):
            if end == "NOOP":
                continue
            await sender.say("MAIL FROM:<sue@client.example>")
            assert (await sender.say("RCPT TO:<team@example.org>")).startswith("250")
            assert sum(cut_through._open.values()) == 1
            await sender.say(end)
            await door.world.pass_time(1)
            assert not cut_through._open
        await door.world.pass_time(5)
        assert door.far.open_connections == 0

    at_the_door(tmp_path, scenario)


def test_only_so_many_are_held_at_one_destination(tmp_path: Path) -> None:
    async def scenario(door: Door) -> None:
        senders = [await door.open() for _ in range(MOST_AT_ONE_DESTINATION + 2)]
        for sender in senders:
            await sender.say("MAIL FROM:<sue@client.example>")
            assert (await sender.say("RCPT TO:<team@example.org>")).startswith("250")
        assert door.far.most_open == MOST_AT_ONE_DESTINATION
        for sender in senders:
            await sender.close()

    at_the_door(tmp_path, scenario)


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    async def scenario(door: Door) -> None:
        assert "Kept as" in (await door.send("team@example.org"))[-1]
        await door.world.until_empty()
        assert len(door.far.messages) == 1

    settings = OutboundSettings(private_addresses=True, cut_through=False)
    at_the_door(tmp_path, scenario, settings=settings)


def test_junk_is_not_sent_on(tmp_path: Path) -> None:
    async def scenario(door: Door) -> None:
        door.world.delivery.junk_marks = ((b"x-spam-flag", b"yes"),)
        junk = b"X-Spam-Flag: YES\r\n" + MESSAGE
        replies = await door.send("team@example.org", message=junk)
        assert replies[-1].startswith("550 5.7.1")
        for login in ("bob@example.org", "ann@example.org"):
            replies = await door.send(login, message=junk)
            assert replies[-1].startswith("250 2.0.0 Kept as")
            assert door.mailboxes(login) == {"Junk": 1}
        assert not door.far.messages
        assert not door.world.waiting()

    at_the_door(tmp_path, scenario)


def test_a_message_that_comes_round_again_is_refused(tmp_path: Path) -> None:
    async def scenario(door: Door) -> None:
        replies = await door.send("team@example.org", message=b"Delivered-To: Team@Example.Org\r\n" + MESSAGE)
        assert replies[-1].startswith("554 5.4.6")
        assert not door.far.messages

    at_the_door(tmp_path, scenario)


def test_a_null_reverse_path_stays_null(tmp_path: Path) -> None:
    async def scenario(door: Door) -> None:
        replies = await door.send("team@example.org", reverse_path="")
        assert "Passed on" in replies[-1]
        assert door.far.messages[0].reverse_path == ""

    at_the_door(tmp_path, scenario)


@pytest.mark.parametrize("path", ["sue@client.example", LONG_PATH])
def test_a_report_finds_its_way_back_to_the_sender(tmp_path: Path, path: str) -> None:
    async def scenario(door: Door) -> None:
        home = door.world.far_server("192.0.2.9")
        door.world.resolver.zone.add("lists.client.example. MX 10 mx.client.example.")
        replies = await door.send("team@example.org", reverse_path=path)
        assert "Passed on" in replies[-1]
        srs = door.far.messages[0].reverse_path
        assert len(srs.rpartition("@")[0]) <= 64
        replies = await door.send(srs.lower(), reverse_path="")
        assert "Passed on" in replies[-1]
        assert [to for to, _ in home.messages[0].recipients] == [path]
        assert home.messages[0].reverse_path == ""
        # Nobody else's.
        forged = srs.replace("SRS0=", "SRS0=A", 1)
        assert (await door.send(forged, reverse_path=""))[0].startswith("550 5.1.1")

    at_the_door(tmp_path, scenario)


def test_a_failure_later_is_reported_to_the_sender_elsewhere(tmp_path: Path) -> None:
    async def scenario(door: Door) -> None:
        home = door.world.far_server("192.0.2.9")
        door.far.habits = Habits(replies={"END": "451 4.3.0 Not now"})
        assert "Kept as" in (await door.send("team@example.org"))[-1]
        door.far.habits = Habits(replies={"RCPT": "550 5.1.1 Gone"})
        await door.world.until_empty()
        (report,) = home.messages
        assert [to for to, _ in report.recipients] == ["sue@client.example"]
        assert report.reverse_path == ""
        assert b"MAILER-DAEMON@example.org" in report.octets
        assert b"Original-Recipient: rfc822; team@example.org" in report.octets
        assert b"Diagnostic-Code: smtp; 550 5.1.1 Gone" in report.octets

    at_the_door(tmp_path, scenario)


def test_success_is_confirmed_by_the_next_server_or_by_us(tmp_path: Path) -> None:
    async def scenario(door: Door) -> None:
        home = door.world.far_server("192.0.2.9")
        wanted = "team@example.org> NOTIFY=SUCCESS,FAILURE"
        assert "Passed on" in (await door.send(wanted))[-1]
        assert door.far.messages[0].recipients[0][1]["NOTIFY"] == "SUCCESS,FAILURE"
        door.far.habits = Habits(extensions=("8BITMIME",))
        assert "Kept as" in (await door.send(wanted))[-1]
        await door.world.until_empty()
        (report,) = home.messages
        assert b"Action: relayed" in report.octets
        # Delivered here, and expanded where there are several behind an address.
        await door.send("ann@example.org> NOTIFY=SUCCESS")
        await door.send("both@example.org> NOTIFY=SUCCESS ORCPT=rfc822;Both@example.org")
        await door.world.until_empty()
        actions = [message.octets.split(b"Action: ")[1].split(b"\r\n")[0] for message in home.messages]
        assert sorted(actions) == [b"delivered", b"expanded", b"relayed"]
        (expanded,) = [one for one in home.messages if b"Action: expanded" in one.octets]
        assert b"Final-Recipient: rfc822; both@example.org" in expanded.octets
        assert b"Original-Recipient: rfc822; Both@example.org" in expanded.octets

    at_the_door(tmp_path, scenario)


def test_time_is_told_by_the_world(tmp_path: Path) -> None:
    """The rewriting's day is the clock's."""

    async def scenario(door: Door) -> None:
        path = parse_address("sue@client.example")
        forwarding = door.context.outbound.forwarding
        via = parse_address("team@example.org")
        now = door.world.time.now()
        first = await forwarding.reverse_path(path, via, now)
        assert await forwarding.reverse_path(path, via, now) == first
        assert await forwarding.reverse_path(path, via, Instant(now + 86_400)) != first
        assert await forwarding.reverse_path(None, via, now) is None
        ours = parse_address("ann@example.org")
        assert await forwarding.reverse_path(ours, via, now) == ours

    at_the_door(tmp_path, scenario)
