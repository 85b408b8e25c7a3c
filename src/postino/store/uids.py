"""Turn a set of UIDs into conditions for SQL, whatever its shape.

Invariants: the conditions of one set are disjoint and go upwards; together they hold exactly for its
    members, at least among the mailbox's messages.
"""

from typing import Final, NamedTuple

from postino.core.ids import AccountId, MailboxId
from postino.core.numset import NumberSet
from postino.store.tx import SqlValue, Tx

MAX_RANGES: Final = 4
MAX_MEMBERS: Final = 20_000


class UidCondition(NamedTuple):
    """A condition on a column `uid` (of whichever table is at hand) and its parameters."""

    sql: str
    params: tuple[SqlValue, ...]


_RANGE: Final = "uid BETWEEN ? AND ?"


def uid_conditions(
    tx: Tx, account_id: AccountId, mailbox_id: MailboxId, uids: NumberSet | None
) -> list[UidCondition]:
    """Conditions to run a statement with, one after the other; None stands for every UID.

    Few ranges become one seek each; many become one list. A set that is scattered and huge is
    first cut down to the messages that exist.
    """
    if uids is None:
        return [UidCondition("uid > ?", (0,))]
    ranges = uids.ranges
    if len(ranges) <= MAX_RANGES:
        return [UidCondition(_RANGE, pair) for pair in ranges]
    if len(uids) > MAX_MEMBERS:
        rows = tx.all(
            f"SELECT uid FROM message WHERE account_id=? AND mailbox_id=? AND {_RANGE}",
            (account_id, mailbox_id, uids.first, uids.last),
        )
        uids = NumberSet.of(uid for (uid,) in rows).intersection(uids)
        if len(uids.ranges) <= MAX_RANGES:
            return [UidCondition(_RANGE, pair) for pair in uids.ranges]
    conditions: list[UidCondition] = []
    members: list[int] = []
    for low, high in uids.ranges:
        for start in range(low, high + 1, MAX_MEMBERS):
            members.extend(range(start, min(high + 1, start + MAX_MEMBERS)))
            if len(members) >= MAX_MEMBERS:
                conditions.append(_listed(tx, members))
                members = []
    if members:
        conditions.append(_listed(tx, members))
    return conditions


def _listed(tx: Tx, members: list[int]) -> UidCondition:
    text = "[" + ",".join(map(str, members)) + "]"
    return UidCondition(f"uid IN ({tx.dialect.members})", (text,))


def message_uids(tx: Tx, account_id: AccountId, mailbox_id: MailboxId) -> list[int]:
    """The UIDs of every message, upwards."""
    rows = tx.all(
        "SELECT uid FROM message WHERE account_id=? AND mailbox_id=? ORDER BY uid", (account_id, mailbox_id)
    )
    return [uid for (uid,) in rows]


def highest_mod_seq_of(tx: Tx, account_id: AccountId, mailbox_id: MailboxId, uids: NumberSet) -> int | None:
    """The highest mod-sequence of these messages; None when none of them is there."""
    found = [
        tx.one(
            f"SELECT max(mod_seq) FROM message WHERE account_id=? AND mailbox_id=? AND {condition.sql}",
            (account_id, mailbox_id, *condition.params),
        )
        for condition in uid_conditions(tx, account_id, mailbox_id, uids)
    ]
    return max((row[0] for row in found if row is not None and row[0] is not None), default=None)
