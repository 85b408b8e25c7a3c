"""What a far server offers: the answer to EHLO or LHLO as values.

RFC: 5321 §4.1.1.1, 1870 (SIZE), 2920 (PIPELINING), 3207 (STARTTLS), 3030 (CHUNKING, BINARYMIME),
    6152 (8BITMIME), 6531 (SMTPUTF8), 3461 (DSN), 8689 (REQUIRETLS), 6710 (MT-PRIORITY), 2852 (DELIVERBY),
    4954 (AUTH), 9422 (LIMITS).
Exposure: what any server says, bounded by the reply parser.
Invariants: every reply gives a value; what cannot be understood counts as not offered.
Not here: what is done with it (commands.py, transaction.py, outbound/client/session.py).
"""

import re
from typing import Final

import msgspec

from postino.smtp.client.replies import FarReply

_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_MOST_MECHANISMS: Final = 50


class Extensions(msgspec.Struct, frozen=True, kw_only=True):
    """What may be used on this connection."""

    has_size: bool = False
    size: int = 0
    """Most octets a message may have; 0 when it is not said."""
    pipelining: bool = False
    eight_bit_mime: bool = False
    smtputf8: bool = False
    chunking: bool = False
    binary_mime: bool = False
    """Offered, and CHUNKING with it, without which it cannot be used (RFC 3030 §3)."""
    dsn: bool = False
    require_tls: bool = False
    mt_priority: bool = False
    deliver_by: bool = False
    deliver_by_seconds: int = 0
    """The least a message must be given with BY mode R (RFC 2852 §3); 0 when it is not said."""
    start_tls: bool = False
    auth: tuple[str, ...] = ()
    """Mechanisms, upper case, in the server's order."""
    recipients: int = 0
    """LIMITS RCPTMAX; 0 when it is not said."""
    messages: int = 0
    """LIMITS MAILMAX; 0 when it is not said."""


NO_EXTENSIONS: Final = Extensions()
"""What a server offers that knows HELO only."""


def read_extensions(reply: FarReply) -> Extensions:
    """Understand the 250 to EHLO; its first line is the server's name for itself."""
    offered: dict[str, list[str]] = {}
    for line in reply.lines[1:]:
        words = line.split()
        if not words:
            continue
        keyword = words[0].upper()
        # QUIRK(old Exchange and others): "AUTH=LOGIN PLAIN" beside "AUTH LOGIN PLAIN" or instead of it, a
        # draft's form (verified 2026-07 in Postfix's broken_sasl_auth_clients). Remove: never worth it.
        if keyword.startswith("AUTH="):
            words[1:1] = [words[0][5:]]
            keyword = "AUTH"
        offered.setdefault(keyword, []).extend(words[1:])
    limits = dict(word.upper().partition("=")[::2] for word in offered.get("LIMITS", ()))
    chunking = "CHUNKING" in offered
    return Extensions(
        has_size="SIZE" in offered,
        size=_number(*offered.get("SIZE", ())),
        pipelining="PIPELINING" in offered,
        eight_bit_mime="8BITMIME" in offered,
        smtputf8="SMTPUTF8" in offered,
        chunking=chunking,
        binary_mime=chunking and "BINARYMIME" in offered,
        dsn="DSN" in offered,
        require_tls="REQUIRETLS" in offered,
        mt_priority="MT-PRIORITY" in offered,
        deliver_by="DELIVERBY" in offered,
        deliver_by_seconds=_number(*offered.get("DELIVERBY", ())),
        start_tls="STARTTLS" in offered,
        auth=tuple(dict.fromkeys(word.upper() for word in offered.get("AUTH", ())))[:_MOST_MECHANISMS],
        recipients=_number(limits.get("RCPTMAX", "")),
        messages=_number(limits.get("MAILMAX", "")),
    )


def _number(first: str = "", *_: str) -> int:
    return int(first) if _NUMBER.fullmatch(first) else 0
