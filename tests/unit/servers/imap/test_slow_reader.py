"""A client that asks for a whole large mailbox and stops reading: nothing grows, and nobody waits for it."""

import asyncio
import tracemalloc
from pathlib import Path

import apsw
import pytest

from postino.core.ids import AccountId
from postino.core.numset import NumberSet
from postino.servers.imap.messages import fetch
from postino.store import mailboxes, messages
from postino.store.store import DATABASE_NAME, Store
from tests.support.memory_network import MemoryClient
from tests.support.world import NOW, World, open_world, serve_function
from tests.transcripts.seeds import new_email

MESSAGES = 16_384
TEXT = b"A line of text that is not looked at.\r\n" * 50
HELD_OCTETS = 3 * fetch.BATCH_OCTETS
"""What may wait for a client: a batch being sent, one being made, and a piece."""


async def many(store: Store, ids: dict[str, AccountId]) -> None:
    """ann's INBOX with MESSAGES messages of 2 KB that share their octets."""
    ann = ids["ann"]
    first = new_email(b"From: carol@example.net\r\nSubject: Hello\r\n\r\n" + TEXT)

    def fill(tx: object) -> None:
        row = mailboxes.mailbox_by_name(tx, ann, "INBOX")  # type: ignore[arg-type]
        messages.append(tx, ann, row.id, first, now=NOW)  # type: ignore[arg-type]
        count = 1
        while count < MESSAGES:
            messages.copy(tx, ann, row.id, NumberSet([(1, count)]), row.id, now=NOW)  # type: ignore[arg-type]
            count *= 2

    await store.write(fill)


async def open_client(world: World) -> MemoryClient:
    client = MemoryClient(serve_function(world.context, "imap"), tls=True)
    await client.__aenter__()
    await client.quiet()
    assert b"a OK" in await client.ask(b"a LOGIN ann@example.org secret\r\n")
    assert b"s OK" in await client.ask(b"s SELECT INBOX\r\n")
    return client


async def until_it_waits(client: MemoryClient) -> None:
    """Return when the server waits for the client to read, or for its next command."""
    while not (client.transport._paused_writer or client.connection.awaits_client):
        assert not client.task.done()
        await asyncio.sleep(0)


def nobody_reads(directory: Path) -> bool:
    """Whether the whole log can be moved: no reader needs what it replaced."""
    connection = apsw.Connection(str(directory / DATABASE_NAME))
    try:
        pages, moved = connection.wal_checkpoint(None, apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.BusyError:
        return False
    finally:
        connection.close()
    return pages == moved


@pytest.mark.parametrize(
    "items",
    [
        b"(FLAGS)",
        b"(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)",
        b"(BODY.PEEK[HEADER])",
        b"(UID BODY.PEEK[])",
        b"(UID BODY.PEEK[1]<0.500>)",
    ],
)
async def test_it_streams_in_constant_memory_and_holds_nothing(tmp_path: Path, items: bytes) -> None:
    async with open_world(tmp_path, seed_name="imap-many", seed=many) as world:
        slow, other = await open_client(world), await open_client(world)
        try:
            await slow.ask(b"b FETCH 1 (FLAGS)\r\n")  # the session now knows the mailbox
            slow.transport.client_reads = False
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            slow.send(b"z FETCH 1:* " + items + b"\r\n")
            answers = stops = 0
            tail = b""
            while not tail.startswith(b"z OK"):
                await until_it_waits(slow)
                if slow.transport._paused_writer:
                    stops += 1
                    assert len(slow.transport.written) < HELD_OCTETS
                    if stops == 2:
                        # In the middle of it others write, and the log is free.
                        said = await other.ask(b"w STORE 5 +FLAGS (\\Flagged)\r\n")
                        assert b"w OK" in said
                        assert nobody_reads(tmp_path)
                got = slow.transport.client_takes()
                answers += got.count(b" FETCH (")
                tail = got[got.rfind(b"\n", 0, -2) + 1 :] or tail
            peak = tracemalloc.get_traced_memory()[1] - before
            tracemalloc.stop()
            assert answers >= MESSAGES
            assert stops > 2
            assert peak < 4 * HELD_OCTETS
        finally:
            for client in (slow, other):
                client.transport.client_takes()
                await client.__aexit__(None, None, None)
