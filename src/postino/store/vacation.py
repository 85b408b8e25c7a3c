"""Whom an account answered by vacation, so that nobody is told twice within the script's time.

RFC: 5230 §4.2 (once per period, sender and handle), §4.7 (what :handle says is the same).
Invariants: an answer is noted in the transaction that allows it, so two deliveries at once give one answer.
Not here: who is answered at all (sieve/), the answer (delivery/).
"""

from hashlib import blake2b

from postino.core.ids import AccountId, Instant
from postino.store.tx import Tx


def reply_key(handle: str, answered: str) -> bytes:
    """What stands for an answer of this handle to this address (Address.key)."""
    return blake2b(f"{len(handle)} {handle}{answered}".encode("utf-8", "replace"), digest_size=16).digest()


def may_answer(tx: Tx, account_id: AccountId, key: bytes, until: Instant, now: Instant) -> bool:
    """Whether nobody was told this lately; if so, it is noted as told until then. `key` is reply_key()'s."""
    return bool(
        tx.run(
            "INSERT INTO vacation_reply (account_id, handle, until) VALUES (?, ?, ?)"
            " ON CONFLICT (account_id, handle) DO UPDATE SET until=excluded.until"
            " WHERE vacation_reply.until<=?",
            (account_id, key, until, now),
        )
    )


def forget_replies(tx: Tx, now: Instant) -> None:
    """Drop what has passed."""
    tx.run("DELETE FROM vacation_reply WHERE until<=?", (now,))
