"""Write down what came of an attempt, and what has to be told about it, in one transaction.

RFC: 5321 §4.5.4.1 (retries), 3461 §6 (who hears of what).
Invariants: a recipient leaves the queue in the same write that puts its report there, or into its sender's
    INBOX: never one without the other; a message goes with its last recipient, and its octets with it; of
    rows whose lease is not the caller's only those go that were sent to.
Not here: what a report says (outbound/reports.py), when to try again (outbound/dispatch/retry.py).
"""

import json
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from postino.core.ids import BlobId, Instant
from postino.store.accounts import drop_unnamed
from postino.store.messages import Delivery, deliver
from postino.store.queue.due import notice_at
from postino.store.queue.enqueue import enqueue, unpacked_options
from postino.store.queue.suppression import note_failures, note_successes
from postino.store.queue.values import LeaseToken, NewQueued, Outcome, QueueId, RecipientState, Result
from postino.store.tx import Row, SqlValue, Tx

Report = NewQueued | Delivery
"""What has to be told: to somebody elsewhere, or to an account here."""
_BAD_ADDRESS: Final = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"})
"""What is wrong with the recipient's address; 5.1.7 and 5.1.8 are about its sender's, 5.1.0 about either."""
_DONE: Final = frozenset({Result.SENT, Result.RELAYED})
_DEFER: Final = (
    "UPDATE queue_recipient SET lease='', next_at=?, attempts=attempts+1, first_failed_at=?, delay_told_at=?,"
    " notice_at=?, last_at=?, last_status=?, last_reply=?, last_remote=? WHERE queue_id=? AND number=?"
)
_PUT_BACK: Final = (
    "UPDATE queue_recipient SET lease='', next_at=?, delay_told_at=?, notice_at=?,"
    " last_status=?, last_reply=?, last_remote=? WHERE queue_id=? AND number=?"
)


class Settled(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What settle() did."""

    lost: Sequence[tuple[QueueId, int]]
    """Not ours any more: taken over, or dropped meanwhile. Nothing was written about them, but that those
    sent to are gone all the same, so that whoever took them over does not send again."""
    finished: Sequence[QueueId]
    """Messages that left the queue with their last recipient."""
    reports: Sequence[QueueId]
    """Those enqueued, in the order given."""
    blobs: Sequence[BlobId]
    """Nobody names these any more: delete their files once the transaction has committed."""


def settle(
    tx: Tx,
    token: LeaseToken,
    outcomes: Sequence[Outcome],
    reports: Sequence[Report],
    now: Instant,
    *,
    delay_notice_seconds: int = 0,
) -> Settled:
    """Write a whole attempt. Recipients that were sent to, or failed for good, go; the others wait on.

    Each outcome gives its lease back. `reports` are put into the queue, or into INBOXes here (over quota too:
    whoever has no room must still learn that mail failed). `delay_notice_seconds` is after how long senders
    are told that a message is late; 0 never. Must be synced, unless every outcome is DEFERRED and there are
    no reports: losing such a write only means an early attempt.
    """
    by_message: dict[QueueId, list[Outcome]] = {}
    for outcome in outcomes:
        by_message.setdefault(outcome.queue_id, []).append(outcome)
    lost: list[tuple[QueueId, int]] = []
    finished: list[QueueId] = []
    sent_to: list[str] = []
    failed: list[tuple[str, str]] = []
    for queue_id, those in by_message.items():
        numbers = [outcome.number for outcome in those]
        rows = {
            row[0]: row
            for row in tx.all(
                "SELECT number, address, state, first_failed_at, delay_told_at, lease FROM queue_recipient"
                " WHERE queue_id=? AND number BETWEEN ? AND ?",
                (queue_id, min(numbers), max(numbers)),
            )
        }
        gone: list[int] = []
        deferred: list[tuple[Outcome, Row]] = []
        for outcome in those:
            row = rows.get(outcome.number)
            is_ours = row is not None and row[5] == token
            if not is_ours:
                lost.append((queue_id, outcome.number))
            if row is None:
                continue
            if outcome.result in _DONE:
                gone.append(outcome.number)
                sent_to.append(row[1])
            elif not is_ours:
                continue
            elif outcome.result is Result.DEFERRED:
                deferred.append((outcome, row[:5]))
            else:
                gone.append(outcome.number)
                if outcome.status in _BAD_ADDRESS:
                    failed.append((row[1], outcome.reply))
        if gone:
            _remove_recipients(tx, queue_id, gone, are_all=len(gone) == len(rows))
        if deferred:
            _defer(tx, queue_id, deferred, now, delay_notice_seconds)
        elif gone and tx.one("SELECT 1 FROM queue_recipient WHERE queue_id=? LIMIT 1", (queue_id,)) is None:
            finished.append(queue_id)
    blobs = remove_messages(tx, finished)
    if sent_to:
        note_successes(tx, sent_to)
    if failed:
        note_failures(tx, failed, now)
    return Settled(
        lost=lost, finished=finished, reports=tell(tx, reports, now) if reports else (), blobs=blobs
    )


def tell(tx: Tx, reports: Iterable[Report], now: Instant) -> list[QueueId]:
    """Enqueue or deliver reports; give the numbers of those enqueued. An account that is gone gets none."""
    enqueued = []
    for report in reports:
        if isinstance(report, NewQueued):
            enqueued.append(enqueue(tx, report, now=now))
        elif tx.one("SELECT 1 FROM account WHERE id=?", (report[0],)) is not None:
            deliver(tx, [report], now, over_quota=True)
    return enqueued


def _remove_recipients(tx: Tx, queue_id: QueueId, numbers: Sequence[int], *, are_all: bool) -> None:
    """Remove these; `are_all` says that nobody lies between the first and the last but they."""
    if are_all:
        # PERF: one statement for the thousand recipients of one message.
        tx.run(
            "DELETE FROM queue_recipient WHERE queue_id=? AND number BETWEEN ? AND ?",
            (queue_id, min(numbers), max(numbers)),
        )
    else:
        tx.run_many(
            "DELETE FROM queue_recipient WHERE queue_id=? AND number=?",
            [(queue_id, number) for number in numbers],
        )


def _defer(
    tx: Tx,
    queue_id: QueueId,
    deferred: Sequence[tuple[Outcome, Row]],
    now: Instant,
    delay_notice_seconds: int,
) -> None:
    message = tx.one(
        "SELECT release_at, expires_at, options, reverse_path FROM queue_message WHERE id=?", (queue_id,)
    )
    assert message is not None
    release_at, expires_at, packed, reverse_path = message
    options = unpacked_options(packed)
    attempts: list[tuple[SqlValue, ...]] = []
    others: list[tuple[SqlValue, ...]] = []
    for outcome, (number, _, state, first_failed_at, delay_told_at) in deferred:
        told_at = now if outcome.delay_told else delay_told_at
        notice = notice_at(
            release_at=release_at,
            expires_at=expires_at if state == RecipientState.WAITING else 0,
            options=options,
            delay_told_at=told_at,
            delay_notice_seconds=delay_notice_seconds if reverse_path else 0,
        )
        if outcome.counts:
            attempts.append(
                (
                    outcome.next_at,
                    first_failed_at or now,
                    told_at,
                    notice,
                    now,
                    outcome.status,
                    outcome.reply,
                    outcome.remote,
                    queue_id,
                    number,
                )
            )
        else:
            others.append(
                (
                    outcome.next_at,
                    told_at,
                    notice,
                    outcome.status,
                    outcome.reply,
                    outcome.remote,
                    queue_id,
                    number,
                )
            )
    if attempts:
        tx.run_many(_DEFER, attempts)
    if others:
        tx.run_many(_PUT_BACK, others)


def remove_messages(tx: Tx, queue_ids: Sequence[QueueId]) -> list[BlobId]:
    """Remove messages without recipients, with their octets; give the blobs nobody names any more."""
    if not queue_ids:
        return []
    one = len(queue_ids) == 1
    condition = "=?" if one else f" IN ({tx.dialect.members})"
    params = (queue_ids[0] if one else json.dumps(queue_ids),)
    named = tx.all(
        f"SELECT DISTINCT codec, blob_id FROM queue_octets WHERE queue_id{condition} AND blob_id IS NOT NULL",
        params,
    )
    tx.run(f"DELETE FROM queue_octets WHERE queue_id{condition}", params)
    tx.run(f"DELETE FROM queue_message WHERE id{condition}", params)
    return [BlobId(blob_id) for blob_id in drop_unnamed(tx, named)] if named else []
