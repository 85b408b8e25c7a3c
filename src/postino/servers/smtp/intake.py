"""A complete message, and what is written for its recipients: copies, queue entries, reports.

RFC: 6409 §8 (fix-ups), 4865 §4.2 (held mail), 3461 §5.2.3 and §5.2.7 (delivered, forwarded), 6152 §3
    (8BITMIME).
Invariants: a submitted message is looked at before any of it is kept; one that goes later goes to nobody
    sooner, recipients here included.
Not here: reading it (receiver.py), the write (delivery/accept.py), whose mail goes on
    (delivery/forwarding.py).
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from postino.core.address import Address, domain_key, parse_address
from postino.core.ids import AccountId, Instant
from postino.delivery.accept import Envelope, Inbound, Outgoing, OwnCopy, Submission
from postino.delivery.forwarding import Accepted, Arrived, Plan, Refusal, concerns
from postino.delivery.incoming import Content, IncomingMessage, UnreadContent
from postino.delivery.junk import is_junk
from postino.delivery.submission import Mended, facts_of_own, mend, read_fields, without_mbox_line
from postino.servers.context import ServerContext
from postino.servers.smtp import policy
from postino.servers.smtp.authorship import would_pass_as_ours
from postino.servers.smtp.events import Reason
from postino.servers.smtp.submitter import Submitter
from postino.servers.smtp.transaction import MailTransaction, Taken
from postino.smtp import replies
from postino.smtp.envelope import BodyType, ByMode, MailOptions
from postino.smtp.received import Arrival
from postino.smtp.reply import Reply
from postino.store.accounts import Resolved, ResolvedRecipient
from postino.store.queue.values import NewRecipient, QueueKind
from postino.store.sending import NO_LIMITS, Sender, SendingLimits
from postino.store.unstored import forget_unstored

_NOTHING: Final = Plan()
_NOBODY: Final = AccountId(0)
_REFUSALS: Final = {
    Refusal.LOOP: (Reason.LOOP, replies.FORWARDING_LOOP),
    Refusal.JUNK: (Reason.JUNK, replies.JUNK_NOT_FORWARDED),
    Refusal.FORGED: (Reason.FORGED, replies.FORGED_NOT_FORWARDED),
}


class Refused(msgspec.Struct, frozen=True):
    """Why the message is not taken."""

    reason: Reason
    reply: Reply


class Intake:
    """One message. read() it, then have it written for all its recipients, or for some at a time."""

    def __init__(
        self,
        context: ServerContext,
        transaction: MailTransaction,
        arrival: Arrival,
        submitter: Submitter | None,
        *,
        is_trusted: bool,
    ) -> None:
        """`is_trusted`: it comes from a server of ours, which has looked at it."""
        self._is_stranger = submitter is None and not is_trusted
        self._context = context
        self._transaction = transaction
        self._arrival = arrival
        self._submitter = submitter
        self._now = context.clock.now()
        self._sender: Sender | None = None
        self._release_at = self._now
        self._options = transaction.options
        self._content: Content | UnreadContent | None = None
        self._own_copy: OwnCopy | None = None
        self._is_junk = False

    async def read(self, message: IncomingMessage) -> Refused | None:
        """Look at the message and put it where it is to lie. Raises TemporarilyUnavailable."""
        self._options = _as_sent(self._transaction.options, message)
        if self._submitter is None:
            self._is_junk = is_junk(message.header, self._context.delivery.junk_marks)
            self._content = await message.finish()
            return None
        header = without_mbox_line(message.header)
        fields = read_fields(header)
        author = policy.read_author(self._submitter, fields)
        if isinstance(author, Reply):
            return Refused(Reason.AUTHOR, author)
        name = self._transaction.message_id
        mended = mend(header, fields, now=self._now, message_id=name, domain=author.domain)
        if self._submitter.account_id is not None:
            self._sender = self._context.delivery.senders.sender(self._submitter.account_id)
        self._release_at = self._release()
        await self._keep(message, mended)
        return None

    def _release(self) -> Instant:
        """When a submitted message goes: as MAIL said, and not while its author may take it back."""
        asked = max(self._now, self._transaction.release_at)
        undo = self._sender.undo_seconds if self._sender is not None and self._context.outbound else 0
        release_at = max(asked, Instant(self._now + undo))
        options = self._options
        # What would then come too late to be delivered at all goes as it was asked for.
        is_lost = options.by_mode is ByMode.RETURN and release_at >= options.deliver_by
        return asked if is_lost else release_at

    @property
    def _is_held(self) -> bool:
        return self._release_at > self._now

    async def _keep(self, message: IncomingMessage, mended: Mended) -> None:
        saves = self._sender is not None and self._sender.save_sent
        if not saves and (self._is_held or not self._transaction.accounts):
            # PERF: what only passes through is not looked into: half of the time (bench: submission).
            self._content = await message.finish_unread(mended.sent)
            return
        content = self._content = await message.finish(header=mended.sent)
        if saves:
            facts = facts_of_own(content.facts, mended, self._context.limits)
            self._own_copy = OwnCopy(mended.own, facts)

    async def inbound(
        self, taken: Sequence[Taken], accounts: Sequence[ResolvedRecipient]
    ) -> Inbound | Refused:
        """What to write for these recipients; `accounts` are those among them that get it at once."""
        content = self._content
        assert content is not None
        plan = _NOTHING
        if self._is_held:
            accounts = ()
        else:
            plan = await self._plan(content, taken)
            if plan.refused is not None:
                return Refused(*_REFUSALS[plan.refused])
            accounts = [*accounts, *plan.kept]
        transaction, outbound = self._transaction, self._context.outbound
        envelope = Envelope(transaction.mail.reverse_path, accounts, transaction.for_address)
        return Inbound(
            envelope,
            content,
            self._arrival,
            transaction.message_id,
            outgoing=[*self._outgoing(taken), *plan.outgoing],
            submission=self._submission(taken),
            reports=plan.reports,
            priority=self._options.priority,
            is_junk=self._is_junk,
            waiting_octets=outbound.settings.waiting_octets if outbound is not None else 0,
        )

    def forget(self) -> None:
        """Remove the file of a message that was not taken."""
        if self._content is not None:
            forget_unstored(self._context.store, [self._content.body])

    async def _plan(self, content: Content | UnreadContent, taken: Sequence[Taken]) -> Plan:
        """What becomes of it beyond the mailboxes of its recipients here."""
        outbound = self._context.outbound
        accepted = [
            Accepted(one.forward_path, one.resolved, one.options) for one in taken if one.resolved is not None
        ]
        if outbound is None or not concerns(accepted):
            return _NOTHING
        arrived = Arrived(
            reverse_path=self._transaction.mail.reverse_path,
            options=self._options,
            message_id=self._transaction.message_id,
            header=content.header,
            size=content.facts.size if isinstance(content, Content) else content.size,
            account_id=self._account_id,
            is_junk=self._is_junk,
            is_forged=self._is_stranger
            and await would_pass_as_ours(
                self._context, self._transaction.mail.reverse_path, accepted, content
            ),
        )
        return await outbound.forwarding.plan(arrived, accepted, now=self._now)

    @property
    def _account_id(self) -> AccountId:
        account_id = self._submitter.account_id if self._submitter is not None else None
        return _NOBODY if account_id is None else account_id

    def _outgoing(self, taken: Sequence[Taken]) -> list[Outgoing]:
        """The entry of the queue for recipients elsewhere, and of a held message for those here."""
        recipients: dict[str, NewRecipient] = {}
        for one in taken:
            if self._is_held or one.resolved is None:
                for recipient in self._new_recipients(one):
                    # Whoever is named twice gets it once.
                    recipients.setdefault(recipient.address, recipient)
        outbound = self._context.outbound
        if not recipients or outbound is None:
            return []
        path = self._transaction.mail.reverse_path
        return [
            Outgoing(
                kind=QueueKind.SUBMITTED,
                account_id=self._account_id,
                reverse_path=str(path) if path is not None else "",
                recipients=list(recipients.values()),
                options=self._options,
                release_at=self._release_at,
                expires_at=Instant(self._release_at + int(outbound.settings.lifetime_seconds)),
            )
        ]

    def _new_recipients(self, one: Taken) -> list[NewRecipient]:
        address = one.forward_path
        senders = self._context.delivery.senders
        if one.resolved is None or (address.domain and not senders.is_elsewhere(address.domain)):
            return [_new_recipient(str(address), address.domain, one)]
        # Postmaster without a domain, and users of this machine: named by whom their mail comes to.
        return [_new_recipient(str(way), way.domain, one) for way in _ways_to(one.resolved)]

    def _submission(self, taken: Sequence[Taken]) -> Submission | None:
        sender, outbound = self._sender, self._context.outbound
        if sender is None:
            return None
        limits = NO_LIMITS
        if outbound is not None:
            limits = sender.limits(
                SendingLimits(
                    outbound.settings.daily_messages,
                    outbound.settings.daily_recipients,
                    outbound.settings.burst_messages,
                )
            )
        outside = [one.forward_path.key for one in taken if one.resolved is None]
        return Submission(sender.account_id, limits, outside, self._own_copy)


def _as_sent(options: MailOptions, message: IncomingMessage) -> MailOptions:
    """With what the octets are, which not every program says: it decides how the next server gets them."""
    if options.body is BodyType.BINARY_MIME:
        return options
    body = BodyType.SEVEN_BIT if message.is_ascii else BodyType.EIGHT_BIT_MIME
    return options if options.body is body else msgspec.structs.replace(options, body=body)


def _ways_to(found: Resolved) -> list[Address]:
    """Addresses of ours that lead to just these receivers."""
    for forward in found.forwards:
        if not forward.account_id:
            # The alias itself, which has the accounts too.
            return [forward.via]
    ways = {forward.account_id: forward.via for forward in found.forwards}
    for account in found.accounts:
        ways.setdefault(account.account_id, parse_address(account.login))
    return list(ways.values())


def _new_recipient(address: str, domain: str, one: Taken) -> NewRecipient:
    return NewRecipient(
        address=address,
        domain=domain_key(domain),
        notify=one.options.notify,
        original=one.options.original,
    )
