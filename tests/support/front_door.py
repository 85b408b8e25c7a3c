"""Another server at our port 25, in the world of outbound_world.py: what it says, and what it is told."""

import asyncio
import base64
from typing import Any

from postino.core.limits import Limits
from postino.net.connection import Connection
from postino.outbound.service import Outbound
from postino.servers.authentication import Authentication
from postino.servers.context import ServerContext
from postino.servers.smtp import SmtpRole, serve_smtp
from tests.support.memory_network import NullMetrics
from tests.support.memory_pipes import pipe
from tests.support.outbound_world import SendingWorld
from tests.support.world import HOSTNAME, PASSWORD, TEST_CREDENTIALS


def context_of(world: SendingWorld, outbound: Outbound) -> ServerContext:
    """What sessions of that worker are given."""
    metrics: Any = NullMetrics()
    return ServerContext(
        hostname=HOSTNAME,
        limits=Limits(),
        store=world.store,
        delivery=world.delivery,
        authentication=Authentication(
            store=world.store, limits=Limits(), clock=world.time, log=world.log, credentials=TEST_CREDENTIALS
        ),
        bus=world.bus,  # type: ignore[arg-type]
        clock=world.time,
        log=world.log,
        metrics=metrics,
        tls_context=lambda: None,
        outbound=outbound,
    )


class Sender:
    """One connection of another server to ours."""

    def __init__(
        self, context: ServerContext, role: SmtpRole = SmtpRole.MX, *, connection: Connection | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        near, far = pipe("198.51.100.7", "192.0.2.25", 25)
        connection = connection or Connection()
        far.set_protocol(connection)
        self._reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(self._reader, loop=loop)
        near.set_protocol(protocol)
        self._near = near
        connection.connection_made(far)
        protocol.connection_made(near)
        self._task = loop.create_task(serve_smtp(context, connection, role=role))

    async def reply(self) -> str:
        """The next reply, its lines joined."""
        lines = []
        while True:
            line = (await self._reader.readline()).decode().rstrip("\r\n")
            lines.append(line)
            if line[3:4] != "-":
                return "\n".join(lines)

    async def say(self, line: str) -> str:
        """One command, and the reply to it."""
        self._near.write(f"{line}\r\n".encode())
        return await self.reply()

    async def begin(self) -> "Sender":
        """Greeting and EHLO."""
        await self.reply()
        await self.say("EHLO client.example")
        return self

    async def send(self, reverse_path: str, *recipients: str, message: bytes) -> list[str]:
        """A whole transaction, pipelined up to DATA; the replies to RCPT and to the message.

        What follows an address, parameters, is given behind a `>`: `ann@example.org> NOTIFY=NEVER`.
        """
        lines = [
            f"MAIL FROM:<{_closed(reverse_path)}",
            *(f"RCPT TO:<{_closed(to)}" for to in recipients),
            "DATA",
        ]
        self._near.write("".join(f"{line}\r\n" for line in lines).encode())
        replies = [await self.reply() for _ in lines][1:]
        if replies.pop().startswith("354"):
            self._near.write(message + b".\r\n")
            replies.append(await self.reply())
        return replies

    async def close(self) -> None:
        """QUIT."""
        await self.say("QUIT")
        self._near.close()
        await self._task


class Author(Sender):
    """A user's program at our submission port, in TLS as it were."""

    def __init__(self, context: ServerContext) -> None:
        super().__init__(context, SmtpRole.SUBMISSION, connection=_InTls())

    async def login(self, name: str = "ann@example.org") -> "Author":
        """Greeting, EHLO and AUTH."""
        await self.begin()
        secret = base64.b64encode(f"\0{name}\0{PASSWORD}".encode()).decode()
        assert (await self.say(f"AUTH PLAIN {secret}")).startswith("235")
        return self


class _InTls(Connection):
    @property
    def is_tls(self) -> bool:
        return True


def _closed(path: str) -> str:
    return path if ">" in path else f"{path}>"
