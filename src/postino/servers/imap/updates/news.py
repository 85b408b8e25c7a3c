"""Tell the client of changes while it is waited for: in IDLE, and between commands after NOTIFY.

RFC: 2177, 9051 §6.3.13 (IDLE), 5465 §3.1 (at any time).
Invariants: one piece of news at a time, and none once octets of the client's were taken; a hint that was lost
    is made good for after POLL_SECONDS.
Not here: what is news to a client that used NOTIFY (notifier.py).
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from postino.core.errors import AccessLost, NoSuchMailbox
from postino.imap.responses.status import NO_PERMISSION, UNAVAILABLE, untagged_status
from postino.net.connection import ConnectionLost, ServerClosing
from postino.store.changes import TooLongAgo

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession

POLL_SECONDS: Final = 30.0
"""The bus may lose a hint; then news comes this much later."""


async def tell_news(session: "ImapSession", *, may_expunge: bool = True) -> None:
    """Say what is new. Raises NoSuchMailbox, TooLongAgo."""
    if session.selected is not None:
        await session.selected.sync()
    if session.notifier is not None:
        await session.notifier.tell(may_expunge=may_expunge)
    elif session.selected is not None:
        await session.tell_news(may_expunge=may_expunge)


class News:
    """Tells the news in a task of its own, made when there is some: an idle session holds none."""

    __slots__ = ("_again", "_may_expunge", "_session", "_task")

    def __init__(self, session: "ImapSession", *, may_expunge: bool) -> None:
        self._session = session
        self._may_expunge = may_expunge
        self._task: asyncio.Task[None] | None = None
        self._again = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Have the selected mailbox, and what NOTIFY watches, ring while the body runs."""
        selected, notifier = self._session.selected, self._session.notifier
        if selected is not None:
            selected.on_news = self.ring
        if notifier is not None:
            notifier.on_news = self.ring
        try:
            yield
        finally:
            if selected is not None:
                selected.on_news = None
            if notifier is not None:
                notifier.on_news = None

    async def read(self, seconds: float) -> bytes:
        """As Connection.read(), while the news is told."""
        session = self._session
        now = asyncio.get_running_loop().time
        ends = now() + seconds
        is_watching = session.selected is not None or session.notifier is not None
        while True:
            left = max(0.0, ends - now())
            try:
                return await session.connection.read(min(POLL_SECONDS, left) if is_watching else left)
            except ServerClosing:
                raise
            except TimeoutError:
                if now() >= ends:
                    raise
                if session.selected is not None and not self._is_telling:
                    session.selected.rest()
                if session.notifier is not None:
                    session.notifier.doubt()
                self.ring()

    @property
    def _is_telling(self) -> bool:
        """Whether the view is in use right now."""
        return self._task is not None and not self._task.done()

    def ring(self) -> None:
        """There may be news. Called on the event loop; does not block."""
        if self._is_telling:
            self._again = True
            return
        self._task = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        session = self._session
        try:
            self._again = True
            while self._again:
                self._again = False
                # APPENDs are answered by a task of their own, which tells news too.
                await session.appending.settle()
                await tell_news(session, may_expunge=self._may_expunge)
                await session.flush()
        except AccessLost as error:
            session.say(untagged_status("BYE", str(error), NO_PERMISSION))
            await session.flush()
            session.connection.close()
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


async def read_with_news(session: "ImapSession", seconds: float) -> bytes:
    """As Connection.read(), for a client that wants its news between commands too."""
    notifier = session.notifier
    assert notifier is not None
    # §6.1.2: SELECTED-DELAYED keeps sequence numbers as they are until a command allows otherwise.
    news = News(session, may_expunge=not notifier.wanted.selected.delays_expunges)
    with news.heard():
        try:
            if notifier.has_news:
                news.ring()
            return await news.read(seconds)
        finally:
            await news.finished()
