"""Put messages into mailboxes: delivery and APPEND.

RFC: 9051 §6.3.12 (APPEND), §2.3.1.1 (UIDs).
Invariants: UIDs and mod-sequences are given in commit order and never again, even when a transaction
    is run twice; a message, its facts and its octets are there together or not at all.
Not here: the other functions on messages, which this module only names: copies, moves and expunges
    (store/transfer.py), flags (store/flagging.py).
"""

from collections.abc import Sequence
from typing import Final

from postino.core.ids import AccountId, Instant, MailboxId, ModSeq
from postino.core.ports import MailboxChange
from postino.store.content import Appended, NewEmail
from postino.store.counters import DELETED, SEEN, add_to_mailbox, charge
from postino.store.flagging import (
    FlagChange,
    FlagMode,
    FlagsStored,
    KnownFlags,
    store_flags,
    store_known_flags,
)
from postino.store.shared_bodies import SharedBodies, stored_body
from postino.store.threads import join_thread
from postino.store.transfer import Copied, Expunged, copy, expunge, move
from postino.store.tx import SqlValue, Tx

__all__ = [
    "Appended",
    "Copied",
    "Expunged",
    "FlagChange",
    "FlagMode",
    "FlagsStored",
    "KnownFlags",
    "append",
    "append_many",
    "copy",
    "deliver",
    "expunge",
    "move",
    "store_flags",
    "store_known_flags",
]

Delivery = tuple[AccountId, MailboxId | None, NewEmail]
"""A message for a mailbox of an account; None is its INBOX."""


def append(tx: Tx, account_id: AccountId, mailbox_id: MailboxId, new: NewEmail, *, now: Instant) -> Appended:
    """Give `new` the next UID of the mailbox and make it visible at the next mod-seq.

    A SealedBlob must be on disk already: once this is committed, a crash leaves no row without its
    octets. Raises OverQuota before anything is written, NoSuchMailbox, NoSuchAccount.
    """
    return _append(tx, account_id, mailbox_id, new, now)


def append_many(
    tx: Tx, account_id: AccountId, mailbox_id: MailboxId, news: Sequence[NewEmail], *, now: Instant
) -> list[Appended]:
    """As append() of one after the other, but all or none; a group costs half as much as its messages alone.

    Raises OverQuota before anything is written, NoSuchMailbox, NoSuchAccount.
    """
    if len(news) == 1:
        return [append(tx, account_id, mailbox_id, news[0], now=now)]
    count = len(news)
    octets = sum([new.facts.size for new in news])
    mod_seq = charge(tx, account_id, octets, count, numbers=count)
    mailbox_id, uid_validity, first_uid = add_to_mailbox(
        tx,
        account_id,
        mailbox_id,
        mod_seq,
        messages=count,
        unseen=sum([not new.flags.system & SEEN for new in news]),
        deleted=sum([bool(new.flags.system & DELETED) for new in news]),
        octets=octets,
    )
    done = [
        Appended(uid_validity, first_uid + at, number)
        for at, number in enumerate(range(mod_seq - count + 1, mod_seq + 1))
    ]
    placed = list(zip(news, done, strict=True))
    tx.run_many(
        _INSERT_MESSAGE,
        [_message_row(account_id, mailbox_id, at.uid, at.mod_seq, new, now) for new, at in placed],
    )
    tx.run_many(_INSERT_CONTENT, [_content_row(tx, account_id, at.mod_seq, new) for new, at in placed])
    tx.run_many(
        _INSERT_OCTETS, [(account_id, at.mod_seq, new.header, *stored_body(new.body)) for new, at in placed]
    )
    tx.note_change(MailboxChange(account_id, mailbox_id, mod_seq))
    return done


def deliver(
    tx: Tx,
    deliveries: Sequence[Delivery],
    now: Instant,
    *,
    shared: SharedBodies | None = None,
    over_quota: bool = False,
) -> list[Appended]:
    """Append each message, all or none; a body that several of them hold is stored once.

    `shared` knows of bodies that other rows of this transaction hold too. With `over_quota` there is always
    room. Raises OverQuota naming the account, NoSuchMailbox, NoSuchAccount.
    """
    if shared is None and len(deliveries) > 1:
        shared = SharedBodies([new.body for _, _, new in deliveries])
    return [
        _append(tx, account_id, mailbox_id, new, now, shared, over_quota=over_quota)
        for account_id, mailbox_id, new in deliveries
    ]


def _append(
    tx: Tx,
    account_id: AccountId,
    mailbox_id: MailboxId | None,
    new: NewEmail,
    now: Instant,
    shared: SharedBodies | None = None,
    *,
    over_quota: bool = False,
) -> Appended:
    flags = new.flags
    size = new.facts.size
    mod_seq = charge(tx, account_id, size, 1, over_quota=over_quota)
    mailbox_id, uid_validity, uid = add_to_mailbox(
        tx,
        account_id,
        mailbox_id,
        mod_seq,
        messages=1,
        unseen=0 if flags.system & SEEN else 1,
        deleted=1 if flags.system & DELETED else 0,
        octets=size,
    )
    tx.run(_INSERT_MESSAGE, _message_row(account_id, mailbox_id, uid, mod_seq, new, now))
    tx.run(_INSERT_CONTENT, _content_row(tx, account_id, mod_seq, new))
    # Named after its first receiver, which no other body can be: content ids are given once.
    body = stored_body(new.body) if shared is None else shared.put(tx, new.body, f"{account_id}-{mod_seq}")
    tx.run(_INSERT_OCTETS, (account_id, mod_seq, new.header, *body))
    tx.note_change(MailboxChange(account_id, mailbox_id, ModSeq(mod_seq)))
    return Appended(uid_validity, uid, mod_seq)


_INSERT_MESSAGE: Final = (
    "INSERT INTO message (account_id, mailbox_id, uid, content_id, flags, keywords, mod_seq,"
    " internal_date, save_date, size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_CONTENT: Final = (
    "INSERT INTO content (account_id, id, size, header_octets, envelope, bodystructure, fields, parts,"
    " sent_at, sent_day, subject_text, from_text, to_text, cc_text, bcc_text, message_id, thread_id,"
    " is_reply, base_subject, from_sort, to_sort, cc_sort, from_display, to_display, refs, preview)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_OCTETS: Final = (
    "INSERT INTO octets (account_id, content_id, header, codec, body, blob_id, blob_offset)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)


def _message_row(
    account_id: AccountId, mailbox_id: MailboxId, uid: int, mod_seq: int, new: NewEmail, now: Instant
) -> tuple[SqlValue, ...]:
    flags = new.flags
    return (
        account_id,
        mailbox_id,
        uid,
        mod_seq,
        flags.system,
        flags.stored_keywords,
        mod_seq,
        new.internal_date,
        now,
        new.facts.size,
    )


def _content_row(tx: Tx, account_id: AccountId, mod_seq: int, new: NewEmail) -> tuple[SqlValue, ...]:
    facts = new.facts
    return (
        account_id,
        mod_seq,
        facts.size,
        facts.header_octets,
        facts.envelope,
        facts.bodystructure,
        facts.fields,
        facts.parts,
        facts.sent_at or new.internal_date,
        facts.sent_day if facts.sent_at else new.internal_date // 86400,
        facts.subject_text,
        facts.from_text,
        facts.to_text,
        facts.cc_text,
        facts.bcc_text,
        facts.message_id,
        join_thread(tx, account_id, mod_seq, facts.message_id, facts.refs),
        facts.is_reply,
        facts.base_subject,
        facts.from_sort,
        facts.to_sort,
        facts.cc_sort,
        facts.from_display,
        facts.to_display,
        facts.refs,
        facts.preview,
    )
