"""Mail of the server itself to whoever runs it."""

from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

from postino.core.address import parse_address
from postino.delivery.operator_note import tell_operator
from postino.store.accounts import add_alias
from tests.support.world import open_world


def inbox(world: Any, login: str) -> list[bytes]:
    rows = world.store.read_now(
        lambda tx: tx.all(
            "SELECT o.header, o.body FROM octets o JOIN account a ON a.id=o.account_id WHERE a.login=?",
            (login,),
        )
    )
    return [header + body for header, body in rows]


async def test_a_note_reaches_the_postmaster_or_the_first_account(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await tell_operator(world.context.delivery, "Something to do", "Do it.\n\nSoon.\n")
        (note,) = inbox(world, "ann@example.org")
        assert inbox(world, "bob@example.org") == []
        parsed = message_from_bytes(note, policy=policy.default)
        assert parsed["Subject"] == "Something to do"
        assert parsed["Auto-Submitted"] == "auto-generated"
        assert note.startswith(b"Return-Path: <>\r\n")
        assert note.endswith(b"\r\n\r\nDo it.\r\n\r\nSoon.\r\n")
        bob = world.store.read_now(lambda tx: tx.one("SELECT id FROM account WHERE login='bob@example.org'"))[
            0
        ]
        postmaster = parse_address("postmaster@example.org")
        world.store.write_now(lambda tx: add_alias(tx, postmaster, [bob]))
        world.context.delivery.recipients._remembered.clear()
        await tell_operator(world.context.delivery, "Again", "")
        assert len(inbox(world, "bob@example.org")) == 1
        assert len(inbox(world, "ann@example.org")) == 1
