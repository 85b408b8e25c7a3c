"""What the bench measures and what the project promises for it: one line a figure.

A ratio is Postino's figure over the peers' (for times: the peers' over Postino's), so more than 1
means Postino is faster. A limit is a promise about Postino alone.
"""

from dataclasses import dataclass
from enum import Enum
from statistics import median
from typing import Final


class Better(Enum):
    """Which way a figure is good."""

    MORE = "more"
    LESS = "less"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the report."""

    key: str
    group: str
    title: str
    unit: str
    better: Better = Better.MORE
    ratio: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A figure with what was measured; None where a server was not measured or failed."""

    figure: Figure
    postino: float | None
    peers: float | None
    runs: int

    @property
    def ratio(self) -> float | None:
        """Postino against the peers, more than 1 when Postino is faster."""
        if not self.postino or not self.peers or not self.figure.unit:
            return None
        return self.postino / self.peers if self.figure.better is Better.MORE else self.peers / self.postino

    @property
    def verdict(self) -> str:
        """ "ok" or "short" where something is promised, empty where not, "missing" when not measured."""
        figure = self.figure
        if figure.limit is not None:
            if self.postino is None:
                return "missing"
            return "ok" if self.postino <= figure.limit else "short"
        if figure.ratio is None:
            return ""
        if self.ratio is None:
            return "missing"
        return "ok" if self.ratio >= figure.ratio else "short"


SENDING: Final = "Sending, 4 KB, signed"


def _smtp() -> list[Figure]:
    figures = []
    for connections in (1, 10, 50):
        for accounts in ("one", "hundred"):
            where = f"{connections} connection{'s' * (connections > 1)} to {accounts} account" + "s" * (
                accounts == "hundred"
            )
            key = f"smtp.4k.c{connections}.{accounts}"
            figures.append(Figure(f"{key}.stored", "SMTP, 4 KB", f"in the mailbox, {where}", "/s", ratio=10))
            figures.append(Figure(f"{key}.accepted", "SMTP, 4 KB", f"accepted, {where}", "/s", ratio=3))
    figures.append(
        Figure("smtp.fanout.stored", "SMTP, 4 KB", "copies in mailboxes, one message to 50 accounts", "/s")
    )
    for accounts in ("one", "hundred"):
        where = "10 connections to one account" if accounts == "one" else "10 connections to hundred accounts"
        key = f"smtp.60k.c10.{accounts}"
        figures.append(Figure(f"{key}.stored", "SMTP, 60 KB", f"in the mailbox, {where}", "/s", ratio=5))
        figures.append(Figure(f"{key}.accepted", "SMTP, 60 KB", f"accepted, {where}", "/s"))
    return figures


def _sending() -> list[Figure]:
    figures = []
    for connections in (1, 10, 50):
        where = f"{connections} connection{'s' * (connections > 1)}"
        key = f"sending.4k.c{connections}"
        figures.append(Figure(f"{key}.sent", SENDING, f"at the far server, {where}", "/s", ratio=2))
        figures.append(Figure(f"{key}.accepted", SENDING, f"accepted, {where}", "/s", ratio=3))
    return [
        *figures,
        Figure(
            "sending.fanout",
            SENDING,
            "one message to 1,000 recipients of a domain",
            "ms",
            Better.LESS,
            ratio=1,
        ),
        Figure("sending.sign", SENDING, "signing 16 KB, RSA-2048", "ms", Better.LESS, limit=0.7),
        Figure("sending.sign.both", SENDING, "signing 16 KB, RSA-2048 and Ed25519", "ms", Better.LESS),
        Figure(
            "sending.waiting.start", SENDING, "start with 100,000 messages waiting", "s", Better.LESS, limit=2
        ),
        Figure(
            "sending.waiting.processor",
            SENDING,
            "processor while they wait, of one",
            "%",
            Better.LESS,
            limit=1,
        ),
        Figure(
            "sending.waiting.factor",
            SENDING,
            "time a new message takes past them, factor",
            "x",
            Better.LESS,
            limit=1.1,
        ),
    ]


FILTERS: Final = "Sieve, a hundred rules"


def _filters() -> list[Figure]:
    figures = []
    for connections in (1, 10, 50):
        where = f"{connections} connection{'s' * (connections > 1)}"
        title = f"LMTP to the mailbox, {where} to hundred accounts"
        figures.append(Figure(f"sieve.lmtp.c{connections}", FILTERS, title, "/s", ratio=5))
    less = Better.LESS
    return [
        *figures,
        Figure("sieve.run", FILTERS, "running it on 16 KB", "ms", less, limit=0.3),
        Figure("sieve.compile", FILTERS, "compiling it, at upload", "ms", less),
        Figure("sieve.load", FILTERS, "loading it as it is stored", "ms", less),
        Figure("sieve.memory", FILTERS, "memory it takes in a worker", "KB", less),
        Figure("sieve.cache.memory", FILTERS, "memory for 10,000 accounts' scripts, bounded", "KB", less),
        Figure("sieve.cache.hits", FILTERS, "found in the cache, of the messages to them", "%"),
    ]


_MS: Final = "ms"
_LESS: Final = Better.LESS
_SEARCHING: Final = "IMAP, searching and sorting"


def _sorting() -> list[Figure]:
    commands = {
        "imap.sort.date": "SORT (REVERSE DATE)",
        "imap.sort.subject": "SORT (SUBJECT)",
        "imap.sort.from": "SORT (FROM)",
        "imap.thread.references": "THREAD REFERENCES",
        "imap.thread.subject": "THREAD ORDEREDSUBJECT",
    }
    figures = []
    for key, title in commands.items():
        figures.append(Figure(f"{key}.cold", _SEARCHING, f"{title}, the first time", _MS, _LESS, ratio=1))
        figures.append(Figure(key, _SEARCHING, title, _MS, _LESS, ratio=1))
    return figures


GROWTH: Final = "Growth of one mailbox"
GROWTH_SIZES: Final = (2_000, 10_000, 50_000, 200_000)
# Measured again with a mailbox just as large, these differ by as much.
_LINEAR_LIMIT: Final = 1.25
_FLAT_LIMIT: Final = 1.5
_LINEAR: Final = (
    *("fetch.flags", "fetch.list", "fetch.envelope", "fetch.structure", "fetch.headers", "fetch.full"),
    *("search.flags", "search.from", "search.subject", "search.body", "search.body.rare"),
    *("sort.subject", "thread.references", "store.silent", "store.loud", "copy", "move", "expunge"),
)
_FLAT: Final = ("select", "status", "store.single", "fetch.single")


def _growth() -> list[Figure]:
    figures = []
    for case in (*_LINEAR, *_FLAT):
        figures += [
            Figure(f"growth.{case}.{size}", GROWTH, f"{case}, {size:,} messages", _MS, _LESS)
            for size in GROWTH_SIZES
        ]
        limit = _LINEAR_LIMIT if case in _LINEAR else _FLAT_LIMIT
        figures.append(Figure(f"growth.{case}.factor", GROWTH, f"{case}, factor", "x", _LESS, limit=limit))
    return figures


FIGURES: Final[tuple[Figure, ...]] = (
    *_smtp(),
    *_sending(),
    *_filters(),
    Figure("imap.append.serial", "IMAP, writing", "APPEND one after the other", "/s", ratio=1),
    Figure("imap.append.pipelined", "IMAP, writing", "APPEND pipelined", "/s", ratio=5),
    Figure("imap.copy", "IMAP, writing", "COPY half of the mailbox", "/s", ratio=10),
    Figure("imap.move", "IMAP, writing", "MOVE as many", "/s", ratio=10),
    Figure("imap.expunge", "IMAP, writing", "EXPUNGE as many", "/s", ratio=10),
    Figure("imap.store.silent", "IMAP, writing", "STORE 1:* +FLAGS.SILENT", "/s", ratio=0.5),
    Figure("imap.store.loud", "IMAP, writing", "STORE 1:* -FLAGS", "/s", ratio=0.5),
    Figure("imap.store.single", "IMAP, writing", "STORE of one message", _MS, _LESS, ratio=1),
    Figure("imap.fetch.flags", "IMAP, reading", "FETCH 1:* (FLAGS)", "/s", ratio=2),
    Figure(
        "imap.fetch.list", "IMAP, reading", "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)", "/s", ratio=2
    ),
    Figure("imap.fetch.envelope", "IMAP, reading", "FETCH 1:* (... ENVELOPE)", "/s", ratio=4),
    Figure("imap.fetch.structure", "IMAP, reading", "FETCH 1:* (UID BODYSTRUCTURE)", "/s", ratio=3),
    Figure(
        "imap.fetch.headers", "IMAP, reading", "FETCH 1:* header fields as Thunderbird asks", "/s", ratio=2
    ),
    Figure("imap.fetch.headers.mutt", "IMAP, reading", "... as mutt asks", "/s", ratio=2),
    Figure("imap.fetch.headers.apple", "IMAP, reading", "... as Apple Mail asks", "/s", ratio=2),
    Figure("imap.fetch.headers.mbsync", "IMAP, reading", "... as mbsync asks", "/s", ratio=2),
    Figure("imap.fetch.full", "IMAP, reading", "FETCH 1:* (UID BODY.PEEK[])", "/s", ratio=3),
    Figure("imap.fetch.envelope.first", "IMAP, reading", "ENVELOPE, the first time", "/s"),
    Figure("imap.fetch.structure.first", "IMAP, reading", "BODYSTRUCTURE, the first time", "/s"),
    Figure("imap.fetch.headers.first", "IMAP, reading", "header fields, the first time", "/s"),
    Figure("imap.fetch.full.first", "IMAP, reading", "BODY.PEEK[], the first time", "/s"),
    Figure("imap.fetch.single", "IMAP, reading", "one whole message", _MS, _LESS),
    Figure("imap.select", "IMAP, single commands", "SELECT", _MS, _LESS, ratio=1),
    Figure("imap.noop", "IMAP, single commands", "NOOP", _MS, _LESS),
    Figure("imap.status", "IMAP, single commands", "STATUS of 100 mailboxes", _MS, _LESS, ratio=1),
    Figure("imap.list", "IMAP, single commands", "LIST of 100 mailboxes", _MS, _LESS),
    Figure("imap.list.status", "IMAP, single commands", "LIST-STATUS of 100 mailboxes", _MS, _LESS, ratio=1),
    Figure("imap.login", "IMAP, single commands", "connect, LOGIN, SELECT, LOGOUT", _MS, _LESS, ratio=1),
    Figure("imap.search.flags", _SEARCHING, "UNSEEN SINCE ... LARGER ...", _MS, _LESS, ratio=1),
    Figure("imap.search.from", _SEARCHING, "FROM", _MS, _LESS, ratio=2),
    Figure("imap.search.subject", _SEARCHING, "SUBJECT", _MS, _LESS, ratio=2),
    Figure("imap.search.body", _SEARCHING, "BODY, a word that is nowhere", _MS, _LESS, ratio=10),
    Figure("imap.search.body.rare", _SEARCHING, "BODY, a word that is somewhere", _MS, _LESS, ratio=10),
    Figure("imap.search.text", _SEARCHING, "TEXT", _MS, _LESS, ratio=10),
    Figure("imap.search.body.cold", _SEARCHING, "BODY right after the delivery", _MS, _LESS),
    *_sorting(),
    Figure("mixed.rate", "IMAP, 50 clients at once", "commands of all of them", "/s", ratio=1.5),
    Figure("mixed.median", "IMAP, 50 clients at once", "latency, median", _MS, _LESS),
    Figure("mixed.p99", "IMAP, 50 clients at once", "latency, 99th percentile", _MS, _LESS, ratio=1),
    *_growth(),
    Figure("pop3.stat", "POP3", "STAT", "/s", ratio=1),
    Figure("pop3.uidl", "POP3", "UIDL, entries", "/s", ratio=1),
    Figure("pop3.list", "POP3", "LIST, entries", "/s", ratio=1),
    Figure("pop3.retr", "POP3", "RETR one after the other", "/s", ratio=1),
    Figure("pop3.retr.pipelined", "POP3", "RETR pipelined", "/s"),
    Figure("pop3.top", "POP3", "TOP n 0", "/s", ratio=1),
    Figure("pop3.session", "POP3", "connect, login, STAT, QUIT", _MS, _LESS),
    Figure("idle.memory", "Idle sessions", "memory of one idle IMAP session (Pss)", "KB", _LESS, limit=40),
    Figure("idle.sessions", "Idle sessions", "sessions held while measuring that", ""),
    Figure(
        "idle.delivery",
        "Idle sessions",
        "from SMTP until IDLE tells, with all of them held",
        _MS,
        _LESS,
        limit=20,
    ),
    Figure(
        "idle.notify", "Idle sessions", "from sending APPEND until IDLE tells another session", _MS, _LESS
    ),
    Figure("start.seconds", "Start", "from the command to the first IMAP greeting", "s", _LESS, limit=1),
)


class Samples:
    """All samples taken, by server and figure."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], list[float]] = {}
        self.failures: list[str] = []

    def add(self, server: str, key: str, value: float) -> None:
        """Remember one sample."""
        self._values.setdefault((server, key), []).append(value)

    def rows(self, postino: str, peers: str) -> list[Row]:
        """The figures of which at least one sample exists, as medians, in the order of FIGURES."""
        rows = []
        for figure in FIGURES:
            ours = self._values.get((postino, figure.key), [])
            theirs = self._values.get((peers, figure.key), [])
            if ours or theirs:
                rows.append(
                    Row(
                        figure,
                        median(ours) if ours else None,
                        median(theirs) if theirs else None,
                        max(len(ours), len(theirs)),
                    )
                )
        return rows
