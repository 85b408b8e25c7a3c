"""How far each host must be trusted: DANE before MTA-STS before what can be had.

RFC: 7672 §2.2 (DANE), 8461 §4 and §5 (MTA-STS), 8461 §2 (a failing DANE is never overridden), 7435.
Invariants: whoever asks for more is kept to; a host that may not be used is not in the result.
Not here: routes of the operator (targets.py), the handshake (secure.py).
"""

import asyncio
from dataclasses import dataclass

from postino.core.errors import DnsFailure
from postino.core.ports import Resolver
from postino.mailauth.dane import usable_records
from postino.mailauth.mta_sts import Mode
from postino.mailauth.tlsrpt import dane_policy, no_policy
from postino.net.tls_client import TlsProblem
from postino.outbound.dane import HostTlsa, find_tlsa
from postino.outbound.hosts import FoundHost, FoundHosts
from postino.outbound.mta_sts import KeptPolicy, StsPolicies
from postino.outbound.settings import OutboundSettings
from postino.outbound.target import Host, HostTls, NotNow, TlsLevel, TlsOrigin
from postino.outbound.tls_outcome import PolicyFailure, TlsNote, TlsOutcome


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
        """The hosts that may be used, with what each must prove. Raises NotNow when there is none left."""
        refused: list[str] = []
        hosts: list[Host] = []
        sts, tlsa = await asyncio.gather(
            self._sts_policy(found.domain, settings),
            asyncio.gather(
                *(self._tlsa(found, host, settings) for host in found.hosts), return_exceptions=True
            ),
        )
        for host, records in zip(found.hosts, tlsa, strict=True):
            if isinstance(records, DnsFailure):
                self._tell(
                    found.domain, no_policy(found.domain), host, PolicyFailure.DNSSEC_INVALID.value, records
                )
                refused.append(str(records))
                continue
            if isinstance(records, BaseException):
                raise records
            tls = self._tls(found, host, records, sts)
            if isinstance(tls, _Refused):
                refused.append(tls.sentence)
            else:
                hosts.append(Host(host.name, settings.port, tls, host.addresses))
        if not hosts:
            raise NotNow(refused[0], "4.7.5")
        return tuple(hosts)

    async def _sts_policy(self, domain: str, settings: OutboundSettings) -> KeptPolicy | None:
        if not settings.mta_sts or domain.startswith("["):
            return None
        return await self._sts.policy(domain)

    async def _tlsa(self, found: FoundHosts, host: FoundHost, settings: OutboundSettings) -> HostTlsa | None:
        return await find_tlsa(self._resolver, found, host, settings.port) if settings.dane else None

    def _tls(
        self, found: FoundHosts, host: FoundHost, tlsa: HostTlsa | None, sts: KeptPolicy | None
    ) -> "HostTls | _Refused":
        domain = found.domain
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
            return HostTls(policy=no_policy(domain))
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
