"""Fifty clients at once, each a closed loop of what mail programs do, on ten accounts.

Each client sends a command, reads to its tagged answer, and sends the next at once. A latency is the
time from sending to the tagged answer (for IDLE: to the continuation, and from DONE to the answer).
"""

import random
import selectors
import time
from collections.abc import Mapping, Sequence
from typing import Final

from bench.corpus import sized_message
from bench.drivers.imap import Imap
from bench.drivers.wire import DriverError
from bench.peers.server import HOST, HUNDRED, PASSWORD, Server
from bench.suites.suite import Scale, Step

_ACCOUNTS: Final = HUNDRED[50:60]
_CLIENTS: Final = 50
_MESSAGES: Final = 1_000
_WARM_SECONDS: Final = 0.7
_WEIGHTS: Final = {
    "list": 30,
    "whole": 20,
    "store": 15,
    "append": 5,
    "search": 12,
    "noop": 8,
    "idle": 10,
}


class _Client:
    """One connection and what it does next."""

    def __init__(self, server: Server, number: int) -> None:
        self._random = random.Random(number)
        login = _ACCOUNTS[number % len(_ACCOUNTS)]
        self.imap = Imap.logged_in(HOST, server.ports.imap, login, PASSWORD)
        self.imap.select()
        self._message = sized_message(number, 4096)
        self._number = 0
        self._tail = b""
        self._ends: tuple[bytes, ...] = ()
        self._is_idle = False
        self.sent = 0.0

    def start(self) -> None:
        """Send the next command."""
        self._number += 1
        tag = b"m%d " % self._number
        kind = self._random.choices(tuple(_WEIGHTS), tuple(_WEIGHTS.values()))[0]
        self._ends = (b"+",) if kind == "idle" else (tag,)
        self._is_idle = kind == "idle"
        self._send(tag + self._command(kind))

    def _send(self, octets: bytes) -> None:
        self._tail = b""
        self.sent = time.perf_counter()
        self.imap.wire.send(octets)

    def _command(self, kind: str) -> bytes:
        at = self._random.randrange(1, _MESSAGES - 50)
        match kind:
            case "list":
                return b"FETCH %d:%d (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)\r\n" % (at, at + 49)
            case "whole":
                return b"FETCH %d (UID BODY.PEEK[])\r\n" % at
            case "store":
                return b"STORE %d %sFLAGS (\\Seen)\r\n" % (at, self._random.choice((b"+", b"-")))
            case "append":
                return b"APPEND INBOX {%d+}\r\n%b\r\n" % (len(self._message), self._message)
            case "search":
                return self._random.choice((b"UID SEARCH UNSEEN\r\n", b'UID SEARCH FROM "striol"\r\n'))
            case "idle":
                return b"IDLE\r\n"
            case _:
                return b"NOOP\r\n"

    def read(self) -> bool:
        """Take what came; True when that was the end of the command."""
        self._tail = (self._tail + self.imap.wire.read())[-4096:]
        if not self._tail.endswith(b"\r\n"):
            return False
        last = self._tail[self._tail.rfind(b"\n", 0, -2) + 1 :]
        if self._is_idle:
            # News may follow the continuation in the same octets.
            if b"+ " not in self._tail:
                return False
            self._is_idle = False
            self._ends = (b"m%d " % self._number,)
            self.imap.wire.send(b"DONE\r\n")
            self._tail = b""
            return False
        if not last.startswith(self._ends):
            return False
        if b" OK" not in last[:16]:
            raise DriverError(f"the mixed load was answered {last[:200]!r}")
        return True


class MixedSuite:
    """Commands a second of all clients together, and the latency 99 of 100 commands keep below."""

    name = "mixed"

    def __init__(self, scale: Scale) -> None:
        self._scale = scale

    def prepare(self, server: Server) -> None:
        """A thousand messages in each of ten INBOXes."""
        messages = [sized_message(number, 4096) for number in range(_MESSAGES)]
        for login in _ACCOUNTS:
            with Imap.logged_in(HOST, server.ports.imap, login, PASSWORD) as session:
                session.append_pipelined(b"INBOX", messages)

    def steps(self) -> Sequence[Step]:
        """One load, repeated."""
        return [Step("mixed", self._scale.smtp_rounds, self._load)]

    def close(self) -> None:
        """Nothing stays open."""

    def _load(self, server: Server, _: int) -> Mapping[str, float]:
        clients = [_Client(server, number) for number in range(_CLIENTS)]
        latencies: list[float] = []
        with selectors.DefaultSelector() as selector:
            for client in clients:
                selector.register(client.imap.wire, selectors.EVENT_READ, client)
                client.start()
            began = time.perf_counter() + _WARM_SECONDS
            ends = began + self._scale.smtp_seconds * 1.5
            while (now := time.perf_counter()) < ends:
                for key, _events in selector.select(1.0):
                    client = key.data
                    if client.read():
                        done = time.perf_counter()
                        if now > began:
                            latencies.append(done - client.sent)
                        client.start()
        seconds = time.perf_counter() - began
        for client in clients:
            client.imap.wire.close()
        latencies.sort()
        return {
            "mixed.rate": len(latencies) / seconds,
            "mixed.median": latencies[len(latencies) // 2] * 1e3,
            "mixed.p99": latencies[len(latencies) * 99 // 100] * 1e3,
        }
