"""Reverse-paths and forward-paths: what stands in the angle brackets of MAIL and RCPT.

RFC: 5321 §4.1.1.2, §4.1.1.3, §4.1.2 (Path grammar), §4.1.3 (address literals), 6531 §3.3 (UTF-8).
Exposure: unauthenticated octets.
Invariants: every pattern is possessive, so matching takes time linear in the line.
Not here: addresses in header fields (mime.address), whether an address exists (store).
"""

import ipaddress
import re
import unicodedata
from functools import lru_cache
from typing import Final

from postino.core.address import Address

ReversePath = Address | None
"""MAIL's argument; None is the null reverse-path `<>` of reports and replies."""

_ATEXT: Final = r"[^\x00-\x20\"(),.:;<>@\[\\\]\x7f-\x9f]"
_DOT_STRING: Final = rf"{_ATEXT}++(?:\.{_ATEXT}++)*+"
# qtextSMTP or quoted-pairSMTP (RFC 5321 §4.1.2), with UTF-8 (RFC 6531 §3.3).
_QUOTED: Final = r'"(?:[^\x00-\x1f"\\\x7f-\x9f]|\\[\x20-\x7e])++"'
_LDH_LABEL: Final = r"[^\x00-/:-@\[-^`{-\x9f]++(?:-++[^\x00-/:-@\[-^`{-\x9f]++)*+"
_DOMAIN: Final = rf"{_LDH_LABEL}(?:\.{_LDH_LABEL})*+"
_LITERAL: Final = r"\[[\x21-\x5a\x5e-\x7e]++\]"

_PATH: Final = re.compile(
    # A source route is read over and forgotten (RFC 5321 §4.1.1.3, appendix C).
    rf"<(?:@{_DOMAIN}(?:,@{_DOMAIN})*+:)?"
    rf"({_DOT_STRING}|{_QUOTED})@(?:({_DOMAIN})\.?|({_LITERAL}))>"
)
_DOMAIN_OR_LITERAL: Final = re.compile(rf"(?:({_DOMAIN})\.?|({_LITERAL}))")
_QUOTED_PAIR: Final = re.compile(r"\\(.)")
_GENERAL_LITERAL: Final = re.compile(r"[A-Za-z0-9-]*[A-Za-z0-9]:[\x21-\x5a\x5e-\x7e]+")

# QUIRK(older MTAs): dots in odd places of a local part (`jo..e.@example.jp`, once given out by
# Japanese mobile carriers) are taken unquoted. Remove with the addresses' last users.
_LOOSE_PATH: Final = re.compile(rf"<((?:{_ATEXT}|\.)++)@({_DOMAIN})\.?>")


def parse_path(text: str) -> Address | None:
    """The address in `<...>`, quoting and source route undone, or None when it is malformed."""
    match = _PATH.fullmatch(text)
    if match is None:
        match = _LOOSE_PATH.fullmatch(text)
        if match is None:
            return None
        return Address(match[1], _folded(match[2]))
    local_part, domain, literal = match[1], match[2], match[3]
    if local_part[0] == '"':
        local_part = _QUOTED_PAIR.sub(r"\1", local_part[1:-1])
    if domain is not None:
        return Address(local_part, _folded(domain)) if len(domain) <= 255 else None
    return Address(local_part, literal.lower()) if is_address_literal(literal) else None


def _folded(domain: str) -> str:
    lower = domain.lower()
    return lower if lower.isascii() else unicodedata.normalize("NFC", lower)


def parse_forward_path(text: str) -> Address | None:
    """As parse_path; `<Postmaster>` alone gives an Address whose domain is empty (RFC 5321 §4.5.1)."""
    if len(text) == 12 and text.lower() == "<postmaster>":
        return Address("postmaster", "")
    return parse_path(text)


def is_host(text: str) -> bool:
    """Whether `text` may follow EHLO: a domain or an address literal."""
    match = _DOMAIN_OR_LITERAL.fullmatch(text)
    return match is not None and (match[2] is None or is_address_literal(match[2]))


def is_address_literal(text: str) -> bool:
    """Whether `[...]` is an IPv4, IPv6 or other tagged literal (RFC 5321 §4.1.3)."""
    inner = text[1:-1]
    try:
        if inner[:5].lower() == "ipv6:":
            # A zone ("%eth0") is of this machine only and never goes over the wire.
            return "%" not in inner and bool(ipaddress.IPv6Address(inner[5:]))
        if ":" not in inner:
            return bool(ipaddress.IPv4Address(inner))
    except ValueError:
        return False
    return _GENERAL_LITERAL.fullmatch(inner) is not None


@lru_cache(maxsize=2048)
def path_text(path: ReversePath) -> str:
    """The path as it stands in a Return-Path field or a log: `<ann@example.org>`, `<>`."""
    return f"<{path}>" if path is not None else "<>"
