"""Why a message is where it is: what scripts did with it, and the line that decided.

Invariants: written in the transaction that delivers, so that it tells of nothing that did not happen; bounded
    for each message, and forgotten after some weeks.
Not here: what is worth telling (delivery/), showing it (cli/trace.py).
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from postino.core.harmless import harmless
from postino.core.ids import AccountId, Instant
from postino.store.tx import Row, Tx

MOST_OF_MESSAGE: Final = 100
MOST_CHARACTERS: Final = 500
FORGET_AT_ONCE: Final = 2000


class TraceEvent(msgspec.Struct, frozen=True, gc=False):
    """One thing a script decided."""

    script: str
    line: int
    """0: no line of it did."""
    words: str
    """As `filed in Boss`."""


class Traced(msgspec.Struct, frozen=True, gc=False):
    """What was decided about one message."""

    message_id: str
    at: Instant
    events: Sequence[TraceEvent]


def note_trace(
    tx: Tx, account_id: AccountId, message_id: str, events: Sequence[TraceEvent], now: Instant
) -> None:
    """Add to what is known of the message; what is beyond MOST_OF_MESSAGE is not kept."""
    row = tx.one(
        "SELECT coalesce(max(number), -1) FROM trace_event WHERE account_id=? AND message_id=?",
        (account_id, message_id),
    )
    assert row is not None
    first = row[0] + 1
    tx.run_many(
        "INSERT INTO trace_event (account_id, message_id, number, at, script, line, words)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                account_id,
                message_id,
                number,
                now,
                event.script,
                event.line,
                harmless(event.words[:MOST_CHARACTERS]),
            )
            for number, event in enumerate(events[: max(0, MOST_OF_MESSAGE - first)], first)
        ],
    )


def trace_of(tx: Tx, account_id: AccountId, message_id: str) -> Traced | None:
    """What scripts did with one message, in order; None when nothing is known of it."""
    rows = tx.all(
        "SELECT message_id, at, script, line, words FROM trace_event WHERE account_id=? AND message_id=?"
        " ORDER BY number",
        (account_id, message_id),
    )
    return _grouped(rows)[0] if rows else None


def recent_traces(tx: Tx, account_id: AccountId, most: int) -> list[Traced]:
    """Of the messages decided about last, the newest first."""
    rows = tx.all(
        "SELECT t.message_id, t.at, t.script, t.line, t.words FROM (SELECT message_id, max(at) AS last"
        " FROM trace_event WHERE account_id=? GROUP BY message_id ORDER BY last DESC, message_id LIMIT ?) n"
        " JOIN trace_event t ON t.account_id=? AND t.message_id=n.message_id"
        " ORDER BY n.last DESC, t.message_id, t.number",
        (account_id, most, account_id),
    )
    return _grouped(rows)


def _grouped(rows: Sequence[Row]) -> list[Traced]:
    found: list[Traced] = []
    events: list[TraceEvent] = []
    for message_id, at, *event in rows:
        if not found or found[-1].message_id != message_id:
            events = []
            found.append(Traced(message_id, at, events))
        events.append(TraceEvent(*event))
    return found


def old_traces(tx: Tx, before: Instant) -> list[tuple[AccountId, str]]:
    """Some messages whose events are all from before then. Looks at the whole table: for a long read."""
    return [
        (account_id, message_id)
        for account_id, message_id in tx.all(
            "SELECT account_id, message_id FROM trace_event GROUP BY account_id, message_id"
            " HAVING max(at)<? LIMIT ?",
            (before, FORGET_AT_ONCE),
        )
    ]


def forget_traces(tx: Tx, messages: Sequence[tuple[AccountId, str]]) -> None:
    """Drop what is known of these."""
    tx.run_many("DELETE FROM trace_event WHERE account_id=? AND message_id=?", messages)
