"""One mailbox that grows from ten thousand messages to two hundred thousand: does the time grow with it?

Only Postino is asked: the promise is about its own curve. Figures are milliseconds a command, the best
of a few; `factor` is how much dearer a message has become from the smallest to the largest mailbox
(or, for what should be flat, the command itself).
"""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from bench.corpus import sized_message
from bench.drivers.imap import Imap
from bench.drivers.wire import DriverError
from bench.peers.postino import PostinoServer
from bench.peers.server import GROWER, HOST, PASSWORD, Server
from bench.suites.imap import MAIL_PROGRAMS
from bench.suites.search import settle
from bench.suites.suite import Scale, Step

LINEAR: Final[dict[str, bytes]] = {
    "fetch.flags": b"FETCH 1:* (FLAGS)",
    "fetch.list": b"FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)",
    "fetch.envelope": b"FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)",
    "fetch.structure": b"FETCH 1:* (UID BODYSTRUCTURE)",
    "fetch.headers": b"FETCH 1:* (UID RFC822.SIZE FLAGS " + MAIL_PROGRAMS["thunderbird"] + b")",
    "fetch.full": b"FETCH 1:* (UID BODY.PEEK[])",
    "search.flags": b"UID SEARCH UNSEEN SINCE 10-Mar-2025 NOT DELETED LARGER 10000",
    "search.from": b'UID SEARCH FROM "striol"',
    "search.subject": b'UID SEARCH SUBJECT "borven"',
    "search.body": b'UID SEARCH BODY "unfindable"',
    "search.body.rare": b'UID SEARCH BODY "zyzzyva"',
    "sort.subject": b"UID SORT (SUBJECT) UTF-8 ALL",
    "thread.references": b"UID THREAD REFERENCES UTF-8 ALL",
    "store.silent": b"STORE 1:* +FLAGS.SILENT (\\Flagged)",
    "store.loud": b"STORE 1:* -FLAGS (\\Flagged)",
    "copy": b"COPY 1:* copied",
    "move": b"MOVE 1:* moved",
    "expunge": b"EXPUNGE",
}
FLAT: Final[dict[str, bytes]] = {
    "select": b"SELECT INBOX",
    "status": b"STATUS INBOX (MESSAGES UIDNEXT UNSEEN HIGHESTMODSEQ)",
    "store.single": b"STORE 500 +FLAGS (\\Answered)",
    "fetch.single": b"FETCH 700 (UID BODY.PEEK[])",
}
_TRANSFERS: Final = ("copy", "move", "expunge")
_OCTETS: Final = 2048
_WINDOW: Final = 2_000
_REPEATS: Final = 3
_FLAT_REPEATS: Final = 50


class GrowthSuite:
    """Fills the mailbox up to each size and measures there."""

    name = "growth"

    def __init__(self, scale: Scale) -> None:
        self._sizes = scale.growth
        self._session: Imap | None = None
        self._filled = 0
        self._first: dict[str, float] = {}

    def prepare(self, server: Server) -> None:
        """One session."""
        if isinstance(server, PostinoServer):
            self._session = Imap.logged_in(HOST, server.ports.imap, GROWER, PASSWORD)

    def steps(self) -> Sequence[Step]:
        """Upwards."""
        return [Step("growth", len(self._sizes), self._measure)]

    def close(self) -> None:
        """Hang up."""
        if self._session is not None:
            self._session.wire.close()

    def _measure(self, server: Server, round_number: int) -> Mapping[str, float]:
        session = self._session
        if session is None or not isinstance(server, PostinoServer):
            return {}
        size = self._sizes[round_number]
        while self._filled < size:
            count = min(_WINDOW, size - self._filled)
            batch = [sized_message(number, _OCTETS) for number in range(self._filled, self._filled + count)]
            session.append_pipelined(b"INBOX", batch)
            self._filled += count
        if session.select() != size:
            raise DriverError(f"INBOX does not hold the {size} messages that were appended")
        settle(server, session, GROWER)
        times = {
            case: self._best(session, command) for case, command in LINEAR.items() if case not in _TRANSFERS
        }
        times |= self._transfers(session)
        times |= {case: self._mean(session, command) for case, command in FLAT.items()}
        samples = {f"growth.{case}.{size}": seconds * 1e3 for case, seconds in times.items()}
        if not self._first:
            self._first = times
        elif size == self._sizes[-1]:
            larger = size / self._sizes[0]
            for case, seconds in times.items():
                factor = seconds / max(self._first[case], 1e-6)
                samples[f"growth.{case}.factor"] = factor / larger if case in LINEAR else factor
        return samples

    @staticmethod
    def _best(session: Imap, command: bytes) -> float:
        return min(session.timed(command) for _ in range(_REPEATS))

    @staticmethod
    def _mean(session: Imap, command: bytes) -> float:
        started = time.perf_counter()
        for _ in range(_FLAT_REPEATS):
            session.command(command)
        return (time.perf_counter() - started) / _FLAT_REPEATS

    @staticmethod
    def _transfers(session: Imap) -> dict[str, float]:
        for name in (b"copied", b"moved"):
            session.command(b"CREATE " + name)
        times = {"copy": session.timed(LINEAR["copy"])}
        session.select(b"copied")
        times["move"] = session.timed(LINEAR["move"])
        session.select(b"moved")
        session.command(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
        times["expunge"] = session.timed(LINEAR["expunge"])
        session.select()
        for name in (b"copied", b"moved"):
            session.command(b"DELETE " + name)
        return times
