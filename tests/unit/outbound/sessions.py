"""What the tests of client sessions share: one far server at one address, and messages for it."""

import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from postino.core.ids import Instant
from postino.outbound.client.outgoing import Outgoing
from postino.outbound.client.session import ClientSession
from postino.outbound.client.tls_outcome import TlsOutcome
from postino.outbound.settings import OutboundSettings
from postino.outbound.targeting.target import OPPORTUNISTIC, Host, HostTls, Target
from postino.smtp.envelope import NO_MAIL_OPTIONS, NO_RCPT_OPTIONS, MailOptions
from tests.support.certificates import Made, make
from tests.support.far_server import FarServer, Habits
from tests.support.memory_pipes import MemoryNetwork

ADDRESS = "198.51.100.7"
REMOTE = f"mx.far.example ({ADDRESS})"
HEADER = b"From: ann@example.org\r\nSubject: Hello\r\n\r\n"
BODY = b"One line.\r\n.and a dot\r\n.\r\n..\r\n"
NOW = Instant(int(time.time()))
"""Certificates are looked at by OpenSSL, which has a clock of its own."""


def outgoing(
    *recipients: str,
    reverse_path: str = "ann@example.org",
    header: bytes = HEADER,
    body: Any = BODY,
    options: MailOptions = NO_MAIL_OPTIONS,
    **more: Any,
) -> Outgoing:
    return Outgoing(
        reverse_path=reverse_path,
        options=options,
        recipients=[(address, NO_RCPT_OPTIONS) for address in recipients or ("bob@far.example",)],
        header=header,
        body=body,
        **more,
    )


@dataclass
class Place:
    """A far server in a network of memory, and how to open a session with it."""

    far: FarServer
    network: MemoryNetwork
    settings: OutboundSettings
    told: list[TlsOutcome] = field(default_factory=list)

    async def open(
        self, tls: HostTls = OPPORTUNISTIC, *, addresses: Sequence[str] = (ADDRESS,), **target: Any
    ) -> ClientSession:
        host = Host("mx.far.example", 25, tls, tuple(addresses))
        found = Target("far.example", (host,), "mail.example.org", **{"domain": "far.example", **target})
        return await ClientSession.open(
            host, found, self.settings, now=NOW, network=self.network, note=self.told.append
        )


@asynccontextmanager
async def place(habits: Habits | None = None, **settings: Any) -> AsyncIterator[Place]:
    far, network = FarServer(habits), MemoryNetwork()
    network.servers[ADDRESS] = far.serve
    try:
        yield Place(far, network, OutboundSettings(**settings))
    finally:
        await network.close()


def server_context(directory: Path, made: Made, *chain: Made) -> ssl.SSLContext:
    """A far server's TLS, showing this certificate and those above it."""
    certificate, key = directory / "far.pem", directory / "far.key"
    certificate.write_bytes(b"".join(one.pem for one in (made, *chain)))
    key.write_bytes(made.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@dataclass(frozen=True)
class Authority:
    """Whom `file` (HostTls.authorities) trusts."""

    root: Made
    file: Path

    def server(self, *names: str, **more: Any) -> Made:
        return make(names[0], self.root, names=names, now=NOW, **more)


def authority(directory: Path) -> Authority:
    root = make("Test authority", ca=True, now=NOW)
    file = directory / "authorities.pem"
    file.write_bytes(root.pem)
    return Authority(root, file)
