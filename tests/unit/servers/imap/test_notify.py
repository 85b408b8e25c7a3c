"""What transcripts cannot show of NOTIFY: slow readers, lost hints, floods, what is left behind."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from postino.core.flags import flag_set
from postino.core.numset import NumberSet
from postino.servers.imap.updates import news, notifier, selected
from postino.store import mailboxes
from postino.store.accounts import account_by_login
from postino.store.messages import FlagChange, FlagMode, append, store_flags
from tests.support.memory_network import MemoryClient
from tests.support.world import NOW, World, open_world
from tests.transcripts.seeds import new_email
from tests.unit.servers.imap.test_session import session

SMALL = new_email(b"a: b\r\n\r\n")
WATCH = b"n NOTIFY SET (selected (MessageNew (UID FLAGS) MessageExpunge FlagChange)) (personal (MessageNew"
WATCH += b" MessageExpunge FlagChange MailboxName))\r\n"


async def put(world: World, mailbox: str, count: int = 1) -> None:
    """Let somebody else append to one of ann's mailboxes."""

    def run(tx: Any) -> None:
        ann = account_by_login(tx, "ann@example.org")
        assert ann is not None
        row = mailboxes.mailbox_by_name(tx, ann.id, mailbox)
        for _ in range(count):
            append(tx, ann.id, row.id, SMALL, now=NOW)

    await world.store.write(run)


async def make(world: World, *names: str) -> None:
    """Let somebody else make mailboxes of ann's."""

    def run(tx: Any) -> None:
        ann = account_by_login(tx, "ann@example.org")
        assert ann is not None
        for name in names:
            mailboxes.create_mailbox(tx, ann.id, name, now=NOW)

    await world.store.write(run)


async def heard(client: MemoryClient, wanted: bytes) -> bytes:
    """What came, once `wanted` is in it."""
    while wanted not in client.take():
        await client.wait_for_more()
    received, client.received = client.received, b""
    return received


async def test_a_client_that_does_not_read_is_told_the_state_at_last(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, session(world, high_water=2000) as client:
        await client.ask(WATCH)
        client.transport.client_reads = False
        for _ in range(300):
            await put(world, "Sent")
            await put(world, "INBOX")
            await asyncio.sleep(0)
        held = len(client.transport.written)
        assert held < 20_000
        client.transport.client_reads = True
        said = await heard(client, b"UIDNEXT 301 MESSAGES 300 UNSEEN 300)")
        while b"* 300 FETCH (UID 300 " not in said:
            said += await heard(client, b"\r\n")
        # Not one of the selected mailbox's messages was passed over, and of the other not each was told.
        assert [b"* %d FETCH (UID %d FLAGS ())" % (n, n) in said for n in range(1, 301)] == [True] * 300
        assert said.count(b"* STATUS Sent") < 100


async def test_a_lost_hint_is_made_good_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "POLL_SECONDS", 0.01)
    async with open_world(tmp_path) as world, session(world) as client:
        await client.ask(WATCH)
        publish, world.store.on_commit = world.store.on_commit, None
        await make(world, "New")
        await put(world, "New")
        await put(world, "INBOX")
        said = await heard(client, b"* STATUS New (UIDVALIDITY")
        assert b'* LIST (\\HasNoChildren \\Subscribed) "/" New\r\n' in said
        while b"* 1 FETCH (UID 1 " not in said:
            said += await heard(client, b"\r\n")
        world.store.on_commit = publish


async def test_many_hints_at_once_cost_one_look_at_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "_FEW", 3)
    monkeypatch.setattr(notifier, "READ_IN_PLACE", 1)
    async with open_world(tmp_path) as world, session(world, select="") as client:
        names = [f"box{n}" for n in range(8)]
        await make(world, *names)
        await client.ask(b"n NOTIFY SET (personal (MessageNew MessageExpunge))\r\n")
        for name in names:
            await put(world, name)
        said = await heard(client, b"* STATUS box7 ")
        assert [said.count(f"* STATUS {name} (".encode()) for name in names] == [1] * 8


async def test_a_mailbox_made_while_everything_is_read_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "READ_IN_PLACE", 1)
    async with open_world(tmp_path) as world, session(world, select="") as client:
        await client.ask(b"n NOTIFY SET (personal (MessageNew MessageExpunge MailboxName))\r\n")
        for number in range(30):
            await make(world, f"box{number}")
            await put(world, f"box{number}", number + 1)
        said = b""
        for number in range(30):
            while f"* STATUS box{number} ".encode() not in said:
                said += await heard(client, b"\r\n")
        assert [f" MESSAGES {n + 1})".encode() in said for n in range(30)] == [True] * 30


async def test_a_large_mailbox_that_rests_is_told_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selected, "READ_IN_PLACE", 5)
    async with open_world(tmp_path) as world:
        await put(world, "INBOX", 20)
        async with session(world) as client:
            await client.ask(WATCH)
            await put(world, "INBOX", 2)
            said = await heard(client, b"* 22 FETCH")
            assert b"* 22 EXISTS\r\n* 21 FETCH (UID 21 FLAGS ())\r\n* 22 FETCH (UID 22 " in said

            def flag(tx: Any) -> None:
                ann = account_by_login(tx, "ann@example.org")
                assert ann is not None
                row = mailboxes.mailbox_by_name(tx, ann.id, "INBOX")
                store_flags(
                    tx, ann.id, row.id, NumberSet.of([3]), FlagChange(FlagMode.ADD, flag_set([r"\Seen"]))
                )

            await world.store.write(flag)
            assert b"* 3 FETCH (UID 3 FLAGS (\\Seen))" in await heard(client, b"(UID 3 ")


async def test_nothing_is_left_listening(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        async with session(world) as client:
            await client.ask(WATCH)
            assert len(world.context.bus.listeners) > 1
            await client.ask(b"u UNAUTHENTICATE\r\n")
            assert not any(world.context.bus.listeners.values())
            await client.ask(b"a LOGIN ann@example.org secret\r\n")
            await client.ask(WATCH)
        async with session(world, select="") as client:
            await client.ask(WATCH)
            await client.ask(b"n NOTIFY NONE\r\n")
        assert not any(world.context.bus.listeners.values())


async def test_a_deleted_selected_mailbox_ends_the_session_between_commands(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, session(world, select="Trash") as client:
        await client.ask(WATCH)

        def delete(tx: Any) -> None:
            ann = account_by_login(tx, "ann@example.org")
            assert ann is not None
            mailboxes.delete_mailbox(tx, ann.id, "Trash", now=NOW)

        await world.store.write(delete)
        assert b"* BYE " in await heard(client, b"* BYE ")


async def test_nothing_is_told_in_the_middle_of_a_command(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, session(world) as client:
        await client.ask(WATCH)
        client.send(b"a NO")
        await client.quiet()
        await put(world, "INBOX")
        await put(world, "Sent")
        assert await client.quiet() == b""
        said = await client.ask(b"OP\r\n")
        assert said.startswith(b"* 1 EXISTS\r\n* 1 FETCH (UID 1 FLAGS ())\r\n* STATUS Sent ")
        assert said.endswith(b"a OK Nothing done\r\n")
