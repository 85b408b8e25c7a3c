"""Mail to whoever runs this server, from the server itself.

RFC: 5321 §4.5.1 (postmaster), 3834 §5 (Auto-Submitted).
Invariants: it goes into mailboxes here, never into the queue, and past their quotas.
Not here: what is worth telling (limit_notes.py, outbound/signing/key_schedule.py).
"""

import secrets
from collections.abc import Sequence

from postino.core.address import Address
from postino.core.ids import Instant
from postino.delivery.accept import Delivery
from postino.delivery.facts import derive_facts
from postino.mime.dates import format_date
from postino.smtp.received import delivered_to_field, return_path_field
from postino.store.accounts import ResolvedRecipient, oldest_account
from postino.store.content import InlineBody, NewEmail
from postino.store.messages import deliver
from postino.store.tx import Tx


async def tell_operator(delivery: Delivery, subject: str, text: str) -> None:
    """Put a note into the operator's INBOX, durably. Raises TemporarilyUnavailable."""
    now = delivery.clock.now()
    receivers = operators(delivery)
    await delivery.store.write(lambda tx: deliver_note(tx, delivery, receivers, subject, text, now))


def operators(delivery: Delivery) -> Sequence[ResolvedRecipient]:
    """Who is told: postmaster's accounts, as far as they are here."""
    found = delivery.recipients.resolve(Address("postmaster", ""), "", delivery.hostname)
    return found.accounts if found is not None else ()


def deliver_note(
    tx: Tx,
    delivery: Delivery,
    receivers: Sequence[ResolvedRecipient],
    subject: str,
    text: str,
    now: Instant,
) -> None:
    """Put a note into the INBOX of each; of the oldest account when there are none."""
    emails = [
        (one.account_id, None, _note(delivery, one, subject, text, now))
        for one in receivers or oldest_account(tx).accounts
    ]
    deliver(tx, emails, now, over_quota=True)


def _note(delivery: Delivery, receiver: ResolvedRecipient, subject: str, text: str, now: Instant) -> NewEmail:
    hostname = delivery.hostname
    header = (
        return_path_field(None)
        + delivered_to_field(receiver.login)
        + (
            f"Date: {format_date(now)}\r\nFrom: Postino <postmaster@{hostname}>\r\n"
            f"To: <{receiver.login}>\r\nSubject: {subject}\r\n"
            f"Message-ID: <{secrets.token_hex(12)}@{hostname}>\r\nAuto-Submitted: auto-generated\r\n"
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Content-Transfer-Encoding: 8bit\r\n\r\n"
        ).encode()
    )
    body = text.replace("\n", "\r\n").encode()
    return NewEmail(header, InlineBody(body), derive_facts(header, body, delivery.limits), now)
