"""Recipients about whom somebody must be told something, whether or not there was an attempt just now.

RFC: 5321 §4.5.4.1 (giving up), 2852 §4 (deadlines), 3461 §6.2 (delayed).
Invariants: a recipient that is due is not given up before one more attempt, as after a long outage; of those
    held nobody is told anything; those parked do not expire.
Not here: what is told (outbound/reports.py).
"""

from postino.core.ids import Instant
from postino.smtp.envelope import ByMode, MailOptions
from postino.store.queue.rows import RECIPIENT_COLUMNS, messages_of
from postino.store.queue.values import LeaseToken, QueuedMessage, QueuedRecipient
from postino.store.tx import Tx


def notice_at(
    *,
    release_at: int,
    expires_at: int,
    options: MailOptions,
    delay_told_at: int,
    delay_notice_seconds: int,
) -> int:
    """When the sender of a recipient that waits is told next; 0 for never. An `expires_at` of 0 is none."""
    times = [expires_at] if expires_at else []
    if delay_notice_seconds and not delay_told_at:
        times.append(release_at + delay_notice_seconds)
    if options.by_mode is ByMode.RETURN or (
        options.by_mode is ByMode.NOTIFY and delay_told_at < options.deliver_by
    ):
        times.append(options.deliver_by)
    return min(times, default=0)


def is_late(
    message: QueuedMessage, recipient: QueuedRecipient, now: Instant, *, delay_notice_seconds: int
) -> bool:
    """Whether the sender must be told now that this recipient waits, and was not told so before."""
    options, told_at = message.options, recipient.delay_told_at
    if options.by_mode is ByMode.NOTIFY and told_at < options.deliver_by <= now:
        return True
    return bool(delay_notice_seconds) and not told_at and message.release_at + delay_notice_seconds <= now


def take_overdue(
    tx: Tx, token: LeaseToken, *, now: Instant, until: Instant, most: int
) -> list[QueuedMessage]:
    """Lease up to `most` recipients whose sender must be told something now: late, too late, given up.

    Those that are due are left to the next attempt. Of some nothing is to be told yet, or any more: parked
    recipients, whose notice was never reckoned up or was that of giving up (see is_late()). `next_at` of each
    is what it was: whoever does not give one up settles it as DEFERRED until then, counting no attempt, which
    reckons up the next notice. Needs no sync.
    """
    where = "notice_at<>0 AND notice_at<=? AND state<>1 AND lease=''"
    rows = tx.all(
        f"SELECT {RECIPIENT_COLUMNS} FROM queue_recipient WHERE {where} AND (state=2 OR next_at>?)"
        " ORDER BY notice_at, queue_id, number LIMIT ?",
        (now, now, most),
    )
    tx.run_many(
        "UPDATE queue_recipient SET lease=?, next_at=? WHERE queue_id=? AND number=?",
        [(token, until, row[0], row[1]) for row in rows],
    )
    return messages_of(tx, rows)
