"""What strangers and hijacked accounts try at our ports, and what they get."""

from pathlib import Path

import pytest

from postino.core.address import parse_address
from postino.mailauth.dkim.canonicalization import BodyHash, Canonicalization
from postino.mailauth.dkim.sign import sign_message
from postino.mailauth.dkim.signed_fields import HeaderFields
from postino.store.accounts import create_domain
from postino.store.forwards import set_forwarding
from postino.store.tx import Tx
from tests.support.dkim_examples import ed25519_key, zone_of
from tests.support.world import NOW
from tests.unit.servers.test_fates import Place, id_of, play


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
