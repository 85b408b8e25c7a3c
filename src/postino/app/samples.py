"""A few messages for a demonstration: plain, HTML, an attachment, a conversation, other scripts.

Not here: putting them into mailboxes (app/demo.py).
"""

import base64
from dataclasses import dataclass
from typing import Final

from postino.core.flags import NO_FLAGS, FlagSet, flag_set
from postino.core.ids import Instant
from postino.mime.dates import format_date

HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class Sample:
    """One message as an account finds it."""

    mailbox: str
    header: bytes
    body: bytes
    received_at: Instant
    flags: FlagSet


def samples(to: str, others: str, now: Instant) -> list[Sample]:
    """Messages in the mailboxes of `to`; `others` is another address here, for the conversation."""
    seen, answered, flagged = (
        flag_set(["\\Seen"]),
        flag_set(["\\Seen", "\\Answered"]),
        flag_set(["\\Flagged"]),
    )
    domain = to.rpartition("@")[2]
    lunch = f"lunch-1@{domain}"
    return [
        _sample(
            "Archive", now - 400 * 24 * HOUR, seen,
            _fields("Grandma <grandma@example.net>", to, "Apple cake", "cake@example.net"),
            "For the cake you need eight apples, and more butter than you think.\n",
        ),
        _sample(
            "INBOX", now - 50 * HOUR, answered,
            _fields(others, to, "Lunch on Thursday?", lunch),
            "Hello,\n\nthe usual place, at half past twelve?\n",
        ),
        _sample(
            "Sent", now - 49 * HOUR, seen,
            _fields(to, others, "Re: Lunch on Thursday?", f"lunch-2@{domain}", lunch),
            "> the usual place, at half past twelve?\n\nGladly. See you there.\n",
        ),
        _sample(
            "INBOX", now - 26 * HOUR, NO_FLAGS,
            _fields(
                "=?utf-8?q?Zo=C3=AB_M=C3=BCller?= <zoe@example.net>", to,
                "=?utf-8?b?R3LDvMOfZSBhdXMgWsO8cmljaCDwn4+U?=", "zurich@example.net",
            ),
            "Grüße aus Zürich! Es schneit, und niemand ist überrascht.\n",
        ),
        _sample("INBOX", now - 5 * HOUR, NO_FLAGS, *_newsletter(to)),
        _sample("INBOX", now - 2 * HOUR, flagged, *_with_attachment(to, others, domain)),
    ]  # fmt: skip


def _sample(
    mailbox: str, moment: int, flags: FlagSet, fields: list[str], body: str, content_type: str = ""
) -> Sample:
    instant = Instant(moment)
    lines = [
        *fields,
        f"Date: {format_date(instant)}",
        "MIME-Version: 1.0",
        f"Content-Type: {content_type or 'text/plain; charset=utf-8'}",
    ]
    if not content_type:
        lines.append("Content-Transfer-Encoding: 8bit")
    header = "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"
    return Sample(mailbox, header, body.replace("\n", "\r\n").encode(), instant, flags)


def _fields(sender: str, to: str, subject: str, message_id: str, reply_to: str = "") -> list[str]:
    fields = [f"From: {sender}", f"To: {to}", f"Subject: {subject}", f"Message-ID: <{message_id}>"]
    if reply_to:
        fields += [f"In-Reply-To: <{reply_to}>", f"References: <{reply_to}>"]
    return fields


def _newsletter(to: str) -> tuple[list[str], str, str]:
    fields = _fields("The Weekly Bridge <weekly@lists.example.net>", to, "Issue 412", "issue-412@example.net")
    fields += ["List-Id: <weekly.lists.example.net>", "List-Unsubscribe: <mailto:leave@lists.example.net>"]
    body = (
        "--alternative\nContent-Type: text/plain; charset=utf-8\n\n"
        "Three bridges this week: one of stone, one of rope, one that was never built.\n\n"
        "--alternative\nContent-Type: text/html; charset=utf-8\n\n"
        "<h1>Three bridges</h1><p>One of <b>stone</b>, one of <i>rope</i>, one that was never built.</p>\n\n"
        "--alternative--\n"
    )
    return fields, body, 'multipart/alternative; boundary="alternative"'


def _with_attachment(to: str, others: str, domain: str) -> tuple[list[str], str, str]:
    table = "day,walked km\n" + "".join(f"2026-05-{day:02},{3 + day * 7 % 11}\n" for day in range(1, 32))
    encoded = base64.encodebytes(table.encode()).decode()
    body = (
        "--mixed\nContent-Type: text/plain; charset=utf-8\n\nHere is the table I promised.\n\n"
        '--mixed\nContent-Type: text/csv; name="walks.csv"\nContent-Transfer-Encoding: base64\n'
        f'Content-Disposition: attachment; filename="walks.csv"\n\n{encoded}\n--mixed--\n'
    )
    return _fields(others, to, "The table", f"table@{domain}"), body, 'multipart/mixed; boundary="mixed"'
