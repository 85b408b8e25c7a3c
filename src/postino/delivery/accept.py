"""Take a message over: INBOX copies, queue entries, the author's Sent copy and counters in one write.

RFC: 5321 §4.4 (trace fields), §6.1 (responsibility begins with the reply to DATA), 6710 §4.1 (PRIORITY in
    Received).
Invariants: when accept() returns, every recipient has the message or it is in the queue for them, durably;
    when it raises, nobody has. Recipients share the body octets; each sees only its own trace fields, and
    what is sent on has no Return-Path.
Not here: receiving the octets (incoming.py), what is mended in them (submission.py), who may send to whom
    (servers/smtp), sending (outbound/).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

import msgspec
from structlog.typing import FilteringBoundLogger

from postino.core.address import Address
from postino.core.flags import NO_FLAGS, FlagSet, flag_set
from postino.core.ids import AccountId, Instant
from postino.core.limits import Limits
from postino.core.ports import Clock
from postino.delivery.disk_room import DiskRoom
from postino.delivery.filters.filing import (
    Filed,
    Filing,
    Filtered,
    Line,
    answer_due,
    note_decisions,
    place_copies,
)
from postino.delivery.incoming import Content, UnreadContent
from postino.delivery.junk import Marks
from postino.delivery.recipients import Recipients
from postino.delivery.senders import Senders
from postino.mime.dates import format_date
from postino.mime.part import move_index
from postino.smtp.envelope import NO_MAIL_OPTIONS, MailOptions
from postino.smtp.paths import ReversePath, path_text
from postino.smtp.received import Arrival, delivered_to_field, received_field, return_path_field
from postino.store import messages, sent_copy
from postino.store.accounts import ResolvedRecipient
from postino.store.content import Appended, Body, ContentFacts, NewEmail
from postino.store.mailboxes import junk_mailbox
from postino.store.queue.enqueue import enqueue_message
from postino.store.queue.room import require_room
from postino.store.queue.settle import Report, tell
from postino.store.queue.values import (
    LeaseToken,
    NewQueued,
    NewRecipient,
    Octets,
    QueuedMessage,
    QueueKind,
)
from postino.store.sending import SendingLimits, count_message
from postino.store.shared_bodies import SharedBodies
from postino.store.store import Store
from postino.store.tx import Tx

_RECEIVED: Final = b"\r\nreceived:"
_FEW_RECIPIENTS: Final = 20
"""Writing to more of them would hold up other sessions, so the writing thread does it."""


class DeliveryMetrics(Protocol):
    """What delivery counts."""

    def message_accepted(self, octets: int, recipients: int) -> None:
        """A message is in the store."""
        ...


class Dispatcher(Protocol):
    """Who sends what is in the queue (outbound/dispatch/), as seen by who puts something there."""

    @property
    def token(self) -> LeaseToken:
        """Whose leases these are."""
        ...

    def may_take(self) -> bool:
        """Whether there is room for a message that is sent from memory."""
        ...

    @property
    def lease_seconds(self) -> int:
        """How long what it takes is leased to it at first."""
        ...

    def take(self, message: QueuedMessage, octets: Octets) -> None:
        """Send this; it is committed, and its recipients are leased to `token`."""
        ...


@dataclass(frozen=True, slots=True)
class Envelope:
    """From where and to whom, as the session settled it."""

    reverse_path: ReversePath
    recipients: Sequence[ResolvedRecipient]
    """Each account once."""
    for_address: Address | None = None
    """The forward-path when there was one only; shown in Received."""


class Outgoing(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The message on its way elsewhere: one entry of the queue."""

    kind: QueueKind
    account_id: AccountId
    """Who submitted it, or whose address sends it on."""
    reverse_path: str
    recipients: Sequence[NewRecipient]
    options: MailOptions = NO_MAIL_OPTIONS
    release_at: Instant
    expires_at: Instant
    top: bytes = b""
    """Fields above our Received."""
    held: bool = False
    """Wait until somebody releases it."""
    content: Content | None = None
    """Instead of the message as it came."""


@dataclass(frozen=True, slots=True)
class OwnCopy:
    """The message as its author keeps it in Sent."""

    header: bytes
    facts: ContentFacts
    flags: FlagSet = NO_FLAGS
    """Beside those that every such copy has."""
    body: Body | None = None
    """Instead of the message's."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What holds for a message of an account of ours."""

    account_id: AccountId
    limits: SendingLimits
    outside: Sequence[str]
    """Address.key of each recipient elsewhere."""
    own_copy: OwnCopy | None = None
    """None: the account wants none."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """A complete message on its way in."""

    envelope: Envelope
    content: Content | UnreadContent
    """Unread only where no recipient is here."""
    arrival: Arrival
    message_id: str
    """Our name for it, in Received, the log and the reply; not the Message-ID field."""
    outgoing: Sequence[Outgoing] = ()
    submission: Submission | None = None
    reports: Sequence[Report] = ()
    """What its sender is told with the same write (NOTIFY=SUCCESS)."""
    filtered: Sequence[Filtered] = ()
    """Accounts for which scripts decide; they are not among the envelope's recipients."""
    priority: int = 0
    waiting_octets: int = 0
    """How much of one account's mail may wait in the queue; 0 is no limit."""
    is_junk: bool = False
    """It goes to Junk instead of INBOX."""
    also: Callable[[Tx], None] | None = None
    """What is to be written with it, at the end; raises to have nothing written at all."""


class _Written(msgspec.Struct):
    appended: list[Appended]
    queued: list[QueuedMessage]
    filed: list[str]
    """What the log says of the copies that scripts filed."""


def received_hops(header: bytes) -> int:
    """How many servers' Received fields a header holds (RFC 5321 §6.3, loop detection)."""
    folded = header.lower()
    return folded.count(_RECEIVED) + folded.startswith(_RECEIVED[2:])


# PERF: one date a second, not one a message.
_date_text = lru_cache(maxsize=4)(format_date)
_SENT_FLAGS: Final[FlagSet] = flag_set(["\\Seen", sent_copy.KEYWORD])


class Delivery:
    """The way into INBOXes and into the queue; one for each worker."""

    def __init__(
        self,
        *,
        store: Store,
        limits: Limits,
        clock: Clock,
        hostname: str,
        log: FilteringBoundLogger,
        metrics: DeliveryMetrics,
        junk_marks: Marks = (),
    ) -> None:
        self.store = store
        self.limits = limits
        self.clock = clock
        self.hostname = hostname
        self.log = log
        self.metrics = metrics
        self.recipients = Recipients(store, lambda: self.limits.message_octets, time.monotonic, clock)
        self.senders = Senders(store, time.monotonic)
        self.disk_room = DiskRoom(store.blobs.root.parent, lambda: self.limits.free_octets, time.monotonic)
        self.junk_marks = junk_marks
        """By which fields a scanner in front of us marks junk."""
        self.seen_seconds = 7 * 86_400
        """How long ids that scripts have seen are remembered at most."""
        self.scripts_daily = 2000
        """To how many recipients a day the scripts of an account send."""

    async def accept(
        self,
        inbound: Inbound,
        *,
        dispatcher: Dispatcher | None = None,
        log: FilteringBoundLogger | None = None,
    ) -> Sequence[QueuedMessage]:
        """Deliver and enqueue for all recipients, durably, or for none; `log` is that of the session.

        Gives the queue entries, in the order of `outgoing`. With `dispatcher` they are sent from memory,
        where it has room. Raises OverQuota when the message does not fit one of the accounts,
        OverSendingLimit when its author has sent enough, NoSuchAccount when one was removed meanwhile,
        TemporarilyUnavailable when the store cannot write now.
        """
        now = self.clock.now()
        content = inbound.content
        received = self._received(inbound, now)
        emails = self._emails(inbound, content, received, now) if isinstance(content, Content) else []
        filings = [
            (one, [self._filing(inbound, one, filing, received, now) for filing in one.filings])
            for one in inbound.filtered
        ]
        news = [_new_queued(out, inbound, received) for out in inbound.outgoing]
        leases = dispatcher is not None and bool(news) and dispatcher.may_take()
        written = await self.store.write(
            _Acceptance(
                inbound,
                emails,
                news,
                dispatcher if leases else None,
                now,
                filings,
                self.limits,
                self.seen_seconds,
            ),
            short=len(emails) + len(filings) <= _FEW_RECIPIENTS
            and sum([len(new.recipients) for new in news]) <= _FEW_RECIPIENTS,
        )
        if dispatcher is not None:
            for new, queued in zip(news, written.queued, strict=True):
                if queued.recipients:
                    dispatcher.take(queued, Octets(new.header, new.body, new.size))
        self._tell(inbound, written, log or self.log)
        return written.queued

    def compose(self, inbound: Inbound) -> list[NewQueued]:
        """What accept() would put into the queue, of `inbound.outgoing`."""
        received = self._received(inbound, self.clock.now())
        return [_new_queued(out, inbound, received) for out in inbound.outgoing]

    def _received(self, inbound: Inbound, now: Instant) -> bytes:
        return received_field(
            inbound.arrival,
            hostname=self.hostname,
            message_id=inbound.message_id,
            for_address=inbound.envelope.for_address,
            date=_date_text(now),
            priority=inbound.priority,
        )

    def _tell(self, inbound: Inbound, written: _Written, log: FilteringBoundLogger) -> None:
        envelope, content = inbound.envelope, inbound.content
        size = content.facts.size if isinstance(content, Content) else content.size
        outside = sum([len(out.recipients) for out in inbound.outgoing])
        here = len(envelope.recipients) + sum([not one.is_outgoing for one in inbound.filtered])
        self.metrics.message_accepted(size, here + outside)
        reverse_path = path_text(envelope.reverse_path)
        for out, queued in zip(inbound.outgoing, written.queued, strict=True):
            log.info(
                "message.accepted",
                message=inbound.message_id,
                queue_id=queued.queue_id,
                kind=out.kind.name.lower(),
                reverse_path=f"<{out.reverse_path}>",
                octets=size,
                recipients=[recipient.address for recipient in out.recipients],
                **({"priority": inbound.priority} if inbound.priority else {}),
            )
        for one in inbound.filtered:
            if one.fault:
                log.warning(
                    "script.fault", message=inbound.message_id, account=one.recipient.login, reason=one.fault
                )
        if envelope.recipients or written.filed:
            log.info(
                "message.delivered",
                message=inbound.message_id,
                reverse_path=reverse_path,
                octets=size,
                mailboxes=[
                    f"{recipient.login}/{'Junk' if inbound.is_junk else 'INBOX'}/{place.uid}"
                    for recipient, place in zip(envelope.recipients, written.appended, strict=True)
                ]
                + written.filed,
            )

    def _emails(self, inbound: Inbound, content: Content, received: bytes, now: Instant) -> list[NewEmail]:
        """The message as each recipient here will see it; all share the body's octets."""
        return self._copies(inbound.envelope, content, received, now)

    def _copies(self, envelope: Envelope, content: Content, received: bytes, now: Instant) -> list[NewEmail]:
        top = return_path_field(envelope.reverse_path)
        parts_under: dict[int, bytes] = {}
        emails = []
        for recipient in envelope.recipients:
            delivered_to = delivered_to_field(recipient.login)
            prefix_octets = len(top) + len(delivered_to) + len(received)
            parts = parts_under.get(prefix_octets)
            if parts is None:
                parts = parts_under[prefix_octets] = move_index(content.facts.parts, prefix_octets)
            facts = content.facts
            emails.append(
                NewEmail(
                    header=b"".join((top, delivered_to, received, content.header)),
                    body=content.body,
                    facts=msgspec.structs.replace(
                        facts,
                        size=facts.size + prefix_octets,
                        header_octets=facts.header_octets + prefix_octets,
                        parts=parts,
                        # The one trace field lists ask for (mime.header.LISTED_FIELDS).
                        fields=delivered_to + facts.fields,
                    ),
                    internal_date=now,
                )
            )
        return emails

    def _filing(
        self, inbound: Inbound, one: Filtered, filing: Filing, received: bytes, now: Instant
    ) -> NewEmail:
        """The message as a script has it filed."""
        if filing.is_own:
            content = filing.content
            return NewEmail(content.header, content.body, content.facts, now, filing.flags)
        recipient = Envelope(inbound.envelope.reverse_path, [one.recipient])
        return msgspec.structs.replace(
            self._copies(recipient, filing.content, received, now)[0], flags=filing.flags
        )


def _new_queued(out: Outgoing, inbound: Inbound, received: bytes) -> NewQueued:
    content = out.content or inbound.content
    header = b"".join((out.top, received, content.header))
    size = content.facts.size if isinstance(content, Content) else content.size
    return NewQueued(
        kind=out.kind,
        account_id=out.account_id,
        reverse_path=out.reverse_path,
        recipients=out.recipients,
        header=header,
        body=content.body,
        size=size + len(header) - len(content.header),
        message_id=inbound.message_id,
        options=out.options,
        release_at=out.release_at,
        expires_at=out.expires_at,
        held=out.held,
    )


@dataclass(frozen=True, slots=True)
class _Acceptance:
    """The one write, as a function over a transaction; it may be run more than once."""

    inbound: Inbound
    emails: Sequence[NewEmail]
    news: Sequence[NewQueued]
    dispatcher: Dispatcher | None
    now: Instant
    filings: Sequence[tuple[Filtered, Sequence[NewEmail]]]
    limits: Limits
    seen_seconds: int

    def __call__(self, tx: Tx) -> _Written:
        inbound, now = self.inbound, self.now
        submission = inbound.submission
        deliveries: list[messages.Delivery] = [
            (recipient.account_id, junk_mailbox(tx, recipient.account_id) if inbound.is_junk else None, email)
            for recipient, email in zip(inbound.envelope.recipients, self.emails, strict=True)
        ]
        filed: list[tuple[Filtered, list[Filed], list[Line]]] = []
        reports = inbound.reports
        if self.filings:
            filed, reports = self._filed(tx)
            deliveries += [copy.delivery for _, copies, _ in filed for copy in copies]
        # First: what is refused here has written nothing.
        if inbound.waiting_octets:
            for new in self.news:
                if new.account_id:
                    require_room(tx, new.account_id, new.size, inbound.waiting_octets)
        if submission is not None:
            count_message(tx, submission.account_id, submission.outside, submission.limits, now)
            if submission.own_copy is not None:
                deliveries += self._own_copy(tx, submission, submission.own_copy)
        shared = None
        if len(deliveries) + len(self.news) > 1:
            shared = SharedBodies(
                [*(email.body for _, _, email in deliveries), *(new.body for new in self.news)]
            )
        appended = messages.deliver(tx, deliveries, now, shared=shared) if deliveries else []
        queued = []
        for new in self.news:
            dispatcher = self.dispatcher
            queued.append(
                enqueue_message(tx, new, now=now, shared=shared)
                if dispatcher is None
                else enqueue_message(
                    tx,
                    new,
                    now=now,
                    lease=dispatcher.token,
                    lease_until=Instant(now + dispatcher.lease_seconds),
                    shared=shared,
                )
            )
        if reports:
            tell(tx, reports, now)
        for one, _, lines in filed:
            note_decisions(tx, one, inbound.message_id, lines, now, seen_seconds=self.seen_seconds)
        if inbound.also is not None:
            inbound.also(tx)
        return _Written(appended[: len(self.emails)], queued, self._shown(filed, appended))

    def _filed(self, tx: Tx) -> tuple[list[tuple[Filtered, list[Filed], list[Line]]], list[Report]]:
        """Where the copies go that scripts decided about, and what is told beside."""
        filed = []
        reports = list(self.inbound.reports)
        for one, emails in self.filings:
            copies, instead = place_copies(tx, one, emails, self.limits, self.now)
            written = answer_due(tx, one, self.limits, self.now)
            reports += written.told
            lines = [instead.get(line, line) for line in written.lines] if instead else written.lines
            filed.append((one, copies, lines))
        return filed, reports

    def _shown(
        self, filed: Sequence[tuple[Filtered, list[Filed], list[Line]]], appended: Sequence[Appended]
    ) -> list[str]:
        """`ann@example.org/Boss/7 (main:12)`"""
        places = iter(appended[len(self.emails) :])
        shown = []
        for one, copies, _ in filed:
            login = one.recipient.login
            for copy, at in zip(copies, places, strict=False):
                shown.append(f"{login}/{copy.mailbox}/{at.uid}" + (f" ({copy.place})" if copy.place else ""))
            if not (copies or one.is_outgoing):
                last = one.lines[-1] if one.lines else None
                shown.append(f"{login}: {last.words} ({last.place})" if last else f"{login}: nowhere")
        return shown

    def _own_copy(self, tx: Tx, submission: Submission, own: OwnCopy) -> list[messages.Delivery]:
        """The author's copy, where there is a mailbox and room for it, and no copy of the program's own."""
        size = own.facts.size
        # Who writes to oneself needs room for both.
        others = sum(
            email.facts.size
            for recipient, email in zip(self.inbound.envelope.recipients, self.emails, strict=True)
            if recipient.account_id == submission.account_id
        )
        others += sum(
            email.facts.size
            for one, emails in self.filings
            if one.recipient.account_id == submission.account_id
            for email in emails
        )
        mailbox_id = sent_copy.place_for(
            tx, submission.account_id, own.facts.message_id, octets=size + others, now=self.now
        )
        if mailbox_id is None:
            return []
        flags = _SENT_FLAGS if own.flags is NO_FLAGS else _SENT_FLAGS.union(own.flags)
        email = NewEmail(own.header, own.body or self.inbound.content.body, own.facts, self.now, flags)
        return [(submission.account_id, mailbox_id, email)]
