"""Deliver what waits in the queue for our own domains: held to be sent later, or ours only since.

RFC: 5321 §3.9 (aliases), 3461 §5.2.3 (delivered).
Invariants: what is delivered here goes the way of received mail: aliases, forwarding, trace fields; a
    recipient leaves the queue by the same write that delivers, so that none gets it twice or not at all; one
    that cannot be served does not keep the message from the others.
Not here: receiving (servers/smtp/), who receives what (delivery/recipients.py).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from postino.core.errors import NoSuchAccount, OverQuota, TemporarilyUnavailable
from postino.core.ids import AccountId, BlobId, Instant
from postino.core.limits import Limits
from postino.core.ports import Clock
from postino.delivery.accept import Delivery, Envelope, Inbound, Outgoing
from postino.delivery.facts import derive_facts
from postino.delivery.filters.filing import Filtered
from postino.delivery.filters.message_filter import MessageFilter
from postino.delivery.filters.plans import never_forged
from postino.delivery.filters.running import Arriving, Filtering
from postino.delivery.forwarding import Accepted, Arrived, Forwarding, Refusal
from postino.delivery.incoming import Content
from postino.outbound.dispatch.attempt import Judge
from postino.outbound.dispatch.work import NOBODY, Work
from postino.smtp.envelope import RcptOptions
from postino.smtp.paths import parse_path
from postino.smtp.received import Arrival
from postino.store.accounts import ResolvedRecipient
from postino.store.blobs import BlobStore
from postino.store.queue.rows import NotInQueue
from postino.store.queue.settle import settle
from postino.store.queue.values import (
    LeaseToken,
    Octets,
    Outcome,
    QueuedMessage,
    QueuedRecipient,
    QueueKind,
    Result,
)
from postino.store.tx import Tx

_NOBODY: Final = AccountId(0)
THREAD_OCTETS: Final = 256 * 1024
"""The index of a larger message is made in a thread."""


class _Leaving:
    """Takes a recipient out of the queue in the write that delivers."""

    def __init__(self, token: LeaseToken, outcome: Outcome, now: Instant) -> None:
        self.outcome = outcome
        self.blobs: Sequence[BlobId] = ()
        """Nobody names these any more once that is committed."""
        self._token = token
        self._now = now

    def __call__(self, tx: Tx) -> None:
        settled = settle(tx, self._token, [self.outcome], (), self._now)
        if settled.lost:
            raise NotInQueue("The recipient is not ours to deliver to any more")
        self.blobs = settled.blobs


def _delivered(message: QueuedMessage, recipient: QueuedRecipient) -> Outcome:
    return Outcome(
        queue_id=message.queue_id,
        number=recipient.number,
        result=Result.SENT,
        status="2.1.5",
        reply="Delivered to a mailbox of this server",
    )


class LocalDelivery:
    """One for each worker."""

    def __init__(
        self,
        delivery: Delivery,
        forwarding: Forwarding,
        judge: Judge,
        *,
        blobs: BlobStore,
        clock: Clock,
        limits: Callable[[], Limits],
        separator: Callable[[], str],
        filtering: Callable[[], Filtering | None],
    ) -> None:
        self._delivery = delivery
        self._forwarding = forwarding
        self._judge = judge
        self._blobs = blobs
        self._clock = clock
        self._limits = limits
        self._separator = separator
        self._filtering = filtering

    def is_here(self, domain: str) -> bool:
        """Whether the domain is ours."""
        return not self._delivery.senders.is_elsewhere(domain)

    async def deliver(
        self, work: Work, octets: Octets, token: LeaseToken
    ) -> list[tuple[Outcome, bool]] | None:
        """The outcomes of delivering here, each with whether it is written; None for another's domain.

        `token` is what the recipients are leased to.
        """
        if not self.is_here(work.recipients[0].domain):
            return None
        content: Content | None = None
        outcomes = []
        served: set[AccountId] = set()
        for recipient in work.recipients:
            if content is None:
                content = await self._content(octets)
            outcome = await self._deliver_one(work.held.message, recipient, content, served, token)
            outcomes.append((outcome, outcome.result is Result.SENT))
        return outcomes

    async def _content(self, octets: Octets) -> Content:
        if octets.size > THREAD_OCTETS:
            return await asyncio.to_thread(self._derive, octets)
        return self._derive(octets)

    def _derive(self, octets: Octets) -> Content:
        found = self._blobs.read_body(octets.body, octets.body_size)
        return Content(octets.header, octets.body, derive_facts(octets.header, found, self._limits()))

    async def _deliver_one(
        self,
        message: QueuedMessage,
        recipient: QueuedRecipient,
        content: Content,
        served: set[AccountId],
        token: LeaseToken,
    ) -> Outcome:
        """`served` are the accounts that have it already, by another of its addresses."""
        now = self._clock.now()
        hostname = self._delivery.hostname
        path = parse_path(f"<{recipient.address}>")
        reverse_path = parse_path(f"<{message.reverse_path}>") if message.reverse_path else None
        found = None
        if path is not None:
            found = self._delivery.recipients.resolve(path, self._separator(), hostname)
        if path is None or not found:
            return self._failed(message, recipient, "5.1.1", "There is no such address here")
        arrived = Arrived(
            reverse_path=reverse_path,
            options=message.options,
            message_id=message.message_id,
            header=content.header,
            size=message.size,
            # SECURITY: what came from elsewhere stays that when it is sent on once more from here.
            account_id=message.account_id if message.kind is QueueKind.SUBMITTED else _NOBODY,
        )
        options = RcptOptions(notify=recipient.notify, original=recipient.original)
        leaving = _Leaving(token, _delivered(message, recipient), now)
        try:
            plan = await self._forwarding.plan(arrived, [Accepted(path, found, options)], now=now)
            if plan.refused is not None:
                status = "5.4.6" if plan.refused is Refusal.LOOP else "5.7.1"
                return self._failed(message, recipient, status, f"Not delivered: {plan.refused.value}")
            accounts = [
                account for account in (*found.accounts, *plan.kept) if account.account_id not in served
            ]
            filtered: list[Filtered] = []
            sent_on: list[Outgoing] = []
            plain, arrival = accounts, Arrival(hostname, "", "LMTP")
            message_filter = self._filter(accounts, arrived, content, arrival, now)
            if message_filter is not None:
                pairs = [(account, Accepted(path, found, options)) for account in accounts]
                if not found.forwards:
                    refusal = await message_filter.refusal(pairs)
                    if refusal is not None:
                        reason = " ".join(refusal.reason.split())
                        sentence = f"The recipient's mail filter refused it: {reason}"
                        return self._failed(message, recipient, "5.7.1", sentence)
                plain, filtered, sent_on = await message_filter.plan(pairs)
            await self._delivery.accept(
                Inbound(
                    Envelope(reverse_path, plain, path),
                    content,
                    arrival,
                    message.message_id,
                    outgoing=[*plan.outgoing, *sent_on],
                    reports=plan.reports,
                    filtered=filtered,
                    also=leaving,
                )
            )
        except NoSuchAccount:
            return self._failed(message, recipient, "5.1.1", "There is no such address here")
        except OverQuota:
            return self._deferred(message, recipient, "4.2.2", "The mailbox is full", now)
        except TemporarilyUnavailable as error:
            return self._deferred(message, recipient, "4.3.1", str(error), now)
        except NotInQueue:
            # Dropped, or taken over by another worker, while we were at it: the settler will find it so.
            return self._judge.put_off(message, recipient, now)
        if leaving.blobs:
            await asyncio.to_thread(self._delete, leaving.blobs)
        served.update([account.account_id for account in accounts])
        return leaving.outcome

    def _filter(
        self,
        accounts: Sequence[ResolvedRecipient],
        arrived: Arrived,
        content: Content,
        arrival: Arrival,
        now: Instant,
    ) -> MessageFilter | None:
        """For the scripts of these accounts; None when they have none."""
        filtering = self._filtering()
        if filtering is None or not any(filtering.incoming(account) for account in accounts):
            return None
        submitted_by = arrived.account_id
        arriving = Arriving(
            reverse_path=arrived.reverse_path,
            options=arrived.options,
            message_id=arrived.message_id,
            content=content,
            arrival=arrival,
            submitted_by=submitted_by,
            auth=self._delivery.senders.sender(submitted_by).login if submitted_by != _NOBODY else "",
        )
        return MessageFilter(
            filtering, self._delivery, self._forwarding, arriving, is_forged=never_forged, now=now
        )

    def _delete(self, blobs: Sequence[BlobId]) -> None:
        for blob_id in blobs:
            try:
                self._blobs.delete(blob_id)
            except OSError:
                # The sweep finds it again.
                pass

    def _failed(
        self, message: QueuedMessage, recipient: QueuedRecipient, status: str, sentence: str
    ) -> Outcome:
        return self._judge.failed(message, recipient, status, sentence, NOBODY)

    def _deferred(
        self, message: QueuedMessage, recipient: QueuedRecipient, status: str, sentence: str, now: Instant
    ) -> Outcome:
        return self._judge.deferred(message, recipient, status, sentence, NOBODY, now=now)
