"""Where a message goes next: the hosts to try, in order, and how far each must be trusted.

RFC: 5321 §5.1 (which host), 7672 §2.2 (DANE), 8461 §4 (MTA-STS), 8689 §4 (REQUIRETLS).
Invariants: values only; made by hosts.py, tls_policy.py and routes.py, used by the client session.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum

from postino.core.errors import PostinoError
from postino.core.ports import TlsaRecord


class TlsLevel(IntEnum):
    """What a connection must be before mail goes over it; higher is stricter."""

    NONE = 0
    """In the clear on purpose."""
    OPPORTUNISTIC = 1
    """TLS when offered, whatever the certificate; when its handshake fails, in the clear."""
    REQUIRED = 2
    """TLS, whatever the certificate."""
    VERIFIED = 3
    """TLS with a host that has proved who it is."""


class TlsOrigin(Enum):
    """Who asks for that level."""

    DEFAULT = "default"
    DANE = "dane"
    MTA_STS = "sts"
    ROUTE = "route"


@dataclass(frozen=True, slots=True)
class HostTls:
    """TLS with one host."""

    level: TlsLevel = TlsLevel.OPPORTUNISTIC
    origin: TlsOrigin = TlsOrigin.DEFAULT
    implicit: bool = False
    """From the first octet (port 465) instead of STARTTLS."""
    tlsa: tuple[TlsaRecord, ...] = ()
    """DANE: the certificate must match one of them. Authorities do not count then, names only for usage 2."""
    names: tuple[str, ...] = ()
    """One of which the certificate must name; `*.example.net` for one label (RFC 8461 §4.1)."""
    authorities: str = ""
    """PEM file of those who vouch for the certificate; empty for this machine's."""
    testing: bool = False
    """MTA-STS mode testing: a failure is only counted for the report, and mail goes all the same."""
    policy: str = ""
    """What TLS reports call all this; goes into TlsOutcome as it is."""


OPPORTUNISTIC = HostTls()


@dataclass(frozen=True, slots=True)
class Host:
    """One server to try."""

    name: str
    """As the MX record or route names it; an address literal's address."""
    port: int
    tls: HostTls = OPPORTUNISTIC
    addresses: tuple[str, ...] = ()
    """IP addresses in the order to try them, IPv6 and IPv4 in turn. Empty: to be looked up at its turn."""
    unix_path: str = ""
    """Instead of addresses, a Unix socket (LMTP on this machine)."""


@dataclass(frozen=True, slots=True)
class Target:
    """Everything needed to reach one destination."""

    key: str
    """What connections are counted and shared by: the domain, or the route's host and port."""
    hosts: tuple[Host, ...]
    """In the order to try them."""
    hello_name: str
    is_lmtp: bool = False
    login: str = ""
    password: str = ""
    source_addresses: tuple[str, ...] = ()
    domain: str = ""
    """Whose mail exchangers the hosts are; empty for a route's host. Goes into TlsOutcome."""


class Undeliverable(PostinoError):
    """There is no way to this destination and will be none: no such domain, a null MX, ..."""

    def __init__(self, sentence: str, status: str) -> None:
        super().__init__(sentence)
        self.status = status
        """RFC 3463: `5.1.2`, `5.1.10`."""


class NotNow(PostinoError):
    """There is no way at present: no DNS answer, no connection, no TLS as it must be."""

    def __init__(self, sentence: str, status: str, *, remote: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        """RFC 3463: `4.4.1`, `4.4.3`, `4.7.5`."""
        self.remote = remote
        """The host that was reached, `mx.example.net (192.0.2.1)`; empty for none."""


class TlsForbids(NotNow):
    """There are hosts, and DANE or MTA-STS let none of them be used."""

    def __init__(self, sentence: str, target: Target) -> None:
        super().__init__(sentence, "4.7.5")
        self.target = target
        """The way for mail whose author would rather have it arrive (RFC 8689 §4.2.2)."""
