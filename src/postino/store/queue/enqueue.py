"""Put messages into the queue.

RFC: 5321 §4.5.4 (the queue), 6710 §3 (urgent mail first), 2852 §4 (mail with a deadline).
Invariants: a message, its recipients and its octets are there together or not at all; recipients of a paused
    destination are parked, never sent.
Not here: who may send (servers/smtp/, store/sending.py), suppressed addresses (store/queue/suppression.py).
"""

from typing import Final

import msgspec

from postino.core.ids import EVERYBODY, QUEUE, Instant, ModSeq
from postino.core.ports import MailboxChange
from postino.smtp.envelope import NO_MAIL_OPTIONS, MailOptions
from postino.store.queue.values import (
    LeaseToken,
    NewQueued,
    NewRecipient,
    QueuedMessage,
    QueuedRecipient,
    QueueId,
    RecipientState,
)
from postino.store.shared_bodies import SharedBodies, stored_body
from postino.store.tx import Tx

NO_LEASE: Final = LeaseToken("")
NEVER: Final = Instant(0)
_WAITING: Final = int(RecipientState.WAITING)
_INSERT_MESSAGE: Final = (
    "INSERT INTO queue_message (kind, account_id, reverse_path, message_id, options, size, recipients,"
    " created_at, release_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"
)
_INSERT_RECIPIENT: Final = (
    "INSERT INTO queue_recipient (queue_id, number, address, domain, notify, original, state, urgency,"
    " next_at, lease, notice_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_OCTETS: Final = (
    "INSERT INTO queue_octets (queue_id, header, codec, body, blob_id, blob_offset) VALUES (?, ?, ?, ?, ?, ?)"
)
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(MailOptions).decode


def packed_options(options: MailOptions) -> bytes:
    """The column `queue_message.options`."""
    return b"" if options is NO_MAIL_OPTIONS or options == NO_MAIL_OPTIONS else _encode(options)


def unpacked_options(stored: bytes) -> MailOptions:
    """What packed_options() was given."""
    return _decode(stored) if stored else NO_MAIL_OPTIONS


def note_queue_change(tx: Tx) -> None:
    """Have the dispatchers of all workers look once this is committed."""
    tx.note_change(MailboxChange(EVERYBODY, QUEUE, ModSeq(0)))


def is_paused(tx: Tx, domain: str) -> bool:
    """Whether the operator paused this destination."""
    row = tx.one("SELECT paused_at FROM queue_destination WHERE domain=?", (domain,))
    return row is not None and row[0] != 0


def enqueue(
    tx: Tx,
    new: NewQueued,
    *,
    now: Instant,
    lease: LeaseToken | None = None,
    lease_until: Instant = NEVER,
    shared: SharedBodies | None = None,
) -> QueueId:
    """Put a message into the queue; it is ours from the commit on. See enqueue_message()."""
    return enqueue_message(tx, new, now=now, lease=lease, lease_until=lease_until, shared=shared).queue_id


def enqueue_message(
    tx: Tx,
    new: NewQueued,
    *,
    now: Instant,
    lease: LeaseToken | None = None,
    lease_until: Instant = NEVER,
    shared: SharedBodies | None = None,
) -> QueuedMessage:
    """Put a message into the queue; give it with the recipients that were born leased.

    With `lease`, those that may go at once are leased from the start: the dispatcher of that token sends them
    from memory, and nobody else is told. Parked, held and later ones are not among them, nor any without
    `lease`. A SealedBlob must be on disk already. `shared` is for a body that other rows of this transaction
    hold too. Durable with the commit.
    """
    options = new.options
    row = tx.one(
        _INSERT_MESSAGE,
        (
            new.kind,
            new.account_id,
            new.reverse_path,
            new.message_id,
            packed_options(options),
            new.size,
            len(new.recipients),
            now,
            max(now, new.release_at),
            new.expires_at,
        ),
    )
    assert row is not None
    queue_id = QueueId(row[0])
    born_leased = lease is not None and new.release_at <= now
    token = lease if lease is not None and born_leased else NO_LEASE
    due_at = lease_until if born_leased else new.release_at
    urgency = -options.priority
    notice_at = 0 if options.by_mode is None else options.deliver_by
    parked_notice_at = now if new.reverse_path else notice_at
    paused: dict[str, bool] = {}
    rows = []
    leased: list[QueuedRecipient] = []
    for number, recipient in enumerate(new.recipients, 1):
        domain = recipient.domain
        state = _WAITING
        if new.held:
            state = RecipientState.HELD
        else:
            is_parked = paused.get(domain)
            if is_parked is None:
                is_parked = paused[domain] = is_paused(tx, domain)
            if is_parked:
                state = RecipientState.PARKED
        goes = state == _WAITING
        rows.append(
            (
                queue_id,
                number,
                recipient.address,
                domain,
                int(recipient.notify),
                recipient.original,
                int(state),
                urgency,
                due_at if goes else new.release_at,
                token if goes else NO_LEASE,
                # When its sender must hear that it waits is reckoned up by take_overdue()'s caller.
                parked_notice_at if state == RecipientState.PARKED else notice_at,
            )
        )
        if goes and token:
            leased.append(_leased(number, recipient, now))
    if len(rows) == 1:
        tx.run(_INSERT_RECIPIENT, rows[0])
    else:
        tx.run_many(_INSERT_RECIPIENT, rows)
    body = stored_body(new.body) if shared is None else shared.put(tx, new.body, f"q{queue_id}")
    tx.run(_INSERT_OCTETS, (queue_id, new.header, *body))
    if not token:
        note_queue_change(tx)
    return QueuedMessage(
        queue_id=queue_id,
        kind=new.kind,
        account_id=new.account_id,
        reverse_path=new.reverse_path,
        message_id=new.message_id,
        options=options,
        size=new.size,
        created_at=now,
        expires_at=new.expires_at,
        release_at=max(now, new.release_at),
        recipients=leased,
    )


def _leased(number: int, recipient: NewRecipient, now: Instant) -> QueuedRecipient:
    return QueuedRecipient(
        number=number,
        address=recipient.address,
        domain=recipient.domain,
        notify=recipient.notify,
        original=recipient.original,
        state=RecipientState.WAITING,
        attempts=0,
        next_at=now,
        first_failed_at=NEVER,
        delay_told_at=NEVER,
        last_status="",
        last_reply="",
        last_remote="",
        last_at=NEVER,
    )
