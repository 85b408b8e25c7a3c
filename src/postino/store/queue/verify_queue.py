"""Look whether the queue's tables say what they may, and say what differs.

Invariants: changes nothing.
Not here: when it is run (store/verify.py).
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from postino.core.errors import DatabaseDamaged
from postino.core.ids import BlobId
from postino.smtp.envelope import ByMode
from postino.store.blobs import BlobStore
from postino.store.bodies import Codec, unpack
from postino.store.finding import Finding, Severity
from postino.store.queue.enqueue import unpacked_options
from postino.store.queue.values import QueueKind
from postino.store.tx import Row, Tx

_AT_ONCE: Final = 200


def check_queue(tx: Tx) -> Iterator[Finding]:
    """Everything but the blobs' files."""
    yield from _references(tx)
    yield from _recipients(tx)
    yield from _messages(tx)
    yield from _bodies(tx)
    yield from _destinations(tx)


def check_queue_blobs(tx: Tx, blobs: BlobStore) -> Iterator[Finding]:
    """Whether each blob a waiting message names is there, and long enough."""
    for queue_id, blob_id, end in tx.all(
        "SELECT q.queue_id, q.blob_id, q.blob_offset + m.size - length(q.header) FROM queue_octets q"
        " JOIN queue_message m ON m.id=q.queue_id WHERE q.codec=?",
        (Codec.BLOB,),
    ):
        octets = blobs.size(BlobId(blob_id))
        if octets is None:
            yield _damage(f"waiting message {queue_id} has lost its file {blob_id}")
        elif octets < end:
            yield _damage(f"the file {blob_id} of waiting message {queue_id} is too short")


def _damage(sentence: str) -> Finding:
    return Finding(Severity.DAMAGE, 0, sentence)


def _each(tx: Tx, sql: str, sentence: str) -> Iterator[Finding]:
    rows: list[Row] = tx.all(sql)
    for row in rows:
        yield _damage(sentence.format(*row))


def _references(tx: Tx) -> Iterator[Finding]:
    yield from _each(
        tx,
        "SELECT DISTINCT queue_id FROM queue_recipient r WHERE NOT EXISTS"
        " (SELECT 1 FROM queue_message m WHERE m.id=r.queue_id)",
        "recipients wait for message {}, which is not in the queue",
    )
    yield from _each(
        tx,
        "SELECT id FROM queue_message m WHERE NOT EXISTS"
        " (SELECT 1 FROM queue_recipient r WHERE r.queue_id=m.id)",
        "message {} waits for nobody: it would never leave the queue",
    )
    yield from _each(
        tx,
        "SELECT id FROM queue_message m WHERE NOT EXISTS"
        " (SELECT 1 FROM queue_octets o WHERE o.queue_id=m.id)",
        "waiting message {} has lost its octets",
    )
    yield from _each(
        tx,
        "SELECT queue_id FROM queue_octets o WHERE NOT EXISTS"
        " (SELECT 1 FROM queue_message m WHERE m.id=o.queue_id)",
        "octets of message {} are kept, which is not in the queue",
    )
    yield from _each(
        tx,
        "SELECT m.id, m.account_id FROM queue_message m WHERE m.account_id<>0 AND NOT EXISTS"
        " (SELECT 1 FROM account a WHERE a.id=m.account_id)",
        "waiting message {} is of account {}, which does not exist",
    )


def _recipients(tx: Tx) -> Iterator[Finding]:
    yield from _each(
        tx,
        "SELECT r.queue_id, r.number, m.recipients FROM queue_recipient r"
        " JOIN queue_message m ON m.id=r.queue_id WHERE r.number<1 OR r.number>m.recipients",
        "waiting message {} has a recipient {}, but was accepted for {}",
    )
    yield from _each(
        tx,
        "SELECT queue_id, number, domain FROM queue_recipient"
        " WHERE domain='' OR domain<>lower(domain) OR domain LIKE '%.'",
        "recipient {0}.{1} has the domain {2!r}, which no pause would find",
    )
    yield from _each(
        tx,
        "SELECT queue_id, number, state FROM queue_recipient WHERE state NOT IN (0, 1, 2)",
        "recipient {}.{} is in state {}, which there is not",
    )
    yield from _each(
        tx,
        "SELECT queue_id, number, lease FROM queue_recipient"
        " WHERE lease<>'' AND (instr(lease, '.')<2 OR next_at=0)",
        "recipient {}.{} is leased to {!r}, which is no dispatcher, or for no time",
    )
    yield from _each(
        tx,
        "SELECT r.queue_id, r.number FROM queue_recipient r JOIN queue_message m ON m.id=r.queue_id WHERE"
        " r.attempts<0 OR (r.attempts=0) <> (r.first_failed_at=0) OR r.first_failed_at>r.last_at",
        "recipient {}.{} says something else of its attempts than of when they were",
    )
    for queue_id, number, urgency, packed in tx.all(
        "SELECT r.queue_id, r.number, r.urgency, m.options FROM queue_recipient r"
        " JOIN queue_message m ON m.id=r.queue_id WHERE r.urgency<>0"
    ):
        try:
            priority = unpacked_options(packed).priority
        except msgspec.MsgspecError:
            continue
        if priority != -urgency:
            yield _damage(f"recipient {queue_id}.{number} is as urgent as {-urgency}, its message {priority}")


def _messages(tx: Tx) -> Iterator[Finding]:
    kinds = {int(kind) for kind in QueueKind}
    for queue_id, kind, account_id, reverse_path, packed, created_at, release_at, expires_at in tx.all(
        "SELECT id, kind, account_id, reverse_path, options, created_at, release_at, expires_at"
        " FROM queue_message"
    ):
        if kind not in kinds:
            yield _damage(f"waiting message {queue_id} is of kind {kind}, which there is not")
        if kind == QueueKind.REPORT and (reverse_path or account_id):
            yield _damage(f"waiting message {queue_id} is a report and not from <>: it could be reported on")
        if expires_at <= created_at:
            yield _damage(f"waiting message {queue_id} expired before it was accepted")
        if release_at < created_at:
            yield _damage(f"waiting message {queue_id} was to be sent before it was accepted")
        try:
            options = unpacked_options(packed)
        except msgspec.MsgspecError:
            yield _damage(f"the options of waiting message {queue_id} cannot be read")
        else:
            if options.by_mode is ByMode.RETURN and tx.one(
                "SELECT 1 FROM queue_recipient WHERE queue_id=? AND notice_at=0", (queue_id,)
            ):
                yield _damage(f"waiting message {queue_id} has a deadline that nobody looks at")


def _bodies(tx: Tx) -> Iterator[Finding]:
    last = -1
    while rows := tx.all(
        "SELECT q.queue_id, q.codec, coalesce(s.codec, q.codec), coalesce(s.body, q.body),"
        " m.size - length(q.header) FROM queue_octets q JOIN queue_message m ON m.id=q.queue_id"
        " LEFT JOIN shared_body s ON s.id=q.blob_id AND q.codec=?"
        " WHERE q.queue_id>? AND q.codec<>? ORDER BY q.queue_id LIMIT ?",
        (Codec.SHARED, last, Codec.BLOB, _AT_ONCE),
    ):
        for queue_id, _, codec, body, size in rows:
            if codec == Codec.SHARED or body is None:
                yield _damage(f"waiting message {queue_id} has lost its body")
                continue
            try:
                unpack(codec, body, size)
            except DatabaseDamaged:
                yield _damage(
                    f"the body of waiting message {queue_id} cannot be had back, or has not {size} octets"
                )
        last = rows[-1][0]
    yield from _each(
        tx,
        f"SELECT queue_id FROM queue_octets WHERE codec={int(Codec.BLOB)} AND blob_id IS NULL",
        "waiting message {} lies in a file without a name",
    )


def _destinations(tx: Tx) -> Iterator[Finding]:
    yield from _each(
        tx,
        "SELECT r.queue_id, r.number, r.domain FROM queue_recipient r JOIN queue_destination d"
        " ON d.domain=r.domain WHERE r.state=0 AND d.paused_at<>0",
        "recipient {}.{} would be sent to, but {} is paused",
    )
    yield from _each(
        tx,
        "SELECT r.queue_id, r.number, r.domain FROM queue_recipient r LEFT JOIN queue_destination d"
        " ON d.domain=r.domain WHERE r.state=2 AND coalesce(d.paused_at, 0)=0",
        "recipient {}.{} waits for {} to be resumed, which is not paused",
    )
    for (domain,) in tx.all("SELECT domain FROM queue_destination WHERE paused_at=0 AND route=''"):
        yield Finding(Severity.LITTER, 0, f"nothing is decided about the destination {domain}")
    for (address,) in tx.all("SELECT address FROM suppression WHERE failures=0 AND by_operator=0"):
        yield Finding(Severity.LITTER, 0, f"the address {address} is remembered for no failure")
