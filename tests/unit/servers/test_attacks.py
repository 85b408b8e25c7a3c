"""What strangers and hijacked accounts try at our ports, and what they get."""

import os
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from postino.core.address import parse_address
from postino.delivery.disk_room import DiskRoom
from postino.delivery.junk import parse_marks
from postino.mailauth.dkim.canonicalization import BodyHash, Canonicalization
from postino.mailauth.dkim.sign import sign_message
from postino.mailauth.dkim.signed_fields import HeaderFields
from postino.store.accounts import create_account, create_domain
from postino.store.forwards import set_forwarding
from postino.store.sending import set_limits
from postino.store.tx import Tx
from tests.support.dkim_examples import ed25519_key, zone_of
from tests.support.front_door import Sender
from tests.support.world import NOW
from tests.unit.servers.test_fates import OURS, THEIRS, Place, id_of, play


def test_an_address_that_leads_back_to_a_sender_relays_nothing_but_reports(tmp_path: Path) -> None:
    """Whoever is behind a forward learns rewritten addresses of anybody he names in MAIL."""

    async def scenario(place: Place) -> None:
        await place.receive("team@example.org", mail="victim@client.example")
        await place.world.until_empty()
        (learnt,) = [one.reverse_path for one in place.far.messages]
        assert learnt.startswith("SRS0=")
        refused = await place.receive(learnt, mail="spammer@evil.example")
        assert refused[0].startswith("550 5.7.1 This address leads reports back")
        refused = await place.submit(learnt)
        assert refused[0].startswith("550 5.7.1")
        assert not place.client.messages
        report = await place.receive(learnt, mail="")
        assert report[-1].startswith("250")
        await place.world.until_empty()
        assert [to for one in place.client.messages for to, _ in one.recipients] == ["victim@client.example"]

    play(tmp_path, scenario)


FORGED = b"From: =?utf-8?q?The_Boss?= <boss@example.org>\r\nSubject: pay\r\n\r\nAt once.\r\n"
PROVES = ed25519_key(domain="example.org")


def signed(message: bytes) -> bytes:
    header, _, body = message.partition(b"\r\n\r\n")
    header += b"\r\n\r\n"
    fields = HeaderFields(header)
    hashed = BodyHash(Canonicalization.RELAXED)
    hashed.update(body)
    return sign_message(fields, hashed.digest(), [PROVES], now=NOW, author_domain="example.org") + message


@pytest.mark.parametrize(
    ("mail", "message", "taken"),
    [
        # Its reverse-path becomes ours, and SPF vouches for it.
        ("x@client.example", FORGED, False),
        ("boss@example.org", FORGED, False),
        # SPF vouches for the name in EHLO, mail.example.org.
        ("", FORGED, False),
        ("x@client.example", b"From: a@b.example\r\n" + FORGED, False),
        ("x@client.example", FORGED.replace(b"@example.org", b"@pay.example.org"), False),
        ("x@client.example", signed(FORGED), True),
        ("x@client.example", signed(FORGED).replace(b"At once", b"At last"), False),
        (
            "x@client.example",
            FORGED.replace(b"<boss@example.org>", b'"boss@example.org" <boss@client.example>'),
            True,
        ),
        # Another domain of ours is not the one that vouches.
        ("x@client.example", FORGED.replace(b"@example.org", b"@other.example"), True),
        ("x@other.example", FORGED.replace(b"@example.org", b"@other.example"), False),
    ],
)
def test_nobody_has_us_vouch_for_an_author_of_ours(
    tmp_path: Path, mail: str, message: bytes, taken: bool
) -> None:
    """RFC 7489 §3.1.2: SPF alone makes DMARC pass where the reverse-path and From are of one domain."""

    async def scenario(place: Place) -> None:
        for name, record in zone_of(PROVES).items():
            place.world.resolver.zone.add(f'{name}. TXT "{record}"')
        replies = await place.receive("team@example.org", mail=mail, message=message)
        await place.world.until_empty()
        if taken:
            assert replies[-1].startswith("250")
            assert place.sent_to() == ["sam@far.example"]
        else:
            assert replies[-1].startswith("550 5.7.1 The author's address is of a domain of this server")
            assert not place.sent_to()
            assert not place.reports()

    play(tmp_path, scenario, lambda tx: create_domain(tx, "other.example", NOW))


def test_a_forged_message_stays_where_its_recipient_reads_it_and_users_send_on_as_ever(
    tmp_path: Path,
) -> None:
    async def scenario(place: Place) -> None:
        replies = await place.receive("bob@example.org", message=FORGED)
        assert replies[-1].startswith("250")
        assert place.count("bob@example.org") == 1
        assert not place.world.waiting()
        replies = await place.submit("bob@example.org")
        await place.world.until_empty()
        assert replies[-1].startswith("250")
        assert place.sent_to() == ["bob@far.example"]

    def forward(tx: Tx) -> None:
        set_forwarding(tx, id_of(tx, "bob"), [parse_address("bob@far.example")], keeps=False)

    play(tmp_path, scenario, forward)


def test_it_is_asked_for_again_while_the_dns_cannot_say_whose_signature_it_is(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        place.world.resolver.zone.add("ed._domainkey.example.org. !timeout")
        replies = await place.receive("team@example.org", message=signed(FORGED))
        assert replies[-1].startswith("451")
        assert not place.sent_to()

    play(tmp_path, scenario)


LARGE = b"\r\n".join([b"x" * 70] * 20_000) + b"\r\n"


def files(place: Place) -> int:
    return len(list(place.world.store.blobs.listed(before=1e12)))


@pytest.mark.parametrize(
    ("to", "head", "code"),
    [
        ("full@example.org", b"From: sue@client.example\r\n\r\n", "552"),
        ("team@example.org", b"From: boss@example.org\r\n\r\n", "550"),
        ("team@example.org", b"From: sue@client.example\r\nX-Spam: Yes\r\n\r\n", "550"),
        ("bob@example.org", b"From: sue@client.example\r\n\r\n", "250"),
    ],
)
def test_what_is_refused_leaves_no_file(tmp_path: Path, to: str, head: bytes, code: str) -> None:
    """Nobody fills the disk with messages that nobody gets."""

    async def scenario(place: Place) -> None:
        place.world.delivery.junk_marks = parse_marks(["X-Spam: Yes"])
        for _ in range(3):
            replies = await place.receive(to, message=head + LARGE)
            assert replies[-1].startswith(code)
        assert files(place) == (3 if code == "250" else 0)

    play(tmp_path, scenario, small_account)


def small_account(tx: Tx) -> None:
    ann = id_of(tx, "ann")
    full = create_account(tx, parse_address("full@example.org"), "", "", 1_000_000, NOW)
    set_limits(tx, ann, daily_messages=1, daily_recipients=9)
    assert full


def test_whoever_has_sent_enough_fills_no_disk(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        for code in ("250", "452", "452"):
            replies = await place.submit("busy@far.example", message=OURS + LARGE)
            assert replies[-1].startswith(code)
        assert files(place) == 1

    play(tmp_path, scenario, small_account)


HUGE = b"x" * 70 + b"\r\n"
HUGE *= 400_000 // len(HUGE)


@pytest.mark.parametrize("how", ["held", "deferred", "forwarded"])
def test_nobody_fills_the_disk_by_the_queue(tmp_path: Path, how: str) -> None:
    async def scenario(place: Place) -> None:
        outbound = place.context.outbound
        outbound.settings = msgspec.structs.replace(outbound.settings, waiting_octets=1_000_000)
        mail = "ann@example.org> HOLDFOR=864000" if how == "held" else "ann@example.org"

        async def send(body: bytes) -> str:
            if how == "forwarded":
                return (await place.receive("bob@example.org", message=THEIRS + body))[-1]
            return (await place.submit("busy@far.example", mail=mail, message=OURS + body))[-1]

        replies = [await send(HUGE) for _ in range(4)]
        assert [reply[:9] for reply in replies] == ["250 2.0.0", "250 2.0.0", "452 4.7.1", "452 4.7.1"]
        assert len(place.world.waiting()) == 2
        assert (await send(b"small\r\n")).startswith("250")
        place.world.store.write_now(remove_all)
        assert (await send(HUGE)).startswith("250")

    def forward(tx: Tx) -> None:
        set_forwarding(tx, id_of(tx, "bob"), [parse_address("busy@far.example")], keeps=False)

    play(tmp_path, scenario, forward)


def remove_all(tx: Tx) -> None:
    for table in ("queue_recipient", "queue_octets", "queue_message"):
        tx.run(f"DELETE FROM {table}")


def test_no_mail_is_taken_when_the_disk_is_nearly_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 70_000_000

    def statvfs(path: Path) -> SimpleNamespace:
        assert path.exists()
        return SimpleNamespace(f_bavail=free // 4096, f_frsize=4096)

    monkeypatch.setattr(os, "statvfs", statvfs)

    async def scenario(place: Place) -> None:
        nonlocal free
        assert (await place.receive("bob@example.org"))[-1].startswith("250")
        announced = "sue@client.example> SIZE=10000000"
        assert (await place.receive("bob@example.org", mail=announced))[0].startswith("503")
        free = 60_000_000
        room = DiskRoom(tmp_path, lambda: place.context.limits.free_octets, lambda: 0.0)
        place.world.delivery.disk_room = room
        sender = await Sender(place.context).begin()
        assert (await sender.say("MAIL FROM:<sue@client.example>")).startswith("452 4.3.1")
        await sender.close()
        refused = place.world.events("message.refused")
        assert {event["reason"] for event in refused} == {"store-unavailable"}
        free = 80_000_000
        assert room.has_for(0) is False, "the system is asked again a second later"

    play(tmp_path, scenario)
