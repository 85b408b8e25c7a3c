"""A world whose accounts have Sieve scripts: scripts put by name, mail sent in, what came of it read back."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from postino.app.filters import build_filtering
from postino.core.ids import AccountId, Instant
from postino.delivery.settings import SieveSettings
from postino.sieve import compile_script
from postino.store.accounts import account_by_login
from postino.store.content import InlineBody
from postino.store.queue.lease import take_due
from postino.store.queue.rows import read_octets
from postino.store.queue.values import LeaseToken, QueuedMessage
from postino.store.scripts import ScriptLimits, put_script, set_active
from postino.store.trace import trace_of
from tests.support.memory_network import MemoryClient
from tests.support.world import NOW, World, open_world, serve_function


class Scripted:
    """The world, with ways to say what a test is about."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.context.filtering = build_filtering(SieveSettings(), world.context)

    def account(self, login: str) -> AccountId:
        found: AccountId = self.world.store.read_now(lambda tx: account_by_login(tx, login).id)
        return found

    async def script(self, text: str, login: str = "ann", *, name: str = "main") -> None:
        """Give the account a script; it is active, unless it is the outgoing one."""
        source = text.replace("\n", "\r\n").encode()
        compiled = compile_script(source, name=name)
        account_id = self.account(f"{login}@example.org")

        def put(tx: Any) -> None:
            put_script(tx, account_id, name, source, compiled.stored, now=NOW, limits=ScriptLimits())
            if name != "outgoing":
                set_active(tx, account_id, name)

        await self.world.store.write(put)

    @asynccontextmanager
    async def client(self, kind: str) -> AsyncIterator[MemoryClient]:
        """A session that has said hello."""
        serve = serve_function(self.world.context, kind)
        async with MemoryClient(serve, tls=kind == "submission") as client:
            await client.quiet()
            await client.ask(b"LHLO client\r\n" if kind == "lmtp" else b"EHLO client.example\r\n")
            if kind == "submission":
                assert b"235" in await client.ask(b"AUTH PLAIN AGFubkBleGFtcGxlLm9yZwBzZWNyZXQ=\r\n")
            yield client

    def mail(self, name: str, login: str = "ann@example.org") -> list[tuple[bytes, int, str]]:
        """(octets, flags, keywords) of each message of a mailbox."""
        rows: list[tuple[bytes, int, str]] = self.world.store.read_now(
            lambda tx: tx.all(
                "SELECT CAST(o.header || coalesce(o.body, s.body, '') AS BLOB), m.flags, m.keywords"
                " FROM account a JOIN mailbox b ON b.account_id=a.id"
                " JOIN message m ON m.account_id=a.id AND m.mailbox_id=b.id"
                " JOIN octets o ON o.account_id=a.id AND o.content_id=m.content_id"
                " LEFT JOIN shared_body s ON s.id=o.blob_id WHERE a.login=? AND b.name=? ORDER BY m.uid",
                (login, name),
            )
        )
        return rows

    def queued(self) -> list[tuple[QueuedMessage, bytes]]:
        """All that waits, with its octets."""
        token = LeaseToken("1.other")
        later = Instant(NOW + 3600)
        found = self.world.store.write_now(
            lambda tx: take_due(tx, token, now=later, until=Instant(later + 60), most=1000)
        )
        return [(message, self._octets(message)) for message in found]

    def _octets(self, message: QueuedMessage) -> bytes:
        octets = self.world.store.read_now(lambda tx: read_octets(tx, message.queue_id))
        assert isinstance(octets.body, InlineBody)
        whole = octets.header + octets.body.octets
        assert len(whole) == message.size
        return whole

    def delivered(self) -> list[str]:
        """What the log says of each copy."""
        return [
            one
            for event in self.world.log.events
            if event.event == "message.delivered"
            for one in event.fields["mailboxes"]
        ]

    def trace(self, message_id: str, login: str = "ann@example.org") -> Sequence[tuple[str, int, str]]:
        """(script, line, words)"""
        account_id = self.account(login)
        found = self.world.store.read_now(lambda tx: trace_of(tx, account_id, message_id))
        return [(one.script, one.line, one.words) for one in found.events] if found else []


@asynccontextmanager
async def scripted(directory: Path) -> AsyncIterator[Scripted]:
    """A world in which scripts run."""
    async with open_world(directory) as world:
        yield Scripted(world)


async def send(
    client: MemoryClient,
    octets: bytes,
    *recipients: str,
    sender: str = "sue@far.example",
    rcpt: str = "",
) -> str:
    """The last answer."""
    await client.ask(f"MAIL FROM:<{sender}>\r\n".encode())
    for one in recipients or ("ann@example.org",):
        answer = await client.ask(f"RCPT TO:<{one}>{rcpt}\r\n".encode())
        assert answer.startswith(b"250"), answer
    await client.ask(b"DATA\r\n")
    return (await client.ask(octets + b".\r\n")).decode()
