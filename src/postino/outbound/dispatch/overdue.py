"""Tell senders of mail that is late, and give back what has waited too long, when no attempt does it.

RFC: 5321 §4.5.4.1 (giving up), 3461 §6.2 (delayed), 2852 §4.1.3 (deadlines).
Invariants: a recipient whose sender was told is noted so in the same write; a fault with one message ends its
    report alone.
Not here: who is overdue (store/queue/due.py), what is told (reports.py).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from postino.core.ids import Instant
from postino.outbound.dispatch.attempt import EXPIRED, LATE
from postino.outbound.dispatch.settling import Done, Settler
from postino.outbound.dispatch.work import Held
from postino.outbound.reports import Reporter
from postino.smtp.envelope import ByMode
from postino.store.queue.due import is_late, take_overdue
from postino.store.queue.rows import NotInQueue, read_octets
from postino.store.queue.settle import Report
from postino.store.queue.values import (
    LeaseToken,
    Octets,
    Outcome,
    QueuedMessage,
    QueuedRecipient,
    RecipientState,
    Result,
)
from postino.store.store import Store

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

BATCH: Final = 100
_MOST_BATCHES: Final = 100
"""In one look, so that what cannot be settled does not keep us here."""
_GAVE_UP: Final = "It could not be delivered within the time it was to be tried for"

Adopt = Callable[[QueuedMessage, Instant], Held]
"""Has a leased message count as under way."""


async def tell_overdue(
    store: Store,
    token: LeaseToken,
    *,
    reporter: Reporter,
    settler: Settler,
    adopt: Adopt,
    now: Instant,
    until: Instant,
    delay_notice_seconds: int,
    log: "FilteringBoundLogger",
) -> None:
    """See to everybody whose time has come. Raises PostinoError when the store cannot be read now."""
    for _ in range(_MOST_BATCHES):
        messages = await store.write(
            lambda tx: take_overdue(tx, token, now=now, until=until, most=BATCH), durable=False
        )
        for message in messages:
            held = adopt(message, until)
            try:
                octets = store.read_now(partial(read_octets, queue_id=message.queue_id))
            except NotInQueue:
                settler.add(Done(held, (), ()))
                continue
            outcomes = [
                _outcome(message, recipient, now, delay_notice_seconds) for recipient in message.recipients
            ]
            try:
                reports = await _reports(reporter, message, outcomes, octets)
            except Exception as error:
                # It waits on, untold, and holds up no other.
                log.error("queue.fault", queue_id=message.queue_id, exc_info=error)
                outcomes = [_waits_on(message, recipient) for recipient in message.recipients]
                reports = []
            await settler.wait_for_room()
            settler.add(Done(held, message.recipients, outcomes, reports))
        if len(messages) < BATCH:
            return


async def _reports(
    reporter: Reporter, message: QueuedMessage, outcomes: Sequence[Outcome], octets: Octets
) -> list[Report]:
    failed = [outcome for outcome in outcomes if outcome.result is Result.FAILED]
    numbers = {outcome.number for outcome in outcomes if outcome.delay_told}
    late = [recipient for recipient in message.recipients if recipient.number in numbers]
    reports: list[Report] = []
    if failed:
        reports += await reporter.make_reports(message, failed, octets)
    if late:
        reports += await reporter.late(message, late, octets)
    return reports


def _outcome(
    message: QueuedMessage, recipient: QueuedRecipient, now: Instant, delay_notice_seconds: int
) -> Outcome:
    options = message.options
    is_void = options.by_mode is ByMode.RETURN and options.deliver_by <= now
    if is_void or (now >= message.expires_at and recipient.state is RecipientState.WAITING):
        return Outcome(
            queue_id=message.queue_id,
            number=recipient.number,
            result=Result.FAILED,
            status=LATE if is_void else EXPIRED,
            reply=recipient.last_reply or _GAVE_UP,
            remote=recipient.last_remote,
        )
    # What is parked may be here for nothing but to have its next notice reckoned up.
    told = is_late(message, recipient, now, delay_notice_seconds=delay_notice_seconds)
    return _waits_on(message, recipient, told=told)


def _waits_on(message: QueuedMessage, recipient: QueuedRecipient, *, told: bool = False) -> Outcome:
    return Outcome(
        queue_id=message.queue_id,
        number=recipient.number,
        result=Result.DEFERRED,
        status=recipient.last_status,
        reply=recipient.last_reply,
        remote=recipient.last_remote,
        next_at=recipient.next_at,
        counts=False,
        delay_told=told,
    )
