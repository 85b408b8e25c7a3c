"""Which key signs what, and what is sealed instead of signed."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postino.core.ids import Instant
from postino.mailauth.arc.chain import verify_arc
from postino.mailauth.authentication_results import AuthResult, Property, parse_results
from postino.mailauth.dkim.private_key import KeyAlgorithm, algorithm_of, pack_key
from postino.mailauth.dkim.reasons import Reason
from postino.mailauth.dkim.sign import SigningKey, sign_message
from postino.mailauth.dkim.verify import verify_dkim
from postino.outbound.settings import OutboundSettings
from postino.outbound.signing.signer import PIECE_OCTETS, Signer
from postino.smtp.envelope import NO_MAIL_OPTIONS
from postino.smtp.received import Arrival, received_field
from postino.store import dkim_keys
from postino.store.accounts import create_domain
from postino.store.queue.values import QueuedMessage, QueueId, QueueKind
from postino.store.store import Store, open_store
from tests.support.dkim_examples import answer, ed25519_key, rsa_key, zone_of
from tests.support.fake_dns import FakeResolver, Zone
from tests.support.memory_network import FixedClock

NOW = Instant(1_767_225_600)
HOSTNAME = "mail.example.org"
BODY = b"Hello,\r\n\r\nBob.\r\n"
ELSEWHERE = SigningKey("far.example", "s", ed25519_key().private)


def header(author: str = "Ann <ann@example.org>") -> bytes:
    return f"From: {author}\r\nTo: bob@example.net\r\nSubject: x\r\nDate: y\r\n\r\n".encode()


def received(protocol: str = "ESMTPS", hostname: str = HOSTNAME, message_id: str = "own-id") -> bytes:
    arrival = Arrival("far.example", "192.0.2.7", protocol, "TLSv1.3 TLS_AES_256_GCM_SHA384")
    return received_field(arrival, hostname=hostname, message_id=message_id, for_address=None, date="Thu")


def forwarded(
    reverse_path: str = "SRS0=x=y=far.example=eve@example.org", message_id: str = "own-id"
) -> QueuedMessage:
    return QueuedMessage(
        queue_id=QueueId(1),
        kind=QueueKind.FORWARDED,
        account_id=1,  # type: ignore[arg-type]
        reverse_path=reverse_path,
        message_id=message_id,
        options=NO_MAIL_OPTIONS,
        size=1,
        created_at=NOW,
        expires_at=NOW,
        recipients=(),
    )


class Bench:
    """A signer over a real store, and a DNS that knows its keys."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.steady = 0.0
        self.settings = OutboundSettings()
        self.zone: dict[str, str] = {}
        self.resolver = FakeResolver(Zone())
        self.signer = Signer(
            store,
            resolver=self.resolver,
            hostname=HOSTNAME,
            clock=FixedClock(NOW),
            settings=lambda: self.settings,
            steady=lambda: self.steady,
        )

    def publish(self, *keys: SigningKey) -> None:
        records = zone_of(*keys)
        self.zone |= records
        self.resolver.zone.add("\n".join(f"{name}. TXT {_strings(text)}" for name, text in records.items()))

    def add(self, *keys: SigningKey, use: bool = True) -> None:
        self.publish(*keys)

        def write(tx: Any) -> None:
            for key in keys:
                private = pack_key(key.private)
                kept = dkim_keys.add_key(
                    tx, key.domain, algorithm_of(key.private), private, NOW, key.selector
                )
                if use:
                    dkim_keys.use_key(tx, kept, NOW, 100)

        self.store.write_now(write)

    def results(self, signed: bytes, body: bytes = BODY) -> list[tuple[Reason, str, str]]:
        found = answer(verify_dkim(signed, (body,), now=NOW), self.zone)
        return [(r.reason, r.signature.domain, r.signature.identity) for r in found]


def _strings(text: str) -> str:
    return " ".join(f'"{text[at : at + 200]}"' for at in range(0, len(text), 200))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    store = open_store(tmp_path, first=True)
    for name in ("example.org", "sub.example.org", "bücher.example"):
        store.write_now(lambda tx, name=name: create_domain(tx, name, NOW))  # type: ignore[misc]
    yield Bench(store)
    await store.close()


async def test_every_key_in_use_signs_rsa_first(bench: Bench) -> None:
    bench.add(ed25519_key(), rsa_key(bits=1024))
    fields = await bench.signer.sign(header(), BODY)
    assert bench.results(fields + header()) == [(Reason.PASSED, "example.org", "@example.org")] * 2
    assert fields.index(b"rsa-sha256") < fields.index(b"ed25519-sha256")
    assert f"x={NOW + 7 * 86_400}".encode() in fields


@pytest.mark.parametrize(
    ("author", "domain", "identity"),
    [
        ("ann@example.org", "example.org", "@example.org"),
        ("ANN@EXAMPLE.ORG", "example.org", "@example.org"),
        ("MAILER-DAEMON@mail.example.org", "example.org", "@mail.example.org"),
        ("a@sub.example.org", "example.org", "@sub.example.org"),
        ("a@b.sub.example.org", "example.org", "@b.sub.example.org"),
        ("a@bücher.example", "xn--bcher-kva.example", "@xn--bcher-kva.example"),
        ("a@xn--bcher-kva.example", "xn--bcher-kva.example", "@xn--bcher-kva.example"),
        ("group: ann@example.org, x@far.example;", "example.org", "@example.org"),
    ],
)
async def test_the_authors_domain_or_one_above_it_signs(
    bench: Bench, author: str, domain: str, identity: str
) -> None:
    bench.add(ed25519_key(), ed25519_key(domain="bücher.example"))
    top = header(author)
    assert bench.results(await bench.signer.sign(top, BODY) + top) == [(Reason.PASSED, domain, identity)]


@pytest.mark.parametrize("author", ["a@example.net", "a@org", "a", "", "a@notexample.org"])
async def test_others_are_not_signed_for(bench: Bench, author: str) -> None:
    bench.add(ed25519_key())
    assert await bench.signer.sign(header(author), BODY) == b""


async def test_a_message_with_two_from_fields_is_not_signed(bench: Bench) -> None:
    bench.add(ed25519_key())
    assert await bench.signer.sign(b"From: ann@example.org\r\n" + header(), BODY) == b""
    assert await bench.signer.sign(b"To: ann@example.org\r\n\r\n", BODY) == b""


async def test_a_key_of_the_subdomain_comes_before_its_parents(bench: Bench) -> None:
    own = ed25519_key(domain="sub.example.org")
    bench.add(ed25519_key(), own)
    top = header("a@sub.example.org")
    assert bench.results(await bench.signer.sign(top, BODY) + top)[0][1] == "sub.example.org"


async def test_only_keys_in_use_sign_and_changes_are_seen_within_a_second(bench: Bench) -> None:
    bench.add(ed25519_key(), use=False)
    assert await bench.signer.sign(header(), BODY) == b""
    key = bench.store.read_now(lambda tx: dkim_keys.require_key(tx, "example.org", "ed"))
    bench.store.write_now(lambda tx: dkim_keys.use_key(tx, key, NOW, 100))
    bench.steady += 1.0
    assert await bench.signer.sign(header(), BODY)
    bench.store.write_now(lambda tx: dkim_keys.retire_key(tx, key, NOW, 100))
    assert await bench.signer.sign(header(), BODY)
    bench.steady += 1.0
    assert await bench.signer.sign(header(), BODY) == b""


async def test_nothing_is_signed_where_signing_is_off(bench: Bench) -> None:
    bench.add(ed25519_key())
    bench.settings = OutboundSettings(dkim=False)
    assert await bench.signer.sign(header(), BODY) == b""


class Pieces:
    """A large body that is never in memory."""

    def __init__(self, octets: bytes, times: int) -> None:
        self.octets, self.size, self.largest = octets * 4, len(octets) * times, 0

    def read(self, start: int, length: int) -> bytes:
        self.largest = max(self.largest, length)
        assert start + length <= self.size
        first = start % (len(self.octets) // 4)
        return (self.octets * (length // len(self.octets) + 2))[first : first + length]


async def test_a_large_body_is_read_in_pieces(bench: Bench) -> None:
    bench.add(ed25519_key())
    line = b"A line of a large  body.\r\n"
    body = Pieces(line, 100_000)
    fields = await bench.signer.sign(header(), body)
    assert bench.results(fields + header(), line * 100_000)[0][0] is Reason.PASSED
    assert body.largest == PIECE_OCTETS


async def test_what_came_from_elsewhere_is_sealed_and_never_signed(bench: Bench) -> None:
    bench.add(rsa_key(bits=1024))
    bench.publish(ELSEWHERE)
    from_us = header("Ann <ann@example.org>")
    top = b"Delivered-To: bob@example.org\r\n" + received() + from_us
    fields = await bench.signer.pass_on(top, BODY, forwarded())
    assert b"DKIM-Signature:" not in fields
    found = answer(verify_arc(fields + top, (BODY,), now=NOW), bench.zone)
    assert (found.result, found.sealers) == (AuthResult.PASS, ("example.org",))


async def test_a_seal_tells_what_was_found_and_believes_only_our_own_words(bench: Bench) -> None:
    bench.add(rsa_key(bits=1024))
    bench.publish(ELSEWHERE)
    far = header("eve@far.example")
    from postino.outbound.signing.signer import _hash

    signed = sign_message(far, _hash(BODY), (ELSEWHERE,), now=NOW) + far
    ours = (
        b"Authentication-Results: mail.example.org; iprev=pass policy.iprev=192.0.2.7; dkim=fail\r\n"
        b"Authentication-Results: other.example; spf=fail smtp.mailfrom=a.example\r\n"
        b"Authentication-Results: broken (\r\n"
    )
    forged = b"Authentication-Results: mail.example.org; spf=pass smtp.mailfrom=bank.example\r\n"
    top = ours + received() + forged + signed
    fields = await bench.signer.pass_on(top, BODY, forwarded())
    value = fields[fields.index(b"ARC-Authentication-Results: i=1;") + 32 :]
    results = parse_results(value)
    assert results.server == HOSTNAME
    assert [(one.method, one.result) for one in results.results] == [
        ("iprev", "pass"),
        ("dkim", "pass"),
        ("arc", "none"),
    ]
    assert Property("header", "d", "far.example") in results.results[1].properties
    assert results.results[2].properties == (Property("smtp", "remote-ip", "192.0.2.7"),)


async def test_what_was_submitted_here_is_signed_when_it_is_passed_on(bench: Bench) -> None:
    bench.add(ed25519_key())
    top = received("ESMTPSA") + header()
    fields = await bench.signer.pass_on(top, BODY, forwarded())
    assert fields.startswith(b"DKIM-Signature:")
    assert bench.results(fields + top)[0][0] is Reason.PASSED


@pytest.mark.parametrize(
    "forged",
    [
        received("ESMTPSA", message_id="guessed"),
        received("ESMTPSA", hostname="mail.example.net"),
        received() + received("ESMTPSA"),
        b"Received: nonsense\r\n" + received("ESMTPSA"),
        b"",
    ],
)
async def test_nobody_can_claim_to_have_submitted_here(bench: Bench, forged: bytes) -> None:
    bench.add(ed25519_key())
    fields = await bench.signer.pass_on(forged + header(), BODY, forwarded())
    assert fields.startswith(b"ARC-Seal: i=1;")


async def test_a_null_reverse_path_is_sealed_by_this_server(bench: Bench) -> None:
    bench.add(ed25519_key())
    assert b"d=example.org" in await bench.signer.pass_on(received() + header(), BODY, forwarded(""))
    assert await bench.signer.pass_on(received() + header(), Pieces(BODY, 1), forwarded(""))


async def test_without_keys_nothing_is_sealed_and_nothing_asked(bench: Bench) -> None:
    assert await bench.signer.pass_on(received() + header(), BODY, forwarded()) == b""


async def test_a_silent_dns_does_not_stop_mail(bench: Bench) -> None:
    bench.add(ed25519_key())
    bench.resolver.zone.add("s._domainkey.far.example. !timeout")
    far = header("eve@far.example")
    from postino.outbound.signing.signer import _hash

    signed = sign_message(far, _hash(BODY), (ELSEWHERE,), now=NOW) + far
    assert b"dkim=temperror" in await bench.signer.pass_on(received() + signed, BODY, forwarded())


async def test_signing_16_kb_takes_less_than_the_goal(bench: Bench) -> None:
    """0.7 ms with RSA-2048 is the goal; a slow machine gets four times that here, the bench measures it."""
    bench.add(rsa_key())
    body = b"A usual line of a usual message, with words and blanks.\r\n" * 290
    await bench.signer.sign(header(), body)
    best = min([await _cpu_seconds(bench, body) for _ in range(5)])
    assert best < 0.0028


async def _cpu_seconds(bench: Bench, body: bytes) -> float:
    before = time.thread_time()
    await bench.signer.sign(header(), body)
    return time.thread_time() - before


def test_the_algorithms_are_named_as_the_record_names_them() -> None:
    assert [algorithm.value for algorithm in KeyAlgorithm] == ["rsa", "ed25519"]
