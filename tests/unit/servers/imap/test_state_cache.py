"""What a session is told of a mailbox that others knew before, against one that reads it afresh."""

import random
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from postino.core.flags import NO_FLAGS
from postino.core.ids import AccountId, MailboxId
from postino.servers.imap.updates import selected
from postino.servers.imap.updates.state_cache import MESSAGE_OCTETS, STATE_OCTETS, MailboxState, StateCache
from postino.store.changes import Messages, load_messages
from tests.support.memory_network import MemoryClient
from tests.support.world import World, open_world, serve_function
from tests.transcripts.seeds import add

ANN = AccountId(1)
EVERYTHING = b"f FETCH 1:* (UID FLAGS MODSEQ)\r\n"


@asynccontextmanager
async def _session(world: World) -> AsyncIterator[MemoryClient]:
    async with MemoryClient(serve_function(world.context, "imap"), tls=True) as client:
        await client.quiet()
        await client.ask(b"l LOGIN ann@example.org secret\r\n")
        await client.ask(b"e ENABLE CONDSTORE\r\n")
        assert b"s OK" in await client.ask(b"s SELECT INBOX\r\n")
        yield client


async def _afresh(world: World) -> bytes:
    kept, world.context.state_cache = world.context.state_cache, StateCache(0)
    try:
        async with _session(world) as client:
            return await client.ask(EVERYTHING)
    finally:
        world.context.state_cache = kept


async def test_a_mailbox_selected_again_is_as_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selected, "READ_IN_PLACE", 0)
    read_afresh = 0
    taken: list[int] = []

    def load(tx, account_id, mailbox_id):  # type: ignore[no-untyped-def]
        nonlocal read_afresh
        read_afresh += 1
        return load_messages(tx, account_id, mailbox_id)

    monkeypatch.setattr(selected, "load_messages", load)
    rng = random.Random(11)
    async with open_world(tmp_path) as world:
        for _ in range(12):
            await add(world.store, ANN, b"Subject: x\r\n\r\nx\r\n")
        async with _session(world) as one, _session(world) as two:
            for _ in range(60):
                for client in rng.sample([one, two], rng.randrange(1, 3)):
                    first = rng.randrange(1, 9)
                    command = rng.choice(
                        [
                            b"STORE %d:%d +FLAGS (\\Seen $w)" % (first, first + 1),
                            b"STORE %d:* -FLAGS.SILENT (\\Seen)" % first,
                            b"STORE %d +FLAGS.SILENT (\\Deleted)" % first,
                            b"EXPUNGE",
                            b"CLOSE",
                            b"NOOP",
                            b"COPY 2:4 INBOX",
                            b"UNSELECT",
                        ]
                    )
                    await client.ask(b"a " + command + b"\r\n")
                    if rng.random() < 0.5 or command in (b"CLOSE", b"UNSELECT"):
                        assert b"s OK" in await client.ask(b"s SELECT INBOX\r\n")
                if rng.random() < 0.3:
                    await add(world.store, ANN, b"Subject: y\r\n\r\ny\r\n")
                client = rng.choice([one, two])
                assert b"s OK" in await client.ask(b"s SELECT INBOX\r\n")
                before = read_afresh
                told = await client.ask(EVERYTHING)
                taken.append(read_afresh - before)
                assert told == await _afresh(world)
            assert sum(taken) < 10, "what others knew was of use"


async def test_what_is_not_the_stores_is_read_afresh(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        for _ in range(3):
            await add(world.store, ANN, b"Subject: x\r\n\r\nx\r\n")
        row = world.store.read_now(
            lambda tx: tx.one(
                "SELECT id, highest_mod_seq, uid_next FROM mailbox WHERE account_id=1 AND name='INBOX'"
            )
        )
        assert row is not None
        inbox, mod_seq, uid_next = row
        messages = world.store.read_now(lambda tx: load_messages(tx, ANN, inbox))
        good = MailboxState(messages, mod_seq, uid_next)
        assert world.store.read_now(lambda tx: good.up_to_date(tx, ANN, inbox)) == messages
        bad = MailboxState(Messages(*(column[1:] for column in messages)), mod_seq, uid_next)
        assert world.store.read_now(lambda tx: bad.up_to_date(tx, ANN, inbox)) is None


def _state(count: int, mod_seq: int) -> MailboxState:
    uids = array("I", range(1, count + 1))
    return MailboxState(Messages(uids, array("Q", uids), [NO_FLAGS] * count), mod_seq, count + 1)


def test_the_state_not_used_for_longest_goes_first() -> None:
    cache = StateCache(3 * (STATE_OCTETS + 10 * MESSAGE_OCTETS))
    for mailbox in range(3):
        cache.put(ANN, MailboxId(mailbox), _state(10, 5))
    assert cache.get(ANN, MailboxId(0)) is not None
    cache.put(ANN, MailboxId(3), _state(10, 5))
    assert cache.get(ANN, MailboxId(1)) is None
    assert cache.get(ANN, MailboxId(0)) is not None
    assert cache.used == cache.octets
    cache.put(ANN, MailboxId(4), _state(1000, 5))
    assert cache.used == 0


def test_an_earlier_state_does_not_take_the_place_of_a_later_one() -> None:
    cache = StateCache()
    later = _state(10, 5)
    cache.put(ANN, MailboxId(1), later)
    cache.put(ANN, MailboxId(1), _state(10, 4))
    assert cache.get(ANN, MailboxId(1)) is later
    cache.put(ANN, MailboxId(1), newest := _state(4, 6))
    assert cache.get(ANN, MailboxId(1)) is newest
    assert cache.used == newest.octets
