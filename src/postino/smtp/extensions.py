"""What the server says it can do: the answer to EHLO and LHLO.

RFC: 5321 §4.1.1.1, 2920 (PIPELINING), 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8), 3030
    (CHUNKING, BINARYMIME), 2034 (ENHANCEDSTATUSCODES), 9422 (LIMITS), 3207 (STARTTLS),
    4954 (AUTH), 2033 (LMTP), 3461 (DSN), 8689 (REQUIRETLS), 6710 (MT-PRIORITY), 2852 (DELIVERBY), 4865
    (FUTURERELEASE).
Invariants: a parameter is taken where its extension is announced, and refused elsewhere.
Not here: what is offered when (servers/smtp/offers.py).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from postino.core.ids import Instant
from postino.smtp import replies
from postino.smtp.commands import MailCommand, RcptCommand
from postino.smtp.envelope import NO_RCPT_OPTIONS, Return
from postino.smtp.reply import Reply

_MOST_SECONDS: Final = 999_999_999


@dataclass(frozen=True, slots=True)
class Offers:
    """What one session offers just now, beside what every session does."""

    message_octets: int
    recipients: int
    tls: bool = False
    mechanisms: tuple[str, ...] = ()
    dsn: bool = False
    require_tls: bool = False
    priority: bool = False
    deliver_by_seconds: int = 0
    """The least a message is given to arrive, where its return is asked for else; 0 offers no DELIVERBY."""
    hold_seconds: int = 0
    """How far ahead a message may be released; 0 offers no FUTURERELEASE."""


def hello_reply(hostname: str, offers: Offers, now: Instant) -> Reply:
    """The multi-line 250 to EHLO. It has no enhanced code, as every answer to a greeting (RFC 2034 §4)."""
    keywords = [
        "PIPELINING",
        f"SIZE {offers.message_octets}",
        "8BITMIME",
        "SMTPUTF8",
        "CHUNKING",
        "BINARYMIME",
        "ENHANCEDSTATUSCODES",
        f"LIMITS RCPTMAX={offers.recipients}",
    ]
    if offers.dsn:
        keywords.append("DSN")
    if offers.require_tls:
        keywords.append("REQUIRETLS")
    if offers.hold_seconds:
        seconds = min(offers.hold_seconds, _MOST_SECONDS)
        until = datetime.fromtimestamp(now + seconds, UTC)
        keywords.append(f"FUTURERELEASE {seconds} {until:%Y-%m-%dT%H:%M:%SZ}")
    if offers.deliver_by_seconds:
        keywords.append(f"DELIVERBY {offers.deliver_by_seconds}")
    if offers.priority:
        keywords.append("MT-PRIORITY")
    if offers.tls:
        keywords.append("STARTTLS")
    if offers.mechanisms:
        keywords.append("AUTH " + " ".join(offers.mechanisms))
    return Reply(250, "", hostname, *keywords)


def refuse_mail_parameters(mail: MailCommand, offers: Offers, now: Instant) -> Reply | None:
    """Why MAIL's parameters cannot be taken in a session that offers this."""
    options, hold = mail.options, mail.hold
    if options.require_tls and not offers.require_tls:
        return replies.REQUIRETLS_NEEDS_TLS
    if not offers.dsn and (options.ret is not Return.UNSAID or options.envid):
        return replies.UNKNOWN_PARAMETER
    if options.priority and not offers.priority:
        return replies.UNKNOWN_PARAMETER
    if options.by_mode is not None:
        if not offers.deliver_by_seconds:
            return replies.UNKNOWN_PARAMETER
        # RFC 2852 §3: with N, nothing is lost when the time is short or over.
        if mail.returns_late and mail.by_seconds < offers.deliver_by_seconds:
            return replies.BY_TOO_SOON
    if hold is not None:
        if not offers.hold_seconds:
            return replies.UNKNOWN_PARAMETER
        release_at = hold.release_at(now)
        if release_at > now + offers.hold_seconds:
            return replies.HOLD_TOO_LONG
        if release_at < now:
            return replies.HOLD_PAST
        # RFC 4865 §5.2.2
        if options.by_mode is not None and release_at > now + mail.by_seconds:
            return replies.HOLD_AFTER_BY
    return None


def refuse_rcpt_parameters(rcpt: RcptCommand, offers: Offers) -> Reply | None:
    """Why RCPT's parameters cannot be taken in a session that offers this."""
    return None if offers.dsn or rcpt.options == NO_RCPT_OPTIONS else replies.UNKNOWN_PARAMETER
