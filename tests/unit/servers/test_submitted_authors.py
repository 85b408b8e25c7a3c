"""Whose a submitted message is: From and Sender fields of all kinds, and headers others would read differently."""

from pathlib import Path

import pytest

from postino.core.address import Address, parse_address
from postino.core.ids import AccountId
from postino.smtp import replies
from postino.smtp.reply import Reply
from postino.store.addresses import add_alias
from postino.store.queue.rows import read_octets
from postino.store.tx import Tx
from tests.unit.servers.test_submission import queued, send, submitting

OTHER = replies.AUTHOR_NOT_YOURS
ODD = replies.BAD_AUTHOR
NOBODY = replies.NO_AUTHOR


async def answer(path: Path, header: bytes) -> bytes:
    async with submitting(path) as (_, client):
        return await send(client, "bob@far.example", octets=header + b"\r\nhello\r\n")


@pytest.mark.parametrize(
    "field",
    [
        b"From: ANN@Example.Org",
        b"From: ann+shop@example.org",
        b"From: Ann (at home) <ann@example.org> (really)",
        b"From: ann@example.org (bob@far.example)",
        b'From: "bob@far.example" <ann@example.org>',
        b'From: "A > b" <ann@example.org>',
        b"From: ann@example.org <ann@example.org>",
        b"From:\r\n Ann\r\n <ann@example.org>",
        b"From : ann@example.org",
        b"From: ann@example.org, Ann <ann+work@example.org>,",
        b"From: J\xc3\xbcrgen <ann@example.org>",
        b"From: ann@example.org\r\nSender: ann+a@example.org",
        b"From: ann@example.org\r\nX-Empty:\r\nX-Folded:\r\n \r\n\tx",
    ],
)
async def test_taken(tmp_path: Path, field: bytes) -> None:
    assert b"250 2.0.0 Queued" in await answer(tmp_path, field + b"\r\n")


@pytest.mark.parametrize(
    ("field", "refused"),
    [
        (b"From: bob@example.org", OTHER),
        (b"From: ann@example.org, bob@example.org", OTHER),
        # RFC 5322 §3.6.2 wants a Sender with several authors; they do not become ours by it.
        (b"From: ann@example.org, bob@far.example\r\nSender: ann@example.org", OTHER),
        (b"From: ann@example.org; bob@example.org", OTHER),
        (b"From: ann@[192.0.2.1]", ODD),
        (b"From: ann@example.org\r\nSender: bob@example.org", replies.SENDER_FIELD_NOT_YOURS),
        (
            b"From: ann@example.org\r\nSender: ann@example.org, bob@example.org",
            replies.SENDER_FIELD_NOT_YOURS,
        ),
        (b"From: ann@example.org\r\nSender: bob", ODD),
        # Redirected by a mail program: the author is another.
        (b"From: sue@far.example\r\nResent-From: ann@example.org", OTHER),
        # A group (RFC 6854) may hide whoever wrote it.
        (b"From: us: ann@example.org;", ODD),
        (b"From: undisclosed: ;", ODD),
        (b"From: Ann, the first <ann@example.org>", ODD),
        (b"From: ann", ODD),
        (b'From: "Ann <ann@example.org>', ODD),
        # Some programs show the first of two addresses, and some the last.
        (b"From: <ann@example.org> <bob@example.org>", ODD),
        (b"From: <ann@example.org> bob@example.org", ODD),
        (b'From: <ann@example.org> "x" <bob@example.org>', ODD),
        (b"From: ann@example.org bob@example.org", ODD),
        (b"From: <>", NOBODY),
        (b"From:", NOBODY),
        (b"Subject: x", NOBODY),
        (b"", NOBODY),
        (b"From: ann@example.org\r\nfrom: ann@example.org", replies.TWO_AUTHORS),
        # Most servers take a line that is no field for the end of the header.
        (b"No field at all\r\nFrom: ann@example.org", replies.BAD_HEADER),
        (b"From: ann@example.org\r\nNo field at all\r\nFrom: bob@example.org", replies.BAD_HEADER),
        (b" folded into what we put on top\r\nFrom: ann@example.org", replies.BAD_HEADER),
        (b"From: ann@example.org\r\nX\xc3\xa9: y", replies.BAD_HEADER),
        (b"From: ann@example.org\r\n: y", replies.BAD_HEADER),
    ],
)
async def test_refused(tmp_path: Path, field: bytes, refused: Reply) -> None:
    assert await answer(tmp_path, field + b"\r\n" if field else b"") == refused.wire


async def test_fields_beyond_those_looked_at_hide_no_author(tmp_path: Path) -> None:
    header = b"From: ann@example.org\r\n" + b"a:\r\n" * 20_000 + b"From: bob@example.org\r\n"
    assert await answer(tmp_path, header) == replies.BAD_HEADER.wire


@pytest.mark.parametrize("line", [b"From ann Thu Jan  1 00:00:00 2026\r\n", b">From ann\r\n"])
async def test_the_line_of_an_mbox_file_is_left_behind(tmp_path: Path, line: bytes) -> None:
    header = line + b"From: ann@example.org\r\nDate: x\r\nMessage-ID: <a@b>\r\n\r\n"
    async with submitting(tmp_path) as (world, client):
        assert b"250 2.0.0 Queued" in await send(client, "bob@far.example", octets=header + b"hello\r\n")
        (message,) = queued(world)
        octets = world.store.read_now(lambda tx: read_octets(tx, message.queue_id))
        assert octets.header.endswith(b"+0000\r\n" + header.removeprefix(line))
        assert octets.size == len(octets.header) + len(b"hello\r\n")


async def test_an_alias_and_a_catch_all_are_their_members(tmp_path: Path) -> None:
    def alias(tx: Tx, ann: AccountId) -> None:
        add_alias(tx, parse_address("team@example.org"), [ann], [parse_address("bob@far.example")])
        add_alias(tx, Address("", "example.org"), [ann])
        add_alias(tx, parse_address("away@example.org"), [], [parse_address("bob@far.example")])

    async with submitting(tmp_path, alias) as (_, client):
        for own in ("team@example.org", "Team+x@example.org", "whatever@example.org"):
            octets = f"From: {own}\r\n\r\nhello\r\n".encode()
            assert b"250 2.0.0 Queued" in await send(client, "bob@far.example", sender=own, octets=octets)
        # A catch-all is not who has an address of their own, nor what leads elsewhere.
        for other in ("bob@example.org", "bob+x@example.org", "away@example.org"):
            assert (await send(client, "bob@far.example", sender=other)).startswith(b"553 5.7.1")
