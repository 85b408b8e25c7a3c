"""Put the way to other servers together for one worker: DNS, TLS policies, routes, keys, reports, dispatcher.

Invariants: nothing here waits for the network; what is read from files is read before sending begins.
Not here: the parts themselves (outbound/), sessions' context (wiring.py).
"""

import random
import socket
from typing import TYPE_CHECKING, Final

from postino.app.settings_file import Configuration
from postino.delivery.forwarding import Forwarding
from postino.delivery.operator_note import tell_operator
from postino.delivery.reports import ReportRules, ReportWriter
from postino.net.dns.resolver import DnsResolver
from postino.net.dns.servers import ServerList
from postino.outbound.hosts import Ourselves
from postino.outbound.key_schedule import KeySchedule
from postino.outbound.local import LocalDelivery
from postino.outbound.mta_sts import StsPolicies
from postino.outbound.reports import Reporter
from postino.outbound.routes import Routes
from postino.outbound.service import Outbound
from postino.outbound.settings import OutboundSettings
from postino.outbound.signing import Signer
from postino.outbound.targets import Targets
from postino.outbound.tls_counts import TlsCounts
from postino.outbound.tls_policy import TlsPolicies

if TYPE_CHECKING:
    from postino.outbound.attempt import Judge
    from postino.servers.context import ServerContext


_ANYWHERE: Final = (("192.0.2.1", socket.AF_INET), ("2001:db8::1", socket.AF_INET6))
"""Addresses of documentation, to which nothing is sent."""


def build_outbound(
    configuration: Configuration, context: "ServerContext", routes: Routes, *, worker: int, workers: int
) -> Outbound:
    """Everything a worker needs to send, not started yet."""
    store, clock, log = context.store, context.clock, context.log
    hostname = configuration.hostname

    def settings() -> OutboundSettings:
        return outbound.settings

    resolver = DnsResolver(ServerList(configuration.settings.outbound.resolvers))
    counts = TlsCounts(store, clock)
    policies = TlsPolicies(
        resolver,
        StsPolicies(
            resolver,
            store,
            clock=clock,
            log=log,
            note=counts.note,
            private=configuration.settings.outbound.private_addresses,
        ),
        counts.note,
    )
    targets = Targets(
        resolver,
        policies,
        configuration.settings.outbound,
        hostname=hostname,
        ourselves=_ourselves(configuration),
    )
    writer = ReportWriter(
        resolve=lambda address: context.delivery.recipients.resolve(
            address, context.subaddress_separator, hostname
        ),
        rules=lambda: ReportRules(
            hostname, settings().returned_octets, int(settings().report_lifetime_seconds)
        ),
        limits=lambda: context.limits,
    )
    forwarding = Forwarding(store, writer, lambda: settings().lifetime_seconds)

    def local(judge: "Judge") -> LocalDelivery:
        return LocalDelivery(
            context.delivery,
            forwarding,
            judge,
            blobs=store.blobs,
            clock=clock,
            limits=lambda: context.limits,
            separator=lambda: context.subaddress_separator,
        )

    outbound = Outbound(
        settings=configuration.settings.outbound,
        store=store,
        bus=context.bus,
        clock=clock,
        log=log,
        metrics=context.metrics,
        routes=routes,
        targets=targets,
        signer=Signer(
            store,
            resolver=resolver,
            hostname=hostname,
            clock=clock,
            settings=settings,
        ),
        limits=lambda: context.limits,
        reporter=Reporter(writer, store.blobs, clock, log),
        forwarding=forwarding,
        local=local,
        chance=random.random,
        note_tls=counts.note,
        worker=worker,
        workers=workers,
    )
    keys = KeySchedule(
        store,
        resolver,
        settings=settings,
        clock=clock,
        log=log,
        tell=lambda subject, text: tell_operator(context.delivery, subject, text),
    )
    outbound.chores.append(keys.run)
    return outbound


def _ourselves(configuration: Configuration) -> Ourselves:
    """How an MX record may mean this server."""
    outbound = configuration.settings.outbound
    addresses: set[str] = set()
    for address in configuration.listen()["smtp"]:
        if address.path or address.port != outbound.port:
            continue
        if address.host in ("*", "", "0.0.0.0", "::"):  # noqa: S104  (what is listened on, not a bind)
            addresses |= {"127.0.0.1", "::1", *_own_addresses(), *outbound.source_addresses}
        else:
            addresses.add(address.host)
    names = {configuration.hostname.lower(), outbound.hello_name.lower()} - {""}
    return Ourselves(frozenset(names), frozenset(addresses))


def _own_addresses() -> list[str]:
    """The addresses this machine would speak to the world from."""
    found = []
    for address, family in _ANYWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, 9))
                found.append(probe.getsockname()[0])
        except OSError:
            # No way there by this family.
            continue
    return found
