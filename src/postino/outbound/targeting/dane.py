"""Find the TLSA records that hold for one mail exchanger.

RFC: 7672 §2.2 (which names, when), §2.1.2 (a lookup that fails makes the host unreachable), §3.2.2 (names).
Exposure: all of it is other people's DNS; only what was validated counts.
Invariants: nothing is asked for a host whose addresses are not validated (RFC 7672 §2.2.2); a failure is
    never taken for "no records".
Not here: which certificates match (mailauth/dane.py).
"""

from dataclasses import dataclass

from postino.core.ports import Resolver, TlsaRecord
from postino.outbound.targeting.hosts import FoundHost, FoundHosts


@dataclass(frozen=True, slots=True)
class HostTlsa:
    """Validated TLSA records of one host."""

    records: tuple[TlsaRecord, ...]
    """At least one; perhaps none of them usable."""
    names: tuple[str, ...]
    """What a certificate under a trust anchor must name, one of them; the TLSA base domain first."""


def dane_applies(found: FoundHosts) -> bool:
    """Whether any of these hosts may have TLSA records that mean something."""
    # RFC 7672 §2.2.1 would let us use DANE with hosts that an unvalidated MX answer names. Whoever forges it
    # names hosts of his own: that proves nothing, and costs a question.
    return (found.is_secure or not found.by_mx) and not found.domain.startswith("[")


async def find_tlsa(resolver: Resolver, found: FoundHosts, host: FoundHost, port: int) -> HostTlsa | None:
    """The records, or None where DANE does not apply. Raises DnsFailure: then the host must not be used."""
    if not dane_applies(found):
        return None
    for base in await _base_domains(resolver, host):
        answer = await resolver.tlsa(f"_{port}._tcp.{base}")
        if answer.secure and answer.records:
            return HostTlsa(answer.records, _names(base, found))
    return None


async def _base_domains(resolver: Resolver, host: FoundHost) -> tuple[str, ...]:
    """Candidate TLSA base domains, best first."""
    if host.is_secure:
        return (host.canonical_name, host.name) if host.canonical_name else (host.name,)
    if not host.canonical_name:
        return ()
    # The alias may be in a signed zone though what it points to is not (RFC 7672 §2.2.2, insecure CNAME).
    alias = await resolver.records(host.name, "CNAME")
    return (host.name,) if alias.secure and alias.records else ()


def _names(base: str, found: FoundHosts) -> tuple[str, ...]:
    names = [base, found.domain]
    if found.by_mx and found.canonical_name:
        names.append(found.canonical_name)
    return tuple(dict.fromkeys(names))
