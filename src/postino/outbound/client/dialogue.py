"""Say commands to a far server and read its replies, each within its time.

RFC: 5321 §4.5.3.2 (time-outs), §4.2.
Exposure: reads what any server sends, bounded by the reply parser; a reply's time is for all of it, so that a
    server cannot hold us by an octet a minute.
Invariants: replies come out in the order they came in; after begin_again() nothing said before counts.
Not here: which command comes when (session.py).
"""

import asyncio

from postino.net.connection import Connection, ConnectionLost
from postino.smtp.client.replies import BadReply, FarReply, ReplyParser


class Dialogue:
    """A connection with the parser of what comes over it."""

    __slots__ = ("_loop", "_parser", "connection")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._parser = ReplyParser()
        self._loop = asyncio.get_running_loop()

    @property
    def is_silent(self) -> bool:
        """Whether the server has said nothing that we have not taken, and has not hung up."""
        if not self._parser.is_empty:
            return False
        data = self.connection.read_nowait()
        if data:
            self._parser.feed(data)
            return False
        return not self.connection.at_end and not self.connection.is_closed

    async def ask(self, command: bytes, seconds: float) -> FarReply:
        """Say one command and give the reply; raises as reply()."""
        self.connection.write(command)
        return await self.reply(seconds)

    async def reply(self, seconds: float) -> FarReply:
        """The next reply. Raises TimeoutError, ConnectionLost or BadReply."""
        found = self._parser.next_reply()
        if found is not None:
            return found
        data = self.connection.read_nowait()
        deadline = 0.0
        while True:
            if not data:
                now = self._loop.time()
                deadline = deadline or now + seconds
                if now >= deadline:
                    raise TimeoutError
                data = await self.connection.read(deadline - now)
                if not data:
                    raise ConnectionLost("the server closed the connection")
            self._parser.feed(data)
            found = self._parser.next_reply()
            if found is not None:
                return found
            data = b""

    def reply_nowait(self) -> FarReply | None:
        """The next reply, if it is at hand. Raises BadReply."""
        data = self.connection.read_nowait()
        if data:
            self._parser.feed(data)
        return self._parser.next_reply()

    def begin_again(self) -> None:
        """Forget everything said so far; for TLS, before the handshake.

        SECURITY: a server, or somebody in between, that has said more than the reply to STARTTLS wants it to
        count as said inside TLS (RFC 3207 §4.2). Raises BadReply then.
        """
        if not self.is_silent:
            raise BadReply("it went on talking in the clear after it had agreed to TLS")
        self._parser = ReplyParser()
