"""The two directions of a session: lines and message pieces in, replies out.

RFC: 2920 §3.2 (replies of pipelined commands travel together), 5321 §4.5.3.2.7 (time-outs).
Invariants: everything owed to the client is sent before the session waits for it; replies leave
    in the order they were given.
Not here: cutting (smtp/framer.py), sockets (net/connection.py), what is said (session.py).
"""

import asyncio

from postino.core.limits import Limits
from postino.net.connection import Connection, ConnectionLost
from postino.smtp.framer import Framer
from postino.smtp.reply import Reply


class Wire:
    """A connection seen as SMTP lines."""

    def __init__(self, connection: Connection, limits: Limits, *, login_seconds: float | None) -> None:
        self.connection = connection
        self.framer = Framer(limits.smtp_line_octets)
        self._limits = limits
        self._unsent: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._login_deadline = None if login_seconds is None else self._loop.time() + login_seconds

    async def read_line(self) -> bytes:
        """The next line. Raises BadCommand, TimeoutError (ServerClosing too) and ConnectionLost."""
        while (line := self.framer.next_line()) is None:
            await self.receive()
        return line

    async def receive(self) -> None:
        """Feed the framer with what comes next, sending first what is owed."""
        connection = self.connection
        data = connection.read_nowait()
        if not data:
            self.flush()
            if connection.must_drain:
                await connection.drain(self._limits.write_seconds)
            data = await connection.read(self._patience_seconds())
            if not data:
                raise ConnectionLost("the client has closed")
        self.framer.feed(data)

    async def give_way(self) -> None:
        """Send what is owed, wait for a client that does not read, and let other sessions run."""
        self.flush()
        if self.connection.must_drain:
            await self.connection.drain(self._limits.write_seconds)
        await asyncio.sleep(0)

    def reply(self, reply: Reply) -> None:
        """Answer, in order, together with what else there is to say."""
        self._unsent.append(reply.wire)

    def send(self, octets: bytes) -> None:
        """As reply(), for a line that is not a Reply (an AUTH challenge)."""
        self._unsent.append(octets)

    def flush(self) -> None:
        """Send what is owed."""
        if self._unsent:
            self.connection.write(b"".join(self._unsent))
            self._unsent.clear()

    def restart(self) -> None:
        """Forget octets received and not yet looked at."""
        self.framer = Framer(self._limits.smtp_line_octets)

    def logged_in(self) -> None:
        """The time to log in no longer runs."""
        self._login_deadline = None

    @property
    def login_is_late(self) -> bool:
        """Whether the client has not logged in in time."""
        return self._login_deadline is not None and self._loop.time() >= self._login_deadline

    def _patience_seconds(self) -> float:
        idle = self._limits.smtp_idle_seconds
        if self._login_deadline is None:
            return idle
        left = self._login_deadline - self._loop.time()
        if left <= 0:
            raise TimeoutError
        return min(idle, left)
