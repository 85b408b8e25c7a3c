"""How TLS with other domains' servers fared, counted by day for their reports.

RFC: 8460 §4.1 (a day from midnight to midnight UTC), §4.2 (what is counted).
Invariants: counts only grow until their day's reports are sent; a power cut may lose those of a minute.
Not here: counting in memory (outbound/tls_reports/counts.py), the reports
    (outbound/tls_reports/reporting.py).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from postino.store.tx import Tx

DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class ResultKey:
    """What sessions are counted by."""

    day: int
    domain: str
    policy: str
    """As mailauth.tlsrpt gives it."""
    failure: str
    """JSON of what went wrong; empty for successes."""


@dataclass(frozen=True, slots=True)
class StoredResult:
    """One count of a domain's day."""

    policy: str
    failure: str
    sessions: int


def add_results(tx: Tx, counts: Mapping[ResultKey, int]) -> None:
    """Add to the counts."""
    tx.run_many(
        "INSERT INTO tls_result (day, domain, policy, failure, sessions) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (day, domain, policy, failure) DO UPDATE SET sessions=sessions+excluded.sessions",
        [(key.day, key.domain, key.policy, key.failure, sessions) for key, sessions in counts.items()],
    )


def days_to_report(tx: Tx, *, before: int) -> list[int]:
    """Days that are over and not reported yet, oldest first."""
    return [
        day for (day,) in tx.all("SELECT DISTINCT day FROM tls_result WHERE day<? ORDER BY day", (before,))
    ]


def domains_of(tx: Tx, day: int, *, after: str, most: int) -> list[str]:
    """Domains with counts on a day, in order, beginning behind `after`."""
    rows = tx.all(
        "SELECT DISTINCT domain FROM tls_result WHERE day=? AND domain>? ORDER BY domain LIMIT ?",
        (day, after, most),
    )
    return [domain for (domain,) in rows]


def results_of(tx: Tx, day: int, domain: str, *, most: int) -> list[StoredResult]:
    """A domain's counts, those of one policy together, the highest first."""
    rows = tx.all(
        "SELECT policy, failure, sessions FROM tls_result WHERE day=? AND domain=?"
        " ORDER BY policy, sessions DESC LIMIT ?",
        (day, domain, most),
    )
    return [StoredResult(*row) for row in rows]


def forget_results(tx: Tx, day: int, domains: Collection[str]) -> None:
    """Remove what was reported, or is wanted by nobody."""
    tx.run_many("DELETE FROM tls_result WHERE day=? AND domain=?", [(day, domain) for domain in domains])


def forget_before(tx: Tx, day: int) -> int:
    """Remove what is too old to be of interest; gives how many counts there were."""
    return tx.run("DELETE FROM tls_result WHERE day<?", (day,))
