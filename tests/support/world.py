"""A whole server without sockets for a test: a real store, real sessions, fakes at the edges.

Accounts' password hashes are made once with low-cost parameters, and a seeded data directory is made
once for each seed and copied, so that a world costs a few milliseconds.
"""

import functools
import shutil
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from postino.core.address import parse_address
from postino.core.ids import AccountId, Instant
from postino.core.limits import Limits
from postino.directory.credentials import Argon2Cost, Credentials
from postino.net.connection import Connection
from postino.servers.authentication import Authentication
from postino.servers.context import ServerContext
from postino.store import accounts
from postino.store.store import Store, open_store
from postino.store.verify import verify
from tests.support.fake_outbound import FakeOutbound
from tests.support.memory_network import FixedClock, MemoryBus, NullMetrics, RecordingLog

HOSTNAME = "mail.example.org"
DOMAIN = "example.org"
PASSWORD = "secret"
NOW = Instant(1_767_225_600)  # 2026-01-01T00:00:00Z, a Thursday
TEST_CREDENTIALS = Credentials(argon2=Argon2Cost(memory_kib=64, passes=1, lanes=1), scram_iterations=4096)

Seed = Callable[[Store, dict[str, AccountId]], Awaitable[None]]


@functools.cache
def test_credentials() -> tuple[str, str]:
    """(password hash, SCRAM keys) of PASSWORD, made once."""
    return TEST_CREDENTIALS.hash_password(PASSWORD), TEST_CREDENTIALS.make_scram(PASSWORD)


_templates: dict[str, tuple[tempfile.TemporaryDirectory[str], Path]] = {}


async def seeded_directory(name: str, seed: Seed, target: Path) -> None:
    """Put a data directory with ann, bob and what `seed` adds at `target`."""
    if name not in _templates:
        keep = tempfile.TemporaryDirectory(prefix="postino-seed-", ignore_cleanup_errors=True)
        directory = Path(keep.name) / "data"
        directory.mkdir()
        store = open_store(directory, first=True)
        try:
            password_hash, scram = test_credentials()

            def make(tx: Any) -> dict[str, AccountId]:
                accounts.create_domain(tx, DOMAIN, NOW)
                return {
                    login: accounts.create_account(
                        tx, parse_address(f"{login}@{DOMAIN}"), password_hash, scram, 0, NOW
                    )
                    for login in ("ann", "bob")
                }

            await seed(store, await store.write(make))
        finally:
            await store.close()
        _templates[name] = (keep, directory)
    shutil.copytree(_templates[name][1], target, dirs_exist_ok=True)


async def no_seed(store: Store, ids: dict[str, AccountId]) -> None:
    """Leave the accounts as they are made: empty mailboxes."""


class World:
    """The open store and the context sessions get."""

    def __init__(self, context: ServerContext, store: Store, log: RecordingLog) -> None:
        self.context = context
        self.store = store
        self.log = log


@asynccontextmanager
async def open_world(
    directory: Path,
    *,
    seed_name: str = "empty",
    seed: Seed = no_seed,
    limits: Limits | None = None,
    tls_context: ssl.SSLContext | None = None,
    **authentication: Any,
) -> Any:
    """A World over a fresh copy of the seed; at the end the store must verify without findings."""
    await seeded_directory(seed_name, seed, directory)
    limits = limits or Limits()
    store = open_store(directory, first=True)
    bus = MemoryBus()
    store.on_commit = bus.publish
    log: Any = RecordingLog()
    metrics: Any = NullMetrics()
    clock = FixedClock(NOW)
    login = Authentication(
        store=store, limits=limits, clock=clock, log=log, credentials=TEST_CREDENTIALS, **authentication
    )
    delivery = _delivery(store, limits, clock, log, metrics)
    try:
        context = ServerContext(
            hostname=HOSTNAME,
            limits=limits,
            store=store,
            delivery=delivery,
            outbound=FakeOutbound(delivery, HOSTNAME, limits),
            authentication=login,
            bus=bus,
            clock=clock,
            log=log,
            metrics=metrics,
            tls_context=lambda: tls_context,
        )
        yield World(context, store, log)
        findings = await store.read(lambda tx: verify(tx, store.blobs))
        assert findings == [], f"the store is not consistent: {findings}"
    finally:
        login.close()
        await store.close()


def _delivery(store: Store, limits: Limits, clock: Any, log: Any, metrics: Any) -> Any:
    from postino.delivery.accept import Delivery

    return Delivery(store=store, limits=limits, clock=clock, hostname=HOSTNAME, log=log, metrics=metrics)


def serve_function(context: ServerContext, kind: str) -> Callable[[Connection], Awaitable[None]]:
    """The session of `smtp`, `submission`, `lmtp`, `imap`, `pop3` or `managesieve`, as a function of a connection."""
    if kind == "managesieve":
        from postino.servers.managesieve.session import serve_managesieve

        return lambda connection: serve_managesieve(context, connection)
    if kind == "pop3":
        from postino.servers.pop3 import serve_pop3

        return lambda connection: serve_pop3(context, connection)
    if kind == "imap":
        from postino.servers.imap.session import serve_imap

        return lambda connection: serve_imap(context, connection)
    from postino.servers.smtp import SmtpRole, serve_smtp

    role = {"smtp": SmtpRole.MX, "submission": SmtpRole.SUBMISSION, "lmtp": SmtpRole.LMTP}[kind]
    return lambda connection: serve_smtp(context, connection, role=role, implicit_tls=connection.is_tls)
