"""Put the server together: the only place that chooses the concrete store, bus, clock and services.

Invariants: a context is built inside its worker, after the fork, for the store opens files and threads.
Not here: when (app/worker.py), on which ports (app/supervisor.py).
"""

import datetime
import importlib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from postino.app.clock import SystemClock
from postino.app.paths import DataPaths
from postino.app.settings_file import Configuration
from postino.core.errors import SettingsError
from postino.delivery.junk import parse_marks

# PERF: what only a server needs is imported by the functions that need it, so that
# `postino account add` starts in half the time.
if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from postino.app.logging import LogLevel
    from postino.core.limits import Limits
    from postino.core.ports import Bus, Clock
    from postino.net.connection import Connection
    from postino.net.listener import Service
    from postino.net.tls import CertificateFiles, CertificateStore
    from postino.outbound.service import Outbound
    from postino.outbound.targeting.routes import Routes
    from postino.servers.context import ServerContext
    from postino.servers.metrics import Metrics
    from postino.servers.token_keys import TokenChecker
    from postino.store.store import Store

PROTOCOLS: Final = {
    "smtp": "smtp",
    "submission": "submission",
    "submissions": "submission",
    "lmtp": "lmtp",
    "imap": "imap",
    "imaps": "imap",
    "pop3": "pop3",
    "pop3s": "pop3",
    "managesieve": "managesieve",
    "https": "https",
    "local": "local",
}
"""What is spoken by each service of [listen]."""

EXPIRY_WARNING_DAYS: Final = 14
LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")
IMPLICIT_TLS: Final = frozenset({"submissions", "imaps", "pop3s", "https"})
_REFUSALS: Final = {
    "smtp": b"421 4.7.0 Too many connections, try again later\r\n",
    "submission": b"421 4.7.0 Too many connections, try again later\r\n",
    "lmtp": b"421 4.3.2 Too many connections, try again later\r\n",
    "imap": b"* BYE [UNAVAILABLE] Too many connections, try again later\r\n",
    "pop3": b"-ERR [SYS/TEMP] Too many connections, try again later\r\n",
    "managesieve": b'BYE (TRYLATER) "Too many connections, try again later"\r\n',
    "https": b"",
    "local": b"421 4.3.2 Too many connections, try again later\r\n",
}


_SERVER_MODULES: Final = (
    "uvloop",
    "postino.delivery.accept",
    "postino.servers.authentication",
    "postino.servers.imap.session",
    "postino.servers.managesieve.session",
    "postino.servers.pop3",
    "postino.servers.smtp",
    "postino.servers.web.session",
    "postino.store.sweep",
    "postino.app.indexing",
    "postino.app.way_out",
    "postino.net.self_signed",
    "postino.net.tls",
)


def load_servers() -> None:
    """Import everything a worker needs, so that workers forked after this share its memory."""
    for name in _SERVER_MODULES:
        importlib.import_module(name)


def open_data(configuration: Configuration, *, first: bool) -> "Store":
    """Open the store of a data directory. `first` is for the first opening of a server's start."""
    from postino.store.engine.sqlite_connection import SqliteOptions
    from postino.store.store import open_store

    settings = configuration.settings.store
    options = SqliteOptions(cache_octets=settings.cache_octets, lock_seconds=settings.lock_seconds)
    return open_store(configuration.data, first=first, options=options)


def build_context(
    configuration: Configuration,
    *,
    store: "Store",
    bus: "Bus",
    metrics: "Metrics",
    log: "FilteringBoundLogger",
    certificates: "CertificateStore",
) -> "ServerContext":
    """What every session of a worker is given."""
    from postino.app.filters import build_filtering
    from postino.app.mailbox_scripts import build_mailbox_events
    from postino.app.offered import make_offer
    from postino.delivery.accept import Delivery
    from postino.servers.authentication import Authentication
    from postino.servers.context import ServerContext
    from postino.servers.imap.messages.list_cache import ListCache

    clock = SystemClock()
    limits = configuration.settings.limits
    hostname = configuration.hostname
    context = ServerContext(
        hostname=hostname,
        limits=limits,
        store=store,
        delivery=Delivery(
            store=store,
            limits=limits,
            clock=clock,
            hostname=hostname,
            log=log,
            metrics=metrics,
            junk_marks=parse_marks(configuration.settings.delivery.junk_fields),
        ),
        authentication=Authentication(
            store=store,
            limits=limits,
            clock=clock,
            log=log,
            metrics=metrics,
            tokens=_token_checker(configuration, clock, log),
            scram_sha1=configuration.settings.login.scram_sha1,
        ),
        bus=bus,
        clock=clock,
        log=log,
        metrics=metrics,
        tls_context=certificates.asking_context,
        relay_tls_context=certificates.context,
        subaddress_separator=configuration.settings.server.subaddress_separator,
        local_senders=configuration.settings.server.local_senders,
        offer=make_offer(configuration),
        budget=configuration.settings.sieve,
        script_limits=configuration.settings.sieve.script_limits,
        list_cache=ListCache(configuration.settings.store.list_cache_octets),
    )
    context.filtering = build_filtering(configuration.settings.sieve, context)
    context.mailbox_events = build_mailbox_events(context, context.filtering.scripts)
    return context


def build_outbound(
    configuration: Configuration, context: "ServerContext", *, worker: int, workers: int
) -> "Outbound | None":
    """The way to other servers; None where mail is not sent there. Raises SettingsError."""
    if not configuration.settings.outbound.enabled:
        return None
    from postino.app import way_out

    routes = open_routes(configuration)
    return way_out.build_outbound(configuration, context, routes, worker=worker, workers=workers)


def change_settings(context: "ServerContext", level: "LogLevel", configuration: Configuration) -> None:
    """Make new settings hold for what begins from now on; sessions under way keep what they read."""
    from postino.app.filters import change_filtering
    from postino.app.offered import make_offer

    limits: Limits = configuration.settings.limits
    context.limits = limits
    context.delivery.limits = limits
    context.authentication.limits = limits
    context.delivery.junk_marks = parse_marks(configuration.settings.delivery.junk_fields)
    context.authentication.scram_sha1 = configuration.settings.login.scram_sha1
    context.authentication.tokens = _token_checker(configuration, context.clock, context.log)
    context.subaddress_separator = configuration.settings.server.subaddress_separator
    context.local_senders = configuration.settings.server.local_senders
    context.offer = make_offer(configuration)
    context.budget = configuration.settings.sieve
    context.script_limits = configuration.settings.sieve.script_limits
    if context.filtering is not None:
        change_filtering(configuration.settings.sieve, context, context.filtering)
    level.set(configuration.settings.server.log_level)


def _token_checker(
    configuration: Configuration, clock: "Clock", log: "FilteringBoundLogger"
) -> "TokenChecker | None":
    """Who looks into access tokens; None where no issuer is set."""
    settings = configuration.settings.oauth
    if not settings.issuer:
        return None
    from postino.directory.token_rules import TokenRules, openid_configuration
    from postino.servers.token_keys import KeySource, TokenChecker

    has_url = settings.keys.startswith("https://")
    rules = TokenRules(
        issuer=settings.issuer,
        audience=settings.audience,
        login_claim=settings.login_claim,
        scopes=settings.scopes,
        algorithms=settings.algorithms,
        clock_skew_seconds=int(settings.clock_skew_seconds),
        configuration=openid_configuration(settings.issuer),
    )
    source = KeySource(
        url=settings.keys if has_url else "",
        file=configuration.path(settings.keys) if settings.keys and not has_url else None,
        authorities=str(configuration.path(settings.authorities)) if settings.authorities else "",
        fresh_seconds=settings.keys_seconds,
    )
    return TokenChecker(rules, source, clock=clock, log=log)


async def sweep(configuration: Configuration, context: "ServerContext") -> None:
    """Remove what is no longer needed: expunged messages past their time, blobs nobody names."""
    from postino.store.sweep import sweep_store

    settings = configuration.settings
    await sweep_store(
        context.store,
        now=context.clock.now(),
        retention_seconds=int(settings.store.expunged_seconds),
        trace_seconds=int(settings.sieve.trace_seconds),
    )


async def index(context: "ServerContext") -> None:
    """Keep the search indexes up to date until cancelled."""
    from postino.app.indexing import Indexing

    await Indexing(context.store, lambda: context.limits, context.clock, context.log).run()


def service(name: str, context: "ServerContext") -> "Service":
    """What is spoken on the sockets of [listen] `name`."""
    from postino.net.listener import Service

    protocol = PROTOCOLS[name]
    # A browser that is asked for a certificate asks its user.
    tls_context = context.relay_tls_context if protocol == "https" else None
    return Service(
        name, _session(protocol, context, name), name in IMPLICIT_TLS, _REFUSALS[protocol], tls_context
    )


def _session(protocol: str, context: "ServerContext", name: str) -> "Callable[[Connection], Awaitable[None]]":
    if protocol == "imap":
        from postino.servers.imap.session import serve_imap

        return lambda connection: serve_imap(context, connection)
    if protocol == "pop3":
        from postino.servers.pop3 import serve_pop3

        return lambda connection: serve_pop3(context, connection)
    if protocol == "managesieve":
        from postino.servers.managesieve.session import serve_managesieve

        return lambda connection: serve_managesieve(context, connection)
    if protocol == "https":
        from postino.servers.web.session import serve_web

        return lambda connection: serve_web(context, connection)
    from postino.servers.smtp import SmtpRole, serve_smtp

    role = {
        "smtp": SmtpRole.MX,
        "submission": SmtpRole.SUBMISSION,
        "lmtp": SmtpRole.LMTP,
        "local": SmtpRole.LOCAL,
    }[protocol]
    # Nothing leaves the machine on a Unix socket, so TLS is not offered there.
    implicit = name in IMPLICIT_TLS or role is SmtpRole.LOCAL
    return lambda connection: serve_smtp(context, connection, role=role, implicit_tls=implicit)


def open_routes(configuration: Configuration) -> "Routes":
    """The ways out that the settings name, their passwords read. Raises SettingsError."""
    from postino.outbound.targeting.routes import Routes, read_password_file

    outbound = configuration.settings.outbound
    routes = []
    for number, route in enumerate(outbound.routes):
        changes = {}
        if route.authorities:
            changes["authorities"] = str(_require_authorities(configuration.path(route.authorities), number))
        if route.host.startswith("unix:"):
            path = route.host.removeprefix("unix:")
            changes["host"] = f"unix:{(configuration.data / path).absolute()}"
        routes.append(msgspec.structs.replace(route, **changes))
    return Routes(
        msgspec.structs.replace(outbound, routes=tuple(routes)),
        lambda file: read_password_file(configuration.path(file)),
    )


def _require_authorities(file: Path, number: int) -> Path:
    try:
        ssl.create_default_context(cafile=str(file))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"outbound.routes.authorities, in [[outbound.routes]] number {number + 1}: {file} cannot be used "
            f"({error.strerror or error}); name a PEM file of certificates"
        ) from error
    return file


def certificate_files(
    configuration: Configuration,
) -> "tuple[CertificateFiles, list[CertificateFiles]]":
    """The files of the default certificate (the self-signed one where none is set) and of the others."""
    from postino.net.tls import CertificateFiles

    tls, paths = configuration.settings.tls, DataPaths(configuration.data)
    if tls.certificate:
        default = CertificateFiles(configuration.path(tls.certificate), configuration.path(tls.key))
    else:
        default = CertificateFiles(paths.self_signed_certificate, paths.self_signed_key)
    more = [
        CertificateFiles(configuration.path(named.certificate), configuration.path(named.key), named.names)
        for named in tls.more
    ]
    return default, more


def make_missing_certificate(configuration: Configuration) -> bool:
    """Make the self-signed certificate when none is set and it is not there or about to expire."""
    paths = DataPaths(configuration.data)
    if configuration.settings.tls.certificate or _will_do(paths.self_signed_certificate):
        return False
    from postino.net.self_signed import make_self_signed

    make_self_signed(
        list(dict.fromkeys((configuration.hostname, *LOCAL_NAMES))),
        paths.self_signed_certificate,
        paths.self_signed_key,
    )
    return True


def _will_do(certificate: Path) -> bool:
    """Whether this self-signed certificate can be used for some time yet."""
    from postino.net.tls import read_certificate

    try:
        return read_certificate(certificate).not_valid_after_utc > soon()
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        # Damaged: not ours to throw away; opening it says what is wrong.
        return True


def soon() -> datetime.datetime:
    """A certificate that expires before this needs somebody's attention."""
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=EXPIRY_WARNING_DAYS)


def open_certificates(configuration: Configuration) -> "CertificateStore":
    """The certificates the settings name. Raises SettingsError."""
    from postino.net.tls import CertificateStore, ClientCertificates

    default, more = certificate_files(configuration)
    oldest = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
    tls = configuration.settings.tls
    clients = None
    if tls.client_authorities:
        clients = ClientCertificates(
            configuration.path(tls.client_authorities), by_common_name=tls.client_login == "common-name"
        )
    return CertificateStore(default, more, minimum_version=oldest[tls.minimum_version], clients=clients)
