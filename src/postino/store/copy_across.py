"""Give messages of one account's mailbox to another account: what their copies are made of.

RFC: 9051 §6.4.7 (COPY), 8474 §5.1 (one EMAILID for copies is asked within an account only).
Invariants: content belongs to one account, so it is copied, once for each group of messages that share it;
    bodies in files and shared bodies are named once more and not copied; content ids come from the target's
    counter and rise in the order of the source's. A copy joins the target's own threads.
Not here: the messages' rows and the counters (transfer.py).
"""

from typing import Final

from postino.core.ids import AccountId, MailboxId, ModSeq
from postino.store.threads import join_thread
from postino.store.tx import Tx
from postino.store.uids import UidCondition

_CONTENT: Final = (
    "size, header_octets, is_reply, base_subject, from_sort, to_sort, cc_sort, from_display, to_display,"
    " refs, preview, envelope, bodystructure, fields, parts, sent_at, sent_day, subject_text, from_text,"
    " to_text, cc_text, bcc_text, message_id"
)
_OCTETS: Final = "header, codec, body, blob_id, blob_offset"
CONTENT_ID: Final = "? + dense_rank() OVER (ORDER BY content_id)"
"""SQL: the id of the copied content of each message of a condition, from what copy_contents() gave."""


def copy_contents(
    tx: Tx,
    account_id: AccountId,
    source_id: MailboxId,
    conditions: list[UidCondition],
    target_account: AccountId,
    first: ModSeq,
) -> tuple[list[tuple[int, ...]], ModSeq]:
    """Copy what the messages of the conditions consist of; the first content takes the id `first`.

    Gives the value of CONTENT_ID's parameter for each condition, and the last change number used, which
    is taken from the target's counter.
    """
    below: list[tuple[int, ...]] = []
    last = int(first) - 1
    for condition in conditions:
        below.append((last,))
        last += _copy_some(tx, account_id, source_id, condition, target_account, last)
    if last > first:
        tx.run("UPDATE account SET mod_seq=mod_seq+? WHERE id=?", (last - first, target_account))
    return below, ModSeq(max(last, first))


def _copy_some(
    tx: Tx,
    account_id: AccountId,
    source_id: MailboxId,
    condition: UidCondition,
    target_account: AccountId,
    below: int,
) -> int:
    """Copy the contents of one condition to the ids above `below`; give their number."""
    wanted = f"SELECT content_id FROM message WHERE account_id=? AND mailbox_id=? AND {condition.sql}"
    key = (target_account, below, account_id, account_id, source_id, *condition.params)
    number = tx.run(
        f"INSERT INTO content (account_id, id, thread_id, {_CONTENT})"
        f" SELECT ?, ? + row_number() OVER (ORDER BY id), 0, {_CONTENT} FROM content"
        f" WHERE account_id=? AND id IN ({wanted})",
        key,
    )
    tx.run(
        f"INSERT INTO octets (account_id, content_id, {_OCTETS})"
        f" SELECT ?, ? + row_number() OVER (ORDER BY content_id), {_OCTETS} FROM octets"
        f" WHERE account_id=? AND content_id IN ({wanted})",
        key,
    )
    made = tx.all(
        "SELECT id, message_id, refs FROM content WHERE account_id=? AND id>? AND id<=? ORDER BY id",
        (target_account, below, below + number),
    )
    tx.run_many(
        "UPDATE content SET thread_id=? WHERE account_id=? AND id=?",
        [
            (join_thread(tx, target_account, content_id, message_id, refs), target_account, content_id)
            for content_id, message_id, refs in made
        ],
    )
    return number
