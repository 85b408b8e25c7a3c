"""Give messages that answer one another one thread id, when they arrive.

RFC: 8474 §5.2 (THREADID), 5322 §3.6.4 (Message-ID, In-Reply-To, References), 5256 §3 (REFERENCES).
Invariants: a content's thread is settled when it arrives and never changes; it is the content id of the first
    message of the thread that came, so it is at most the content's own; copies share it with the content.
    An id of a message stays in the thread it was first seen in.
Not here: THREAD, which looks at a mailbox as a whole (store/threading.py).
"""

import json
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from postino.core.ids import AccountId
from postino.store.tx import Tx

MAX_REFERENCES: Final = 30
"""Ids of References that count: the first, which began the thread, and the last ones."""

_MASK: Final = (1 << 63) - 1
_INSERT: Final = "INSERT INTO thread_of_id (account_id, id_hash, thread_id) VALUES (?, ?, ?)"
# PERF: 1.9 us for an id that is new, as nearly all are; one statement that gives what is there takes 4.8.
_CLAIM: Final = f"{_INSERT} ON CONFLICT (account_id, id_hash) DO NOTHING"
_ONE: Final = "SELECT thread_id FROM thread_of_id WHERE account_id=? AND id_hash=?"


def id_hash(message_id: str) -> int:
    """What stands for a Message-ID in the table: 63 bits of a hash that never changes."""
    return int.from_bytes(blake2b(message_id.encode(), digest_size=8).digest(), "big") & _MASK


def join_thread(tx: Tx, account_id: AccountId, content_id: int, message_id: str, refs: str) -> int:
    """The thread of a new content; its ids, and those it refers to, now belong to it."""
    if not refs:
        if not message_id:
            return content_id
        own = id_hash(message_id)
        if tx.run(_CLAIM, (account_id, own, content_id)):
            return content_id
        row = tx.one(_ONE, (account_id, own))
        assert row is not None
        return int(row[0])
    hashes = list(dict.fromkeys(map(id_hash, _counted(message_id, refs))))
    # PERF: a list of parameters takes half of what json_each() does (bench: deliver).
    known: dict[int, int] = dict(tx.all(_find(len(hashes)), (account_id, *hashes)))
    thread_id = min(known.values(), default=content_id)
    for new in hashes:
        # Mostly the message's own alone.
        if new not in known:
            tx.run(_INSERT, (account_id, new, thread_id))
    return thread_id


@lru_cache(maxsize=MAX_REFERENCES + 1)
def _find(count: int) -> str:
    members = ", ".join("?" * count)
    return f"SELECT id_hash, thread_id FROM thread_of_id WHERE account_id=? AND id_hash IN ({members})"


def _counted(message_id: str, refs: str) -> list[str]:
    ids = refs.split(" ")
    if len(ids) > MAX_REFERENCES:
        ids[1:] = ids[1 - MAX_REFERENCES :]
    return [message_id, *ids] if message_id else ids


def left_threads(tx: Tx, account_id: AccountId) -> tuple[list[int], int]:
    """The hashes of ids whose threads have no content left, and the last change of the account.

    Looks through all contents: for a reader's thread, after a sweep.
    """
    last = tx.one("SELECT mod_seq FROM account WHERE id=?", (account_id,))
    rows = tx.all(
        "SELECT id_hash FROM thread_of_id WHERE account_id=?"
        " AND thread_id NOT IN (SELECT thread_id FROM content WHERE account_id=?)",
        (account_id, account_id),
    )
    return [hash_ for (hash_,) in rows], last[0] if last else 0


def forget_ids(tx: Tx, account_id: AccountId, hashes: list[int], unless_after: int) -> int:
    """Forget these ids, but for those whose thread a content that came after `unless_after` has joined."""
    return tx.run(
        f"DELETE FROM thread_of_id WHERE account_id=? AND id_hash IN ({tx.dialect.members})"
        " AND thread_id NOT IN (SELECT thread_id FROM content WHERE account_id=? AND id>?)",
        (account_id, json.dumps(hashes), account_id, unless_after),
    )
