"""Reports for the senders of mail that the operator drops from the queue.

Not here: dropping (store/queue/operate.py), what reports say (outbound/reports.py).
"""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import structlog

from postino.app.clock import SystemClock
from postino.core.address import Address
from postino.delivery.recipients import Recipients
from postino.delivery.reports import ReportRules, ReportWriter
from postino.outbound.reports import Reporter, is_reportable
from postino.store.accounts import Resolved
from postino.store.queue.operate import Notice
from postino.store.queue.rows import NotInQueue, read_octets
from postino.store.queue.values import Octets, Outcome, QueuedMessage, QueueId, Result
from postino.store.store import Store

if TYPE_CHECKING:
    from postino.app.settings import Settings

DROPPED: Final = "5.7.1"
_WHY: Final = "The administrator of this server took the message out of the queue"


class DropReports:
    """Makes them for a command that has the store open."""

    def __init__(self, store: Store, settings: "Settings") -> None:
        clock = SystemClock()
        server, outbound = settings.server, settings.outbound
        recipients = Recipients(store, lambda: settings.limits.message_octets, time.monotonic, clock)

        def resolve(address: Address) -> Resolved | None:
            return recipients.resolve(address, server.subaddress_separator, server.hostname)

        rules = ReportRules(server.hostname, outbound.returned_octets, int(outbound.report_lifetime_seconds))
        writer = ReportWriter(resolve=resolve, rules=lambda: rules, limits=lambda: settings.limits)
        self._reporter = Reporter(writer, store.blobs, clock, structlog.get_logger())
        self._store = store

    async def notices(self, messages: Iterable[QueuedMessage]) -> dict[QueueId, Notice]:
        """What their senders are told; nothing of those that left the queue meanwhile."""
        found = {}
        for message in messages:
            try:
                octets = self._store.read_now(
                    lambda tx, queue_id=message.queue_id: read_octets(tx, queue_id)  # type: ignore[misc]
                )
            except NotInQueue:
                continue
            found[message.queue_id] = await self._notice(message, octets)
        return found

    async def _notice(self, message: QueuedMessage, octets: Octets) -> Notice:
        numbers = frozenset(recipient.number for recipient in message.recipients)
        if not is_reportable(message):
            return Notice(numbers, ())
        outcomes = [
            Outcome(
                queue_id=message.queue_id, number=number, result=Result.FAILED, status=DROPPED, reply=_WHY
            )
            for number in sorted(numbers)
        ]
        return Notice(numbers, await self._reporter.make_reports(message, outcomes, octets))
