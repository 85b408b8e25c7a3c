"""Remove for good what was expunged long enough ago, and files that no message names.

RFC: 7162 §5.3 (what was expunged is not remembered for ever).
Invariants: octets go only when no message and no remembered expunge needs them; a blob's file goes
    only after the transaction that took its last name has committed; after mailbox.forgotten_mod_seq
    nothing expunged is forgotten.
Not here: expunging (store/transfer.py).
"""

import json
from dataclasses import dataclass
from typing import Final

from postino.core.ids import AccountId, BlobId, Instant, MailboxId
from postino.store.accounts import drop_unnamed
from postino.store.applied_scripts import forget_old_changes
from postino.store.returns import forget_paths
from postino.store.seen_ids import forget_ids_seen
from postino.store.sending import forget_old
from postino.store.store import Store
from postino.store.threads import forget_ids, left_threads
from postino.store.trace import FORGET_AT_ONCE, forget_traces, old_traces
from postino.store.tx import Row, Tx
from postino.store.vacation import forget_replies

RETENTION_SECONDS: Final = 7 * 86_400
TRACE_SECONDS: Final = 21 * 86_400
BATCH: Final = 2000
REMEMBERED: Final = 50_000
"""How many expunged messages of a mailbox are remembered at least, some 20 octets each."""
LEFTOVER_SECONDS: Final = 86_400
"""A file that nobody names may belong to a delivery under way, but not for a day."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep took out of the database."""

    contents: int
    accounts: set[AccountId]
    """Whose contents these were."""
    blobs: list[BlobId]
    """Delete these files once the transaction has committed."""
    more: bool
    """Whether another batch may be waiting."""


def sweep(tx: Tx, *, now: Instant, retention_seconds: int = RETENTION_SECONDS, batch: int = BATCH) -> Swept:
    """Forget the contents of up to `batch` messages expunged before the retention time.

    That they were expunged stays known, for QRESYNC (but see forget_expunged); in mailboxes that are gone
    it is forgotten too.
    """
    due, more = _take_due(tx, now - retention_seconds, batch)
    for account_id, mailbox_id in {row[:2] for row in due}:
        if not tx.one("SELECT 1 FROM mailbox WHERE account_id=? AND id=?", (account_id, mailbox_id)):
            tx.run(
                "DELETE FROM expunged WHERE account_id=? AND mailbox_id=? AND content_id=0",
                (account_id, mailbox_id),
            )
    contents = 0
    accounts: set[AccountId] = set()
    named: set[Row] = set()
    due_contents = {(row[0], row[2]) for row in due}
    for account_id, content_id in due_contents - _still_needed(tx, due_contents):
        key = (account_id, content_id)
        octets = tx.one("SELECT codec, blob_id FROM octets WHERE account_id=? AND content_id=?", key)
        if octets is not None and octets[1] is not None:
            named.add(octets)
        tx.run("DELETE FROM octets WHERE account_id=? AND content_id=?", key)
        contents += tx.run("DELETE FROM content WHERE account_id=? AND id=?", key)
        tx.run("DELETE FROM copied_content WHERE account_id=? AND content_id=?", key)
        accounts.add(account_id)
    blobs = [BlobId(blob_id) for blob_id in drop_unnamed(tx, sorted(named))]
    return Swept(contents, accounts, blobs, more=more)


def _still_needed(tx: Tx, contents: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of these contents that a message, or an expunge not swept yet, still needs."""
    needed: set[tuple[int, int]] = set()
    for account_id in {account_id for account_id, _ in contents}:
        mine = json.dumps([content_id for owner, content_id in contents if owner == account_id])
        copied = [
            content_id
            for (content_id,) in tx.all(
                "SELECT content_id FROM copied_content WHERE account_id=?"
                f" AND content_id IN ({tx.dialect.members})",
                (account_id, mine),
            )
        ]
        if not copied:
            continue
        # PERF: looks through the account's messages; an index would cost every EXPUNGE a third of its time.
        text = json.dumps(copied)
        for sql in (
            f"SELECT content_id FROM message WHERE account_id=? AND content_id IN ({tx.dialect.members})",
            (
                "SELECT x.content_id FROM expunge e CROSS JOIN expunged x ON x.account_id=e.account_id"
                " AND x.mailbox_id=e.mailbox_id AND x.mod_seq=e.mod_seq WHERE e.account_id=?"
                f" AND x.content_id IN ({tx.dialect.members})"
            ),
        ):
            needed.update((account_id, content_id) for (content_id,) in tx.all(sql, (account_id, text)))
    return needed


def _take_due(tx: Tx, until: int, batch: int) -> tuple[list[Row], bool]:
    """Have up to `batch` messages expunged until then remembered without content.

    Gives their (account_id, mailbox_id, content_id), and whether there may be more.
    """
    due: list[Row] = []
    expunges = tx.all(
        "SELECT account_id, mailbox_id, mod_seq, swept_uid FROM expunge WHERE expunged_at<=?"
        " ORDER BY expunged_at LIMIT ?",
        (until, batch),
    )
    for *key, swept_uid in expunges:
        room = batch - len(due)
        if not room:
            return due, True
        where = "account_id=? AND mailbox_id=? AND mod_seq=?"
        rows = tx.all(
            f"SELECT uid, content_id FROM expunged WHERE {where} AND uid>? ORDER BY uid LIMIT ?",
            (*key, swept_uid, room),
        )
        if rows:
            last = rows[-1][0]
            tx.run(
                f"UPDATE expunged SET content_id=0 WHERE {where} AND uid>? AND uid<=?",
                (*key, swept_uid, last),
            )
            due += [(key[0], key[1], content_id) for _, content_id in rows if content_id]
        if len(rows) < room:
            tx.run(f"DELETE FROM expunge WHERE {where}", key)
        else:
            tx.run(f"UPDATE expunge SET swept_uid=? WHERE {where}", (last, *key))
            return due, True
    return due, len(expunges) == batch


def too_much_expunged(tx: Tx, keep: int = REMEMBERED) -> list[tuple[AccountId, MailboxId, int]]:
    """Mailboxes that remember half as much again as `keep`, with the mod-sequence up to which to forget."""
    found: list[tuple[AccountId, MailboxId, int]] = []
    for account_id, mailbox_id in tx.all(
        "SELECT account_id, mailbox_id FROM expunged GROUP BY account_id, mailbox_id HAVING count(*)>?",
        (keep + keep // 2,),
    ):
        last = tx.one(
            "SELECT mod_seq FROM expunged WHERE account_id=? AND mailbox_id=?"
            " ORDER BY mod_seq DESC, uid DESC LIMIT 1 OFFSET ?",
            (account_id, mailbox_id, keep),
        )
        if last is not None:
            found.append((account_id, mailbox_id, last[0]))
    return found


def forget_expunged(
    tx: Tx, account_id: AccountId, mailbox_id: MailboxId, mod_seq: int, batch: int = BATCH
) -> bool:
    """Forget up to `batch` messages expunged at or before `mod_seq`; whether there may be more.

    Those whose content is still kept for undelete stay.
    """
    # The limit first: whoever asks for changes of before it is then answered from what is there.
    tx.run(
        "UPDATE mailbox SET forgotten_mod_seq=? WHERE account_id=? AND id=? AND forgotten_mod_seq<?",
        (mod_seq, account_id, mailbox_id, mod_seq),
    )
    where = "account_id=? AND mailbox_id=? AND mod_seq<=? AND content_id=0"
    gone = tx.run(
        f"DELETE FROM expunged WHERE account_id=? AND mailbox_id=? AND (mod_seq, uid) IN"
        f" (SELECT mod_seq, uid FROM expunged WHERE {where} ORDER BY mod_seq, uid LIMIT ?)",
        (account_id, mailbox_id, account_id, mailbox_id, mod_seq, batch),
    )
    return gone == batch


async def sweep_store(
    store: Store,
    *,
    now: Instant,
    retention_seconds: int = RETENTION_SECONDS,
    remembered: int = REMEMBERED,
    trace_seconds: int = TRACE_SECONDS,
) -> int:
    """Run sweeps until nothing is due, then remove leftover files; give the contents removed.

    Of each mailbox the newest `remembered` expunged messages stay known, for QRESYNC.
    """
    contents = 0
    accounts: set[AccountId] = set()
    more = True
    while more:
        swept = await store.write(lambda tx: sweep(tx, now=now, retention_seconds=retention_seconds))
        for blob_id in swept.blobs:
            store.blobs.delete(blob_id)
        contents += swept.contents
        accounts |= swept.accounts
        more = swept.more
    for account_id in accounts:
        await _forget_threads(store, account_id)
    for account_id, mailbox_id, mod_seq in await store.read(lambda tx: too_much_expunged(tx, remembered)):
        key = (account_id, mailbox_id, mod_seq)
        while await store.write(lambda tx, key=key: forget_expunged(tx, *key)):  # type: ignore[misc]
            pass
    await store.write(lambda tx: forget_old(tx, now))
    await store.write(lambda tx: forget_paths(tx, now))
    await _forget_scripts_memory(store, now=now, trace_seconds=trace_seconds)
    await remove_leftovers(store, now=now)
    return contents


async def _forget_scripts_memory(store: Store, *, now: Instant, trace_seconds: int) -> None:
    """Forget whom vacation answered, ids seen and traces, each after its time."""
    await store.write(lambda tx: forget_replies(tx, now))
    await store.write(lambda tx: forget_ids_seen(tx, now))
    await store.write(lambda tx: forget_old_changes(tx, now))
    before = Instant(now - trace_seconds)
    while due := await store.read(lambda tx: old_traces(tx, before)):
        await store.write(lambda tx, due=due: forget_traces(tx, due))  # type: ignore[misc]
        if len(due) < FORGET_AT_ONCE:
            break


async def _forget_threads(store: Store, account_id: AccountId) -> None:
    """Forget the ids of messages in threads of which nothing is left."""
    hashes, last = await store.read(lambda tx: left_threads(tx, account_id))
    for start in range(0, len(hashes), BATCH):
        some = hashes[start : start + BATCH]
        await store.write(lambda tx, some=some: forget_ids(tx, account_id, some, last))  # type: ignore[misc]


async def remove_leftovers(store: Store, *, now: Instant) -> int:
    """Remove files older than a day that no message names: of deliveries that a crash cut short."""
    old = list(store.blobs.listed(before=now - LEFTOVER_SECONDS))
    removed = 0
    for start in range(0, len(old), BATCH):
        some = old[start : start + BATCH]
        text = json.dumps([blob_id for blob_id, _ in some if blob_id is not None])
        rows = await store.read(
            lambda tx, text=text: tx.all(  # type: ignore[misc]
                f"SELECT blob_id FROM octets WHERE blob_id IN ({tx.dialect.member_texts}) UNION ALL"
                f" SELECT blob_id FROM queue_octets WHERE blob_id IN ({tx.dialect.member_texts})",
                (text, text),
            )
        )
        named = {blob_id for (blob_id,) in rows}
        for blob_id, path in some:
            if blob_id not in named:
                store.blobs.files.unlink(path)
                removed += 1
    return removed
