"""IDLE: tell of changes as they happen, until the client says DONE.

RFC: 2177, 9051 §6.3.13, 5465 §4 (after NOTIFY).
Invariants: news is written only between the `+` and the tagged answer.
Not here: telling the news (news.py).
"""

import asyncio
from typing import TYPE_CHECKING

from postino.imap.commands import Idle
from postino.imap.responses.status import continuation
from postino.net.connection import ConnectionLost
from postino.servers.imap.completion import Completion, bad, ok
from postino.servers.imap.updates.news import News, tell_news

if TYPE_CHECKING:
    from postino.imap.framer import LineFrame
    from postino.servers.imap.session import ImapSession


async def run_idle(session: "ImapSession", command: Idle) -> Completion:
    """Wait for DONE."""
    await tell_news(session)
    session.say(continuation(b"Waiting for news; say DONE to end"))
    await session.flush()
    session.connection.rest()
    session.framer.expect_line()
    news = News(session, may_expunge=True)
    with news.heard():
        try:
            line = await _wait_for_line(session, news)
        finally:
            await news.finished()
    if line.octets.upper() != b"DONE":
        return bad("IDLE is ended by DONE alone on a line")
    return ok("No longer idle")


async def _wait_for_line(session: "ImapSession", news: News) -> "LineFrame":
    now = asyncio.get_running_loop().time
    ends = now() + session.limits.imap_idle_seconds
    while (frame := session.framer.next()) is None:
        data = await news.read(ends - now())
        if not data:
            raise ConnectionLost("the client closed the connection")
        session.framer.feed(data)
    return frame  # type: ignore[return-value]
