"""No news is missed, although the store is asked only when something was committed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from postino.core.flags import flag_set
from postino.core.ids import AccountId
from postino.core.numset import NumberSet
from postino.store import mailboxes
from postino.store.messages import FlagChange, FlagMode, store_flags
from postino.store.store import Store, open_store
from tests.support.memory_network import MemoryClient
from tests.support.world import World, open_world, serve_function
from tests.transcripts.seeds import add

OCTETS = b"Subject: x\r\n\r\nx\r\n"
ANN = AccountId(1)


@asynccontextmanager
async def session(world: World, mailbox: bytes) -> AsyncIterator[MemoryClient]:
    async with MemoryClient(serve_function(world.context, "imap"), tls=True) as client:
        await client.quiet()
        assert b"a OK" in await client.ask(b"a LOGIN ann@example.org secret\r\n")
        assert b"s OK" in await client.ask(b"s SELECT " + mailbox + b"\r\n")
        assert b"f OK" in await client.ask(b"f FETCH 1:* FLAGS\r\n")
        yield client


async def test_changes_of_others_here_and_elsewhere_are_seen(tmp_path: Path) -> None:
    def flag(store: Store, uid: int, name: str) -> None:
        change = FlagChange(FlagMode.ADD, flag_set([name]))
        store.write_now(lambda tx: store_flags(tx, ANN, inbox, NumberSet.of([uid]), change))

    async with open_world(tmp_path) as world:
        inbox = world.store.read_now(lambda tx: mailboxes.mailbox_by_name(tx, ANN, "INBOX")).id
        for _ in range(3):
            await add(world.store, ANN, OCTETS)
        elsewhere = open_store(tmp_path)
        try:
            async with session(world, b"INBOX") as one, session(world, b"INBOX") as two:
                for turn in range(12):
                    name = b"k%d" % turn
                    match turn % 3:
                        case 0:
                            assert b"t OK" in await two.ask(b"t STORE 1 +FLAGS (%b)\r\n" % name)
                        case 1:
                            flag(elsewhere, 1, name.decode())
                        case _:
                            # Between two of ours.
                            assert b"t OK" in await two.ask(b"t STORE 2 +FLAGS (%b)\r\n" % name)
                            flag(elsewhere, 1, name.decode())
                            assert b"t OK" in await two.ask(b"t STORE 3 +FLAGS (%b)\r\n" % name)
                    told = await one.ask(b"n NOOP\r\n")
                    assert told.count(name) == (3 if turn % 3 == 2 else 1), (turn, told)
                    await two.ask(b"n NOOP\r\n")
        finally:
            elsewhere.close_now()
