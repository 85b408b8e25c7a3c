"""Submission to a sink on this machine: how fast messages are taken, signed and passed on.

The second clock stops when the sink has counted every accepted message, each with a DKIM signature. At last the
same of Postino alone with a hundred thousand messages that wait for a later time.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from bench import corpus
from bench.drivers.sink import Sink
from bench.drivers.smtp import SmtpLoad, ready_to_send, run_smtp_load
from bench.drivers.wire import DriverError
from bench.peers.postino import PostinoServer
from bench.peers.server import HOST, ONE, PASSWORD, Server
from bench.probe import processor_seconds
from bench.suites.suite import Scale, Step

_ARRIVAL_SECONDS: Final = 180.0
_DIFFERENT_MESSAGES: Final = 97
_OUTSIDERS: Final = tuple(f"reader{n}@client{n % 20}.example" for n in range(200))
_THOUSAND: Final = tuple(f"reader{n}@list.example" for n in range(1000))
_QUIET_SECONDS: Final = 10.0
_SETTLING_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class _Rates:
    accepted: float
    sent: float


class SendingSuite:
    """4 KB messages through 1, 10 and 50 connections; one to a thousand recipients; a queue that waits."""

    name = "sending"

    def __init__(self, scale: Scale, sink: Sink) -> None:
        self._scale = scale
        self._sink = sink
        self._messages = [
            ready_to_send(corpus.outgoing_message(n, 4096, ONE)) for n in range(_DIFFERENT_MESSAGES)
        ]

    def prepare(self, server: Server) -> None:
        """A few messages, so that everything is warm."""
        self._measure(self._load(server, 2, 0.3, _OUTSIDERS))

    def steps(self) -> Sequence[Step]:
        """The waiting queue comes last: it stays."""
        scale = self._scale
        return [
            *(self._step(connections) for connections in scale.smtp_connections),
            Step("sending.fanout", scale.rounds, self._fan_out),
            Step("sending.waiting", 1, self._waiting),
        ]

    def close(self) -> None:
        """Nothing stays open."""

    def _step(self, connections: int) -> Step:
        def run(server: Server, _: int) -> Mapping[str, float]:
            rates = self._measure(self._load(server, connections, self._scale.smtp_seconds, _OUTSIDERS))
            key = f"sending.4k.c{connections}"
            return {f"{key}.accepted": rates.accepted, f"{key}.sent": rates.sent}

        return Step(f"sending.4k.c{connections}", self._scale.smtp_rounds, run)

    def _fan_out(self, server: Server, _: int) -> Mapping[str, float]:
        before = self._sink.recipients
        os.sync()
        # In so short a time it is one message.
        load = self._load(server, 1, 1e-6, _THOUSAND, recipients_per_message=len(_THOUSAND))
        outcome = run_smtp_load(load)
        done = self._sink.wait_for_recipients(before + len(_THOUSAND) * outcome.accepted, _ARRIVAL_SECONDS)
        return {"sending.fanout": (done - outcome.started) * 1000}

    def _waiting(self, server: Server, _: int) -> Mapping[str, float]:
        """What a long queue costs; the peers are not asked, whose queue would take minutes to fill."""
        if not isinstance(server, PostinoServer):
            return {}
        rounds = max(2, self._scale.smtp_rounds)
        load = self._load(server, 10, self._scale.smtp_seconds, _OUTSIDERS)
        short = median([self._measure(load).sent for _ in range(rounds)])
        server.fill_queue(ONE, self._scale.waiting_messages)
        started = server.restart()
        time.sleep(_SETTLING_SECONDS)
        before = processor_seconds(server.pids())
        time.sleep(_QUIET_SECONDS)
        used = processor_seconds(server.pids()) - before
        self._measure(load)
        long = median([self._measure(load).sent for _ in range(rounds)])
        return {
            "sending.waiting.start": started,
            "sending.waiting.processor": used / _QUIET_SECONDS * 100,
            "sending.waiting.factor": short / long,
        }

    def _load(
        self,
        server: Server,
        connections: int,
        seconds: float,
        recipients: Sequence[str],
        *,
        recipients_per_message: int = 1,
    ) -> SmtpLoad:
        return SmtpLoad(
            HOST,
            server.ports.submission,
            connections,
            seconds,
            recipients,
            self._messages,
            recipients_per_message=recipients_per_message,
            sender=ONE,
            # Postfix trusts this machine; Postino has everybody log in, once a connection.
            login=(ONE, PASSWORD) if isinstance(server, PostinoServer) else None,
        )

    def _measure(self, load: SmtpLoad) -> _Rates:
        os.sync()  # neither server pays for the writes of the one before
        messages, signed = self._sink.messages, self._sink.signed
        outcome = run_smtp_load(load)
        done = self._sink.wait_for(messages + outcome.accepted, _ARRIVAL_SECONDS)
        missing = signed + outcome.accepted - self._sink.signed
        if missing:
            raise DriverError(f"{missing} of {outcome.accepted} messages came without a DKIM signature")
        return _Rates(outcome.accepted / outcome.seconds, outcome.accepted / (done - outcome.started))
