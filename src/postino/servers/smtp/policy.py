"""Who may send as whom, and to whom: the questions MAIL, RCPT and the From field raise.

RFC: 5321 §3.6 (no open relaying), 6409 §6.1 (submission rights), 1870 §6.
Invariants: every function is a short read of the directory and gives a Reply for a refusal.
Not here: the order of commands (smtp/states.py), passwords (servers/authentication.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from postino.core.address import Address, BadAddress, parse_address
from postino.core.ids import AccountId
from postino.mime.address import Group, parse_address_list
from postino.mime.header import raw_fields
from postino.servers.context import ServerContext
from postino.servers.smtp.events import Reason
from postino.smtp import replies
from postino.smtp.commands import MailCommand
from postino.smtp.reply import Reply
from postino.store.accounts import ResolvedRecipient


def owns_address(context: ServerContext, account_id: AccountId, address: Address) -> bool:
    """Whether mail to `address` comes to the account, so that it may send as that address."""
    found = context.delivery.recipients.resolve(address, context.subaddress_separator, context.hostname)
    return found is not None and found.reaches(account_id)


def refuse_sender(context: ServerContext, account_id: AccountId | None, mail: MailCommand) -> Reply | None:
    """Why this MAIL is refused; `account_id` is who has logged in."""
    if mail.size > context.limits.message_octets:
        return replies.TOO_LARGE
    # The null reverse-path is every account's: disposition notifications have it.
    if account_id is None or mail.reverse_path is None:
        return None
    return None if owns_address(context, account_id, mail.reverse_path) else replies.SENDER_NOT_YOURS


@dataclass(frozen=True, slots=True)
class RecipientRefused:
    """Why mail to a forward-path is not taken: for the log, and for the client."""

    reason: Reason
    reply: Reply


_UNKNOWN: Final = RecipientRefused(Reason.UNKNOWN_RECIPIENT, replies.NO_SUCH_RECIPIENT)
_NO_RELAYING: Final = RecipientRefused(Reason.RELAYING, replies.NO_RELAYING)
_NO_OUTBOUND: Final = RecipientRefused(Reason.RELAYING, replies.NO_OUTBOUND_YET)


def resolve_recipient(
    context: ServerContext, forward_path: Address, *, octets: int, logged_in: bool
) -> Sequence[ResolvedRecipient] | RecipientRefused:
    """The accounts that mail to `forward_path` goes to, or why it goes to none.

    `octets` is the announced size, 0 when unknown. An alias is refused when any of its accounts is
    full: the sender keeps the message and tries again, which an answer of half would not get.
    """
    found = context.delivery.recipients.resolve(forward_path, context.subaddress_separator, context.hostname)
    if found is None:
        return _NO_OUTBOUND if logged_in else _NO_RELAYING
    if not found:
        return _UNKNOWN
    if found.forwards:
        return _NO_OUTBOUND
    for recipient in found.accounts:
        full = refuse_room(recipient, octets)
        if full is not None:
            return RecipientRefused(Reason.MAILBOX_FULL, full)
    return found.accounts


def refuse_room(recipient: ResolvedRecipient, octets: int) -> Reply | None:
    """Whether a message of `octets` (0 when unknown) has no room in the account."""
    if 0 < recipient.quota_messages <= recipient.used_messages:
        return replies.MAILBOX_FULL
    quota = recipient.quota_octets
    if not quota:
        return None
    if octets > quota:
        return replies.NEVER_FITS
    if recipient.used_octets >= quota or recipient.used_octets + octets > quota:
        return replies.MAILBOX_FULL
    return None


def refuse_author(context: ServerContext, account_id: AccountId, header: bytes) -> Reply | None:
    """Whether the From field names somebody who is not the account's user (RFC 6409 §6.1)."""
    theirs = authors_are(header, lambda address: owns_address(context, account_id, address))
    return None if theirs else replies.AUTHOR_NOT_YOURS


def authors_are(header: bytes, allowed: Callable[[Address], bool]) -> bool:
    """Whether every author in From fields is somebody `allowed`, and no author cannot be understood."""
    for _, name, value in raw_fields(header):
        if name.lower() != b"from":
            continue
        for author in parse_address_list(value):
            if isinstance(author, Group):
                return False
            try:
                address = parse_address(author.addr_spec)
            except BadAddress:
                return False
            if not allowed(address):
                return False
    return True
