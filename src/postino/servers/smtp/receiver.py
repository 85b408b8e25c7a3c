"""From the first octet of a message to the answer for it.

RFC: 5321 §4.1.1.4 (DATA), §6.1 (responsibility), 3030 §2 (BDAT), 2033 §4.2 (LMTP's answers).
Invariants: every octet of a message or chunk is read, kept or not, so that none is ever taken for
    a command; a positive answer is given only after Delivery.accept() has returned.
Not here: cutting and unstuffing (smtp/framer.py), trace fields (delivery/accept.py).
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from postino.core.errors import DiskFull, OverQuota, OverSendingLimit, StoreError, TemporarilyUnavailable
from postino.core.ids import AccountId
from postino.delivery.accept import Inbound, received_hops
from postino.delivery.incoming import Fault, IncomingMessage
from postino.delivery.limit_notes import tell_of_limit
from postino.servers.context import ServerContext
from postino.servers.smtp import policy
from postino.servers.smtp.ahead import pass_on
from postino.servers.smtp.events import Reason, SessionEvents
from postino.servers.smtp.intake import Intake, Refused
from postino.servers.smtp.roles import SmtpRole
from postino.servers.smtp.submitter import Submitter
from postino.servers.smtp.transaction import MailTransaction, Taken
from postino.servers.smtp.wire import Wire
from postino.smtp import replies
from postino.smtp.paths import path_text
from postino.smtp.received import Arrival
from postino.smtp.reply import Reply
from postino.store.accounts import ResolvedRecipient
from postino.store.queue.values import QueuedMessage, QueueKind

_FAULTS: Final = {
    Fault.TOO_LARGE: (Reason.TOO_LARGE, replies.TOO_LARGE),
    Fault.HEADER_TOO_LARGE: (Reason.TOO_LARGE, replies.HEADER_TOO_LARGE),
    Fault.NO_ROOM: (Reason.UNAVAILABLE, replies.DISK_FULL),
}


class MessageReceiver:
    """Takes one session's messages in."""

    def __init__(self, context: ServerContext, role: SmtpRole, wire: Wire, events: SessionEvents) -> None:
        self._context = context
        self._is_lmtp = role is SmtpRole.LMTP
        self._wire = wire
        self._events = events

    async def read_data(self, transaction: MailTransaction) -> None:
        """Read a message in the form of DATA, to its end."""
        self._begin(transaction)
        self._wire.framer.begin_data()
        await self._read_pieces(transaction)

    async def read_chunk(self, transaction: MailTransaction | None, octets: int) -> None:
        """Read one chunk; without a transaction into nowhere."""
        if transaction is not None:
            message = transaction.message or self._begin(transaction)
            # The announced size counts before an octet of it is read.
            if message.octets + octets > self._context.limits.message_octets:
                message.fail(Fault.TOO_LARGE)
        self._wire.framer.begin_chunk(octets)
        await self._read_pieces(transaction)

    def _begin(self, transaction: MailTransaction) -> IncomingMessage:
        message = IncomingMessage(self._context.store, self._context.limits)
        transaction.begin_message(message)
        return message

    async def _read_pieces(self, transaction: MailTransaction | None) -> None:
        framer = self._wire.framer
        while True:
            piece, is_last = framer.next_piece()
            if piece and transaction is not None and transaction.message is not None:
                if transaction.line_endings is not None:
                    transaction.line_endings.feed(piece)
                transaction.message.add(piece)
            if is_last:
                return
            if not piece:
                await self._wire.receive()

    def refuse_so_far(self, transaction: MailTransaction) -> Reply | None:
        """What is wrong with the octets that have come."""
        message = transaction.message
        assert message is not None
        if message.fault is not None:
            reason, reply = _FAULTS[message.fault]
            return self._refused(transaction, reason, reply)
        if transaction.line_endings is not None and transaction.line_endings.are_broken:
            return self._refused(transaction, Reason.BARE_LINE_END, replies.BARE_CR_OR_LF)
        return None

    def _refused(self, transaction: MailTransaction, reason: Reason, reply: Reply, **fields: str) -> Reply:
        message = transaction.message
        return self._events.refused(
            reason,
            reply,
            message=transaction.message_id,
            reverse_path=path_text(transaction.mail.reverse_path),
            octets=message.octets if message is not None else 0,
            recipients=len(transaction.taken),
            **fields,
        )

    async def finish(
        self, transaction: MailTransaction, arrival: Arrival, submitter: Submitter | None
    ) -> list[Reply]:
        """Take the complete message over; the answers to give, one, or for LMTP one a recipient."""
        if transaction.line_endings is not None:
            transaction.line_endings.finish()
        outcome: Reply | list[Reply]
        try:
            outcome = self.refuse_so_far(transaction) or await self._take_over(
                transaction, arrival, submitter
            )
        except OverSendingLimit as error:
            outcome = await self._over_limit(transaction, submitter, error)
        except (StoreError, TemporarilyUnavailable) as error:
            outcome = self._unavailable(transaction, error)
        finally:
            transaction.discard()
        if isinstance(outcome, Reply):
            return [outcome] * len(transaction.taken) if self._is_lmtp else [outcome]
        return outcome

    async def _take_over(
        self, transaction: MailTransaction, arrival: Arrival, submitter: Submitter | None
    ) -> Reply | list[Reply]:
        """One answer for all, or for LMTP, when they fare differently, one for each recipient."""
        message = transaction.message
        assert message is not None
        if received_hops(message.header) >= self._context.limits.received_hops:
            return self._refused(transaction, Reason.LOOP, replies.LOOPING)
        intake = Intake(self._context, transaction, arrival, submitter, is_trusted=self._is_lmtp)
        refused = await intake.read(message)
        if refused is not None:
            intake.forget()
            return self._told_why(transaction, refused)
        is_kept = False
        try:
            outcome = await self._accept_all(transaction, intake)
            is_kept = any(reply.code < 300 for reply in (outcome if isinstance(outcome, list) else [outcome]))
        except asyncio.CancelledError:
            # Nobody knows what of it is being written just now; the sweep does later.
            is_kept = True
            raise
        finally:
            if not is_kept:
                # SECURITY: a file of a refused message would lie there for a day, and refused is for nothing.
                intake.forget()
        return outcome

    async def _accept_all(self, transaction: MailTransaction, intake: Intake) -> Reply | list[Reply]:
        message = transaction.message
        assert message is not None
        accounts = list(transaction.accounts.values())
        is_several = self._is_lmtp and len(transaction.taken) > 1
        if is_several and await intake.is_refused_by_some(transaction.taken, accounts):
            return await self._accept_apart(transaction, intake)
        try:
            return await self._accept(transaction, intake, transaction.taken, accounts)
        except OverQuota:
            if is_several:
                return await self._accept_apart(transaction, intake)
            return self._full(transaction, message.octets, accounts)

    def _told_why(self, transaction: MailTransaction, refused: Refused) -> Reply:
        fields = {"script": refused.script} if refused.script else {}
        return self._refused(transaction, refused.reason, refused.reply, **fields)

    async def _accept_apart(self, transaction: MailTransaction, intake: Intake) -> list[Reply]:
        """LMTP can say who has no room, so the others get their mail now (RFC 2033 §4.2)."""
        assert transaction.message is not None
        octets = transaction.message.octets
        outcomes: dict[AccountId, Reply] = {}
        answers: list[Reply] = []
        for taken in transaction.taken:
            accounts = [
                transaction.accounts[account_id]
                for account_id in taken.account_ids
                if account_id not in outcomes
            ]
            try:
                reply = await self._accept(transaction, intake, [taken], accounts)
            except OverQuota:
                reply = self._full(transaction, octets, accounts)
            except (StoreError, TemporarilyUnavailable) as error:
                reply = self._unavailable(transaction, error)
            outcomes.update((account.account_id, reply) for account in accounts)
            # An alias was served only when all its accounts were: the worst answer counts.
            shared = [outcomes[account_id] for account_id in taken.account_ids]
            answers.append(max((reply, *shared), key=lambda each: each.code))
        return answers

    async def _accept(
        self,
        transaction: MailTransaction,
        intake: Intake,
        taken: Sequence[Taken],
        accounts: Sequence[ResolvedRecipient],
    ) -> Reply:
        inbound = await intake.inbound(taken, accounts)
        if isinstance(inbound, Refused):
            return self._told_why(transaction, inbound)
        passed = await pass_on(self._context, transaction, inbound, self._events)
        if passed is not None:
            return passed
        outbound = self._context.outbound
        dispatcher = outbound.dispatcher if outbound is not None else None
        queued = await self._context.delivery.accept(inbound, dispatcher=dispatcher, log=self._events.log)
        return _kept(transaction, inbound, queued)

    def _full(
        self, transaction: MailTransaction, octets: int, recipients: Sequence[ResolvedRecipient]
    ) -> Reply:
        never = any(policy.refuse_room(recipient, octets) is replies.NEVER_FITS for recipient in recipients)
        return self._refused(
            transaction,
            Reason.MAILBOX_FULL,
            replies.NEVER_FITS if never else replies.MAILBOX_FULL,
            accounts=" ".join(recipient.login for recipient in recipients),
        )

    async def _over_limit(
        self, transaction: MailTransaction, submitter: Submitter | None, error: OverSendingLimit
    ) -> Reply:
        if submitter is not None and submitter.account_id is not None:
            await tell_of_limit(self._context.delivery, submitter.account_id, str(error), self._events.log)
        reply = Reply(452, "4.7.1", str(error)) if error.passes else Reply(550, "5.7.1", str(error))
        return self._refused(transaction, Reason.SENDING_LIMIT, reply)

    def _unavailable(self, transaction: MailTransaction, error: Exception) -> Reply:
        reply = replies.DISK_FULL if isinstance(error, DiskFull) else replies.STORE_UNAVAILABLE
        return self._refused(transaction, Reason.UNAVAILABLE, reply, error=str(error))


def _kept(transaction: MailTransaction, inbound: Inbound, queued: Sequence[QueuedMessage]) -> Reply:
    """What it is called here: by the queue's number, with which it can be taken back, where it has one."""
    for out, entry in zip(inbound.outgoing, queued, strict=True):
        if out.kind is QueueKind.SUBMITTED:
            later = ", to wait until it is released" if out.held else ""
            if out.release_at > entry.created_at:
                later = f", to go at {datetime.fromtimestamp(out.release_at, UTC):%Y-%m-%d %H:%M:%S} UTC"
            return Reply(250, "2.0.0", f"Queued as {entry.queue_id} ({transaction.message_id}){later}")
    return Reply(250, "2.0.0", f"Kept as {transaction.message_id}")
