"""A worker's dispatcher with real sessions over a fake network, on virtual time."""

import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from postino.core.errors import TemporarilyUnavailable
from postino.core.ids import Instant
from postino.outbound.settings import OutboundSettings, RouteSettings
from postino.smtp.envelope import BodyType, ByMode, MailOptions, Notify
from postino.store.content import SealedBlob
from postino.store.queue import operate
from postino.store.queue.choice import Choice
from postino.store.queue.destinations import pause, resume
from postino.store.queue.lease import lease_token, take_due
from postino.store.queue.values import QueueId, QueueKind
from postino.store.tx import Tx
from tests.support.far_server import DEFAULT_EXTENSIONS, Habits
from tests.support.outbound_world import HEADER, SendingWorld, recipient, sending_world

ZONE = """
far.example.       MX 10 mx1.far.example.
far.example.       MX 20 mx2.far.example.
mx1.far.example.   A 203.0.113.1
mx2.far.example.   A 203.0.113.2
other.example.     MX 10 mx.other.example.
mx.other.example.  A 203.0.113.3
third.example.     MX 10 mx.third.example.
mx.third.example.  A 203.0.113.4
null.example.      MX 0 .
"""
MX1, MX2, OTHER, THIRD = "203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"
Scenario = Callable[[SendingWorld], Coroutine[Any, Any, None]]


def play(tmp_path: Path, scenario: Scenario) -> SendingWorld:
    with sending_world(tmp_path, scenario, zone=ZONE) as world:
        return world


def without(*words: str) -> tuple[str, ...]:
    return tuple(word for word in DEFAULT_EXTENSIONS if word not in words)


def inbox(world: SendingWorld, login: str) -> list[bytes]:
    """The headers of what an account has in its mailboxes."""
    return [
        row[0]
        for row in world.store.read_now(
            lambda tx: tx.all(
                "SELECT o.header FROM message m JOIN octets o ON o.account_id=m.account_id"
                " AND o.content_id=m.content_id JOIN account a ON a.id=m.account_id WHERE a.login=?",
                (login,),
            )
        )
    ]


async def no_room(*_: Any, **__: Any) -> Any:
    """store.write, with a full disk."""
    raise TemporarilyUnavailable("no room")


# Sending


def test_an_accepted_message_is_sent_at_once_from_memory(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1)
        outbound = world.outbound()
        await world.submit("bob@far.example", outbound=outbound)
        await world.until_empty()
        assert [one.recipients[0][0] for one in far.messages] == ["bob@far.example"]
        assert far.messages[0].octets.endswith(b"Some words.\r\n")
        sent = world.events("message.sent")
        assert sent[0]["remote"] == "mx1.far.example (203.0.113.1)"
        assert sent[0]["delay"] == 0

    assert play(tmp_path, scenario).metrics.settled == [("sent", 0)]


def test_mail_that_others_queued_is_found(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1)
        world.outbound()
        # As the command line does it in another process: nobody tells.
        world.store.on_commit = None
        await world.submit("bob@far.example")
        await world.pass_time(4.0)
        assert len(far.messages) == 1

    play(tmp_path, scenario)


def test_mail_for_later_waits_until_then(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1)
        outbound = world.outbound()
        await world.submit("bob@far.example", outbound=outbound, release_at=world.time.now() + 3600)
        await world.pass_time(3598)
        assert far.messages == []
        await world.pass_time(4)
        assert len(far.messages) == 1

    play(tmp_path, scenario)


def test_recipients_of_one_message_go_to_their_destinations(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far, other = world.far_server(MX1), world.far_server(OTHER)
        outbound = world.outbound()
        await world.submit("a@far.example", "b@other.example", "c@far.example", outbound=outbound)
        await world.until_empty()
        assert [path for path, _ in far.messages[0].recipients] == ["a@far.example", "c@far.example"]
        assert [path for path, _ in other.messages[0].recipients] == ["b@other.example"]

    play(tmp_path, scenario)


def test_a_route_takes_everything_to_one_destination(tmp_path: Path) -> None:
    settings = OutboundSettings(routes=(RouteSettings(host="203.0.113.3:2525", tls="none"),))

    async def scenario(world: SendingWorld) -> None:
        other = world.far_server(OTHER)
        outbound = world.outbound(settings)
        await world.submit("a@far.example", "b@other.example", outbound=outbound)
        await world.until_empty()
        assert len(other.messages) == 1
        assert world.network.connects[0][:2] == (OTHER, 2525)

    play(tmp_path, scenario)


def test_the_next_host_is_tried_when_the_first_is_silent(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        world.network.silent.add(MX1)
        second = world.far_server(MX2)
        outbound = world.outbound()
        await world.submit("a@far.example", outbound=outbound)
        await world.until_empty()
        began = world.time.monotonic()
        await world.pass_time(20)  # The connection is not open any more.
        await world.submit("b@far.example", outbound=outbound)
        await world.until_empty()
        assert len(second.messages) == 2
        # It was remembered that the first one did not answer.
        assert world.time.monotonic() - began < 60
        assert [address for address, *_ in world.network.connects] == [MX1, MX2, MX2]

    play(tmp_path, scenario)


def test_a_large_message_is_read_in_pieces_and_its_file_goes_with_it(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1, Habits(extensions=without("CHUNKING", "BINARYMIME")))
        outbound = world.outbound()
        octets = random.Random(1).randbytes(400_000).hex().encode()
        octets = b"\r\n.".join(octets[at : at + 70] for at in range(0, len(octets), 70)) + b"\r\n"
        body = world.store.seal_body(octets)
        assert isinstance(body, SealedBlob)
        path = world.store.blobs.path_of(body.blob_id)
        await world.submit("a@far.example", outbound=outbound, body=octets, stored=body)
        assert path.exists()
        await world.until_empty(60)
        assert far.messages[0].octets == HEADER + octets
        await world.pass_time(1)
        assert not path.exists()

    play(tmp_path, scenario)


# Connections


def test_a_connection_takes_one_message_after_the_other(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1)
        outbound = world.outbound()
        for number in range(50):
            await world.submit(f"user{number}@far.example", outbound=outbound)
        await world.until_empty()
        assert len(far.messages) == 50
        assert far.connections <= 5
        await world.pass_time(10)
        assert far.open_connections == 0, "idle connections are closed"

    play(tmp_path, scenario)


def test_one_message_to_a_thousand_takes_few_connections(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1)
        outbound = world.outbound()
        await world.submit(*[f"user{number}@far.example" for number in range(1000)], outbound=outbound)
        await world.until_empty()
        assert [len(one.recipients) for one in far.messages] == [100] * 10
        assert far.connections <= 3

    play(tmp_path, scenario)


def test_connections_are_shared_when_there_are_too_few_for_all(tmp_path: Path) -> None:
    settings = OutboundSettings(private_addresses=True, connections=2)

    async def scenario(world: SendingWorld) -> None:
        servers = [world.far_server(address) for address in (MX1, OTHER, THIRD)]
        outbound = world.outbound(settings)
        for number in range(10):
            for domain in ("far", "other", "third"):
                await world.submit(f"user{number}@{domain}.example", outbound=outbound)
        await world.until_empty(60)
        assert [len(server.messages) for server in servers] == [10, 10, 10]
        assert sum(server.open_connections for server in servers) <= 2

    play(tmp_path, scenario)


@pytest.mark.parametrize("habits", [Habits(most_messages=3), Habits(closes_after_message=True)])
def test_a_server_that_has_enough_of_a_connection_gets_a_new_one(tmp_path: Path, habits: Habits) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1, habits)
        outbound = world.outbound()
        for number in range(12):
            await world.submit(f"user{number}@far.example", outbound=outbound)
        await world.until_empty(60)
        assert len(far.messages) == 12
        assert world.events("message.deferred") == []

    play(tmp_path, scenario)


def test_connections_that_a_server_has_enough_of_are_no_failed_attempts(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        tired: list[str] = []
        replies = {"MAIL": lambda _: tired[0] if tired else None}
        far = world.far_server(MX1, Habits(slow_seconds=0.1, replies=replies))
        outbound = world.outbound()
        # Several connections are opened, and wait for more.
        for number in range(15):
            await world.submit(f"user{number}@far.example", outbound=outbound)
        await world.until_empty(60)
        assert far.open_connections > 2
        tired.append("421 4.7.0 Too many messages in this connection")
        # Of those that are opened from now on it has not enough.
        far.habits = Habits()
        await world.submit("last@far.example", outbound=outbound)
        await world.until_empty(60)
        assert len(far.messages) == 16
        assert world.events("message.deferred") == []

    play(tmp_path, scenario)


def test_a_server_that_wants_fewer_connections_gets_fewer(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(
            MX1,
            Habits(
                slow_seconds=0.5,
                replies={
                    "CONNECT": lambda _: (
                        "421 4.7.0 Too many connections" if far.open_connections > 2 else None
                    )
                },
            ),
        )
        world.far_server(MX2, Habits(replies={"CONNECT": "421 4.3.2 Not this one"}))
        outbound = world.outbound()
        for number in range(60):
            await world.submit(f"user{number}@far.example", outbound=outbound)
        await world.until_empty(600)
        assert len(far.messages) == 60
        assert world.events("destination.closed") == []
        assert world.events("message.deferred") == []
        assert far.connections < 40

    play(tmp_path, scenario)


def test_recipients_a_server_has_too_many_of_go_at_once(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1, Habits(most_recipients=3))
        outbound = world.outbound()
        await world.submit(*[f"user{number}@far.example" for number in range(8)], outbound=outbound)
        await world.until_empty(60)
        assert [len(one.recipients) for one in far.messages] == [3, 3, 2]
        assert len({path for one in far.messages for path, _ in one.recipients}) == 8

    play(tmp_path, scenario)


# Trouble


def test_one_refused_recipient_is_reported_and_the_others_are_sent_to(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1, Habits(recipients={"bad@far.example": "550 5.1.1 Nobody"}))
        outbound = world.outbound()
        await world.submit("good@far.example", "bad@far.example", outbound=outbound)
        await world.until_empty(60)
        assert [path for path, _ in far.messages[0].recipients] == ["good@far.example"]
        failed = world.events("message.failed")
        assert [(one["to"], one["status"]) for one in failed] == [("bad@far.example", "5.1.1")]
        assert any(b"multipart/report" in header for header in inbox(world, "ann@example.org"))

    play(tmp_path, scenario)


def test_greylisting_is_answered_by_coming_back_soon(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1, Habits(greylist=1))
        outbound = world.outbound()
        await world.submit("bob@far.example", outbound=outbound)
        await world.until_empty(90)
        assert len(far.messages) == 1

    play(tmp_path, scenario)


def test_what_is_deferred_again_and_again_is_given_back_after_its_lifetime(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1, Habits(replies={"END": "451 4.3.0 Not today"}))
        outbound = world.outbound()
        await world.submit("bob@far.example", outbound=outbound, lifetime=86_400)
        began = world.time.monotonic()
        await world.until_empty(2 * 86_400)
        took = world.time.monotonic() - began
        assert 86_400 <= took < 86_400 + 120
        deferred, failed = world.events("message.deferred"), world.events("message.failed")
        # After 300 s, doubling to four hours, a fifth more or less; and one last time.
        assert 10 <= len(far.refused) <= 14
        assert len(deferred) == len(far.refused) - 1
        assert [one["status"] for one in failed] == ["4.4.7"]
        waits = [one["next_seconds"] for one in deferred]
        assert 240 <= waits[0] <= 360
        assert 480 <= waits[1] <= 720
        assert max(waits) <= 4 * 3600 * 1.2
        reports = [header for header in inbox(world, "ann@example.org") if b"multipart/report" in header]
        assert len(reports) == 2, "one that it is late, one that it failed"

    play(tmp_path, scenario)


def test_a_destination_that_does_not_answer_is_let_alone_as_a_whole(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        outbound = world.outbound()
        for number in range(20):
            await world.submit(f"user{number}@other.example", outbound=outbound)
        await world.pass_time(30)
        for number in range(20, 40):
            await world.submit(f"user{number}@other.example", outbound=outbound)
        await world.pass_time(1)
        rows = world.waiting()
        assert len(rows) == 40
        # One was tried; the others wait with it, and it does not count.
        assert len(world.network.connects) == 1
        assert sum(row["attempts"] for row in rows) == 1
        assert all(row["lease"] == "" for row in rows)
        # Whoever looks for any of them, now or when it is given up, finds why.
        assert {row["last_status"] for row in rows} == {"4.4.1"}
        assert all(row["last_reply"].startswith("No connection to mx.other.example:25") for row in rows)
        assert [one.level for one in world.log.events if one.event == "destination.closed"] == ["info"]
        await world.pass_time(3600)
        probes = len(world.network.connects)
        assert probes < 10, "one connection at a time, less and less often"
        far = world.far_server(OTHER)
        await world.until_empty(3 * 3600)
        assert len(far.messages) == 40

    play(tmp_path, scenario)


def test_mail_that_was_only_ever_put_off_says_why_when_it_is_given_up(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        smarthost = RouteSettings(host="203.0.113.9:2525")
        outbound = world.outbound(OutboundSettings(routes=(smarthost,)))
        for number in range(20):
            await world.submit(f"user{number}@other.example", outbound=outbound, lifetime=86_400)
        await world.until_empty(2 * 86_400)
        failed = world.events("message.failed")
        assert len(failed) == 20
        assert all(one["reply"].startswith("No connection to 203.0.113.9:2525") for one in failed)
        # It is the operator's to mend.
        assert {one.level for one in world.log.events if one.event == "destination.closed"} == {"warning"}

    play(tmp_path, scenario)


def test_a_connection_lost_before_the_last_reply_is_tried_again_later(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        world.far_server(MX1, Habits(drop_at="END"))
        outbound = world.outbound()
        await world.submit("bob@far.example", outbound=outbound)
        await world.pass_time(10)
        (row,) = world.waiting()
        assert (row["attempts"], row["last_status"]) == (1, "4.4.2")
        assert "lost" in row["last_reply"]
        far = world.far_server(MX1)
        await world.until_empty(600)
        assert len(far.messages) == 1

    play(tmp_path, scenario)


def test_a_domain_that_takes_no_mail_is_told_of_at_once(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        outbound = world.outbound()
        await world.submit("a@null.example", outbound=outbound)
        await world.submit("b@missing.example", outbound=outbound)
        await world.until_empty(60)
        assert [one["status"] for one in world.events("message.failed")] == ["5.1.10", "5.1.2"]

    play(tmp_path, scenario)


def test_no_report_is_made_about_a_report(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        outbound = world.outbound()
        await world.submit("a@null.example", outbound=outbound, reverse_path="", kind=QueueKind.REPORT)
        await world.until_empty(60)
        assert inbox(world, "ann@example.org") == []

    play(tmp_path, scenario)


def test_hosts_that_only_let_us_wait_do_not_hold_up_all_others(tmp_path: Path) -> None:
    settings = OutboundSettings(private_addresses=True, connections=2)

    async def scenario(world: SendingWorld) -> None:
        slow = [world.far_server(address, Habits(stall_at="CONNECT")) for address in (MX1, MX2)]
        other = world.far_server(OTHER)
        outbound = world.outbound(settings)
        for _ in range(2):
            await world.submit("bob@far.example", outbound=outbound)
        # Alone they have the time that RFC 5321 gives them.
        await world.pass_time(200)
        assert sum(server.open_connections for server in slow) == 2
        await world.submit("bob@other.example", outbound=outbound)
        await world.pass_time(5)
        assert len(other.messages) == 1
        assert {row["last_status"] for row in world.waiting()} <= {"4.4.2", ""}

    with sending_world(tmp_path, scenario, zone=ZONE):
        pass


# What a message needs


def test_tls_all_the_way_is_never_let_down(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1)
        outbound = world.outbound()
        await world.submit("a@far.example", outbound=outbound, options=MailOptions(require_tls=True))
        await world.until_empty(60)
        assert far.messages == []
        assert [one["status"] for one in world.events("message.failed")] == ["5.7.10"]

    play(tmp_path, scenario)


DANE = """
secure.example.                !secure MX 10 mx.secure.example.
mx.secure.example.             !secure A 203.0.113.9
mx.secure.example.             !secure
_25._tcp.mx.secure.example.    !secure TLSA 3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
"""


def test_an_author_may_rather_have_it_arrive_than_keep_to_dane(tmp_path: Path) -> None:
    """RFC 8689 §4.2.2; the server does not even offer TLS."""

    async def scenario(world: SendingWorld) -> None:
        far = world.far_server("203.0.113.9")
        outbound = world.outbound()
        words = b"From: ann@example.org\r\nTLS-Required: No\r\nSubject: your certificate has expired\r\n\r\n"
        await world.submit("postmaster@secure.example", outbound=outbound, header=words)
        await world.pass_time(30)
        assert len(far.messages) == 1
        await world.submit("bob@secure.example", outbound=outbound)
        await world.pass_time(30)
        assert len(far.messages) == 1
        (row,) = world.waiting()
        assert row["last_status"] == "4.7.5"

    with sending_world(tmp_path, scenario, zone=DANE):
        pass


def test_it_may_arrive_where_dane_allows_no_host_at_all_and_alone(tmp_path: Path) -> None:
    zone = """
bogus.example.              !secure MX 10 mx.bogus.example.
mx.bogus.example.           !secure A 203.0.113.9
mx.bogus.example.           !secure
_25._tcp.mx.bogus.example.  !servfail
"""

    async def scenario(world: SendingWorld) -> None:
        far = world.far_server("203.0.113.9")
        outbound = world.outbound()
        words = b"From: ann@example.org\r\nTLS-Required: No\r\nSubject: your zone is broken\r\n\r\n"
        await world.submit("postmaster@bogus.example", outbound=outbound, header=words)
        await world.submit("bob@bogus.example", outbound=outbound)
        await world.pass_time(30)
        assert [one.recipients[0][0] for one in far.messages] == ["postmaster@bogus.example"]
        (row,) = world.waiting()
        assert row["last_status"] == "4.7.5"

    with sending_world(tmp_path, scenario, zone=zone):
        pass


def test_a_message_beyond_ascii_goes_to_the_host_that_takes_it(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        first = world.far_server(MX1, Habits(extensions=without("SMTPUTF8")))
        second = world.far_server(MX2)
        outbound = world.outbound()
        options = MailOptions(smtputf8=True, body=BodyType.EIGHT_BIT_MIME)
        await world.submit("päl@far.example", outbound=outbound, options=options)
        await world.submit("plain@far.example", outbound=outbound, options=options)
        await world.until_empty(60)
        assert first.messages == []
        assert [one.recipients[0][0] for one in second.messages] == ["päl@far.example", "plain@far.example"]

        world.far_server(OTHER, Habits(extensions=without("SMTPUTF8")))
        await world.submit("päl@other.example", outbound=outbound, options=options)
        await world.submit("plain@other.example", outbound=outbound, options=options)
        await world.until_empty(60)
        assert [(one["to"], one["status"]) for one in world.events("message.failed")] == [
            ("päl@other.example", "5.6.7")
        ]

    play(tmp_path, scenario)


def test_a_message_too_large_for_the_server_is_not_offered(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1, Habits(extensions=(*without("SIZE 10485760"), "SIZE 100")))
        world.far_server(MX2, Habits(extensions=(*without("SIZE 10485760"), "SIZE 100")))
        outbound = world.outbound()
        await world.submit("a@far.example", outbound=outbound, body=b"x" * 200 + b"\r\n")
        await world.until_empty(60)
        assert not any(line.startswith("MAIL") for line in far.commands)
        assert [one["status"] for one in world.events("message.failed")] == ["5.3.4"]

    play(tmp_path, scenario)


def test_eight_bits_are_made_seven_where_they_must(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(
            MX1, Habits(extensions=without("8BITMIME", "SMTPUTF8", "BINARYMIME", "CHUNKING"))
        )
        other = world.far_server(OTHER)
        outbound = world.outbound()
        header = (
            b"From: ann@example.org\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Transfer-Encoding: 8bit\r\n\r\n"
        )
        body = "Grüße aus Köln\r\n".encode() * 3
        options = MailOptions(body=BodyType.EIGHT_BIT_MIME)
        await world.submit(
            "a@far.example", "b@other.example", outbound=outbound, options=options, header=header, body=body
        )
        await world.until_empty(60)
        assert far.messages[0].octets.isascii()
        assert b"Content-Transfer-Encoding: base64" in far.messages[0].octets
        assert other.messages[0].octets == header + body

    play(tmp_path, scenario)


def test_a_deadline_that_passed_ends_the_attempts(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        world.far_server(
            MX1, Habits(extensions=(*DEFAULT_EXTENSIONS, "DELIVERBY"), replies={"RCPT": "450 4.2.1 Later"})
        )
        world.far_server(MX2)
        outbound = world.outbound()
        options = MailOptions(by_mode=ByMode.RETURN, deliver_by=world.time.now() + 900)
        await world.submit("a@far.example", outbound=outbound, options=options)
        began = world.time.monotonic()
        await world.until_empty(3600)
        assert 890 <= world.time.monotonic() - began < 1000
        assert [one["status"] for one in world.events("message.failed")] == ["5.4.7"]

    play(tmp_path, scenario)


def test_success_is_told_here_when_nobody_else_will(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        world.far_server(MX1)
        world.far_server(OTHER, Habits(extensions=without("DSN")))
        outbound = world.outbound()
        for address in ("a@far.example", "b@other.example"):
            await world.submit(outbound=outbound, recipients=[recipient(address, notify=Notify.SUCCESS)])
        await world.until_empty(60)
        assert len(inbox(world, "ann@example.org")) == 1

    assert sorted(result for result, _ in play(tmp_path, scenario).metrics.settled) == ["relayed", "sent"]


def test_mail_for_a_domain_that_has_become_ours_is_delivered_here(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        outbound = world.outbound()
        await world.submit("bob@example.org", "nobody@example.org", outbound=outbound)
        await world.until_empty(60)
        assert len(inbox(world, "bob@example.org")) == 1
        assert world.network.connects == []
        assert [one["status"] for one in world.events("message.failed")] == ["5.1.1"]

    play(tmp_path, scenario)


def test_mail_for_here_leaves_the_queue_by_the_write_that_delivers_it(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        outbound = world.outbound()
        write, writes = world.store.write, 0

        async def once(fn: Any, **options: Any) -> Any:
            nonlocal writes
            writes += 1
            return await (write if writes == 1 else no_room)(fn, **options)

        await world.submit("bob@example.org", "nobody@example.org", outbound=outbound)
        world.store.write = once  # type: ignore[method-assign]
        await world.pass_time(30.0)
        # Whoever vanished now would not deliver it again.
        assert [row["address"] for row in world.waiting()] == ["nobody@example.org"]
        assert len(inbox(world, "bob@example.org")) == 1
        world.store.write = write  # type: ignore[method-assign]
        await world.until_empty()
        assert len(inbox(world, "bob@example.org")) == 1

    play(tmp_path, scenario)


def test_mail_for_here_that_was_dropped_this_very_moment_is_not_delivered(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        outbound = world.outbound()
        accept = world.delivery.accept

        async def too_late(*arguments: Any, **options: Any) -> Any:
            choice = Choice(recipient="bob@example.org")
            now = Instant(world.time.now())
            await world.store.write(
                lambda tx: operate.drop(tx, operate.chosen_messages(tx, choice), choice, now)
            )
            return await accept(*arguments, **options)

        world.delivery.accept = too_late
        await world.submit("bob@example.org", outbound=outbound)
        await world.until_empty(60)
        await world.pass_time(5.0)
        assert inbox(world, "bob@example.org") == []
        assert world.events("message.sent") == []

    play(tmp_path, scenario)


# Leases


def test_two_workers_send_each_message_once(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1)
        for number in range(60):
            await world.submit(f"user{number}@far.example")
        for worker in (0, 1):
            world.outbound(worker=worker)
        await world.until_empty(120)
        assert sorted(one.recipients[0][0] for one in far.messages) == sorted(
            f"user{number}@far.example" for number in range(60)
        )

    play(tmp_path, scenario)


def test_what_a_dead_worker_had_is_sent_when_its_leases_end(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1)
        await world.submit("bob@far.example")
        now = world.time.now()
        dead = lease_token(7, "dead")
        await world.store.write(lambda tx: take_due(tx, dead, now=now, until=Instant(now + 600), most=10))
        world.outbound(worker=0)
        await world.pass_time(590)
        assert far.messages == []
        await world.pass_time(20)
        assert len(far.messages) == 1

    play(tmp_path, scenario)


def test_a_worker_that_starts_again_takes_back_what_it_had(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1)
        await world.submit("bob@far.example")
        now = world.time.now()
        dead = lease_token(1, "dead")
        await world.store.write(lambda tx: take_due(tx, dead, now=now, until=Instant(now + 600), most=10))
        world.outbound(worker=1)
        await world.pass_time(5)
        assert len(far.messages) == 1

    play(tmp_path, scenario)


def test_long_attempts_keep_their_leases(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1, Habits(slow_seconds=280.0))
        outbound = world.outbound()
        world.outbound(worker=1)
        await world.submit("bob@far.example", outbound=outbound)
        await world.until_empty(3600)
        assert len(far.messages) == 1
        assert far.connections == 1

    play(tmp_path, scenario)


def test_an_orderly_end_gives_back_what_it_did_not_come_to(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1, Habits(stall_at="END"))
        outbound = world.outbound()
        for number in range(5):
            await world.submit(f"user{number}@far.example", outbound=outbound)
        await world.pass_time(1)
        began = world.time.monotonic()
        await outbound.close(10.0)
        assert world.time.monotonic() - began < 13
        assert [row["lease"] for row in world.waiting()] == [""] * 5
        assert far.messages == []

    play(tmp_path, scenario)


def test_an_outcome_is_kept_until_the_store_takes_it(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1)
        outbound = world.outbound()
        write, fails = world.store.write, True

        async def failing(*args: Any, **options: Any) -> Any:
            if fails and options.get("short"):
                raise TemporarilyUnavailable("The disk is full")
            return await write(*args, **options)

        world.store.write = failing  # type: ignore[method-assign]
        await world.submit("bob@far.example", outbound=outbound)
        await world.pass_time(1800)
        assert len(world.waiting()) == 1
        fails = False
        await world.until_empty(60)
        assert len(far.messages) == 1
        assert len(world.events("queue.unwritten")) == 1

    play(tmp_path, scenario)


def test_an_outcome_for_what_somebody_took_over_changes_nothing(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        world.far_server(MX1, Habits(slow_seconds=5.0, replies={"END": "451 4.3.0 Later"}))
        outbound = world.outbound()
        await world.submit("bob@far.example", outbound=outbound)
        await world.pass_time(1)
        thief = lease_token(9, "other")
        await world.store.write(lambda tx: tx.run("UPDATE queue_recipient SET lease=?", (thief,)))
        await world.pass_time(60)
        (row,) = world.waiting()
        assert (row["lease"], row["attempts"]) == (thief, 0)
        assert len(world.events("message.taken-over")) == 1

    play(tmp_path, scenario)


# The operator


def test_what_is_dropped_while_it_waits_here_is_not_sent(tmp_path: Path) -> None:
    settings = OutboundSettings(private_addresses=True, connections_per_destination=1)

    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1, Habits(slow_seconds=60.0))
        outbound = world.outbound(settings)
        first = await world.submit("first@far.example", outbound=outbound)
        second = await world.submit("second@far.example", outbound=outbound)
        await world.pass_time(5)
        choice = Choice()
        await world.store.write(lambda tx: operate.drop(tx, [second], choice, world.time.now()))
        await world.until_empty(1800)
        await world.pass_time(600)
        assert [one.recipients[0][0] for one in far.messages] == ["first@far.example"]
        assert first < second

    play(tmp_path, scenario)


Change = Callable[[Tx, QueueId, Instant], object]


@pytest.mark.parametrize(
    ("change", "waits"),
    [
        pytest.param(lambda tx, queue_id, now: operate.drop(tx, [queue_id], Choice(), now), 0, id="drop"),
        pytest.param(lambda tx, queue_id, now: operate.hold(tx, [queue_id], Choice()), 1, id="hold"),
        pytest.param(lambda tx, queue_id, now: pause(tx, "far.example", "", now), 1, id="pause"),
    ],
)
def test_the_operator_s_word_reaches_what_waits_in_memory_at_once(
    tmp_path: Path, change: Change, waits: int
) -> None:
    settings = OutboundSettings(private_addresses=True, connections_per_destination=1)

    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1, Habits(slow_seconds=5.0))
        outbound = world.outbound(settings)
        await world.submit("first@far.example", outbound=outbound)
        second = await world.submit("second@far.example", outbound=outbound)
        await world.pass_time(1)
        await world.store.write(lambda tx: change(tx, second, world.time.now()))
        await world.pass_time(60)
        assert [one.recipients[0][0] for one in far.messages] == ["first@far.example"]
        assert [row["lease"] for row in world.waiting()] == [""] * waits
        choice = Choice()
        await world.store.write(lambda tx: operate.release(tx, [second], choice, world.time.now()))
        await world.store.write(lambda tx: resume(tx, "far.example", world.time.now()))
        await world.pass_time(20)
        assert len(far.messages) == 1 + waits

    play(tmp_path, scenario)


def test_a_paused_destination_waits_until_it_is_resumed(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1)
        outbound = world.outbound()
        await world.store.write(lambda tx: pause(tx, "far.example", "", world.time.now()))
        await world.submit("bob@far.example", outbound=outbound)
        await world.pass_time(7200)
        assert far.messages == []
        await world.store.write(lambda tx: resume(tx, "far.example", world.time.now()))
        await world.pass_time(10)
        assert len(far.messages) == 1

    play(tmp_path, scenario)


def test_a_program_that_only_puts_mail_into_the_queue_takes_nothing_from_who_sends(tmp_path: Path) -> None:
    """`postino send` beside a server that has no local socket, or is about to end."""

    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1, Habits(slow_seconds=2))
        outbound = world.outbound()
        await world.submit("bob@far.example", outbound=outbound)
        await world.pass_time(3)
        resting = world.outbound(starts=False)
        await resting.close(0.0)
        assert [row["lease"] for row in world.waiting()] == [outbound.dispatcher.token]
        await world.until_empty(60)
        assert len(far.messages) == 1
        assert world.events("message.taken-over") == []

    play(tmp_path, scenario)


def test_the_operator_s_retry_opens_a_closed_destination(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        outbound = world.outbound()
        queue_id = await world.submit("bob@other.example", outbound=outbound)
        await world.pass_time(5)
        far = world.far_server(OTHER)
        now = world.time.now()
        await world.store.write(lambda tx: operate.retry(tx, [queue_id], Choice(), now))
        await world.pass_time(5)
        assert len(far.messages) == 1

    play(tmp_path, scenario)


def test_urgent_mail_goes_first(tmp_path: Path) -> None:
    settings = OutboundSettings(private_addresses=True, connections_per_destination=1)

    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1)
        for number, priority in enumerate((0, -3, 5, 0, 9)):
            await world.submit(f"user{number}@far.example", options=MailOptions(priority=priority))
        world.outbound(settings)
        await world.until_empty(60)
        assert [one.recipients[0][0][:5] for one in far.messages] == [
            "user4",
            "user2",
            "user0",
            "user3",
            "user1",
        ]

    play(tmp_path, scenario)


# Leases that end although nobody died


def test_what_is_under_way_here_is_not_begun_again_when_its_lease_has_ended(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        slow = world.far_server(MX1, Habits(slow_seconds=250.0))
        quick = world.far_server(OTHER, Habits(greylist=1))
        outbound = world.outbound()
        await world.submit("ann@far.example", "bob@far.example", "cat@other.example", outbound=outbound)
        await world.pass_time(30.0)
        # Nothing can be written, leases neither.
        write, world.store.write = world.store.write, no_room  # type: ignore[method-assign]
        await world.pass_time(700.0)
        world.store.write = write  # type: ignore[method-assign]
        # The other recipient fell due meanwhile, and is not held up.
        await world.pass_time(60.0)
        assert len(quick.messages) == 1
        assert not slow.messages
        await world.until_empty()
        assert slow.connections == 1
        assert [path for path, _ in slow.messages[0].recipients] == ["ann@far.example", "bob@far.example"]
        assert not world.events("message.taken-over")

    play(tmp_path, scenario)


# Waiting


def test_a_lane_that_may_have_no_more_connections_waits_without_asking(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        # It takes as long as we let it for every reply.
        world.far_server(MX1, Habits(stall_at="MAIL"))
        outbound = world.outbound(OutboundSettings(private_addresses=True, connections_per_destination=2))
        for number in range(40):
            await world.submit(f"x{number}@far.example", outbound=outbound)
        await world.pass_time(20.0)
        before = world.time.turns
        await world.pass_time(200.0)
        # Two looks into the store a second would be many.
        assert world.time.turns - before < 400

    play(tmp_path, scenario)


def test_a_lane_has_more_connections_as_soon_as_it_may(tmp_path: Path) -> None:
    async def scenario(world: SendingWorld) -> None:
        far = world.far_server(MX1, Habits(slow_seconds=1.0))
        outbound = world.outbound()
        for number in range(200):
            await world.submit(f"x{number}@far.example", outbound=outbound)
        await world.until_empty(3600)
        assert far.most_open >= 18
        assert world.time.monotonic() < 120

    play(tmp_path, scenario)
