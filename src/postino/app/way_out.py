"""Put the way to other servers together for one worker: DNS, TLS policies, routes, keys, reports, dispatcher.

Invariants: nothing here waits for the network; what is read from files is read before sending begins.
Not here: the parts themselves (outbound/), sessions' context (wiring.py).
"""

import random
from typing import TYPE_CHECKING

from postino.app.settings_file import Configuration
from postino.core.address import ascii_domain
from postino.core.ids import Instant
from postino.delivery.forwarding import Forwarding
from postino.delivery.operator_note import tell_operator
from postino.delivery.reports import ReportRules, ReportWriter
from postino.net.own_addresses import own_addresses
from postino.outbound.dispatch.local import LocalDelivery
from postino.outbound.reports import Reporter
from postino.outbound.service import Outbound
from postino.outbound.settings import OutboundSettings
from postino.outbound.signing.key_schedule import KeySchedule
from postino.outbound.signing.signer import Signer
from postino.outbound.targeting.finding import Targeting
from postino.outbound.targeting.hosts import Ourselves
from postino.outbound.targeting.routes import Routes
from postino.outbound.tls_reports.reporting import Submitter
from postino.store.dkim_keys import KeyState, list_keys

if TYPE_CHECKING:
    from postino.outbound.dispatch.attempt import Judge
    from postino.servers.context import ServerContext
    from postino.store.store import Store


def build_outbound(
    configuration: Configuration, context: "ServerContext", routes: Routes, *, worker: int, workers: int
) -> Outbound:
    """Everything a worker needs to send, not started yet."""
    store, clock, log = context.store, context.clock, context.log
    hostname = configuration.hostname

    def settings() -> OutboundSettings:
        return outbound.settings

    targeting = Targeting(
        configuration.settings.outbound,
        store,
        clock=clock,
        log=log,
        hostname=hostname,
        ourselves=_ourselves(configuration),
        submitter=lambda: _submitter(store, hostname, clock.now()),
    )
    writer = ReportWriter(
        resolve=lambda address: context.delivery.recipients.resolve_own(
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
            filtering=lambda: context.filtering,
        )

    outbound = Outbound(
        settings=configuration.settings.outbound,
        store=store,
        bus=context.bus,
        clock=clock,
        log=log,
        metrics=context.metrics,
        routes=routes,
        targets=targeting.targets,
        signer=Signer(
            store,
            resolver=targeting.resolver,
            hostname=hostname,
            clock=clock,
            settings=settings,
        ),
        limits=lambda: context.limits,
        reporter=Reporter(writer, store.blobs, clock, log),
        forwarding=forwarding,
        local=local,
        chance=random.random,
        note_tls=targeting.note,
        worker=worker,
        workers=workers,
    )
    keys = KeySchedule(
        store,
        targeting.resolver,
        settings=settings,
        clock=clock,
        log=log,
        tell=lambda subject, text: tell_operator(context.delivery, subject, text),
    )
    outbound.chores += [keys.run, targeting.run_daily]
    outbound.upkeep.append(targeting)
    return outbound


def _submitter(store: "Store", hostname: str, now: Instant) -> Submitter | None:
    """Who signs TLS reports: the domain this machine's name is in, else the first with a key in use."""
    keys = store.read_now(list_keys)
    domains = sorted({key.domain for key in keys if key.state(now) is KeyState.IN_USE})
    if not domains:
        return None
    domain = next((one for one in domains if f".{hostname}".endswith(f".{one}")), domains[0])
    return Submitter(domain, f"postmaster@{ascii_domain(domain)}")


def _ourselves(configuration: Configuration) -> Ourselves:
    """How an MX record may mean this server."""
    outbound = configuration.settings.outbound
    addresses: set[str] = set()
    for address in configuration.listen()["smtp"]:
        if address.path or address.port != outbound.port:
            continue
        if address.host in ("*", "", "0.0.0.0", "::"):  # noqa: S104  (what is listened on, not a bind)
            addresses |= {"127.0.0.1", "::1", *own_addresses(), *outbound.source_addresses}
        else:
            addresses.add(address.host)
    names = {configuration.hostname.lower(), outbound.hello_name.lower()} - {""}
    return Ourselves(frozenset(names), frozenset(addresses))
