"""Ids an account's scripts have seen, for the duplicate test.

RFC: 7352 §3.1 (tracked per account and handle; noted when the actions succeed), §3.3 (:last), §6 (bounds).
Exposure: whoever sends mail chooses the ids: they are kept as hashes of 16 octets, and never for longer than
    the settings say.
Not here: which part of a message is the id (sieve/).
"""

from collections.abc import Sequence
from hashlib import blake2b

from postino.core.ids import AccountId, Instant
from postino.sieve.actions import Remembered
from postino.store.tx import Tx


def _key(handle: str, unique_id: str) -> bytes:
    return blake2b(f"{len(handle)} {handle}{unique_id}".encode("utf-8", "replace"), digest_size=16).digest()


def was_seen(tx: Tx, account_id: AccountId, handle: str, unique_id: str, now: float) -> bool:
    """Whether the id was remembered under this handle, and its time has not passed."""
    found = tx.one(
        "SELECT 1 FROM sieve_seen WHERE account_id=? AND id_hash=? AND until>?",
        (account_id, _key(handle, unique_id), now),
    )
    return found is not None


def remember(
    tx: Tx, account_id: AccountId, ids: Sequence[Remembered], *, now: Instant, most_seconds: int
) -> None:
    """Note that these were seen, in the transaction that delivers the message.

    One that is remembered already keeps its time, except with :last.
    """
    for each in ids:
        until = now + min(each.seconds, most_seconds)
        tx.run(
            "INSERT INTO sieve_seen (account_id, id_hash, until) VALUES (?, ?, ?)"
            " ON CONFLICT (account_id, id_hash) DO UPDATE SET until=excluded.until"
            " WHERE sieve_seen.until<=? OR ?",
            (account_id, _key(each.handle, each.unique_id), until, now, int(each.is_last)),
        )


def forget_ids_seen(tx: Tx, now: Instant) -> None:
    """Drop those whose time has passed."""
    tx.run("DELETE FROM sieve_seen WHERE until<=?", (now,))
