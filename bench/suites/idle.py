"""Thousands of idle IMAP sessions: their memory, how fast IDLE speaks, and the time to start.

Memory is Pss (a share of shared pages) over all processes of the server, with the sessions minus
without. Postino holds them in one worker; of Dovecot, with a process a session, fewer are asked.
"""

import smtplib
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.drivers.imap import Imap
from bench.drivers.wire import SILENCE_SECONDS, DriverError
from bench.peers.debian import DebianPair
from bench.peers.postino import PostinoServer
from bench.peers.server import HOST, HUNDRED, IDLER, PASSWORD, Server
from bench.suites.suite import Scale, Step

_MESSAGES_EACH = 20
_NOTIFICATIONS = 15
_WARM_SESSIONS = 30


class IdleSuite:
    """Runs on its own Postino with one worker."""

    name = "idle"

    def __init__(self, scale: Scale, messages: list[bytes]) -> None:
        self._scale = scale
        self._messages = messages[:_MESSAGES_EACH]

    def prepare(self, server: Server) -> None:
        """A few messages for everybody."""
        for login in (*HUNDRED, IDLER):
            with Imap.logged_in(HOST, server.ports.imap, login, PASSWORD) as session:
                session.append_pipelined(b"INBOX", self._messages)

    def steps(self) -> Sequence[Step]:
        """Starting comes last: it throws the others' sessions out."""
        return [
            Step("idle.notify", self._scale.rounds, self._notify),
            Step("idle.memory", 1, self._memory),
            Step("start", self._scale.rounds, self._start),
        ]

    def close(self) -> None:
        """Nothing stays open."""

    def _notify(self, server: Server, _: int) -> Mapping[str, float]:
        delays = []
        with (
            Imap.logged_in(HOST, server.ports.imap, IDLER, PASSWORD) as listener,
            Imap.logged_in(HOST, server.ports.imap, IDLER, PASSWORD) as writer,
        ):
            listener.select()
            listener.start_idle()
            for _ in range(_NOTIFICATIONS):
                started = time.perf_counter()
                writer.append(b"INBOX", self._messages[0])
                listener.wait_for_exists()
                delays.append(time.perf_counter() - started)
                time.sleep(0.02)
        return {"idle.notify": sorted(delays)[len(delays) // 2] * 1e3}

    def _memory(self, server: Server, _: int) -> Mapping[str, float]:
        count = self._scale.idle_sessions if isinstance(server, PostinoServer) else self._scale.idle_peers
        with ExitStack() as warm:
            self._idle(server, warm, _WARM_SESSIONS)
        time.sleep(1.0)
        with ExitStack() as sessions:
            before = _pss_kib(server)
            held = self._idle(server, sessions, count)
            time.sleep(1.0)
            grown = _pss_kib(server) - before
            # Dovecot may leave an idle session without news for half a minute: only Postino promises.
            delivery = {"idle.delivery": self._delivery(server)} if isinstance(server, PostinoServer) else {}
            for session in held:
                session.end_idle()  # each is still there and answers
        time.sleep(1.0)
        return {"idle.memory": grown / count, "idle.sessions": float(count), **delivery}

    def _delivery(self, server: Server) -> float:
        """Milliseconds from sending a message by SMTP until one of all these sessions is told of it."""
        delays = []
        message = self._messages[0]
        with (
            Imap.logged_in(HOST, server.ports.imap, IDLER, PASSWORD) as listener,
            smtplib.SMTP(HOST, server.ports.smtp, timeout=SILENCE_SECONDS) as sender,
        ):
            listener.select()
            listener.start_idle()
            for _ in range(_NOTIFICATIONS):
                started = time.perf_counter()
                sender.sendmail("sender@sender.example", [IDLER], message)
                listener.wait_for_exists()
                delays.append(time.perf_counter() - started)
                time.sleep(0.02)
        return sorted(delays)[len(delays) // 2] * 1e3

    @staticmethod
    def _idle(server: Server, sessions: ExitStack, count: int) -> list[Imap]:
        held = []
        for number in range(count):
            login = HUNDRED[number % len(HUNDRED)]
            session = sessions.enter_context(Imap.logged_in(HOST, server.ports.imap, login, PASSWORD))
            session.select()
            session.start_idle()
            held.append(session)
        return held

    @staticmethod
    def _start(server: Server, _: int) -> Mapping[str, float]:
        return {"start.seconds": server.restart()} if isinstance(server, PostinoServer) else {}


def _pss_kib(server: Server) -> float:
    match server:
        case PostinoServer():
            pids = server.pids()
        case DebianPair():
            pids = server.imap_session_pids()
        case _:
            raise DriverError(f"whose processes are {server.name}'s?")
    total = 0
    for pid in pids:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue  # a session's process that ended meanwhile
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total
