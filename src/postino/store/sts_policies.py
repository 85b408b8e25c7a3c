"""MTA-STS policies of other domains, kept for as long as they say.

RFC: 8461 §3.3 (a policy that was fetched holds until it expires, whatever the DNS says since), §10.2.
Invariants: one policy a domain, as its web server gave it.
Not here: reading and fetching them (mailauth/mta_sts.py, outbound/targeting/mta_sts.py).
"""

from dataclasses import dataclass

from postino.core.ids import Instant
from postino.store.tx import Tx


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """One domain's."""

    domain: str
    """A-labels, lower case."""
    policy_id: str
    text: str
    """The file as it was fetched."""
    fetched_at: Instant
    expires_at: Instant
    used_day: int = 0


_COLUMNS = "domain, policy_id, policy, fetched_at, expires_at, used_day"


def find_policy(tx: Tx, domain: str, now: Instant) -> StoredPolicy | None:
    """The policy of a domain that still holds."""
    row = tx.one(f"SELECT {_COLUMNS} FROM sts_policy WHERE domain=? AND expires_at>?", (domain, now))
    return StoredPolicy(*row) if row is not None else None


def keep_policy(tx: Tx, policy: StoredPolicy) -> None:
    """Put it in the place of the one before."""
    tx.run(
        f"INSERT INTO sts_policy ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (domain) DO UPDATE SET policy_id=excluded.policy_id, policy=excluded.policy,"
        " fetched_at=excluded.fetched_at, expires_at=excluded.expires_at, used_day=excluded.used_day",
        (
            policy.domain,
            policy.policy_id,
            policy.text,
            policy.fetched_at,
            policy.expires_at,
            policy.used_day,
        ),
    )


def note_used(tx: Tx, domain: str, day: int) -> None:
    """Mail went there on this day. May be lost."""
    tx.run("UPDATE sts_policy SET used_day=? WHERE domain=? AND used_day<?", (day, domain, day))


def aging_policies(tx: Tx, *, fetched_before: Instant, used_since: int, most: int) -> list[StoredPolicy]:
    """Those to fetch again, the oldest first: not fetched since then, and of use on that day or later."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM sts_policy WHERE fetched_at<? AND used_day>=? ORDER BY fetched_at LIMIT ?",
        (fetched_before, used_since, most),
    )
    return [StoredPolicy(*row) for row in rows]


def forget_expired(tx: Tx, now: Instant) -> int:
    """Remove those that no longer hold; gives how many there were."""
    return tx.run("DELETE FROM sts_policy WHERE expires_at<=?", (now,))
