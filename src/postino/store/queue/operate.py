"""What an operator does with waiting mail: look, hold, release, try now, drop.

Each takes message numbers and a Choice, so that a hundred thousand are changed in steps; what the Choice says
of recipients is looked at again in each step.

Invariants: what is being sent this very moment is not called back: it may arrive even when held or dropped.
Not here: destinations (destinations.py), taking a message back (recall.py), counting (stats.py).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from postino.core.ids import BlobId, Instant
from postino.store.queue.choice import Choice
from postino.store.queue.destinations import AT_ONCE, GO_AT
from postino.store.queue.enqueue import note_queue_change
from postino.store.queue.rows import (
    MESSAGE_COLUMNS,
    RECIPIENT_COLUMNS,
    message_of,
    recipient_of,
)
from postino.store.queue.settle import Report, remove_messages, tell
from postino.store.queue.values import QueuedMessage, QueuedRecipient, QueueId
from postino.store.tx import SqlValue, Tx

STEP: Final = 500
"""How many messages to change in one write: about 10 ms."""
_RECIPIENT: Final = ", ".join(f"r.{column}" for column in RECIPIENT_COLUMNS.split(", "))


@dataclass(frozen=True, slots=True)
class Notice:
    """What the sender of a dropped message is told."""

    numbers: frozenset[int]
    """The recipients it is about."""
    reports: Sequence[Report]


@dataclass(frozen=True, slots=True)
class Listed:
    """One message, as an operator sees it."""

    message: QueuedMessage
    """With those of its recipients that were chosen."""
    accepted_recipients: int
    """How many it had at first; those it has no more were sent to, or given up."""
    sending: frozenset[int]
    """The numbers of recipients somebody has taken to send to now."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """What drop() removed."""

    recipients: int
    messages: int
    changed: list[QueueId]
    """Those that stayed, because their notices were about others."""
    blobs: list[BlobId]
    """Delete their files once the transaction has committed."""


def chosen_messages(tx: Tx, choice: Choice, *, most: int = -1) -> list[QueueId]:
    """The messages with a recipient that fits, oldest first; up to `most`, or all."""
    of_recipients, recipient_params = choice.of_recipients()
    of_messages, message_params = choice.of_messages()
    # The tables lie in the same order, so that this is one pass over each and stops early.
    rows = tx.all(
        f"SELECT m.id FROM queue_message m WHERE {of_messages} AND EXISTS"
        f" (SELECT 1 FROM queue_recipient r WHERE r.queue_id=m.id AND {of_recipients})"
        " ORDER BY m.id LIMIT ?",
        (*message_params, *recipient_params, most),
    )
    return [QueueId(queue_id) for (queue_id,) in rows]


def list_queue(tx: Tx, queue_ids: Sequence[QueueId], choice: Choice, now: Instant) -> list[Listed]:
    """These messages with the recipients that fit, in the order of their numbers."""
    condition, params = choice.of_recipients()
    text = json.dumps(queue_ids)
    recipients: dict[int, list[QueuedRecipient]] = {}
    sending: dict[int, set[int]] = {}
    for *row, lease in tx.all(
        f"SELECT {_RECIPIENT}, r.lease FROM queue_recipient r WHERE r.queue_id IN ({tx.dialect.members})"
        f" AND {condition} ORDER BY r.queue_id, r.number",
        (text, *params),
    ):
        recipient = recipient_of(tuple(row))
        recipients.setdefault(row[0], []).append(recipient)
        if lease and recipient.next_at > now:
            sending.setdefault(row[0], set()).add(recipient.number)
    return [
        Listed(
            message_of(tuple(row), recipients[row[0]]),
            accepted_recipients,
            frozenset(sending.get(row[0], ())),
        )
        for *row, accepted_recipients in tx.all(
            f"SELECT {MESSAGE_COLUMNS}, recipients FROM queue_message WHERE id IN ({tx.dialect.members})"
            " ORDER BY id",
            (text,),
        )
        if row[0] in recipients
    ]


def hold(tx: Tx, queue_ids: Sequence[QueueId], choice: Choice) -> int:
    """Have these wait for release(), however long; how many recipients that are."""
    return _change(tx, "state=1", "r.state<>1", queue_ids, choice)


def release(tx: Tx, queue_ids: Sequence[QueueId], choice: Choice, now: Instant) -> int:
    """Let those that were held go, at once or when they were to be sent; how many recipients that are.

    Those of a paused destination are parked.
    """
    note_queue_change(tx)
    parked = (
        "CASE WHEN EXISTS (SELECT 1 FROM queue_destination d"
        " WHERE d.domain=queue_recipient.domain AND d.paused_at<>0) THEN 2 ELSE 0 END"
    )
    condition, params = choice.of_recipients()
    # That they were late while they were held is nobody's business.
    tx.run(
        "UPDATE queue_message SET release_at=? WHERE release_at<? AND id IN (SELECT r.queue_id"
        f" FROM queue_recipient r WHERE r.queue_id IN ({tx.dialect.members}) AND r.state=1 AND {condition})",
        (now, now, json.dumps(queue_ids), *params),
    )
    return _change(tx, f"state={parked}, next_at={GO_AT}", "r.state=1", queue_ids, choice, (now, now))


def retry(tx: Tx, queue_ids: Sequence[QueueId], choice: Choice, now: Instant) -> int:
    """Try these at once, whenever they were due; how many recipients that are.

    Those held and parked stay, and what its sender wants to be sent later, or may still take back.
    """
    note_queue_change(tx)
    is_out = "(SELECT m.release_at FROM queue_message m WHERE m.id=r.queue_id)<=?"
    also = f"r.state=0 AND r.lease='' AND {is_out}"
    return _change(tx, "next_at=?", also, queue_ids, choice, (AT_ONCE,), (now,))


def drop(
    tx: Tx,
    queue_ids: Sequence[QueueId],
    choice: Choice,
    now: Instant,
    *,
    notices: Mapping[QueueId, Notice] | None = None,
) -> Dropped:
    """Remove these for good. With `notices`, their senders are told in the same write.

    A message of which other recipients are left than its notice is about stays, for another try: nobody must
    be told that mail failed which was sent.
    """
    condition, params = choice.of_recipients()
    where = f"r.queue_id IN ({tx.dialect.members}) AND {condition}"
    numbers: dict[QueueId, set[int]] = {}
    for queue_id, number in tx.all(
        f"SELECT r.queue_id, r.number FROM queue_recipient r WHERE {where}", (json.dumps(queue_ids), *params)
    ):
        numbers.setdefault(queue_id, set()).add(number)
    changed: list[QueueId] = []
    if notices is not None:
        for queue_id in list(numbers):
            notice = notices.get(queue_id)
            if notice is None or notice.numbers != numbers[queue_id]:
                del numbers[queue_id]
                changed.append(queue_id)
            else:
                tell(tx, notice.reports, now)
    rows = [(queue_id, number) for queue_id, those in numbers.items() for number in those]
    tx.run_many("DELETE FROM queue_recipient WHERE queue_id=? AND number=?", rows)
    finished = [
        QueueId(queue_id)
        for (queue_id,) in tx.all(
            f"SELECT id FROM queue_message m WHERE id IN ({tx.dialect.members}) AND NOT EXISTS"
            " (SELECT 1 FROM queue_recipient r WHERE r.queue_id=m.id)",
            (json.dumps(queue_ids),),
        )
    ]
    return Dropped(len(rows), len(finished), changed, remove_messages(tx, finished))


def _change(
    tx: Tx,
    change: str,
    also: str,
    queue_ids: Sequence[QueueId],
    choice: Choice,
    values: Sequence[SqlValue] = (),
    also_values: Sequence[SqlValue] = (),
) -> int:
    condition, params = choice.of_recipients()
    return tx.run(
        f"UPDATE queue_recipient SET {change} WHERE (queue_id, number) IN (SELECT r.queue_id, r.number"
        f" FROM queue_recipient r WHERE r.queue_id IN ({tx.dialect.members}) AND {also} AND {condition})",
        (*values, json.dumps(queue_ids), *also_values, *params),
    )
