"""Look at an SPF record as a receiver will: is it sound, and does it let this server's addresses send?

RFC: 7208 §4.6 (terms), §4.6.4 (at most 10 questions), §5 (mechanisms), §6.1 (redirect).
Exposure: reads TXT records that others wrote; ends after MOST_QUESTIONS whatever they say.
Invariants: a record with macros or other things that depend on the sender is never called wrong for them.
Not here: checking mail that comes in; fetching the first record (check.py).
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from postino.core.ports import Resolver

ALLOWED_QUESTIONS: Final = 10
MOST_QUESTIONS: Final = 40
_TERM: Final = re.compile(r"([+?~-]?)([A-Za-z0-9]+)(?:([:=/])(.*))?", re.DOTALL)
_ASKING: Final = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})
_KNOWN: Final = _ASKING | {"ip4", "ip6", "all", "exp"}

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(slots=True)
class SpfReading:
    """What an SPF record comes to."""

    questions: int = 0
    """DNS questions that count against the 10 allowed."""
    covered: set[str] = field(default_factory=set)
    """Of the addresses asked about, those that pass."""
    final: str = ""
    """How it ends: `+all`, `-all`, `~all`, `?all`; empty when it does not say."""
    faults: list[str] = field(default_factory=list)
    """Sentences about what every receiver stumbles over."""
    has_macros: bool = False
    uses_ptr: bool = False


async def read_spf(resolver: Resolver, domain: str, text: str, addresses: Sequence[str]) -> SpfReading:
    """Follow the record of `domain`. Raises DnsFailure when a question it leads to is not answered."""
    reading = SpfReading()
    parsed = {address: ipaddress.ip_address(address) for address in addresses}
    await _follow(resolver, domain, text, parsed, reading, set())
    return reading


async def _follow(
    resolver: Resolver,
    domain: str,
    text: str,
    addresses: dict[str, IpAddress],
    reading: SpfReading,
    path: set[str],
) -> None:
    redirect = ""
    for word in text.split()[1:]:
        term = _TERM.fullmatch(word)
        name = term[2].lower() if term is not None else ""
        if term is None or (name not in _KNOWN and term[3] != "="):
            reading.faults.append(f"{word!r} is no term of SPF")
            continue
        value = term[4] or ""
        if term[3] == "/":
            value = "/" + value
        if "%" in value:
            reading.has_macros = True
            reading.questions += name in _ASKING
            continue
        if name == "all":
            if not path:
                reading.final = f"{term[1] or '+'}all"
            return
        if name == "redirect":
            redirect = value
        elif name in _KNOWN and name != "exp":
            await _look(resolver, domain, name, term[1], value, addresses, reading, path)
    if redirect:
        await _look(resolver, domain, "redirect", "", redirect, addresses, reading, path)


async def _look(
    resolver: Resolver,
    domain: str,
    name: str,
    qualifier: str,
    value: str,
    addresses: dict[str, IpAddress],
    reading: SpfReading,
    path: set[str],
) -> None:
    """One mechanism, or redirect."""
    if name in {"ip4", "ip6"}:
        _cover(reading, qualifier, addresses, [value])
        return
    reading.questions += 1
    if reading.questions > MOST_QUESTIONS:
        return
    host, lengths = _host(value, domain)
    match name:
        case "a":
            _cover(reading, qualifier, addresses, (await resolver.addresses(host)).records, lengths)
        case "mx":
            for mx in (await resolver.mx(host)).records[:ALLOWED_QUESTIONS]:
                found = (await resolver.addresses(mx.host)).records if mx.host else ()
                _cover(reading, qualifier, addresses, found, lengths)
        case "include" | "redirect":
            await _descend(resolver, name, qualifier, host, addresses, reading, path)
        case "ptr":
            reading.uses_ptr = True
        case _:
            # exists: without macros it is nearly never meant, and true for everybody or nobody.
            pass


async def _descend(
    resolver: Resolver,
    name: str,
    qualifier: str,
    host: str,
    addresses: dict[str, IpAddress],
    reading: SpfReading,
    path: set[str],
) -> None:
    if host in path:
        reading.faults.append(f"it goes round in circles at {host}")
        return
    records = spf_records((await resolver.txt(host)).records)
    if len(records) != 1:
        reading.faults.append(f"{name} leads to {host}, which has {len(records) or 'no'} SPF record")
        return
    inner = SpfReading(questions=reading.questions)
    # Inside an include only what passes counts, and its `all` is not ours (RFC 7208 §5.2).
    await _follow(resolver, host, records[0], addresses, inner, path | {host})
    reading.questions = inner.questions
    reading.faults += inner.faults
    reading.has_macros |= inner.has_macros
    reading.uses_ptr |= inner.uses_ptr
    if qualifier in {"", "+"}:
        reading.covered |= inner.covered
    if name == "redirect" and not path:
        last = re.search(r"(?:^|\s)([+?~-]?)all(?:\s|$)", records[0], re.IGNORECASE)
        reading.final = f"{last[1] or '+'}all" if last else ""


def spf_records(texts: Sequence[str]) -> list[str]:
    """Those of TXT records that are SPF (RFC 7208 §4.5)."""
    return [text for text in texts if re.match(r"v=spf1(?: |$)", text, re.IGNORECASE)]


def _host(value: str, domain: str) -> tuple[str, tuple[str, str]]:
    """A domain-spec with its dual-cidr-length: `example.net/24//64`."""
    name, slash, lengths = value.partition("/")
    v4, _, v6 = lengths.partition("//") if not lengths.startswith("/") else ("", "", lengths[1:])
    return name or domain, (v4 if slash else "", v6)


def _cover(
    reading: SpfReading,
    qualifier: str,
    addresses: dict[str, IpAddress],
    found: Sequence[str],
    lengths: tuple[str, str] = ("", ""),
) -> None:
    if qualifier not in {"", "+"}:
        return
    for text in found:
        length = lengths[1] if ":" in text else lengths[0]
        try:
            network = ipaddress.ip_network(f"{text}/{length}" if length else text, strict=False)
        except ValueError:
            reading.faults.append(f"{text!r} is not an address")
            continue
        reading.covered |= {name for name, address in addresses.items() if address in network}
