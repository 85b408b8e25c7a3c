"""Have the next server say what it thinks of forwarded mail before its sender gets an answer.

RFC: 5321 §3.9, §6.1 (a positive answer takes responsibility, here the next server's).
Exposure: anybody on the network has us ask another server about an address that is forwarded there, some
    times a message.
Invariants: a message is answered with 250 when the next server has it, or our queue; whoever was asked is let
    go of with the transaction.
Not here: asking (outbound/cut_through.py), who is forwarded (delivery/forwarding.py).
"""

from typing import Final

from postino.delivery.accept import Inbound
from postino.delivery.forwarding import Accepted, recipient_of
from postino.outbound.cut_through import Refused
from postino.servers.context import ServerContext
from postino.servers.smtp.events import Reason, SessionEvents
from postino.servers.smtp.transaction import MailTransaction
from postino.smtp.commands import RcptCommand
from postino.smtp.paths import path_text
from postino.smtp.reply import Reply
from postino.store.accounts import Resolved
from postino.store.queue.values import QueueKind
from postino.store.unstored import forget_unstored

MOST_ASKED: Final = 5
"""Recipients of one message that other servers are asked about."""


async def ask_ahead(
    context: ServerContext, transaction: MailTransaction, command: RcptCommand, found: Resolved
) -> Reply | None:
    """Why the next server refuses this recipient for good; None when it takes it, or is not to be asked.

    Raises TemporarilyUnavailable.
    """
    outbound = context.outbound
    if (
        outbound is None
        or found.accounts
        or len(found.forwards) != 1
        or transaction.asked_ahead >= MOST_ASKED
    ):
        return None
    transaction.asked_ahead += 1
    forward = found.forwards[0]
    accepted = Accepted(command.forward_path, found, command.options)
    mail = transaction.mail
    path = await outbound.forwarding.reverse_path(mail.reverse_path, forward.via, context.clock.now())
    asked = await outbound.cut_through.ask(
        str(path) if path is not None else "",
        transaction.options,
        recipient_of(forward, accepted, command.options.notify),
        size=mail.size,
    )
    if isinstance(asked, Refused):
        return _reply(asked)
    if asked is not None:
        transaction.hold(asked)
    return None


async def pass_on(
    context: ServerContext, transaction: MailTransaction, inbound: Inbound, events: SessionEvents
) -> Reply | None:
    """The next server's answer to the message; None when it is to be written down here instead."""
    asked = transaction.asked
    if asked is None or not _is_all(inbound):
        return None
    remote = asked.remote
    (new,) = context.delivery.compose(inbound)
    answer = await asked.pass_on(new)
    if answer is None:
        return None
    forget_unstored(context.store, [inbound.content.body])
    fields: dict[str, str | int] = {
        "message": inbound.message_id,
        "reverse_path": path_text(inbound.envelope.reverse_path),
        "octets": new.size,
        "to": new.recipients[0].address,
    }
    if isinstance(answer, Refused):
        return events.refused(Reason.NEXT_SERVER, _reply(answer), recipients=1, **fields)
    context.delivery.metrics.message_accepted(new.size, 1)
    events.log.info("message.passed", remote=remote, reply=answer.text, **fields)
    return Reply(250, "2.0.0", f"Passed on as {inbound.message_id}")


def _is_all(inbound: Inbound) -> bool:
    """Whether one way on is all that becomes of the message.

    It never is with what users submit: that is counted, may be held, and is filed in Sent.
    """
    return (
        len(inbound.outgoing) == 1
        and inbound.outgoing[0].kind is QueueKind.FORWARDED
        and len(inbound.outgoing[0].recipients) == 1
        and not (inbound.envelope.recipients or inbound.filtered)
        and not inbound.reports
    )


def _reply(refused: Refused) -> Reply:
    return Reply(refused.code, refused.status, refused.text)
