"""TLS with one far server: as strict as its policy asks, and what came of it.

RFC: 3207 §4 (STARTTLS), 7672 §2.2, §3 (DANE), 8461 §4 (MTA-STS), 8460 §4.3 (what is reported),
    7435 (opportunistic).
Exposure: certificates of any server.
Invariants: TlsLevel.VERIFIED is either proved or fails; nothing is proved by a handshake alone.
Not here: which policy (tls_policy.py), going on without TLS (session.py), TLSA records (dane.py).
"""

import re
from dataclasses import dataclass
from typing import Final

from postino.core.address import ascii_domain
from postino.core.ids import Instant
from postino.mailauth.dane import DaneMismatch, check_chain
from postino.net.connection import Connection, ConnectionLost, HandshakeFailed
from postino.net.tls_client import (
    TlsProblem,
    TlsTrust,
    certificate_names,
    client_context,
    names_match,
    problem_of,
    reason_of,
)
from postino.outbound.targeting.target import Host, HostTls, NotNow, TlsLevel

_SERVER_NAME: Final = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*+")


@dataclass(frozen=True, slots=True)
class TlsReached:
    """What TLS with a server came to."""

    version: str = ""
    """`TLSv1.3 TLS_AES_256_GCM_SHA384`; empty without TLS."""
    is_verified: bool = False
    """The server proved who it is, by DANE or by an authority."""
    problem: TlsProblem | None = None
    """What went wrong on the way, where mail went all the same."""
    detail: str = ""
    """The same for people."""


WITHOUT_TLS = TlsReached()


class TlsFailed(NotNow):
    """TLS is not as it must be with this host."""

    def __init__(self, sentence: str, problem: TlsProblem, detail: str, *, remote: str) -> None:
        super().__init__(sentence, "4.7.5", remote=remote)
        self.problem = problem
        self.detail = detail


async def shake_hands(
    connection: Connection, host: Host, tls: HostTls, *, remote: str, seconds: float, now: Instant
) -> TlsReached:
    """Begin TLS and look at who is there. Raises TlsFailed; the connection is of no use then."""
    if tls.level is TlsLevel.OPPORTUNISTIC:
        trust = TlsTrust.ANY
    elif tls.level is TlsLevel.VERIFIED and not tls.tlsa:
        trust = TlsTrust.AUTHORITIES
    else:
        trust = TlsTrust.UNCHECKED
    try:
        context = client_context(trust, tls.authorities)
    except OSError as error:
        detail = f"the authorities in {tls.authorities or 'this machine'} cannot be read: {reason_of(error)}"
        raise _failed(remote, TlsProblem.NOT_TRUSTED, detail) from error
    try:
        await connection.start_tls_as_client(context, _server_name(host, tls), timeout_seconds=seconds)
    except HandshakeFailed as failed:
        raise _failed(remote, problem_of(failed.cause), reason_of(failed.cause)) from failed
    except ConnectionLost as error:
        raise _failed(remote, TlsProblem.OTHER, str(error)) from error
    version = connection.tls_version()
    if tls.level is not TlsLevel.VERIFIED:
        return TlsReached(version)
    chain = connection.peer_certificates()
    if tls.tlsa:
        try:
            check_chain(tls.tlsa, chain, tls.names or (host.name,), now=now)
        except DaneMismatch as error:
            raise _failed(remote, _problem_of(error), str(error)) from error
        return TlsReached(version, is_verified=True)
    names = certificate_names(chain[0]) if chain else ()
    if not names_match(names, tls.names or (host.name,)):
        shown = ", ".join(names[:5]) or "no name at all"
        raise _failed(remote, TlsProblem.WRONG_HOST, f"its certificate is for {shown}")
    return TlsReached(version, is_verified=True)


def _server_name(host: Host, tls: HostTls) -> str | None:
    """The name for SNI: none for an address, and none that TLS could not carry."""
    # RFC 7672 §8.1: with DANE the name at which the TLSA records are, which an alias may have led to.
    name = tls.names[0] if tls.tlsa and tls.names else host.name
    name = ascii_domain(name)
    if host.unix_path or name in host.addresses or not _SERVER_NAME.fullmatch(name) or len(name) > 253:
        return None
    return name


def _problem_of(error: DaneMismatch) -> TlsProblem:
    if error.is_expired:
        return TlsProblem.EXPIRED
    return TlsProblem.WRONG_HOST if error.is_name else TlsProblem.OTHER


def _failed(remote: str, problem: TlsProblem, detail: str) -> TlsFailed:
    return TlsFailed(f"TLS with {remote} failed: {detail}", problem, detail, remote=remote)
