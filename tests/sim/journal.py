"""What the queue's tables went through, commit by commit: the truth the oracle judges by.

Triggers on each writing connection note every row that comes, changes and goes; what the settler knows of the outcome
is noted beside. Rolled back, or lost with the power, a note is gone like the rows it is about.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from postino.store.queue.settle import Report
from postino.store.queue.values import Outcome
from postino.store.tx import Tx

_COLUMNS = "queue_id, number, address, domain, notify, state, next_at, lease, attempts, delay_told_at"
_SETUP = (
    "CREATE TEMP TABLE IF NOT EXISTS sim_row (op, {columns}, old_state, old_next_at, old_lease, old_attempts)",
    (
        "CREATE TEMP TABLE IF NOT EXISTS sim_message (queue_id, kind, account_id, reverse_path, message_id, created_at,"
        " expires_at)"
    ),
    "CREATE TEMP TABLE IF NOT EXISTS sim_octets (queue_id, header)",
    (
        "CREATE TEMP TRIGGER IF NOT EXISTS sim_row_in AFTER INSERT ON main.queue_recipient BEGIN"
        " INSERT INTO sim_row VALUES ('in', {new}, 0, 0, '', 0); END"
    ),
    (
        "CREATE TEMP TRIGGER IF NOT EXISTS sim_row_up AFTER UPDATE ON main.queue_recipient BEGIN"
        " INSERT INTO sim_row VALUES ('up', {new}, OLD.state, OLD.next_at, OLD.lease, OLD.attempts); END"
    ),
    (
        "CREATE TEMP TRIGGER IF NOT EXISTS sim_row_out AFTER DELETE ON main.queue_recipient BEGIN"
        " INSERT INTO sim_row VALUES ('out', {old}, OLD.state, OLD.next_at, OLD.lease, OLD.attempts); END"
    ),
    (
        "CREATE TEMP TRIGGER IF NOT EXISTS sim_message_in AFTER INSERT ON main.queue_message BEGIN"
        " INSERT INTO sim_message VALUES (NEW.id, NEW.kind, NEW.account_id, NEW.reverse_path, NEW.message_id,"
        " NEW.created_at, NEW.expires_at); END"
    ),
    (
        "CREATE TEMP TRIGGER IF NOT EXISTS sim_octets_in AFTER INSERT ON main.queue_octets BEGIN"
        " INSERT INTO sim_octets VALUES (NEW.queue_id, NEW.header); END"
    ),
)


class RowChange(NamedTuple):
    """One change of one row of queue_recipient."""

    op: str
    """`in`, `up` or `out`."""
    queue_id: int
    number: int
    address: str
    domain: str
    notify: int
    state: int
    next_at: int
    lease: str
    attempts: int
    delay_told_at: int
    old_state: int
    old_next_at: int
    old_lease: str
    old_attempts: int


class NewMessage(NamedTuple):
    """One row that entered queue_message."""

    queue_id: int
    kind: int
    account_id: int
    reverse_path: str
    message_id: str
    created_at: int
    expires_at: int
    header: bytes


@dataclass(frozen=True)
class Settling:
    """One call of settle()."""

    token: str
    outcomes: Sequence[Outcome]
    reports: Sequence[Report]
    lost: frozenset[tuple[int, int]]
    now: int


@dataclass
class Commit:
    """One commit that changed something of the queue."""

    at: float
    process: Any
    durable: bool
    act: str
    """What the operator did; empty for workers."""
    rows: list[RowChange]
    messages: list[NewMessage]
    settlings: list[Settling]


@dataclass
class Journal:
    """All commits that hold."""

    commits: list[Commit] = field(default_factory=list)
    settling: list[Settling] = field(default_factory=list)
    """Of the transaction that is being run."""

    def lose_unsynced(self) -> int:
        """The power went: what came after the last sync never was; says how many commits that are."""
        commits, lost = self.commits, 0
        while commits and not commits[-1].durable:
            commits.pop()
            lost += 1
        return lost


def watch(tx: Tx) -> None:
    """Have this connection's changes noted; once for each connection."""
    new = ", ".join(f"NEW.{column.strip()}" for column in _COLUMNS.split(","))
    for sql in _SETUP:
        tx.run(sql.format(columns=_COLUMNS, new=new, old=new.replace("NEW.", "OLD.")))


def take_notes(tx: Tx) -> tuple[list[RowChange], list[NewMessage]]:
    """What this transaction has changed so far, and forget it."""
    rows = [RowChange(*row) for row in tx.all("SELECT * FROM temp.sim_row ORDER BY rowid")]
    messages = tx.all("SELECT * FROM temp.sim_message ORDER BY rowid")
    headers = dict(tx.all("SELECT queue_id, header FROM temp.sim_octets"))
    if rows:
        tx.run("DELETE FROM temp.sim_row")
    if messages:
        tx.run("DELETE FROM temp.sim_message")
        tx.run("DELETE FROM temp.sim_octets")
    return rows, [NewMessage(*message, headers.get(message[0], b"")) for message in messages]
