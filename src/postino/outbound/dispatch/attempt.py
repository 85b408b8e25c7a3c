"""One transaction as values: what a message needs of a server, what is said to it, what its replies mean.

RFC: 5321 §4.2.1 (reply classes), §4.5.3.1.10 (too many recipients), §6.1; 3463 (status codes); 8689 §4.2.1
    (REQUIRETLS), 6531 §3.2 (SMTPUTF8), 1870 §6.1 (SIZE), 2852 §4.1 (BY), 3461 §5.2 (relaying to a server
    without DSN), 6647 §5 (greylisting).
Exposure: replies of any server; what they say is shown, never acted on beyond code and status.
Invariants: pure; each recipient of a transaction gets one outcome, or is to be sent once more at once; a
    message is never sent with less than its sender asked for.
Not here: connections (courier.py), the octets (preparation.py), the schedule (retry.py).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from postino.core.ids import Instant
from postino.outbound.client.outgoing import RecipientReply
from postino.outbound.dispatch.retry import Retry
from postino.outbound.dispatch.work import NO_TROUBLE, Reached, Trouble, Work, has_options
from postino.smtp.client.commands import is_beyond_ascii
from postino.smtp.client.extensions import Extensions
from postino.smtp.envelope import NO_RCPT_OPTIONS, BodyType, ByMode, MailOptions, Notify, RcptOptions
from postino.store.queue.values import Octets, Outcome, QueuedMessage, QueuedRecipient, Result

EXPIRED: Final = "4.4.7"
"""RFC 3463 §3.5: time ran out, while what stood in the way may yet pass."""
LATE: Final = "5.4.7"
"""RFC 2852 §4.1.3: the sender's own deadline passed."""
_AT_ONCE: Final = Instant(0)
_TOO_MANY_RECIPIENTS: Final = frozenset({"4.5.3", "5.5.3", "4.0.0", "5.0.0", ""})
"""Also when the server gave no code of RFC 3463 with its 452 or 552, as Exim does not."""
_TLS_OPTIONAL: Final = re.compile(rb"^tls-required:[ \t]*no[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_TOO_MANY_WORDS: Final = ("too many", "concurrent", "connection limit", "connections from your")
_GREY_WORDS: Final = ("greylist", "graylist", "grey list", "gray list")


@dataclass(frozen=True, slots=True)
class Lack:
    """What a server does not offer and a message cannot go without."""

    status: str
    sentence: str


TOO_OPEN: Final = Lack(
    "5.7.10", "The sender asked for TLS all the way (REQUIRETLS), and the server cannot prove who it is"
)


def needs_utf8(message: QueuedMessage, octets: Octets) -> bool:
    """Whether only a server with SMTPUTF8 can take this (RFC 6531 §3.2): asked for, and used."""
    if not message.options.smtputf8:
        # An alias may lead to an address that needs it: that one fails alone (client/session.py).
        return False
    return (
        not octets.header.isascii()
        or is_beyond_ascii(message.reverse_path)
        or any(is_beyond_ascii(recipient.address) for recipient in message.recipients)
    )


def is_tls_optional(message: QueuedMessage, header: bytes) -> bool:
    """Whether its author would rather have it arrive than keep to what is said about TLS (RFC 8689 §3)."""
    return not message.options.require_tls and _TLS_OPTIONAL.search(header) is not None


def lacking(
    message: QueuedMessage, extensions: Extensions, *, is_verified: bool, size: int, utf8: bool, now: Instant
) -> Lack | None:
    """What keeps this message from going to a server with these extensions; None when nothing does."""
    if extensions.size and size > extensions.size:
        return Lack(
            "5.3.4", f"The message has {size} octets, and the server takes none over {extensions.size}"
        )
    if not has_options(message):
        return None
    options = message.options
    # RFC 8689 §5: a report must rather go without than be lost.
    if options.require_tls and message.reverse_path:
        if not is_verified:
            return TOO_OPEN
        if not extensions.require_tls:
            return Lack(
                "5.7.30", "The sender asked for TLS all the way, and the server does not offer REQUIRETLS"
            )
    if utf8 and not extensions.smtputf8:
        return Lack("5.6.7", "The message has addresses or a header that need SMTPUTF8, which is not offered")
    if options.by_mode is ByMode.RETURN:
        left = options.deliver_by - now
        if not extensions.deliver_by or extensions.deliver_by_seconds > left:
            return Lack(
                "5.3.3", f"The message must arrive within {left} seconds, which the server does not promise"
            )
    return None


def options_for(message: QueuedMessage, body: BodyType) -> MailOptions:
    """What MAIL asks for, with the body as it was made ready."""
    options = message.options
    return options if options.body is body else msgspec.structs.replace(options, body=body)


def recipient_options(
    message: QueuedMessage, recipient: QueuedRecipient, extensions: Extensions
) -> RcptOptions:
    """What RCPT asks for."""
    notify = recipient.notify
    if message.options.by_mode is ByMode.NOTIFY and not extensions.deliver_by and not notify & Notify.NEVER:
        # RFC 2852 §4.1.4.2: who does not know of the deadline shall at least tell of delays.
        notify = notify | Notify.DELAY if notify else Notify.FAILURE | Notify.DELAY
    if not notify and not recipient.original:
        return NO_RCPT_OPTIONS
    return RcptOptions(notify=notify, original=recipient.original)


def asks_for_dsn(message: QueuedMessage, recipient: QueuedRecipient) -> bool:
    """Whether the sender is to hear that the message left for where nobody confirms it."""
    options = message.options
    if recipient.notify & Notify.NEVER:
        return False
    return bool(recipient.notify & Notify.SUCCESS) or options.by_mode is ByMode.NOTIFY or options.by_trace


def is_confirmed(message: QueuedMessage, extensions: Extensions) -> bool:
    """Whether the server tells the sender itself what becomes of it (RFC 3461 §5.2.2, RFC 2852 §4.1.4)."""
    options = message.options
    if options.by_trace or (options.by_mode is ByMode.NOTIFY and not extensions.deliver_by):
        return False
    return extensions.dsn


def is_crowded(code: int, text: str) -> bool:
    """Whether a server says that we have too many connections, or that it has."""
    if code == 421:
        return True
    return 400 <= code < 500 and any(word in text.lower() for word in _TOO_MANY_WORDS)


def is_greylisted(code: int, status: str, text: str) -> bool:
    """Whether a server only wants to see us again (RFC 6647 §5)."""
    if not 400 <= code < 500:
        return False
    return (code == 451 and status == "4.7.1") or any(word in text.lower() for word in _GREY_WORDS)


class Judge:
    """Makes outcomes of what happened."""

    __slots__ = ("_retry",)

    def __init__(self, retry: Retry) -> None:
        self._retry = retry

    def read(
        self,
        work: Work,
        replies: Sequence[RecipientReply],
        reached: Reached,
        *,
        confirmed: bool,
        now: Instant,
    ) -> tuple[list[Outcome], list[QueuedRecipient]]:
        """The outcomes of a transaction, and the recipients the server had too many of: they go at once."""
        outcomes: list[Outcome] = []
        again: list[QueuedRecipient] = []
        message = work.held.message
        accepts = sum(reply.code < 300 for reply in replies)
        for recipient, reply in zip(work.recipients, replies, strict=True):
            code, status, text = reply.code, reply.status, reply.text
            if code < 300:
                relayed = not confirmed and asks_for_dsn(message, recipient)
                outcomes.append(
                    Outcome(
                        queue_id=message.queue_id,
                        number=recipient.number,
                        result=Result.RELAYED if relayed else Result.SENT,
                        status=status or "2.0.0",
                        reply=text,
                        remote=reached.remote,
                    )
                )
            elif accepts and code in (452, 552) and status in _TOO_MANY_RECIPIENTS:
                again.append(recipient)
            elif code >= 500:
                outcomes.append(self.failed(message, recipient, status or "5.0.0", text, reached))
            else:
                outcomes.append(
                    self.deferred(
                        message,
                        recipient,
                        status or "4.0.0",
                        text,
                        reached,
                        now=now,
                        greylisted=is_greylisted(code, status, text),
                    )
                )
        return outcomes, again

    def failed(
        self, message: QueuedMessage, recipient: QueuedRecipient, status: str, reply: str, reached: Reached
    ) -> Outcome:
        """It will never arrive."""
        return Outcome(
            queue_id=message.queue_id,
            number=recipient.number,
            result=Result.FAILED,
            status=status,
            reply=reply,
            remote=reached.remote,
        )

    def deferred(
        self,
        message: QueuedMessage,
        recipient: QueuedRecipient,
        status: str,
        reply: str,
        reached: Reached,
        *,
        now: Instant,
        greylisted: bool = False,
        not_before: Instant = _AT_ONCE,
    ) -> Outcome:
        """It is tried again, unless its time is over."""
        options = message.options
        last = message.expires_at
        if options.by_mode is ByMode.RETURN and options.deliver_by <= last:
            last = Instant(options.deliver_by)
            if now >= last:
                return self.failed(message, recipient, LATE, reply, reached)
        if now >= last:
            return self.failed(message, recipient, EXPIRED, reply, reached)
        next_at = max(self._retry.again(now, recipient.attempts, greylisted=greylisted), not_before)
        return Outcome(
            queue_id=message.queue_id,
            number=recipient.number,
            result=Result.DEFERRED,
            status=status,
            reply=reply,
            remote=reached.remote,
            # One last time when it expires.
            next_at=min(next_at, last),
        )

    def put_off(
        self,
        message: QueuedMessage,
        recipient: QueuedRecipient,
        until: Instant,
        trouble: Trouble = NO_TROUBLE,
    ) -> Outcome:
        """It was not tried, and does not count; `trouble` is why, where that is worth telling."""
        known = trouble.sentence == ""
        return Outcome(
            queue_id=message.queue_id,
            number=recipient.number,
            result=Result.DEFERRED,
            status=recipient.last_status if known else trouble.status,
            reply=recipient.last_reply if known else trouble.sentence,
            remote=recipient.last_remote if known else trouble.remote,
            next_at=until,
            counts=False,
        )
