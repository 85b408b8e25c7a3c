"""What a check of a domain's DNS finds out, and what it asks.

Invariants: a finding that is not fine says what to do.
Not here: the checks (check.py, senders.py, transport.py).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from postino.app.operator_dns.records import DnsFacts, Record, Topic, wanted_records
from postino.core.ports import Resolver


class Level(IntEnum):
    """How much a finding matters; higher is worse."""

    OK = 0
    ADVICE = 1
    UNKNOWN = 2
    """There was no answer."""
    WARNING = 3
    PROBLEM = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one record."""

    level: Level
    topic: Topic
    name: str
    sentence: str
    """What is so and, where it should not be, what to do."""


FetchPolicy = Callable[[str], Awaitable[bytes]]
"""Domain -> the octets of its policy. Raises PostinoError with the reason."""
Probe = Callable[[str], Awaitable[bool | None]]
"""Address -> whether a mail server answers on port 25 there; None when that cannot be told from here."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What a check asks."""

    resolver: Resolver
    fetch_policy: FetchPolicy | None = None
    """None asks no web server."""
    probe: Probe | None = None
    """None connects to no mail server."""


def exit_status(findings: Sequence[Finding]) -> int:
    """As monitoring programs understand it: 0 fine, 1 warning, 2 problem, 3 not everything could be told."""
    worst = max((finding.level for finding in findings), default=Level.OK)
    return {Level.PROBLEM: 2, Level.WARNING: 1, Level.UNKNOWN: 3}.get(worst, 0)


class Checker:
    """One check under way: the facts, whom to ask, and what was found so far."""

    def __init__(self, facts: DnsFacts, outside: Outside) -> None:
        self.facts = facts
        self.outside = outside
        self.resolver = outside.resolver
        self.findings: list[Finding] = []

    def note(self, level: Level, topic: Topic, name: str, sentence: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(level, topic, name, sentence))

    def wanted(self, topic: Topic, name: str = "") -> list[Record]:
        """The records wanted, of one topic and perhaps one name."""
        return [r for r in wanted_records(self.facts) if r.topic is topic and name in {"", r.name}]

    def is_silent(self, topic: Topic) -> bool:
        """Whether nothing was found out about a topic."""
        return all(finding.topic is not topic for finding in self.findings)
