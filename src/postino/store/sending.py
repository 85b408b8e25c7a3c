"""What an account may send, how much of it is used up, and how its mail is sent: limits, undo, the Sent copy.

RFC: 6409 §6.1 (submission rights).
Invariants: a message is counted in the transaction that takes it, or not taken; the people an account has
    written to are known by a hash alone.
Not here: who it may send as (identities.py), the replies (servers/smtp/), the queue (queue/).
"""

from collections.abc import Collection
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from typing import Final

import msgspec

from postino.core.errors import NoSuchAccount, OverSendingLimit
from postino.core.ids import AccountId, Instant
from postino.store.identities import Identity, identities_of
from postino.store.threads import id_hash
from postino.store.tx import Tx

DAY: Final = 86_400
KNOWN_DAYS: Final = 400
"""Who was not written to for so long is new again."""
_FRESH_DAYS: Final = 30
"""Until then, that somebody was written to again is not written down."""
_COUNTED_DAYS: Final = 8
_MOST_IN_LIST: Final = 100
DEFAULT: Final = -1
"""The limit of the settings."""


class SendingLimits(msgspec.Struct, frozen=True, gc=False):
    """How much one account may send; 0 is without limit."""

    daily_messages: int = 0
    daily_recipients: int = 0
    burst_messages: int = 0


NO_LIMITS: Final = SendingLimits()


class Sender(msgspec.Struct, frozen=True, gc=False):
    """How an account sends."""

    account_id: AccountId
    login: str
    save_sent: bool
    undo_seconds: int
    daily_messages: int
    """DEFAULT: as the settings say."""
    daily_recipients: int
    identities: frozenset[Identity]

    def limits(self, default: SendingLimits) -> SendingLimits:
        """What holds for it, where `default` holds for everybody."""
        messages, recipients = self.daily_messages, self.daily_recipients
        return SendingLimits(
            default.daily_messages if messages == DEFAULT else messages,
            default.daily_recipients if recipients == DEFAULT else recipients,
            default.burst_messages,
        )


def sender(tx: Tx, account_id: AccountId) -> Sender:
    """How the account sends. Raises NoSuchAccount."""
    row = tx.one(
        "SELECT login, save_sent, undo_seconds, daily_messages, daily_recipients FROM account WHERE id=?",
        (account_id,),
    )
    if row is None:
        raise _no_account()
    login, save_sent, undo_seconds, daily_messages, daily_recipients = row
    identities = frozenset(identities_of(tx, account_id))
    return Sender(
        account_id, login, bool(save_sent), undo_seconds, daily_messages, daily_recipients, identities
    )


def set_save_sent(tx: Tx, account_id: AccountId, on: bool) -> None:
    """Have the server file a copy of what the account submits, or no longer. Raises NoSuchAccount."""
    if not tx.run("UPDATE account SET save_sent=? WHERE id=?", (int(on), account_id)):
        raise _no_account()


def set_undo_seconds(tx: Tx, account_id: AccountId, seconds: int) -> None:
    """Hold what the account submits for so long, 0 not at all. Raises NoSuchAccount."""
    if not tx.run("UPDATE account SET undo_seconds=? WHERE id=?", (seconds, account_id)):
        raise _no_account()


def set_limits(tx: Tx, account_id: AccountId, *, daily_messages: int, daily_recipients: int) -> None:
    """What the account may send a day: 0 without limit, DEFAULT as the settings say. Raises NoSuchAccount."""
    if not tx.run(
        "UPDATE account SET daily_messages=?, daily_recipients=? WHERE id=?",
        (daily_messages, daily_recipients, account_id),
    ):
        raise _no_account()


def _no_account() -> NoSuchAccount:
    return NoSuchAccount("The account does not exist any more")


def sent_today(tx: Tx, account_id: AccountId, now: Instant) -> tuple[int, int]:
    """Messages, and people never written to before, that count for today."""
    row = tx.one(
        "SELECT messages, recipients FROM sending WHERE account_id=? AND day=?", (account_id, now // DAY)
    )
    return (row[0], row[1]) if row else (0, 0)


# PERF: one statement that counts where there is room: 4 us (bench: submission).
_COUNT: Final = (
    "INSERT INTO sending (account_id, day, messages, recipients, minute, burst)"
    " SELECT id, ?, 1, ?, ?, 1 FROM account WHERE id=?"
    " ON CONFLICT (account_id, day) DO UPDATE SET messages=messages+1,"
    " recipients=recipients+excluded.recipients,"
    " burst=CASE WHEN minute=excluded.minute THEN burst+1 ELSE 1 END, minute=excluded.minute"
    " WHERE messages<? AND recipients+excluded.recipients<=? AND (minute<>excluded.minute OR burst<?)"
)
_WITHOUT: Final = 1 << 62
"""Stands for no limit."""


def count_message(
    tx: Tx, account_id: AccountId, recipients: Collection[str], limits: SendingLimits, now: Instant
) -> None:
    """Count a message to `recipients` (Address.key of each) and remember these.

    Raises OverSendingLimit, NoSuchAccount, with nothing written.
    """
    day, minute = now // DAY, now // 60
    known = _known(tx, account_id, recipients) if recipients else {}
    hashes = {id_hash(key) for key in recipients}
    new = len(hashes) - len(known)
    most_recipients = limits.daily_recipients or _WITHOUT
    if new > most_recipients:
        raise OverSendingLimit(_too_many_at_once(new, most_recipients), passes=False)
    values = (
        *(day, new, minute, account_id),
        *(limits.daily_messages or _WITHOUT, most_recipients if new else _WITHOUT),
        limits.burst_messages or _WITHOUT,
    )
    if not tx.run(_COUNT, values):
        raise _over(tx, account_id, new, limits, now)
    last_days = [(account_id, each, day) for each in hashes if known.get(each, 0) < day - _FRESH_DAYS]
    if last_days:
        tx.run_many(
            "INSERT INTO correspondent (account_id, id_hash, last_day) VALUES (?, ?, ?)"
            " ON CONFLICT (account_id, id_hash) DO UPDATE SET last_day=excluded.last_day",
            last_days,
        )


def _known(tx: Tx, account_id: AccountId, recipients: Collection[str]) -> dict[int, int]:
    """Of these people, those the account has written to before, with the day it did last."""
    hashes = [id_hash(key) for key in recipients]
    known: dict[int, int] = {}
    for at in range(0, len(hashes), _MOST_IN_LIST):
        some = hashes[at : at + _MOST_IN_LIST]
        known.update(tx.all(_find(len(some)), (account_id, *some)))
    return known


def wrote_to(tx: Tx, account_id: AccountId, key: str) -> bool:
    """Whether the account has written to this address (Address.key) within KNOWN_DAYS."""
    return bool(_known(tx, account_id, [key]))


@lru_cache(maxsize=_MOST_IN_LIST + 1)
def _find(count: int) -> str:
    members = ", ".join("?" * count)
    return f"SELECT id_hash, last_day FROM correspondent WHERE account_id=? AND id_hash IN ({members})"


class _Limit(Enum):
    """Which limit was reached, and its words."""

    MESSAGES = "You have sent {most} messages today, the most this account may"
    RECIPIENTS = (
        "You have written to {used} people today you never wrote to before, {new} more are too many: "
        "this account may write to {most}"
    )
    BURST = "You have sent {most} messages within a minute, the most this account may"


def _over(tx: Tx, account_id: AccountId, new: int, limits: SendingLimits, now: Instant) -> OverSendingLimit:
    """Which limit it was. Raises NoSuchAccount when it was none."""
    if tx.one("SELECT 1 FROM account WHERE id=?", (account_id,)) is None:
        raise _no_account()
    messages, used = sent_today(tx, account_id, now)
    tomorrow = (now // DAY + 1) * DAY
    if limits.daily_messages and messages >= limits.daily_messages:
        limit, most, until = _Limit.MESSAGES, limits.daily_messages, tomorrow
    elif new and limits.daily_recipients and used + new > limits.daily_recipients:
        limit, most, until = _Limit.RECIPIENTS, limits.daily_recipients, tomorrow
    else:
        limit, most, until = _Limit.BURST, limits.burst_messages, (now // 60 + 1) * 60
    reason = limit.value.format(most=most, used=used, new=new)
    when = datetime.fromtimestamp(until, UTC)
    return OverSendingLimit(f"{reason}; go on at {when:%H:%M} UTC, or ask the postmaster for more")


def _too_many_at_once(new: int, most: int) -> str:
    return (
        f"The message is for {new} people you never wrote to before, and this account may write to {most} a "
        "day; send it to fewer, or ask the postmaster for more"
    )


def scripted_today(tx: Tx, account_id: AccountId, now: Instant) -> int:
    """How many recipients the account's scripts have sent to today."""
    row = tx.one("SELECT scripted FROM sending WHERE account_id=? AND day=?", (account_id, now // DAY))
    return int(row[0]) if row else 0


def count_scripted(tx: Tx, account_id: AccountId, recipients: int, now: Instant) -> None:
    """Count what its scripts send, apart from what it submits, which strangers' mail must not use up."""
    tx.run(
        "INSERT INTO sending (account_id, day, scripted) SELECT id, ?, ? FROM account WHERE id=?"
        " ON CONFLICT (account_id, day) DO UPDATE SET scripted=scripted+excluded.scripted",
        (now // DAY, recipients, account_id),
    )


def note_told(tx: Tx, account_id: AccountId, now: Instant) -> bool:
    """Note that the operator is told today that a limit was reached; False when that was noted before."""
    return bool(
        tx.run(
            "INSERT INTO sending (account_id, day, told) SELECT id, ?, 1 FROM account WHERE id=?"
            " ON CONFLICT (account_id, day) DO UPDATE SET told=1 WHERE told=0",
            (now // DAY, account_id),
        )
    )


def forget_old(tx: Tx, now: Instant) -> None:
    """Drop the counts of past days, and people not written to for KNOWN_DAYS."""
    tx.run("DELETE FROM sending WHERE day<?", (now // DAY - _COUNTED_DAYS,))
    tx.run("DELETE FROM correspondent WHERE last_day<?", (now // DAY - KNOWN_DAYS,))
