"""Messages in the queue, for tests below the dispatcher."""

from collections.abc import Sequence
from typing import Any

from postino.core.ids import AccountId, Instant
from postino.smtp.envelope import NO_MAIL_OPTIONS, MailOptions
from postino.store.content import Body, InlineBody
from postino.store.queue.enqueue import enqueue
from postino.store.queue.values import (
    LeaseToken,
    NewQueued,
    NewRecipient,
    Outcome,
    QueueId,
    QueueKind,
    Result,
)
from postino.store.store import Store
from tests.support.stored import NOW

HEADER = (
    b"Received: from client.example\r\n\tby mail.example.org; Thu, 1 Jan 2026 00:00:00 +0000\r\n"
    b"From: Ann <ann@example.org>\r\nTo: x@a.example\r\nMessage-ID: <q@example.org>\r\nSubject: Hi\r\n\r\n"
)
ME = LeaseToken("0.me")
OTHER = LeaseToken("1.other")
DAY = 86_400


def new_queued(
    *addresses: str,
    body: bytes | Body = b"Hello\r\n",
    header: bytes = HEADER,
    account_id: int = 0,
    reverse_path: str = "ann@example.org",
    kind: QueueKind = QueueKind.SUBMITTED,
    options: MailOptions = NO_MAIL_OPTIONS,
    now: int = NOW,
    release_at: int | None = None,
    expires_at: int | None = None,
    held: bool = False,
    size: int | None = None,
) -> NewQueued:
    """A message for these, x@a.example when none is named. `size` is of the body in a blob."""
    stored = InlineBody(body) if isinstance(body, bytes) else body
    octets = len(stored.octets) if isinstance(stored, InlineBody) else size or 0
    return NewQueued(
        kind=kind,
        account_id=AccountId(account_id),
        reverse_path=reverse_path,
        recipients=[
            NewRecipient(address=address, domain=address.rpartition("@")[2].lower())
            for address in addresses or ("x@a.example",)
        ],
        header=header,
        body=stored,
        size=len(header) + octets,
        message_id="m1",
        options=options,
        release_at=Instant(now if release_at is None else release_at),
        expires_at=Instant(now + 5 * DAY if expires_at is None else expires_at),
        held=held,
    )


def put(store: Store, *addresses: str, now: int = NOW, **more: Any) -> QueueId:
    """Enqueue new_queued()."""
    new = new_queued(*addresses, now=now, **more)
    return store.write_now(lambda tx: enqueue(tx, new, now=Instant(now)))


def outcome(
    queue_id: int,
    number: int = 1,
    result: Result = Result.SENT,
    *,
    status: str = "",
    next_at: int = 0,
    **more: Any,
) -> Outcome:
    """One attempt's result, with a status that fits."""
    first = {Result.DEFERRED: "4", Result.FAILED: "5"}.get(result, "2")
    return Outcome(
        queue_id=QueueId(queue_id),
        number=number,
        result=result,
        status=status or f"{first}.0.0",
        reply=f"{first}50 said so",
        next_at=Instant(next_at),
        **more,
    )


def waiting(store: Store) -> list[tuple[int, int, int, int, str]]:
    """(queue id, number, state, next_at, lease) of every recipient."""
    return store.read_now(
        lambda tx: tx.all(
            "SELECT queue_id, number, state, next_at, lease FROM queue_recipient ORDER BY queue_id, number"
        )
    )


def counts(store: Store) -> Sequence[int]:
    """Rows of queue_message, queue_recipient, queue_octets and shared_body."""
    return [
        store.read_now(lambda tx, table=table: tx.one(f"SELECT count(*) FROM {table}"))[0]  # type: ignore[misc]
        for table in ("queue_message", "queue_recipient", "queue_octets", "shared_body")
    ]
