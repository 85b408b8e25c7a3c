"""The trace fields a message gets on its way in: Return-Path, Delivered-To, Received.

RFC: 5321 §4.4 (trace), §4.1.3 (address literals), 3848 (with ESMTPSA ...), 6531 §4.3 (with
    UTF8SMTP ...), 2033 §5 (with LMTP), 6710 §7 (PRIORITY).
Exposure: the client's greeting is untrusted and is shown only when it is a host name or literal.
Invariants: every field ends in CRLF; no line is longer than 998 octets; no octet a client sent
    can end a line.
Not here: adding them (delivery/accept.py).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from postino.core.address import Address
from postino.smtp.paths import ReversePath, is_host, path_text

_MAX_HOST: Final = 255


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a message came: all that its Received field tells, but for recipient, id and date."""

    hello_host: str
    """What the client called itself, as it said it."""
    peer_address: str
    """The client's IP address; empty on a Unix socket."""
    protocol: str
    """`ESMTPS` and the like, from protocol_name()."""
    tls: str = ""
    """`TLSv1.3 TLS_AES_256_GCM_SHA384`; empty without TLS."""


def protocol_name(*, lmtp: bool, extended: bool, tls: bool, login: bool, smtputf8: bool) -> str:
    """The registered word for `with`: SMTP, ESMTPSA, LMTPS, UTF8SMTPSA (RFC 3848 §2, RFC 6531 §4.3)."""
    tail = ("S" if tls else "") + ("A" if login else "")
    if smtputf8:
        return ("UTF8LMTP" if lmtp else "UTF8SMTP") + tail
    if lmtp:
        return "LMTP" + tail
    return "ESMTP" + tail if extended else "SMTP"


def address_literal(ip_address: str) -> str:
    """An IP address in brackets; IPv6 gets its tag, a zone is cut off."""
    if ":" in ip_address:
        return f"[IPv6:{ip_address.partition('%')[0]}]"
    return f"[{ip_address}]"


@lru_cache(maxsize=2048)
def _shown_host(host: str) -> str:
    return host if len(host) <= _MAX_HOST and host.isascii() and is_host(host) else "unknown"


def received_field(
    arrival: Arrival,
    *,
    hostname: str,
    message_id: str,
    for_address: Address | None,
    date: str,
    priority: int = 0,
) -> bytes:
    """One Received field. `for_address` only when the message has that one recipient (RFC 5321 §7.2)."""
    host = _shown_host(arrival.hello_host)
    source = f"{host} ({address_literal(arrival.peer_address)})" if arrival.peer_address else host
    secured = f" ({arrival.tls})" if arrival.tls else ""
    recipient = ""
    if for_address is not None:
        path = path_text(for_address)
        if len(path) < 900:
            recipient = f"\r\n\tfor {path}"
    if priority:
        recipient += f"\r\n\tPRIORITY {priority}"
    return (
        f"Received: from {source}\r\n\tby {hostname} with {arrival.protocol}{secured}\r\n"
        f"\tid {message_id}{recipient};\r\n\t{date}\r\n"
    ).encode()


def return_path_field(reverse_path: ReversePath) -> bytes:
    """The field final delivery puts on top (RFC 5321 §4.4)."""
    return f"Return-Path: {path_text(reverse_path)}\r\n".encode()


def delivered_to_field(address: str) -> bytes:
    """Which account's address the message was delivered to, aliases and details resolved."""
    return f"Delivered-To: {address}\r\n".encode()
