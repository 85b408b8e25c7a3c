"""SEARCH, SORT and THREAD in one large mailbox that nothing else touches, cold and warm.

Cold is the first time after the delivery; warm is the median of the rounds after it. Searches in bodies
wait until Postino's index, which is made behind the delivery, is complete.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from bench.drivers.imap import Imap
from bench.drivers.wire import DriverError
from bench.peers.postino import PostinoServer
from bench.peers.server import HOST, PASSWORD, SEARCHER, Server
from bench.suites.suite import Run, Scale, Step

_SEARCHES: Final = {
    "imap.search.flags": b"UID SEARCH UNSEEN SINCE 10-Mar-2025 NOT DELETED LARGER 10000",
    "imap.search.from": b'UID SEARCH FROM "striol"',
    "imap.search.subject": b'UID SEARCH SUBJECT "borven"',
    "imap.search.body": b'UID SEARCH BODY "unfindable"',
    "imap.search.body.rare": b'UID SEARCH BODY "striol"',
    "imap.search.text": b'UID SEARCH TEXT "borven"',
}
_SORTS: Final = {
    "imap.sort.date": b"UID SORT (REVERSE DATE) UTF-8 ALL",
    "imap.sort.subject": b"UID SORT (SUBJECT) UTF-8 ALL",
    "imap.sort.from": b"UID SORT (FROM) UTF-8 ALL",
    "imap.thread.references": b"UID THREAD REFERENCES UTF-8 ALL",
    "imap.thread.subject": b"UID THREAD ORDEREDSUBJECT UTF-8 ALL",
}


def settle(server: Server, session: Imap, login: str) -> None:
    """Have both servers as ready as they become: Postino's index complete, the peer's caches warm."""
    if isinstance(server, PostinoServer):
        server.wait_for_index(login)
    for _ in range(2):
        session.command(_SEARCHES["imap.search.body"])


class SearchSuite:
    """Its own account, so that no other suite has warmed anything."""

    name = "search"

    def __init__(self, scale: Scale, messages: list[bytes]) -> None:
        self._scale = scale
        self._messages = messages
        self._sessions: dict[str, Imap] = {}

    def prepare(self, server: Server) -> None:
        """The corpus into INBOX."""
        session = Imap.logged_in(HOST, server.ports.imap, SEARCHER, PASSWORD)
        session.append_pipelined(b"INBOX", self._messages)
        found = session.select()
        if found != len(self._messages):
            raise DriverError(f"INBOX holds {found} messages, {len(self._messages)} were appended")
        self._sessions[server.name] = session

    def steps(self) -> Sequence[Step]:
        """The cold ones first; each sort of another key is cold once."""
        scale = self._scale
        return [
            *(Step(f"{key}.cold", 1, self._timed(f"{key}.cold", command)) for key, command in _SORTS.items()),
            *(Step(key, scale.rounds, self._timed(key, command)) for key, command in _SORTS.items()),
            Step(
                "imap.search.body.cold", 1, self._timed("imap.search.body.cold", b'UID SEARCH BODY "nowhere"')
            ),
            Step("settling", 1, self._settle),
            *(Step(key, scale.long_rounds, self._timed(key, command)) for key, command in _SEARCHES.items()),
        ]

    def close(self) -> None:
        """Hang up."""
        for session in self._sessions.values():
            session.wire.close()

    def _timed(self, key: str, command: bytes) -> Run:
        def run(server: Server, _: int) -> Mapping[str, float]:
            return {key: self._sessions[server.name].timed(command) * 1e3}

        return run

    def _settle(self, server: Server, _: int) -> Mapping[str, float]:
        settle(server, self._sessions[server.name], SEARCHER)
        return {}
