"""Find the servers that take mail for a domain: its mail exchangers, or the domain itself.

RFC: 5321 §5.1 (MX, and what to do without), 7505 §4 (null MX), 5321 §4.1.3 (address literals).
Exposure: everything here is what other people's DNS says.
Invariants: at most MOST_HOSTS hosts and MOST_ADDRESSES addresses each; never ourselves, nor a host that is no
    better than we are (loops); never an address inside this network unless the settings allow it.
Not here: asking (net/dns/), how far the hosts are trusted (tls_policy.py), routes (routes.py).
"""

import asyncio
import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from postino.core.errors import DnsFailure
from postino.core.ports import DnsAnswer, MxRecord, Resolver
from postino.outbound.targeting.target import NotNow, Undeliverable

MOST_HOSTS: Final = 10
MOST_ADDRESSES: Final = 8

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_DOCUMENTATION: Final = tuple(
    ipaddress.ip_network(net)
    for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Ourselves:
    """How we know ourselves in somebody's MX records."""

    names: frozenset[str] = frozenset()
    """In lower case."""
    addresses: frozenset[str] = frozenset()
    """Where we listen on the port that mail exchangers listen on; all of loopback when 127.0.0.1 is there."""

    def has_address(self, address: str) -> bool:
        """Whether connecting there reaches us."""
        if address in self.addresses:
            return True
        return "127.0.0.1" in self.addresses and ipaddress.ip_address(address).is_loopback


@dataclass(frozen=True, slots=True)
class FoundHost:
    """One server for a domain, with what DANE has to know about how it was found."""

    name: str
    """As the MX record has it."""
    addresses: tuple[str, ...]
    preference: int = 0
    is_secure: bool = False
    """Its addresses, or that there are none of a family, were validated."""
    canonical_name: str = ""
    """Where CNAMEs led; empty when there were none."""


@dataclass(frozen=True, slots=True)
class FoundHosts:
    """The servers for a domain, best first."""

    domain: str
    hosts: tuple[FoundHost, ...]
    by_mx: bool
    """Else the domain itself is the host."""
    is_secure: bool
    """The MX answer, or that there is none, was validated."""
    canonical_name: str = ""
    """Where the domain's CNAMEs led; empty when there were none."""


async def find_hosts(
    resolver: Resolver,
    domain: str,
    *,
    ipv6: bool = True,
    ourselves: Ourselves = Ourselves(),
    private: bool = False,
) -> FoundHosts:
    """The servers to try, in order. Raises Undeliverable or NotNow."""
    if domain.startswith("["):
        return _literal(domain, ipv6=ipv6, ourselves=ourselves, private=private)
    try:
        mx = await resolver.mx(domain)
    except DnsFailure as failure:
        raise NotNow(str(failure), "4.4.3") from None
    if not mx.name_exists:
        raise Undeliverable(f"The domain {domain} does not exist", "5.1.2")
    if [record.host for record in mx.records] == [""]:
        raise Undeliverable(f"The domain {domain} takes no mail (it has a null MX record)", "5.1.10")
    exchangers = _exchangers(domain, mx, ourselves)
    looked_up = await _look_up(resolver, exchangers, ipv6=ipv6, ourselves=ourselves, private=private)
    hosts = _better_than_we(domain, looked_up, bool(mx.records))
    return FoundHosts(domain, hosts, bool(mx.records), mx.secure, mx.canonical_name)


def _exchangers(domain: str, mx: DnsAnswer[MxRecord], ourselves: Ourselves) -> list[MxRecord]:
    """The names to look up, best first; those of one preference come in the resolver's random order.

    Where our name is among them, however far down, the list ends with those preferred to us.
    """
    if not mx.records:
        return [MxRecord(0, domain)]
    seen: set[str] = set()
    found: list[MxRecord] = []
    for record in sorted(mx.records, key=lambda record: record.preference):
        if record.host and record.host not in seen and not _is_address(record.host):
            seen.add(record.host)
            found.append(record)
    us = next((record for record in found if record.host in ourselves.names), None)
    if us is not None:
        found = [record for record in found if record.preference < us.preference] or [us]
    if not found:
        raise Undeliverable(f"The MX records of {domain} name no host", "5.4.4")
    return found[:MOST_HOSTS]


@dataclass(frozen=True, slots=True)
class _LookedUp:
    """What became of one exchanger."""

    host: FoundHost
    is_us: bool = False
    is_private: bool = False
    failure: str = ""


async def _look_up(
    resolver: Resolver,
    exchangers: Collection[MxRecord],
    *,
    ipv6: bool,
    ourselves: Ourselves,
    private: bool,
) -> list[_LookedUp]:
    async def one(record: MxRecord) -> _LookedUp:
        if record.host in ourselves.names:
            return _LookedUp(FoundHost(record.host, (), record.preference), is_us=True)
        try:
            answer = await resolver.addresses(record.host)
        except DnsFailure as failure:
            return _LookedUp(FoundHost(record.host, (), record.preference), failure=str(failure))
        usable = [address for address in answer.records if ipv6 or ":" not in address]
        allowed = [address for address in usable if private or is_public(address)]
        host = FoundHost(
            record.host,
            tuple(allowed[:MOST_ADDRESSES]),
            record.preference,
            answer.secure,
            answer.canonical_name,
        )
        is_us = any(ourselves.has_address(address) for address in usable)
        return _LookedUp(host, is_us=is_us, is_private=bool(usable) and not allowed)

    if len(exchangers) == 1:
        return [await one(record) for record in exchangers]
    return list(await asyncio.gather(*map(one, exchangers)))


def _better_than_we(domain: str, looked_up: list[_LookedUp], by_mx: bool) -> tuple[FoundHost, ...]:
    """Those that can be reached and, when we are among them, are preferred to us. Raises when none is."""
    ours = min((one.host.preference for one in looked_up if one.is_us), default=None)
    # RFC 5321 §5.1: a host no better than we are would send the message back to us.
    better = [one for one in looked_up if ours is None or one.host.preference < ours]
    hosts = tuple(one.host for one in better if one.host.addresses)
    if hosts:
        return hosts
    failed = next((one.failure for one in better if one.failure), "")
    if failed:
        raise NotNow(failed, "4.4.3")
    if ours is not None:
        raise Undeliverable(
            f"Mail for {domain} comes back to this server: its MX records lead here, but it is no domain of "
            "this server",
            "5.4.6",
        )
    if any(one.is_private for one in better):
        raise Undeliverable(
            f"The mail servers of {domain} have addresses of private networks only, which are not sent to",
            "5.4.4",
        )
    if by_mx:
        raise Undeliverable(f"The hosts that the MX records of {domain} name have no addresses", "5.4.4")
    raise Undeliverable(f"The domain {domain} has no mail server: neither MX records nor an address", "5.1.2")


def _literal(domain: str, *, ipv6: bool, ourselves: Ourselves, private: bool) -> FoundHosts:
    """`[192.0.2.1]` or `[IPv6:2001:db8::1]`."""
    text = domain[1:-1] if domain.endswith("]") else ""
    if text[:5].lower() == "ipv6:":
        text = text[5:]
    try:
        address = str(ipaddress.ip_address(text))
    except ValueError:
        raise Undeliverable(f"{domain} is no address that mail can be sent to", "5.1.2") from None
    if ourselves.has_address(address):
        raise Undeliverable(f"{domain} is this server, and takes no mail under that name", "5.4.6")
    if not private and not is_public(address):
        raise Undeliverable(f"{domain} is in a private network, which is not sent to", "5.4.4")
    if ":" in address and not ipv6:
        raise Undeliverable(f"{domain} can be reached by IPv6 only, which outbound.ipv6 turns off", "5.4.4")
    return FoundHosts(domain, (FoundHost(address, (address,)),), by_mx=False, is_secure=False)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(4096)
def is_public(address: str) -> bool:
    """Whether an address may stand in a public domain's records.

    SECURITY: whoever controls a domain's DNS must not make us talk to the machines behind our firewall, nor
    to this one. Those for documentation lead nowhere and may stay.
    """
    ip: IpAddress = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        ip = _embedded(ip) or ip
    if any(ip in net for net in _DOCUMENTATION):
        return True
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _GLOBAL_UNICAST:
        # What else there is lies within a site, or leads to an IPv4 address by a way of the site's own.
        return False
    return ip.is_global and not ip.is_multicast


def _embedded(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to this one end up at: mapped, 6to4, NAT64."""
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour
