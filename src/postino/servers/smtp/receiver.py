"""From the first octet of a message to the answer for it.

RFC: 5321 §4.1.1.4 (DATA), §6.1 (responsibility), 3030 §2 (BDAT), 2033 §4.2 (LMTP's answers).
Invariants: every octet of a message or chunk is read, kept or not, so that none is ever taken for
    a command; a positive answer is given only after Delivery.accept() has returned.
Not here: cutting and unstuffing (smtp/framer.py), trace fields (delivery/accept.py).
"""

from typing import Final

from postino.core.errors import DiskFull, OverQuota, StoreError, TemporarilyUnavailable
from postino.core.ids import AccountId
from postino.delivery.accept import Envelope, Inbound, received_hops
from postino.delivery.incoming import Content, Fault, IncomingMessage
from postino.directory.local_user import LocalUser
from postino.servers.context import ServerContext
from postino.servers.smtp import policy
from postino.servers.smtp.events import Reason, SessionEvents
from postino.servers.smtp.roles import SmtpRole
from postino.servers.smtp.transaction import MailTransaction
from postino.servers.smtp.wire import Wire
from postino.smtp import replies
from postino.smtp.paths import path_text
from postino.smtp.received import Arrival
from postino.smtp.reply import Reply
from postino.store.accounts import ResolvedRecipient

_FAULTS: Final = {
    Fault.TOO_LARGE: (Reason.TOO_LARGE, replies.TOO_LARGE),
    Fault.HEADER_TOO_LARGE: (Reason.TOO_LARGE, replies.HEADER_TOO_LARGE),
    Fault.NO_ROOM: (Reason.UNAVAILABLE, replies.DISK_FULL),
}


class MessageReceiver:
    """Takes one session's messages in."""

    def __init__(
        self,
        context: ServerContext,
        role: SmtpRole,
        wire: Wire,
        events: SessionEvents,
        local: LocalUser | None = None,
    ) -> None:
        self._context = context
        self._is_lmtp = role is SmtpRole.LMTP
        self._wire = wire
        self._events = events
        self._local = local

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
            recipients=len(transaction.forward_paths),
            **fields,
        )

    async def finish(
        self, transaction: MailTransaction, arrival: Arrival, account_id: AccountId | None
    ) -> list[Reply]:
        """Deliver the complete message; the answers to give, one, or for LMTP one a recipient."""
        if transaction.line_endings is not None:
            transaction.line_endings.finish()
        outcome: Reply | dict[AccountId, Reply]
        try:
            outcome = (
                self.refuse_so_far(transaction)
                or self._refuse_header(transaction, account_id)
                or await self._deliver(transaction, arrival)
            )
        except (StoreError, TemporarilyUnavailable) as error:
            outcome = self._unavailable(transaction, error)
        finally:
            transaction.discard()
        if not self._is_lmtp:
            assert isinstance(outcome, Reply)
            return [outcome]
        if isinstance(outcome, Reply):
            return [outcome] * len(transaction.forward_paths)
        # An alias was served only when all its accounts were: the worst answer counts.
        return [
            max((outcome[found] for found in account_ids), key=lambda reply: reply.code)
            for _, account_ids in transaction.forward_paths
        ]

    def _refuse_header(self, transaction: MailTransaction, account_id: AccountId | None) -> Reply | None:
        assert transaction.message is not None
        header = transaction.message.header
        if received_hops(header) >= self._context.limits.received_hops:
            return self._refused(transaction, Reason.LOOP, replies.LOOPING)
        if account_id is not None:
            refused = policy.refuse_author(self._context, account_id, header)
            if refused is not None:
                return self._refused(transaction, Reason.AUTHOR, refused)
        if self._local is not None and not policy.authors_are(header, self._local.may_send_as):
            return self._refused(transaction, Reason.AUTHOR, replies.AUTHOR_NOT_LOCAL)
        return None

    async def _deliver(
        self, transaction: MailTransaction, arrival: Arrival
    ) -> Reply | dict[AccountId, Reply]:
        """One answer for all, or for LMTP, when they fare differently, one for each account."""
        assert transaction.message is not None
        content = await transaction.message.finish()
        recipients = list(transaction.accounts.values())
        try:
            await self._accept(transaction, arrival, content, recipients)
        except OverQuota:
            if self._is_lmtp and len(recipients) > 1:
                return await self._deliver_apart(transaction, arrival, content)
            return self._full(transaction, content, recipients)
        return _kept(transaction)

    async def _deliver_apart(
        self, transaction: MailTransaction, arrival: Arrival, content: Content
    ) -> dict[AccountId, Reply]:
        """LMTP can say who has no room, so the others get their mail now (RFC 2033 §4.2)."""
        outcome: dict[AccountId, Reply] = {}
        for account_id, recipient in transaction.accounts.items():
            try:
                await self._accept(transaction, arrival, content, [recipient])
                outcome[account_id] = _kept(transaction)
            except OverQuota:
                outcome[account_id] = self._full(transaction, content, [recipient])
            except (StoreError, TemporarilyUnavailable) as error:
                outcome[account_id] = self._unavailable(transaction, error)
        return outcome

    async def _accept(
        self,
        transaction: MailTransaction,
        arrival: Arrival,
        content: Content,
        recipients: list[ResolvedRecipient],
    ) -> None:
        envelope = Envelope(transaction.mail.reverse_path, recipients, transaction.for_address)
        inbound = Inbound(envelope, content, arrival, transaction.message_id)
        await self._context.delivery.accept(inbound, log=self._events.log)

    def _full(
        self, transaction: MailTransaction, content: Content, recipients: list[ResolvedRecipient]
    ) -> Reply:
        never = any(
            policy.refuse_room(recipient, content.facts.size) is replies.NEVER_FITS
            for recipient in recipients
        )
        return self._refused(
            transaction,
            Reason.MAILBOX_FULL,
            replies.NEVER_FITS if never else replies.MAILBOX_FULL,
            accounts=" ".join(recipient.login for recipient in recipients),
        )

    def _unavailable(self, transaction: MailTransaction, error: Exception) -> Reply:
        reply = replies.DISK_FULL if isinstance(error, DiskFull) else replies.STORE_UNAVAILABLE
        return self._refused(transaction, Reason.UNAVAILABLE, reply, error=str(error))


def _kept(transaction: MailTransaction) -> Reply:
    return Reply(250, "2.0.0", f"Kept as {transaction.message_id}")
