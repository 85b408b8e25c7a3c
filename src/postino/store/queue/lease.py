"""Lease recipients that are due to one dispatcher, so that many share the queue.

A lease is a token and a later next_at: when that passes, anybody may take the recipient. Leases are written
without a sync, for losing one only means that the mail is due again.

Invariants: a recipient is leased to one token at a time; what a call costs goes by what it takes (and by how
    many of `exclude` are due), not by what waits.
Not here: what becomes of an attempt (settle.py), the states (docs/states/queue.md).
"""

import json
from collections.abc import Collection, Sequence
from typing import Final

from postino.core.ids import Instant
from postino.store.queue.rows import RECIPIENT_COLUMNS, messages_of, read_octets
from postino.store.queue.values import LeaseToken, QueuedMessage, QueueId
from postino.store.tx import Row, Tx

__all__ = [
    "give_back",
    "lease_token",
    "next_due",
    "of_ours",
    "read_octets",
    "release_leases",
    "renew",
    "take_due",
]

_BEFORE_ALL: Final = -100
"""Less than any urgency."""
_NEXT_URGENCY: Final = (
    "SELECT urgency FROM queue_recipient WHERE state=0 AND urgency>? ORDER BY urgency LIMIT 1"
)
_LEASED_COLUMNS: Final = ", ".join(f"r.{column}" for column in RECIPIENT_COLUMNS.split(", "))


def lease_token(worker: int, unique: str) -> LeaseToken:
    """The token of one run of a worker's dispatcher; `unique` was never used before."""
    return LeaseToken(f"{worker}.{unique}")


def take_due(
    tx: Tx,
    token: LeaseToken,
    *,
    now: Instant,
    until: Instant,
    most: int,
    exclude: Collection[str] = (),
) -> list[QueuedMessage]:
    """Lease up to `most` recipients that are due: urgent ones first, then those due longest.

    Recipients of one message and domain that fell due together come together. `next_at` of each is when it
    was due. Needs no sync.
    """
    found: list[Row] = []
    urgency = _BEFORE_ALL
    while len(found) < most:
        next_urgency = tx.one(_NEXT_URGENCY, (urgency,))
        if next_urgency is None:
            break
        urgency = next_urgency[0]
        found += _due(tx, urgency, now, most - len(found), exclude)
    if not found:
        return []
    tx.run_many(
        "UPDATE queue_recipient SET lease=?, next_at=? WHERE queue_id=? AND number=?",
        [(token, until, row[0], row[1]) for row in found],
    )
    return messages_of(tx, found)


def _due(tx: Tx, urgency: int, now: Instant, most: int, exclude: Collection[str]) -> list[Row]:
    # PERF: the inner query finds its rows in the index alone; only those taken are read.
    condition = f" AND domain NOT IN ({tx.dialect.member_texts})" if exclude else ""
    params = (urgency, now, json.dumps([*exclude]), most) if exclude else (urgency, now, most)
    return tx.all(
        f"SELECT {_LEASED_COLUMNS} FROM (SELECT queue_id, number FROM queue_recipient WHERE state=0"
        f" AND urgency=? AND next_at<=?{condition} ORDER BY next_at, domain, queue_id, number LIMIT ?) d"
        " CROSS JOIN queue_recipient r ON r.queue_id=d.queue_id AND r.number=d.number",
        params,
    )


def renew(
    tx: Tx, token: LeaseToken, queue_ids: Sequence[QueueId], until: Instant
) -> set[tuple[QueueId, int]]:
    """Keep the leases on these messages until then; give the recipients that are still ours to send.

    Whoever is not among them was held, dropped or parked meanwhile, or taken over. Needs no sync.
    """
    tx.run(f"UPDATE queue_recipient SET next_at=? WHERE {_ours(tx)}", (until, json.dumps(queue_ids), token))
    return of_ours(tx, token, queue_ids)


def of_ours(tx: Tx, token: LeaseToken, queue_ids: Sequence[QueueId]) -> set[tuple[QueueId, int]]:
    """The recipients of these messages that are still ours to send, as renew() gives them."""
    where = _ours(tx)
    rows = tx.all(
        f"SELECT queue_id, number FROM queue_recipient WHERE {where}", (json.dumps(queue_ids), token)
    )
    return {(QueueId(row[0]), row[1]) for row in rows}


def _ours(tx: Tx) -> str:
    return f"queue_id IN ({tx.dialect.members}) AND lease=? AND state=0"


def next_due(tx: Tx, exclude: Collection[str] = ()) -> Instant | None:
    """When the next recipient falls due (or its lease ends), None when none waits; maybe in the past."""
    earliest: int | None = None
    urgency = _BEFORE_ALL
    condition = f" AND domain NOT IN ({tx.dialect.member_texts})" if exclude else ""
    while next_urgency := tx.one(_NEXT_URGENCY, (urgency,)):
        urgency = next_urgency[0]
        row = tx.one(
            f"SELECT next_at FROM queue_recipient WHERE state=0 AND urgency=?{condition}"
            " ORDER BY next_at LIMIT 1",
            (urgency, json.dumps([*exclude])) if exclude else (urgency,),
        )
        if row is not None and (earliest is None or row[0] < earliest):
            earliest = row[0]
    return None if earliest is None else Instant(earliest)


def release_leases(tx: Tx, tokens_alive: Collection[LeaseToken] = (), *, worker: int | None = None) -> int:
    """Make due at once what is leased to tokens that are not alive; how many recipients that were.

    With `worker`, only what earlier runs of this worker left. Looks through the whole queue: for the start of
    a run (open_store does it) and of a worker.
    """
    where = "lease<>''"
    params: list[str] = []
    if worker is not None:
        where += " AND lease>=? AND lease<?"
        params += [f"{worker}.", f"{worker}/"]
    if tokens_alive:
        where += f" AND lease NOT IN ({tx.dialect.member_texts})"
        params.append(json.dumps([*tokens_alive]))
    return tx.run(f"UPDATE queue_recipient SET lease='', next_at=0 WHERE {where}", params)


def give_back(tx: Tx, token: LeaseToken) -> int:
    """Make due at once what is leased to a dispatcher that ends; how many recipients that were.

    As release_leases(), but nobody else's, who may be another process of the same number.
    """
    return tx.run("UPDATE queue_recipient SET lease='', next_at=0 WHERE lease=?", (token,))
