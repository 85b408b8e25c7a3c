"""POP3 on a maildrop of a few thousand messages of the corpus."""

import time
from collections.abc import Callable, Mapping, Sequence

from bench.drivers.imap import Imap
from bench.drivers.pop3 import Pop3
from bench.drivers.wire import DriverError
from bench.peers.server import HOST, PASSWORD, POPPER, Server
from bench.suites.suite import Scale, Step

_STATS = 300
_LISTINGS = 10
_SESSIONS = 20


class Pop3Suite:
    """STAT, UIDL, LIST, RETR and TOP, each in a session of its own making."""

    name = "pop3"

    def __init__(self, scale: Scale, messages: list[bytes]) -> None:
        self._scale = scale
        self._messages = messages[: scale.maildrop]
        self._count = len(self._messages)

    def prepare(self, server: Server) -> None:
        """Fill the maildrop by IMAP, then look at it once, so that both have their caches."""
        with Imap.logged_in(HOST, server.ports.imap, POPPER, PASSWORD) as session:
            session.append_pipelined(b"INBOX", self._messages)
        with self._session(server) as pop:
            stat = pop.command(b"STAT")
            if int(stat.split()[1]) != self._count:
                raise DriverError(f"the maildrop should hold {self._count} messages, but: {stat!r}")
            kept: list[bytes] = []
            for command in (b"LIST", b"UIDL"):
                kept.clear()
                pop.listing(command, kept)
                if b"".join(kept).count(b"\r\n") < self._count:
                    raise DriverError(f"{command.decode()} lists less than {self._count} messages")
            octets = pop.pipelined([b"RETR %d" % number for number in range(1, self._count + 1)])
            if octets < sum(map(len, self._messages)):
                raise DriverError("RETR gave fewer octets than were stored")
            pop.quit()

    def steps(self) -> Sequence[Step]:
        """All five in one session a round; and whole sessions."""
        return [
            Step("pop3.commands", self._scale.rounds, self._commands),
            Step("pop3.session", self._scale.rounds, self._sessions),
        ]

    def close(self) -> None:
        """Nothing stays open."""

    def _session(self, server: Server) -> Pop3:
        return Pop3(HOST, server.ports.pop3, POPPER, PASSWORD)

    def _commands(self, server: Server, _: int) -> Mapping[str, float]:
        count, numbers = self._count, range(1, self._count + 1)
        with self._session(server) as pop:
            samples = {
                "pop3.stat": _STATS / _seconds(lambda: [pop.command(b"STAT") for _ in range(_STATS)]),
                "pop3.uidl": count
                * _LISTINGS
                / _seconds(lambda: [pop.listing(b"UIDL") for _ in range(_LISTINGS)]),
                "pop3.list": count
                * _LISTINGS
                / _seconds(lambda: [pop.listing(b"LIST") for _ in range(_LISTINGS)]),
                "pop3.retr": count
                / _seconds(lambda: [pop.listing(b"RETR %d" % number) for number in numbers]),
                "pop3.retr.pipelined": count
                / _seconds(lambda: pop.pipelined([b"RETR %d" % number for number in numbers])),
                "pop3.top": count
                / _seconds(lambda: [pop.listing(b"TOP %d 0" % number) for number in numbers]),
            }
            pop.quit()
        return samples

    def _sessions(self, server: Server, _: int) -> Mapping[str, float]:
        def all_of_them() -> None:
            for _ in range(_SESSIONS):
                with self._session(server) as pop:
                    pop.command(b"STAT")
                    pop.quit()

        return {"pop3.session": _seconds(all_of_them) * 1e3 / _SESSIONS}


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
