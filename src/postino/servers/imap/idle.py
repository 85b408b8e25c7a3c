"""IDLE: tell of changes as they happen, until the client says DONE.

RFC: 2177, 9051 §6.3.13.
Invariants: news is written only between the `+` and the tagged answer; one piece of news at a time.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from postino.core.errors import NoSuchMailbox
from postino.imap.commands import Idle
from postino.imap.responses.status import UNAVAILABLE, continuation, untagged_status
from postino.net.connection import ConnectionLost, ServerClosing
from postino.servers.imap.completion import Completion, bad, ok
from postino.store.changes import TooLongAgo

if TYPE_CHECKING:
    from postino.imap.framer import LineFrame
    from postino.servers.imap.session import ImapSession

POLL_SECONDS: Final = 30.0
"""The bus may lose a hint; then news comes this much later."""


async def run_idle(session: "ImapSession", command: Idle) -> Completion:
    """Wait for DONE."""
    await _tell_news(session)
    session.say(continuation(b"Waiting for news; say DONE to end"))
    await session.flush()
    session.framer.expect_line()
    news = _News(session)
    selected = session.selected
    if selected is not None:
        selected.on_news = news.ring
    try:
        line = await _wait_for_line(session, news)
    finally:
        if selected is not None:
            selected.on_news = None
        await news.finished()
    if line.octets.upper() != b"DONE":
        return bad("IDLE is ended by DONE alone on a line")
    return ok("No longer idle")


async def _wait_for_line(session: "ImapSession", news: "_News") -> "LineFrame":
    now = asyncio.get_running_loop().time
    ends = now() + session.limits.imap_idle_seconds
    while (frame := session.framer.next()) is None:
        left = max(0.0, ends - now())
        try:
            data = await session.connection.read(min(POLL_SECONDS, left) if session.selected else left)
        except ServerClosing:
            raise
        except TimeoutError:
            if now() >= ends:
                raise
            if session.selected is not None and not news.is_telling:
                session.selected.rest()
            news.ring()
            continue
        if not data:
            raise ConnectionLost("the client closed the connection")
        session.framer.feed(data)
    return frame  # type: ignore[return-value]


async def _tell_news(session: "ImapSession") -> None:
    if session.selected is not None:
        await session.selected.sync()
        session.say_news(may_expunge=True)


class _News:
    """Tells the news in a task of its own, made when there is some: an idle session holds none."""

    __slots__ = ("_again", "_session", "_task")

    def __init__(self, session: "ImapSession") -> None:
        self._session = session
        self._task: asyncio.Task[None] | None = None
        self._again = False

    @property
    def is_telling(self) -> bool:
        """Whether the view is in use right now."""
        return self._task is not None and not self._task.done()

    def ring(self) -> None:
        """There may be news. Called on the event loop; does not block."""
        if self.is_telling:
            self._again = True
            return
        self._task = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        session = self._session
        try:
            self._again = True
            while self._again:
                self._again = False
                await _tell_news(session)
                await session.flush()
        except NoSuchMailbox:
            session.say(untagged_status("BYE", "The selected mailbox was deleted by another session"))
            await session.flush()
            session.connection.close()
        except TooLongAgo as error:
            session.say(untagged_status("BYE", str(error), UNAVAILABLE))
            await session.flush()
            session.connection.close()
        except ConnectionLost:
            # The reader learns it too, and ends the session.
            pass
        except Exception:
            session.log.exception("session.fault")
            session.connection.abort()

    async def finished(self) -> None:
        """Wait until nothing is being told any more."""
        if self._task is not None:
            await self._task
