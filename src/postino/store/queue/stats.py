"""Count what waits.

Invariants: counting reads indexes alone: a hundred thousand recipients in some milliseconds.
Not here: metrics' names (servers/metrics.py), tables (cli/queue.py).
"""

from dataclasses import dataclass

from postino.core.ids import Instant
from postino.store.queue.values import RecipientState
from postino.store.tx import Tx


@dataclass(frozen=True, slots=True)
class DomainStats:
    """What waits for one domain."""

    domain: str
    waiting: int
    held: int
    parked: int
    oldest_at: Instant
    """When the oldest of its messages was accepted."""

    @property
    def recipients(self) -> int:
        """All of them."""
        return self.waiting + self.held + self.parked


@dataclass(frozen=True, slots=True)
class QueueStats:
    """What waits in all."""

    messages: int
    due: int
    """Recipients whose time has come."""
    later: int
    """Recipients to be tried (again) later, or being sent to now."""
    held: int
    parked: int
    oldest_at: Instant | None
    """When the oldest message was accepted."""

    @property
    def recipients(self) -> int:
        """All of them."""
        return self.due + self.later + self.held + self.parked


def waiting_recipients(tx: Tx) -> int:
    """How many recipients the queue has, in whatever state."""
    row = tx.one("SELECT count(*) FROM queue_recipient")
    return row[0] if row else 0


def queue_stats(tx: Tx, now: Instant) -> QueueStats:
    """Count everything."""
    by_state: dict[int, int] = dict(tx.all("SELECT state, count(*) FROM queue_recipient GROUP BY state"))
    due = tx.one("SELECT count(*) FROM queue_recipient WHERE state=0 AND next_at<=?", (now,))
    message = tx.one("SELECT count(*) FROM queue_message")
    oldest = tx.one("SELECT created_at FROM queue_message ORDER BY id LIMIT 1")
    assert due is not None
    assert message is not None
    return QueueStats(
        messages=message[0],
        due=due[0],
        later=by_state.get(RecipientState.WAITING, 0) - due[0],
        held=by_state.get(RecipientState.HELD, 0),
        parked=by_state.get(RecipientState.PARKED, 0),
        oldest_at=None if oldest is None else Instant(oldest[0]),
    )


def domain_stats(tx: Tx, most: int) -> list[DomainStats]:
    """The domains most recipients wait for."""
    return [
        DomainStats(*row)
        for row in tx.all(
            "SELECT q.domain, q.waiting, q.held, q.parked, m.created_at FROM (SELECT domain,"
            "  sum(state=0) AS waiting, sum(state=1) AS held, sum(state=2) AS parked,"
            "  min(queue_id) AS first, count(*) AS every FROM queue_recipient GROUP BY domain"
            "  ORDER BY every DESC, domain LIMIT ?) q JOIN queue_message m ON m.id=q.first"
            " ORDER BY q.every DESC, q.domain",
            (most,),
        )
    ]
