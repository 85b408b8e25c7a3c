"""Delivery: trace fields for each recipient, one write for all, facts that fit what is stored."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from postino.core.address import Address
from postino.core.errors import OverQuota
from postino.core.limits import Limits
from postino.delivery.accept import Envelope, Inbound, received_hops
from postino.delivery.facts import derive_facts
from postino.delivery.incoming import IncomingMessage
from postino.delivery.recipients import REMEMBER_SECONDS, Recipients
from postino.mime.header import LISTED_FIELDS
from postino.smtp.received import Arrival
from postino.store import accounts
from postino.store.accounts import ResolvedRecipient
from postino.store.quota import set_quotas
from tests.support.world import NOW, open_world

MULTIPART = (
    b"From: bob@other.example\r\nDelivered-To: earlier@example.net\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/plain\r\n\r\none\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ntwo\r\n--b--\r\n"
)


def resolved(recipients: Recipients, address: Address) -> Sequence[ResolvedRecipient]:
    found = recipients.resolve(address, "+", "h")
    assert found is not None
    return found.accounts


async def inbound(world: object, octets: bytes, *addresses: str) -> Inbound:
    context = world.context  # type: ignore[attr-defined]
    message = IncomingMessage(context.store, context.limits)
    message.add(octets)
    found = [
        recipient
        for address in addresses
        for recipient in resolved(context.delivery.recipients, Address(address, "example.org"))
    ]
    return Inbound(
        Envelope(
            Address("bob", "other.example"), found, Address("ann", "example.org") if len(found) == 1 else None
        ),
        await message.finish(),
        Arrival("client.example", "192.0.2.1", "ESMTP"),
        "id-1",
    )


async def test_each_recipient_sees_its_own_trace_and_facts_fit(tmp_path: Path) -> None:
    async with open_world(tmp_path / "data") as world:
        await world.context.delivery.accept(await inbound(world, MULTIPART, "ann", "bob"))
        rows = world.store.read_now(
            lambda tx: tx.all(
                "SELECT a.login, o.header, c.size, c.header_octets, c.parts, c.fields, c.envelope,"
                " c.bodystructure, o.codec FROM octets o JOIN content c ON c.account_id=o.account_id"
                " AND c.id=o.content_id JOIN account a ON a.id=o.account_id ORDER BY a.login"
            )
        )
        body = MULTIPART.partition(b"\r\n\r\n")[2]
        for login, header, size, header_octets, parts, fields, envelope, bodystructure, codec in rows:
            assert header.startswith(
                b"Return-Path: <bob@other.example>\r\nDelivered-To: "
                + login.encode()
                + b"\r\nReceived: from "
            )
            assert b"\tfor <" not in header
            assert header.endswith(MULTIPART.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
            # As if the stored octets had been looked at themselves.
            facts = derive_facts(header, body, Limits())
            assert (size, header_octets, parts, fields) == (
                facts.size,
                facts.header_octets,
                facts.parts,
                facts.fields,
            )
            assert (envelope, bodystructure) == (facts.envelope, facts.bodystructure)
            assert codec == 2
        assert [row[0] for row in rows] == ["ann@example.org", "bob@example.org"]
        bodies = world.store.read_now(lambda tx: tx.all("SELECT count(*) FROM shared_body"))
        assert bodies == [(1,)]


async def test_one_recipient_is_named_in_received(tmp_path: Path) -> None:
    async with open_world(tmp_path / "data") as world:
        await world.context.delivery.accept(await inbound(world, b"a: b\r\n\r\nc", "ann"))
        header = world.store.read_now(lambda tx: tx.all("SELECT header FROM octets"))[0][0]
        assert b"\r\n\tfor <ann@example.org>;\r\n" in header


async def test_over_quota_delivers_to_nobody(tmp_path: Path) -> None:
    async with open_world(tmp_path / "data") as world:
        row = world.store.read_now(lambda tx: accounts.account_by_login(tx, "bob@example.org"))
        await world.store.write(lambda tx: set_quotas(tx, row.id, octets=100))
        with pytest.raises(OverQuota):
            await world.context.delivery.accept(await inbound(world, MULTIPART, "ann", "bob"))
        assert world.store.read_now(lambda tx: tx.all("SELECT count(*) FROM message")) == [(0,)]


def test_the_listed_trace_field_is_the_only_one_lists_ask_for() -> None:
    # _emails adds Delivered-To to facts.fields by hand, and no other trace field.
    assert b"delivered-to" in LISTED_FIELDS
    assert not LISTED_FIELDS & {b"return-path", b"received"}


@pytest.mark.parametrize(
    ("header", "hops"),
    [
        (b"", 0),
        (b"Received: a\r\n\r\n", 1),
        (b"received: a\r\nX: y\r\nRECEIVED: b\r\n\r\n", 2),
        (b"X-Received: a\r\nX: received: b\r\n received: c\r\n\r\n", 0),
    ],
)
def test_hops_are_received_fields(header: bytes, hops: int) -> None:
    assert received_hops(header) == hops


async def test_recipients_are_remembered_for_a_moment_unless_they_may_run_full(tmp_path: Path) -> None:
    async with open_world(tmp_path / "data") as world:
        now = 100.0
        recipients = Recipients(world.store, lambda: 1000, lambda: now, world.context.clock)
        ann, bob, new = (Address(name, "example.org") for name in ("ann", "bob", "new"))
        bob_id = resolved(recipients, bob)[0].account_id
        await world.store.write(lambda tx: set_quotas(tx, bob_id, octets=15_000))
        now += REMEMBER_SECONDS
        assert [r.login for r in resolved(recipients, ann)] == ["ann@example.org"]
        assert resolved(recipients, bob)[0].quota_octets == 15_000
        assert resolved(recipients, new) == ()
        assert recipients.resolve(Address("ann", "other.example"), "+", "h") is None
        assert set(recipients._remembered) == {ann}

        def change(tx: object) -> None:
            accounts.create_account(tx, new, "", "", 0, NOW)  # type: ignore[arg-type]
            set_quotas(tx, bob_id, octets=25_000)  # type: ignore[arg-type]

        await world.store.write(change)
        assert [r.login for r in resolved(recipients, new)] == ["new@example.org"]
        assert resolved(recipients, bob)[0].quota_octets == 25_000
        assert recipients.resolve(ann, "+", "h") is recipients.resolve(ann, "+", "h")
        held = recipients.resolve(ann, "+", "h")
        now += REMEMBER_SECONDS
        assert recipients.resolve(ann, "+", "h") is not held
