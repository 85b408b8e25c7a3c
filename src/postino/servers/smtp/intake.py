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
from postino.core.errors import TemporarilyUnavailable
from postino.core.ids import AccountId, Instant
from postino.delivery.accept import Envelope, Inbound, Outgoing, OwnCopy, Submission
from postino.delivery.filters.filing import Filtered
from postino.delivery.filters.message_filter import MessageFilter, reply_lines
from postino.delivery.filters.outgoing import Sending, plan_sending
from postino.delivery.filters.running import Arriving
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
from postino.sieve.actions import Reject
from postino.sieve.evaluation import Evaluation
from postino.sieve.script import Script
from postino.smtp import replies
from postino.smtp.envelope import NO_RCPT_OPTIONS, BodyType, ByMode, MailOptions
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
    script: str = ""
    """Which line of a script refuses it."""


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
        self._filter: MessageFilter | None = None
        self._sending: Sending | None = None
        self._more: list[Taken] = []
        """Recipients that a script has added."""

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
        scripts = self._outgoing_scripts()
        await self._keep(message, mended, is_read=bool(scripts))
        return await self._ask_script(scripts, mended) if scripts else None

    def _outgoing_scripts(self) -> Sequence[Script]:
        filtering, sender = self._context.filtering, self._sender
        if filtering is None or sender is None:
            return ()
        return filtering.outgoing(sender.account_id, sender.login)

    async def _ask_script(self, scripts: Sequence[Script], mended: Mended) -> Refused | None:
        """Have the author's script decide about its copy, about more recipients and a hold."""
        context, sender, content = self._context, self._sender, self._content
        filtering = context.filtering
        assert filtering is not None
        assert sender is not None
        assert isinstance(content, Content)
        own = OwnCopy(mended.own, facts_of_own(content.facts, mended, context.limits))
        arriving = self._arriving(Content(own.header, content.body, own.facts))
        account = ResolvedRecipient(sender.account_id, sender.login, 0, 0)
        first = self._transaction.taken[0]
        evaluation = await filtering.evaluate(
            scripts,
            arriving,
            account_id=sender.account_id,
            login=sender.login,
            envelope_to=str(first.forward_path),
            rcpt=first.options,
            now=self._now,
            is_outgoing=True,
        )

        async def plan(decided: Evaluation) -> Sending:
            return await plan_sending(
                decided,
                context.delivery,
                context.outbound.forwarding if context.outbound is not None else None,
                arriving,
                account,
                own if sender.save_sent else None,
                separator=context.subaddress_separator,
                now=self._now,
            )

        try:
            sending = await plan(evaluation)
        except TemporarilyUnavailable:
            raise
        except Exception as error:
            # A fault of ours in what a script asks for must not keep the message from being sent.
            sending = await plan(filtering.failed(scripts, arriving, sender.login, error))
        if sending.refused is not None:
            return _refused_by(sending.refused)
        self._sending, self._own_copy = sending, sending.own_copy
        if sending.hold is not None and sending.hold.seconds is not None:
            self._release_at = max(self._release_at, Instant(self._now + sending.hold.seconds))
        self._add_recipients(sending)
        return None

    def _add_recipients(self, sending: Sending) -> None:
        known = {one.forward_path.key for one in self._transaction.taken}
        for address, _ in sending.more:
            if address.key in known:
                continue
            found = policy.resolve_recipient(self._context, address, octets=0, may_relay=True)
            if isinstance(found, policy.RecipientRefused):
                self._context.log.info(
                    "script.recipient-refused", message=self._transaction.message_id, to=str(address)
                )
                continue
            known.add(address.key)
            self._more.append(Taken(address, NO_RCPT_OPTIONS, found))

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
        return self._release_at > self._now or self._waits_for_release

    @property
    def _waits_for_release(self) -> bool:
        hold = self._sending.hold if self._sending is not None else None
        return hold is not None and hold.seconds is None

    async def _keep(self, message: IncomingMessage, mended: Mended, *, is_read: bool) -> None:
        saves = self._sender is not None and self._sender.save_sent
        if not (saves or is_read) and (self._is_held or not self._transaction.accounts):
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
        if self._more:
            taken = [*taken, *self._more]
            added = [one for more in self._more if more.resolved for one in more.resolved.accounts]
            accounts = list({one.account_id: one for one in (*accounts, *added)}.values())
        if self._is_held:
            accounts = ()
        else:
            plan = await self._plan(content, taken)
            if plan.refused is not None:
                return Refused(*_REFUSALS[plan.refused])
            accounts = [*accounts, *plan.kept]
        filtered: list[Filtered] = []
        sent_on: list[Outgoing] = []
        if accounts and self._is_filtered(accounts):
            pairs = _by_account(taken, accounts)
            message_filter = self._message_filter(content)
            if all(one.resolved is not None and not one.resolved.forwards for one in taken):
                refusal = await message_filter.refusal(pairs)
                if refusal is not None:
                    return _refused_by(refusal)
            accounts, filtered, sent_on = await message_filter.plan(pairs)
        if self._sending is not None:
            filtered.append(self._sending.filtered)
        transaction, outbound = self._transaction, self._context.outbound
        envelope = Envelope(transaction.mail.reverse_path, accounts, transaction.for_address)
        return Inbound(
            envelope,
            content,
            self._arrival,
            transaction.message_id,
            outgoing=[*self._outgoing(taken), *plan.outgoing, *sent_on],
            submission=self._submission(taken),
            reports=plan.reports,
            filtered=filtered,
            priority=self._options.priority,
            is_junk=self._is_junk,
            waiting_octets=outbound.settings.waiting_octets if outbound is not None else 0,
        )

    def _is_filtered(self, accounts: Sequence[ResolvedRecipient]) -> bool:
        filtering = self._context.filtering
        # PERF: what accounts without scripts cost is this.
        return filtering is not None and any(filtering.incoming(account) for account in accounts)

    def _message_filter(self, content: Content | UnreadContent) -> MessageFilter:
        context, outbound = self._context, self._context.outbound
        if self._filter is None:
            assert context.filtering is not None
            assert isinstance(content, Content)

            async def is_forged(accepted: Sequence[Accepted]) -> bool:
                path = self._transaction.mail.reverse_path
                return self._is_stranger and await would_pass_as_ours(context, path, accepted, content)

            self._filter = MessageFilter(
                context.filtering,
                context.delivery,
                outbound.forwarding if outbound is not None else None,
                self._arriving(content),
                is_forged=is_forged,
                now=self._now,
            )
        return self._filter

    def _arriving(self, content: Content) -> Arriving:
        return Arriving(
            reverse_path=self._transaction.mail.reverse_path,
            options=self._options,
            message_id=self._transaction.message_id,
            content=content,
            arrival=self._arrival,
            submitted_by=self._account_id,
            auth=self._sender.login if self._sender is not None else "",
            is_junk=self._is_junk,
        )

    async def is_refused_by_some(self, taken: Sequence[Taken], accounts: Sequence[ResolvedRecipient]) -> bool:
        """Whether scripts of some recipients refuse it, which LMTP can say of each."""
        content = self._content
        if self._is_held or not accounts or content is None or not self._is_filtered(accounts):
            return False
        message_filter = self._message_filter(content)
        return any(
            [await message_filter.refusal([pair]) is not None for pair in _by_account(taken, accounts)]
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
                held=self._waits_for_release,
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


def _by_account(
    taken: Sequence[Taken], accounts: Sequence[ResolvedRecipient]
) -> list[tuple[ResolvedRecipient, Accepted]]:
    """Each account with the first recipient that leads to it."""
    found: dict[AccountId, Accepted] = {}
    for one in taken:
        if one.resolved is not None:
            accepted = Accepted(one.forward_path, one.resolved, one.options)
            for account_id in (
                *one.account_ids,
                *(forward.account_id for forward in one.resolved.forwards if forward.account_id),
            ):
                found.setdefault(account_id, accepted)
    return [(account, found[account.account_id]) for account in accounts]


def _refused_by(refusal: Reject) -> Refused:
    reply = Reply(550, "5.7.1", *reply_lines(refusal))
    return Refused(Reason.SCRIPT, reply, str(refusal.place))


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
