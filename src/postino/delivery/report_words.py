"""The first part of a report: what happened, in words for whoever wrote the message.

RFC: 3464 §2 (the readable part), 3461 §5.2, 2852 §4.1.3.
Exposure: replies of other servers and the message's own header fields are quoted: any text.
Invariants: lines have at most 76 characters, but for addresses, and no control character; what is quoted is
    indented, so that nothing quoted reads as our own words; the part grows with the number of recipients
    only.
Not here: sentences for codes (smtp/status_sentences.py), the part for programs (mime/delivery_status.py).
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from postino.core.ids import Instant
from postino.mime.dates import format_date
from postino.mime.delivery_status import NEVER, Action, RecipientStatus, is_reply, plain_text
from postino.mime.encoded_word import decode_header_text
from postino.mime.header import first_values
from postino.smtp.status_sentences import explain_delay, explain_failure

_WIDTH: Final = 76
_MOST_QUOTED: Final = 500
_ORDER: Final = (Action.FAILED, Action.DELAYED, Action.RELAYED, Action.EXPANDED, Action.DELIVERED)
_SUBJECTS: Final = {
    Action.FAILED: "Not delivered",
    Action.DELAYED: "Not delivered yet",
    Action.RELAYED: "Passed on",
    Action.EXPANDED: "Passed on",
    Action.DELIVERED: "Delivered",
}


@dataclass(frozen=True, slots=True)
class Told:
    """One recipient a report tells about."""

    status: RecipientStatus
    domain: str
    attempts: int = 0
    since: Instant = NEVER
    """With attempts: when the first was made or failed."""
    gave_up: bool = False
    """FAILED, and only because the time was over."""
    deadline: bool = False
    """... the sender's own (DELIVERBY); DELAYED: because it has passed."""


def report_subject(told: Sequence[Told], header: bytes) -> str:
    """The report's Subject field; encoded as the message's was."""
    action = next(action for action in _ORDER if any(one.status.action is action for one in told))
    about = first_values(header).get(b"subject", b"").replace(b"\r\n", b"").strip()
    if not about or len(about) > 200 or not about.isascii():
        return _SUBJECTS[action]
    return f"{_SUBJECTS[action]}: {about.decode('ascii')}"


def report_words(told: Sequence[Told], header: bytes, *, size: int, hostname: str, returns_all: bool) -> str:
    """The whole part, lines ended by LF."""
    paragraphs: list[str] = []
    for action in _ORDER:
        those = [one for one in told if one.status.action is action]
        if those:
            paragraphs += _wrapped(_opening(action, those))
            for one in those:
                paragraphs += _recipient(one, size)
    paragraphs += _closing(header, hostname, returns_all=returns_all)
    return "\n".join(paragraphs)


def _opening(action: Action, told: Sequence[Told]) -> str:
    where = "this address" if len(told) == 1 else "these addresses"
    if action is Action.FAILED:
        return f"Your message could not be delivered to {where}, and nothing more will be tried."
    if action is Action.DELAYED:
        return (
            f"Your message has not reached {where} yet. You need not send it again: it is still being tried."
        )
    if action is Action.DELIVERED:
        return f"Your message was delivered to {where}, as you wanted to know."
    if action is Action.RELAYED:
        return (
            f"Your message was passed on for {where} to a mail system that does not tell when it is "
            "delivered. If that fails, you should still hear of it."
        )
    if action is Action.EXPANDED:
        stand = "stands" if len(told) == 1 else "stand"
        return f"Your message reached {where}, which {stand} for others, and was passed on to those."
    assert_never(action)


def _recipient(told: Told, size: int) -> list[str]:
    status = told.status
    lines = ["  " + plain_text(status.address, 330)]
    original = status.original.partition(";")[2].strip()
    if original and original.lower() != status.address.lower():
        lines += _wrapped(f"You wrote to {plain_text(original, 330)}.", indent=4, ends=False)
    lines += _wrapped(_explanation(told, size), indent=4, ends=False)
    if status.reply and status.action in {Action.FAILED, Action.DELAYED}:
        said = "What went wrong:"
        if status.remote:
            remote = plain_text(status.remote, 330)
            said = f"{remote} answered:" if is_reply(status.reply) else f"What went wrong with {remote}:"
        lines += ["", *_wrapped(said, indent=4, ends=False)]
        lines += _wrapped(plain_text(status.reply, _MOST_QUOTED), indent=6, ends=False)
    return [*lines, ""]


def _explanation(told: Told, size: int) -> str:
    status, where = told.status, plain_text(told.domain, 255)
    if status.action is Action.FAILED:
        if not told.gave_up:
            # RFC 8689 §4.2.1 has one code for what the sender asked for, and for what a server asks for.
            is_ours = status.status == "5.7.10" and not is_reply(status.reply)
            return explain_failure("5.7.30" if is_ours else status.status, where=where, size=size)
        return " ".join([*_reason(told, where, size), *_tried(told), _AFTER[told.deadline]])
    if status.action is Action.DELAYED:
        late = ["The time you allowed for it is over."] if told.deadline else []
        until = status.will_retry_until
        trying = [f"It will be tried until {format_date(until)}."] if until else []
        return " ".join([*late, *_reason(told, where, size), *trying])
    if status.action is Action.DELIVERED:
        return "It is in the mailbox."
    return f"Taken by {plain_text(status.remote, 330)}." if status.remote else ""


def _reason(told: Told, where: str, size: int) -> list[str]:
    """What is in the way; nothing where all that is known is that its time is over, which is said anyway."""
    if told.deadline and told.status.status.endswith(_TIME_IS_OVER):
        return []
    return [explain_delay(told.status.status, where=where, size=size)]


_TIME_IS_OVER: Final = ".4.7"
_AFTER: Final = {
    False: "That is long enough: it is given up now. Try again, or tell the recipient in another way.",
    True: "The time you allowed for it is over: it is given up now.",
}


def _tried(told: Told) -> list[str]:
    if not told.attempts:
        # Put off each time, for other mail found out that nobody answers there.
        return [] if told.status.reply else ["It could not be tried in time."]
    times = "once" if told.attempts == 1 else f"{told.attempts} times"
    since = f" since {format_date(told.since)}" if told.since else ""
    return [f"It was tried {times}{since}."]


def _closing(header: bytes, hostname: str, *, returns_all: bool) -> list[str]:
    values = first_values(header)
    lines = ["Your message:"]
    for name, key in (("Subject", b"subject"), ("To", b"to"), ("Date", b"date")):
        value = values.get(key)
        if value is not None:
            lines += _wrapped(f"{name}: {plain_text(decode_header_text(value), 200)}", indent=2, ends=False)
    whole = "your message" if returns_all else "the header of your message"
    return [
        *lines,
        "",
        *_wrapped(
            f"This report was written by the mail system {hostname}. The rest of it is for mail programs, "
            f"and for whoever helps you: details, and {whole}."
        ),
    ]


def _wrapped(text: str, *, indent: int = 0, ends: bool = True) -> list[str]:
    lines = textwrap.wrap(
        text, _WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent, break_on_hyphens=False
    )
    return [*lines, ""] if ends else lines
