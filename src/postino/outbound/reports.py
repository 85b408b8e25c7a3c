"""Tell senders what became of the mail they gave us: which outcomes are told of, and with what.

RFC: 3461 §5.2 (when), 3464 §2.3 (actions), 2852 §4.1.3 (deadlines).
Invariants: a recipient is told of once as failed, relayed or delivered; NOTIFY decides, and a message of
    kind REPORT or with a null reverse-path is never reported on.
Not here: the report itself (delivery/reports.py), when a recipient is late (store/queue/due.py), writing it
    down (store/queue/settle.py).
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from postino.core.ids import Instant
from postino.core.ports import Clock
from postino.delivery.report_words import Told
from postino.delivery.reports import Original, ReportWriter, Tellable, returns_whole
from postino.mime.delivery_status import NEVER, Action, RecipientStatus
from postino.smtp.envelope import ByMode, Notify
from postino.smtp.paths import parse_path
from postino.store.blobs import BlobStore
from postino.store.content import InlineBody, SealedBlob
from postino.store.queue.values import Octets, Outcome, QueuedMessage, QueuedRecipient, QueueKind, Result

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_LATE: Final = "5.4.7"
_EXPIRED: Final = "4.4.7"


def wants_failure(notify: Notify) -> bool:
    """Whether the sender hears that it failed (RFC 3461 §5.2.6)."""
    return notify is Notify.UNSAID or bool(notify & Notify.FAILURE)


def wants_delay(notify: Notify) -> bool:
    """Whether the sender hears that it is late (RFC 3461 §5.2.5)."""
    return notify is Notify.UNSAID or bool(notify & Notify.DELAY)


def is_reportable(message: QueuedMessage) -> bool:
    """Whether anybody may be told anything about it."""
    return message.kind is not QueueKind.REPORT and message.reverse_path != ""


def to_tell(message: QueuedMessage, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes of this message that its sender hears of."""
    if not is_reportable(message):
        return []
    notify = {recipient.number: recipient.notify for recipient in message.recipients}
    return [outcome for outcome in outcomes if _is_told(outcome, notify[outcome.number])]


def _is_told(outcome: Outcome, notify: Notify) -> bool:
    if outcome.result is Result.FAILED:
        return wants_failure(notify)
    # Whether the next server confirms success is decided where its extensions are known (attempt.py).
    return outcome.result is Result.RELAYED and not notify & Notify.NEVER


class Reporter:
    """Makes the reports of one worker's dispatcher."""

    def __init__(
        self, writer: ReportWriter, blobs: BlobStore, clock: Clock, log: "FilteringBoundLogger"
    ) -> None:
        self._writer = writer
        self._blobs = blobs
        self._clock = clock
        self._log = log

    async def make_reports(
        self, message: QueuedMessage, outcomes: Sequence[Outcome], octets: Octets
    ) -> Sequence[Tellable]:
        """What its sender hears of an attempt: one report for all recipients that failed or were relayed."""
        telling = to_tell(message, outcomes)
        if not is_reportable(message):
            self._log_untold(message, outcomes)
        if not telling:
            return ()
        if isinstance(octets.body, SealedBlob) and octets.size <= self._writer.rules().returned_octets:
            body = await asyncio.to_thread(self._blobs.read_body, octets.body, octets.body_size)
            octets = Octets(octets.header, InlineBody(body), octets.size)
        reports = self.settled(message, outcomes, octets, now=self._clock.now())
        if not reports:
            # Their account is gone.
            self._log_untold(message, telling)
        return reports

    def settled(
        self, message: QueuedMessage, outcomes: Sequence[Outcome], octets: Octets, *, now: Instant
    ) -> Sequence[Tellable]:
        """As make_reports(), but blocks while a large message is read."""
        recipients = {recipient.number: recipient for recipient in message.recipients}
        return self._write(
            message,
            [_told_of(message, one, recipients[one.number], now=now) for one in to_tell(message, outcomes)],
            octets,
            now,
        )

    async def late(
        self, message: QueuedMessage, recipients: Sequence[QueuedRecipient], octets: Octets
    ) -> Sequence[Tellable]:
        """What its sender hears of recipients that are late but still tried, if they want to."""
        if not is_reportable(message):
            return ()
        now = self._clock.now()
        wanting = [recipient for recipient in recipients if wants_delay(recipient.notify)]
        return self._write(message, [_told_late(message, one, now=now) for one in wanting], octets, now)

    def _log_untold(self, message: QueuedMessage, outcomes: Sequence[Outcome]) -> None:
        """Where no sender can be told of a failure, those who run the server are."""
        for outcome in outcomes:
            if outcome.result is Result.FAILED:
                self._log.warning(
                    "report.undeliverable",
                    message=message.message_id,
                    queue_id=message.queue_id,
                    kind=message.kind.name.lower(),
                    status=outcome.status,
                    reply=outcome.reply,
                )

    def _write(
        self, message: QueuedMessage, told: Sequence[Told], octets: Octets, now: Instant
    ) -> Sequence[Tellable]:
        path = parse_path(f"<{message.reverse_path}>")
        if path is None or not told:
            return ()
        most = self._writer.rules().returned_octets
        actions = [one.status.action for one in told]
        is_strangers = message.kind is QueueKind.FORWARDED
        whole = not is_strangers and returns_whole(message.options, actions, message.size, most)
        # The sender's own domain answers for its mail, be it that of a user or of an address that forwards.
        is_ours = self._writer.is_ours(path)
        original = Original(
            reverse_path=path,
            options=message.options,
            message_id=message.message_id,
            header=octets.header,
            size=message.size,
            arrived_at=message.created_at,
            body=self._blobs.read_body(octets.body, octets.body_size) if whole else b"",
            domain=path.domain if is_ours and path.domain.isascii() else "",
            is_strangers=is_strangers,
        )
        return self._writer.write(original, told, now=now)


def _told_of(message: QueuedMessage, outcome: Outcome, recipient: QueuedRecipient, *, now: Instant) -> Told:
    failed = outcome.result is Result.FAILED
    # A far server may say so, too, and mean the time that it tried.
    late = failed and outcome.status == _LATE and message.options.by_mode is ByMode.RETURN
    gave_up = late or (failed and outcome.status == _EXPIRED)
    status, reply, remote = outcome.status, outcome.reply, outcome.remote
    if gave_up and not reply:
        reply, remote = recipient.last_reply, recipient.last_remote
    if outcome.status == _EXPIRED and recipient.last_status:
        # RFC 3463 §3.5: what stood in the way says more than that time is over.
        status = recipient.last_status
    return Told(
        status=RecipientStatus(
            address=recipient.address,
            action=Action.FAILED if failed else Action.RELAYED,
            status=status,
            original=recipient.original,
            remote=remote,
            reply=reply,
            last_attempt=recipient.last_at if gave_up and reply == recipient.last_reply else now,
            log_id=message.message_id,
        ),
        domain=recipient.domain,
        attempts=recipient.attempts,
        since=recipient.first_failed_at,
        gave_up=gave_up,
        deadline=late,
    )


def _told_late(message: QueuedMessage, recipient: QueuedRecipient, *, now: Instant) -> Told:
    options = message.options
    deadline = options.by_mode is ByMode.NOTIFY and options.deliver_by <= now
    # RFC 2852 §4.1.3: 4.4.7 when the deadline is what it is about.
    status = _EXPIRED if deadline else recipient.last_status or "4.0.0"
    return Told(
        status=RecipientStatus(
            address=recipient.address,
            action=Action.DELAYED,
            status=status,
            original=recipient.original,
            remote=recipient.last_remote,
            reply=recipient.last_reply,
            last_attempt=recipient.last_at or NEVER,
            will_retry_until=message.expires_at,
            log_id=message.message_id,
        ),
        domain=recipient.domain,
        attempts=recipient.attempts,
        since=recipient.first_failed_at,
        deadline=deadline,
    )
