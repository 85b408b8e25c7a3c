"""From a destination to the hosts to try, with what each must prove: everything the client session needs.

RFC: 5321 §5.1.
Invariants: the operator's route wins over what the DNS says.
Not here: which route fits (routes.py), which hosts (hosts.py), how far they are trusted (tls_policy.py).
"""

import ipaddress
from dataclasses import replace

from postino.core.errors import DnsFailure
from postino.core.ports import Resolver
from postino.outbound.settings import OutboundSettings
from postino.outbound.targeting.hosts import MOST_ADDRESSES, Ourselves, find_hosts
from postino.outbound.targeting.routes import Destination, Route
from postino.outbound.targeting.target import (
    Host,
    HostTls,
    NotNow,
    Target,
    TlsForbids,
    TlsLevel,
    TlsOrigin,
)
from postino.outbound.targeting.tls_policy import NoneAllowed, TlsPolicies


class Targets:
    """One for each worker."""

    def __init__(
        self,
        resolver: Resolver,
        policies: TlsPolicies,
        settings: OutboundSettings,
        *,
        hostname: str,
        ourselves: Ourselves,
    ) -> None:
        self.settings = settings
        """As they are now; read again for each target."""
        self._resolver = resolver
        self._policies = policies
        self._hostname = hostname
        self._ourselves = ourselves

    async def find(self, destination: Destination) -> Target:
        """Everything needed to reach it. Raises Undeliverable or NotNow; TlsForbids is one."""
        route = destination.route
        if route is not None and not route.is_by_mx:
            return self._target(destination, (await self._routed(route),))
        try:
            hosts = await self._by_mx(destination.domain)
        except NoneAllowed as error:
            raise TlsForbids(str(error), self._target(destination, _by_rule(error.hosts, route))) from None
        return self._target(destination, _by_rule(hosts, route))

    def _target(self, destination: Destination, hosts: tuple[Host, ...]) -> Target:
        route, settings = destination.route, self.settings
        return Target(
            key=destination.key,
            hosts=hosts,
            hello_name=settings.hello_name or self._hostname,
            is_lmtp=route is not None and route.is_lmtp,
            login=route.login if route is not None else "",
            password=route.password if route is not None else "",
            source_addresses=(route.source_addresses if route is not None else ())
            or settings.source_addresses,
            domain=destination.domain if route is None or route.is_by_mx else "",
        )

    async def _by_mx(self, domain: str) -> tuple[Host, ...]:
        settings = self.settings
        found = await find_hosts(
            self._resolver,
            domain,
            ipv6=settings.ipv6,
            ourselves=self._ourselves,
            private=settings.private_addresses,
        )
        return await self._policies.for_hosts(found, settings)

    async def _routed(self, route: Route) -> Host:
        if route.unix_path:
            return Host(route.unix_path, 0, route.tls, unix_path=route.unix_path)
        try:
            ipaddress.ip_address(route.host)
        except ValueError:
            return Host(route.host, route.port, route.tls, await self._addresses(route.host))
        return Host(route.host, route.port, route.tls, (route.host,))

    async def _addresses(self, host: str) -> tuple[str, ...]:
        if host == "localhost":
            # RFC 6761 §6.3: never a question for the DNS.
            return ("127.0.0.1",)
        try:
            answer = await self._resolver.addresses(host)
        except DnsFailure as failure:
            raise NotNow(str(failure), "4.4.3") from None
        addresses = [one for one in answer.records if self.settings.ipv6 or ":" not in one]
        if not addresses:
            # The operator's own mistake, or the DNS's for now: nothing a sender could mend.
            raise NotNow(f"The host {host} of an outbound route has no address", "4.4.4")
        return tuple(addresses[:MOST_ADDRESSES])


def _by_rule(hosts: tuple[Host, ...], route: Route | None) -> tuple[Host, ...]:
    if route is None:
        return hosts
    return tuple(replace(host, tls=stricter(host, route.tls)) for host in hosts)


def stricter(host: Host, rule: HostTls) -> HostTls:
    """What one of the DNS's hosts must be when a route asks for `rule` at least."""
    if rule.level is TlsLevel.NONE:
        return rule
    # What MTA-STS only tests is worth no more than an offer.
    if (TlsLevel.OPPORTUNISTIC if host.tls.testing else host.tls.level) >= rule.level:
        return host.tls
    if rule.level is TlsLevel.VERIFIED:
        return replace(host.tls, level=rule.level, origin=TlsOrigin.ROUTE, names=(host.name,), testing=False)
    return replace(host.tls, level=rule.level, origin=TlsOrigin.ROUTE, testing=False)
