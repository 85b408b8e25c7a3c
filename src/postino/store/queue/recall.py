"""Take a message back that nobody has yet: out of the queue, into its sender's drafts.

Invariants: a message is taken back whole or not at all: not when one recipient was sent to, nor while one is
    being sent to; it is in the queue or among the drafts at any time, never in neither.
Not here: what the draft looks like (delivery/drafts.py).
"""

from dataclasses import dataclass
from typing import Final

from postino.core.errors import NotPermitted
from postino.core.ids import AccountId, Instant, MailboxId
from postino.core.numset import NumberSet
from postino.store.content import Appended, NewEmail
from postino.store.mailboxes import create_mailbox
from postino.store.messages import append
from postino.store.queue.rows import MESSAGE_COLUMNS, RECIPIENT_COLUMNS, NotInQueue, message_of, recipient_of
from postino.store.queue.settle import remove_messages
from postino.store.queue.values import QueuedMessage, QueueId, QueueKind
from postino.store.transfer import expunge
from postino.store.tx import Tx

_SENT_WITHIN: Final = 900
"""Seconds between queueing a message and filing it in Sent, by us or by the mail program."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """Where the message is now."""

    draft: Appended
    drafts: str
    """The mailbox's name."""
    removed_from_sent: int


def recallable(tx: Tx, queue_id: QueueId, now: Instant) -> QueuedMessage:
    """The message with all its recipients. Raises NotInQueue, NotPermitted when it cannot be taken back."""
    row = tx.one(f"SELECT {MESSAGE_COLUMNS}, recipients FROM queue_message WHERE id=?", (queue_id,))
    if row is None:
        raise NotInQueue(f"Message {queue_id} is not in the queue: it was sent, given up or dropped")
    rows = tx.all(
        f"SELECT {RECIPIENT_COLUMNS}, lease FROM queue_recipient WHERE queue_id=? ORDER BY number",
        (queue_id,),
    )
    *message_row, accepted_recipients = row
    message = message_of(tuple(message_row), [recipient_of(row) for row in rows])
    if message.kind is not QueueKind.SUBMITTED or not message.account_id:
        raise NotPermitted(f"Message {queue_id} was not submitted by an account here; it can only be dropped")
    gone = accepted_recipients - len(rows)
    if gone:
        raise NotPermitted(
            f"Message {queue_id} was sent to, or given up for, {gone} of {accepted_recipients} recipients; "
            "the others can only be dropped"
        )
    if any(
        row[-1] and recipient.next_at > now for row, recipient in zip(rows, message.recipients, strict=True)
    ):
        raise NotPermitted(f"Message {queue_id} is being sent this very moment; try again in a minute")
    return message


def recall(tx: Tx, message: QueuedMessage, draft: NewEmail, message_id: str, *, now: Instant) -> Recalled:
    """Put the message back as `draft`, and remove its copy in Sent.

    `message_id` is its Message-ID, without <>. A blob that `draft` names stays. Raises as recallable(), and
    OverQuota, NoSuchAccount.
    """
    recallable(tx, message.queue_id, now)
    account_id = message.account_id
    mailbox_id, name = _special_use(tx, account_id, "\\Drafts") or _drafts_by_name(tx, account_id, now)
    done = append(tx, account_id, mailbox_id, draft, now=now)
    tx.run("DELETE FROM queue_recipient WHERE queue_id=?", (message.queue_id,))
    remove_messages(tx, [message.queue_id])
    removed = 0
    sent = _special_use(tx, account_id, "\\Sent") or _by_name(tx, account_id, "Sent")
    if sent is not None and message_id:
        uids = [
            uid
            for (uid,) in tx.all(
                "SELECT m.uid FROM message m JOIN content c ON c.account_id=m.account_id"
                " AND c.id=m.content_id WHERE m.account_id=? AND m.mailbox_id=?"
                " AND m.save_date BETWEEN ? AND ? AND c.message_id=?",
                (
                    account_id,
                    sent[0],
                    message.created_at - _SENT_WITHIN,
                    message.created_at + _SENT_WITHIN,
                    message_id,
                ),
            )
        ]
        if uids:
            expunge(tx, account_id, sent[0], NumberSet.of(uids), only_deleted=False, now=now)
            removed = len(uids)
    return Recalled(done, name, removed)


def _special_use(tx: Tx, account_id: AccountId, use: str) -> tuple[MailboxId, str] | None:
    row = tx.one(
        "SELECT id, name FROM mailbox WHERE account_id=? AND special_use=? ORDER BY id LIMIT 1",
        (account_id, use),
    )
    return None if row is None else (MailboxId(row[0]), row[1])


def _by_name(tx: Tx, account_id: AccountId, name: str) -> tuple[MailboxId, str] | None:
    row = tx.one("SELECT id FROM mailbox WHERE account_id=? AND name=?", (account_id, name))
    return None if row is None else (MailboxId(row[0]), name)


def _drafts_by_name(tx: Tx, account_id: AccountId, now: Instant) -> tuple[MailboxId, str]:
    found = _by_name(tx, account_id, "Drafts")
    if found is not None:
        return found
    made = create_mailbox(tx, account_id, "Drafts", special_use="\\Drafts", now=now)
    return MailboxId(made.id), made.name
