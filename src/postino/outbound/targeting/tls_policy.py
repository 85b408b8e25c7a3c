"""How far each host must be trusted: DANE before MTA-STS before what can be had.

RFC: 7672 §2.2 (DANE), 8461 §4 and §5 (MTA-STS), 8461 §2 (a failing DANE is never overridden), 7435.
Invariants: whoever asks for more is kept to; a host that may not be used is not in the result.
Not here: routes of the operator (targets.py), the handshake (secure.py).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from postino.core.errors import DnsFailure
from postino.core.ports import Resolver
from postino.mailauth.dane import usable_records
from postino.mailauth.mta_sts import Mode
from postino.mailauth.tlsrpt import dane_policy, no_policy
from postino.net.tls_client import TlsProblem
from postino.outbound.client.tls_outcome import PolicyFailure, TlsNote, TlsOutcome
from postino.outbound.settings import OutboundSettings
from postino.outbound.targeting.dane import HostTlsa, dane_applies, find_tlsa
from postino.outbound.targeting.hosts import FoundHost, FoundHosts
from postino.outbound.targeting.mta_sts import KeptPolicy, StsPolicies
from postino.outbound.targeting.target import OPPORTUNISTIC, Host, HostTls, TlsLevel, TlsOrigin


class NoneAllowed(Exception):
    """DANE or MTA-STS let none of the hosts be used; `str()` says why."""

    def __init__(self, sentence: str, found: FoundHosts, port: int) -> None:
        super().__init__(sentence)
        self.hosts = tuple(Host(host.name, port, OPPORTUNISTIC, host.addresses) for host in found.hosts)
        """As mail may try them that would rather arrive."""


class TlsPolicies:
    """One for each worker."""

    def __init__(
        self,
        resolver: Resolver,
        sts: StsPolicies,
        note: TlsNote,
    ) -> None:
        self._resolver = resolver
        self._sts = sts
        self._note = note

    async def for_hosts(self, found: FoundHosts, settings: OutboundSettings) -> tuple[Host, ...]:
        """The hosts that may be used, with what each must prove. Raises NoneAllowed."""
        refused: list[str] = []
        hosts: list[Host] = []
        sts = await self._sts_policy(found.domain, settings)
        tlsa = await self._all_tlsa(found, settings)
        none = no_policy(found.domain)
        for host, records in zip(found.hosts, tlsa, strict=True):
            if isinstance(records, DnsFailure):
                self._tell(
                    found.domain, no_policy(found.domain), host, PolicyFailure.DNSSEC_INVALID.value, records
                )
                refused.append(str(records))
                continue
            if isinstance(records, BaseException):
                raise records
            tls = self._tls(found.domain, none, host, records, sts)
            if isinstance(tls, _Refused):
                refused.append(tls.sentence)
            else:
                hosts.append(Host(host.name, settings.port, tls, host.addresses))
        if not hosts:
            raise NoneAllowed(refused[0], found, settings.port)
        return tuple(hosts)

    async def _sts_policy(self, domain: str, settings: OutboundSettings) -> KeptPolicy | None:
        if not settings.mta_sts or domain.startswith("["):
            return None
        return await self._sts.policy(domain)

    async def _all_tlsa(
        self, found: FoundHosts, settings: OutboundSettings
    ) -> Sequence[HostTlsa | BaseException | None]:
        """For each host its TLSA records, or why they cannot be had."""
        if not settings.dane or not dane_applies(found):
            return [None] * len(found.hosts)
        return await asyncio.gather(
            *(find_tlsa(self._resolver, found, host, settings.port) for host in found.hosts),
            return_exceptions=True,
        )

    def _tls(
        self, domain: str, none: str, host: FoundHost, tlsa: HostTlsa | None, sts: KeptPolicy | None
    ) -> "HostTls | _Refused":
        """`none` is what reports call having no policy."""
        if tlsa is not None:
            report = dane_policy(domain, host.name, tlsa.records)
            if usable_records(tlsa.records):
                return HostTls(
                    TlsLevel.VERIFIED, TlsOrigin.DANE, tlsa=tlsa.records, names=tlsa.names, policy=report
                )
            self._tell(domain, report, host, PolicyFailure.TLSA_INVALID.value, "no TLSA record is usable")
            # RFC 7672 §2.2: who has TLSA records has TLS. Proof may still come by MTA-STS.
            if sts is None or sts.policy.mode is not Mode.ENFORCE:
                return HostTls(TlsLevel.REQUIRED, TlsOrigin.DANE, policy=report)
        if sts is None:
            return HostTls(policy=none)
        return self._by_sts(domain, host, sts)

    def _by_sts(self, domain: str, host: FoundHost, sts: KeptPolicy) -> "HostTls | _Refused":
        testing = sts.policy.mode is Mode.TESTING
        if not sts.policy.allows(host.name):
            sentence = f"The MTA-STS policy of {domain} does not allow {host.name}"
            self._tell(domain, sts.report, host, TlsProblem.OTHER.value, "the policy does not name this MX")
            if not testing:
                return _Refused(sentence)
            return HostTls(policy=sts.report)
        return HostTls(
            TlsLevel.VERIFIED,
            TlsOrigin.MTA_STS,
            # RFC 8461 §4.2: the certificate is for the host; the policy's patterns only choose hosts.
            names=(host.name,),
            testing=testing,
            policy=sts.report,
        )

    def _tell(self, domain: str, policy: str, host: FoundHost, failure: str, reason: object) -> None:
        self._note(TlsOutcome(domain, policy, host.name, failure, str(reason)[:200]))


@dataclass(frozen=True, slots=True)
class _Refused:
    """The host may not be used."""

    sentence: str
