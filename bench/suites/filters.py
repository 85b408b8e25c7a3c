"""LMTP through a Sieve script of a hundred rules into a mailbox: Postino beside Dovecot with Pigeonhole.

The clock stops when STATUS counts every accepted message in the mailbox that the script files them in.
"""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Final

from bench import corpus, scripts
from bench.drivers.imap import Imap
from bench.drivers.smtp import SmtpLoad, ready_to_send, run_smtp_load
from bench.drivers.wire import DriverError
from bench.peers.server import HOST, HUNDRED, PASSWORD, Server
from bench.suites.suite import Scale, Step

SCRIPTS: Final = {login: scripts.script(number) for number, login in enumerate(HUNDRED)}
_ARRIVAL_SECONDS: Final = 180.0
_DIFFERENT_MESSAGES: Final = 97
_POLL_SECONDS: Final = 0.01
_MAILBOX: Final = scripts.SORTED.encode()


class FilterSuite:
    """4 KB through 1, 10 and 50 connections to a hundred accounts, each with a script of its own."""

    name = "sieve"

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._messages = [ready_to_send(corpus.sized_message(n, 4096)) for n in range(_DIFFERENT_MESSAGES)]
        self._watchers: dict[str, dict[str, Imap]] = {}

    def prepare(self, server: Server) -> None:
        """The mailbox, one session an account to count with, and a few messages: scripts are compiled then."""
        watchers = {login: Imap.logged_in(HOST, server.ports.imap, login, PASSWORD) for login in HUNDRED}
        self._watchers[server.name] = watchers
        for watcher in watchers.values():
            watcher.command(b"CREATE " + _MAILBOX)
        self._measure(server, 4, max(1.0, self._scale.smtp_seconds / 2))

    def steps(self) -> Sequence[Step]:
        """One for each number of connections."""
        return [self._step(connections) for connections in self._scale.smtp_connections]

    def close(self) -> None:
        """Hang up."""
        for watchers in self._watchers.values():
            for watcher in watchers.values():
                watcher.wire.close()

    def _step(self, connections: int) -> Step:
        key = f"sieve.lmtp.c{connections}"

        def run(server: Server, _: int) -> Mapping[str, float]:
            return {key: self._measure(server, connections, self._scale.smtp_seconds)}

        return Step(key, self._scale.smtp_rounds, run)

    def _measure(self, server: Server, connections: int, seconds: float) -> float:
        os.sync()  # neither server pays for the writes of the one before
        watchers = self._watchers[server.name]
        before = {login: watcher.messages(_MAILBOX) for login, watcher in watchers.items()}
        port = server.ports.lmtp
        load = SmtpLoad(HOST, port, connections, seconds, HUNDRED, self._messages, greeting=b"LHLO")
        outcome = run_smtp_load(load)
        give_up = time.perf_counter() + _ARRIVAL_SECONDS
        for login, sent in outcome.per_recipient.items():
            due = before[login] + sent
            while (seen := watchers[login].messages(_MAILBOX)) != due:
                if seen > due or time.perf_counter() > give_up:
                    raise DriverError(f"{login} has {seen} messages in {scripts.SORTED}, not {due}")
                time.sleep(_POLL_SECONDS)
        return outcome.accepted / (time.perf_counter() - outcome.started)
