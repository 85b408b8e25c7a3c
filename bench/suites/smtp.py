"""SMTP to mailbox: the rate of 250s, and the rate at which mail reaches the mailboxes.

The second clock stops when STATUS counts every accepted message. Postino has stored a message when
it says 250; Postfix has queued it, and Dovecot stores it later.
"""

import os
import time
from collections.abc import Mapping, Sequence

from bench import corpus
from bench.drivers.imap import Imap
from bench.drivers.smtp import SmtpLoad, SmtpOutcome, ready_to_send, run_smtp_load
from bench.drivers.wire import DriverError
from bench.peers.server import HOST, HUNDRED, ONE, PASSWORD, Server
from bench.suites.suite import Scale, Step

_POLL_SECONDS = 0.01
_ARRIVAL_SECONDS = 180.0
_DIFFERENT_MESSAGES = 97


class SmtpSuite:
    """4 KB and 60 KB messages through 1, 10 and 50 connections to one and to a hundred accounts."""

    name = "smtp"

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._small = [ready_to_send(corpus.sized_message(n, 4096)) for n in range(_DIFFERENT_MESSAGES)]
        self._large = [ready_to_send(corpus.sized_message(n, 61_440)) for n in range(_DIFFERENT_MESSAGES)]
        self._watchers: dict[str, dict[str, Imap]] = {}

    def prepare(self, server: Server) -> None:
        """One IMAP session an account, to count with; and one message, so that everything is warm."""
        self._watchers[server.name] = {
            login: Imap.logged_in(HOST, server.ports.imap, login, PASSWORD) for login in (ONE, *HUNDRED)
        }
        load = SmtpLoad(HOST, server.ports.smtp, 2, 0.2, [ONE], self._small)
        self._until_stored(server, run_smtp_load(load), {ONE: 0})

    def steps(self) -> Sequence[Step]:
        """Every combination."""
        scale = self._scale
        steps = []
        for connections in scale.smtp_connections:
            for accounts, logins in (("one", (ONE,)), ("hundred", HUNDRED)):
                key = f"smtp.4k.c{connections}.{accounts}"
                steps.append(self._step(key, connections, logins, self._small))
        for accounts, logins in (("one", (ONE,)), ("hundred", HUNDRED)):
            steps.append(self._step(f"smtp.60k.c10.{accounts}", 10, logins, self._large))
        steps.append(Step("smtp.fanout", scale.smtp_rounds, self._fan_out))
        return steps

    def close(self) -> None:
        """Hang up."""
        for watchers in self._watchers.values():
            for watcher in watchers.values():
                watcher.wire.close()

    def _step(self, key: str, connections: int, logins: Sequence[str], messages: Sequence[bytes]) -> Step:
        def run(server: Server, _: int) -> Mapping[str, float]:
            load = SmtpLoad(HOST, server.ports.smtp, connections, self._scale.smtp_seconds, logins, messages)
            outcome, stored_seconds = self._measure(server, load)
            return {
                f"{key}.accepted": outcome.accepted / outcome.seconds,
                f"{key}.stored": outcome.accepted / stored_seconds,
            }

        return Step(key, self._scale.smtp_rounds, run)

    def _fan_out(self, server: Server, _: int) -> Mapping[str, float]:
        load = SmtpLoad(
            HOST,
            server.ports.smtp,
            4,
            self._scale.smtp_seconds / 2,
            HUNDRED,
            self._small,
            recipients_per_message=50,
        )
        outcome, stored_seconds = self._measure(server, load)
        return {"smtp.fanout.stored": sum(outcome.per_recipient.values()) / stored_seconds}

    def _measure(self, server: Server, load: SmtpLoad) -> tuple[SmtpOutcome, float]:
        os.sync()  # neither server pays for the writes of the one before
        before = {login: self._watchers[server.name][login].messages() for login in load.recipients}
        outcome = run_smtp_load(load)
        return outcome, self._until_stored(server, outcome, before)

    def _until_stored(self, server: Server, outcome: SmtpOutcome, before: Mapping[str, int]) -> float:
        """Seconds from the first MAIL until every message is counted in its mailbox."""
        give_up = time.perf_counter() + _ARRIVAL_SECONDS
        for login, sent in outcome.per_recipient.items():
            due = before[login] + sent
            watcher = self._watchers[server.name][login]
            while (seen := watcher.messages()) < due:
                if time.perf_counter() > give_up:
                    raise DriverError(f"{login} has {seen} of {due} messages after {_ARRIVAL_SECONDS:.0f} s")
                time.sleep(_POLL_SECONDS)
            if seen > due:
                raise DriverError(f"{login} has {seen} messages, {due} were sent: something was doubled")
        return time.perf_counter() - outcome.started
