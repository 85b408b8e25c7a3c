"""Who may send as whom, and to whom: the questions MAIL, RCPT and the author fields raise.

RFC: 5321 §3.6 (no open relaying), 6409 §6.1 (submission rights), §8.1 (From and Sender), 1870 §6.
Invariants: every function is a short read of the directory and gives a Reply for a refusal.
Not here: the order of commands (smtp/states.py), who a submitter is (submitter.py), passwords
    (servers/authentication.py), limits (store/sending.py).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from postino.core.address import (
    Address,
    BadAddress,
    ascii_domain,
    domain_key,
    parse_address,
    parse_domain,
)
from postino.delivery.submission import Fields
from postino.mime.address import Group, parse_address_list
from postino.servers.context import ServerContext
from postino.servers.smtp.events import Reason
from postino.servers.smtp.submitter import Submitter
from postino.smtp import replies
from postino.smtp.commands import MailCommand
from postino.smtp.reply import Reply
from postino.store.accounts import Resolved, ResolvedRecipient

_MOST_LABEL_OCTETS: Final = 63
_MOST_DOMAIN_OCTETS: Final = 253
_REPEATED_OCTETS: Final = 128
# Quoted strings and comments, and what may not follow the brackets of an address.
_ASIDE: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|\((?:[^()\\]++|\\.)*+\)', re.DOTALL)
_BEHIND_ANGLE: Final = re.compile(rb">[ \t\r\n]*+[^ \t\r\n,;]")


def refuse_sender(context: ServerContext, submitter: Submitter | None, mail: MailCommand) -> Reply | None:
    """Why this MAIL is refused; `submitter` is who has logged in."""
    if mail.size > context.limits.message_octets:
        return replies.TOO_LARGE
    # The null reverse-path is every account's: disposition notifications have it.
    if submitter is None or mail.reverse_path is None or submitter.may_send_as(mail.reverse_path):
        return None
    return submitter.sender_refused


@dataclass(frozen=True, slots=True)
class RecipientRefused:
    """Why mail to a forward-path is not taken: for the log, and for the client."""

    reason: Reason
    reply: Reply


_UNKNOWN: Final = RecipientRefused(Reason.UNKNOWN_RECIPIENT, replies.NO_SUCH_RECIPIENT)
_NO_RELAYING: Final = RecipientRefused(Reason.RELAYING, replies.NO_RELAYING)
_NO_OUTBOUND: Final = RecipientRefused(Reason.RELAYING, replies.NO_OUTBOUND)
_ONLY_REPORTS: Final = RecipientRefused(Reason.RELAYING, replies.ONLY_REPORTS)
_HALF_DOMAIN: Final = RecipientRefused(Reason.UNKNOWN_RECIPIENT, replies.HALF_RECIPIENT_DOMAIN)
_BAD_DOMAIN: Final = RecipientRefused(Reason.UNKNOWN_RECIPIENT, replies.BAD_RECIPIENT_DOMAIN)


def resolve_recipient(
    context: ServerContext,
    forward_path: Address,
    *,
    octets: int,
    may_relay: bool,
    is_report: bool = False,
) -> Resolved | RecipientRefused | None:
    """Who here receives mail to `forward_path`, None when it goes elsewhere, or why it goes nowhere.

    `octets` is the announced size, 0 when unknown; `is_report` is whether the reverse-path is null. An alias
    is refused when any of its accounts is full: the sender keeps the message and tries again, which an answer
    of half would not get.
    """
    delivery = context.delivery
    # PERF: first what is known without a read: mail of users goes mostly elsewhere.
    elsewhere = bool(forward_path.domain) and delivery.senders.is_elsewhere(forward_path.domain)
    found = None
    if not elsewhere:
        found = delivery.recipients.resolve(forward_path, context.subaddress_separator, context.hostname)
    if found is None:
        return _refuse_elsewhere(context, forward_path) if may_relay else _NO_RELAYING
    if not found:
        return _UNKNOWN
    if found.forwards and context.outbound is None:
        return _NO_OUTBOUND
    # SECURITY: whoever has us forward a message to himself learns a rewritten address of anybody he names in
    # MAIL. Were it to take all mail, we would relay his to that person.
    if not is_report and any(forward.is_return for forward in found.forwards):
        return _ONLY_REPORTS
    for recipient in found.accounts:
        full = refuse_room(recipient, octets)
        if full is not None:
            return RecipientRefused(Reason.MAILBOX_FULL, full)
    return found


def _refuse_elsewhere(context: ServerContext, forward_path: Address) -> RecipientRefused | None:
    """Why no user may write to this address of another server."""
    outbound = context.outbound
    if outbound is None:
        return _NO_OUTBOUND
    if not _can_exist(forward_path.domain):
        return _BAD_DOMAIN
    if not _is_complete(forward_path.domain) and not _is_routed(context, forward_path.domain):
        return _HALF_DOMAIN
    reason = context.delivery.senders.suppressed(forward_path, outbound.settings.suppress_after)
    if reason is None:
        return None
    return RecipientRefused(
        Reason.SUPPRESSED,
        Reply(
            550,
            "5.1.1",
            f"Mail to this address keeps failing; correct it, or ask the postmaster to allow it again "
            f"({reason or 'no reason was noted'})",
        ),
    )


# PERF: 4 us for each recipient, where most are of a few domains (bench: submission).
@lru_cache(maxsize=4096)
def _can_exist(domain: str) -> bool:
    if domain.startswith("["):
        return True
    try:
        labels = ascii_domain(parse_domain(domain)).split(".")
    except (BadAddress, UnicodeError):
        return False
    # 192.0.2.1 is no domain; [192.0.2.1] would do.
    return not labels[-1].isdigit() and (
        max(map(len, labels)) <= _MOST_LABEL_OCTETS
        and sum(map(len, labels)) + len(labels) - 1 <= _MOST_DOMAIN_OCTETS
    )


def _is_complete(domain: str) -> bool:
    """Whether it may be one of the Internet (RFC 6409 §4.2), where no domain of one label takes mail."""
    return "." in domain.rstrip(".") or domain.startswith("[")


def _is_routed(context: ServerContext, domain: str) -> bool:
    """Whether a route names it, as one may within one's own network."""
    outbound = context.outbound
    assert outbound is not None
    known = domain_key(domain)
    return any(known in map(domain_key, route.domains) for route in outbound.settings.routes)


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


def read_author(submitter: Submitter, fields: Fields) -> Address | Reply:
    """The first author a submitted message names, or why it is refused: From and Sender must be theirs."""
    if not fields.is_sound:
        return replies.BAD_HEADER
    if len(fields.authors) > 1:
        return replies.TWO_AUTHORS
    authors = _addresses(fields.authors)
    senders = _addresses(fields.senders)
    if authors is None or senders is None:
        return replies.BAD_AUTHOR
    if not authors:
        return replies.NO_AUTHOR
    if not all(map(submitter.may_send_as, authors)):
        return submitter.author_refused
    if not all(map(submitter.may_send_as, senders)):
        return submitter.sender_field_refused
    return authors[0]


def _addresses(values: tuple[bytes, ...]) -> list[Address] | None:
    """The addresses of fields; None when one cannot be understood by everybody alike, or is in a group."""
    found: list[Address] = []
    for value in values:
        # PERF: the same few people write all the time: 0.2 us instead of 12 (bench: submission).
        some = _repeated(value) if len(value) <= _REPEATED_OCTETS else _read_addresses(value)
        if some is None:
            return None
        found += some
    return found


def _read_addresses(value: bytes) -> tuple[Address, ...] | None:
    # SECURITY: of two addresses in one place other programs may show the one we do not look at.
    if _BEHIND_ANGLE.search(_ASIDE.sub(b"", value)):
        return None
    found = []
    for each in parse_address_list(value):
        if isinstance(each, Group):
            return None
        try:
            found.append(parse_address(each.addr_spec))
        except BadAddress:
            return None
    return tuple(found)


_repeated = lru_cache(maxsize=2048)(_read_addresses)
