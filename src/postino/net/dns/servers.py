"""Which DNS servers are asked: the settings', or those of /etc/resolv.conf, read again when it changes.

Exposure: reads a file of the operator's; lines that make no sense are left out.
Invariants: only a server on loopback is believed about DNSSEC, for on the way from any other anybody may
    write into its answers (RFC 7672 §2.1.1, RFC 4035 §4.9.3).
"""

import ipaddress
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postino.core.errors import SettingsError

RESOLV_CONF: Final = Path("/etc/resolv.conf")
PORT: Final = 53
_CHECK_SECONDS: Final = 5.0
_MOST_SERVERS: Final = 8
_MOST_OCTETS: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Server:
    """One resolver to ask."""

    address: str
    port: int = PORT
    is_trusted: bool = False
    """On loopback: its AD bit means something."""

    def __str__(self) -> str:
        return self.address if self.port == PORT else f"{self.address}#{self.port}"


def parse_server(text: str) -> Server:
    """`ADDRESS` or `ADDRESS#PORT`. Raises SettingsError."""
    address, _, port = text.strip().partition("#")
    address = address.removeprefix("[").removesuffix("]")
    try:
        ip = ipaddress.ip_address(address)
        number = int(port) if port else PORT
    except ValueError:
        raise SettingsError(
            f"outbound.resolvers cannot have {text!r}; write an address, as 127.0.0.1 or 127.0.0.1#53"
        ) from None
    if not 1 <= number <= 65_535:
        raise SettingsError(f"outbound.resolvers has {text!r}, and ports go from 1 to 65535")
    return Server(address, number, is_loopback(ip))


def is_loopback(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether this address never leaves the machine."""
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


class ServerList:
    """The servers to ask now, in order."""

    def __init__(
        self,
        configured: Sequence[str] = (),
        *,
        path: Path = RESOLV_CONF,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fixed = tuple(parse_server(text) for text in configured)
        self._path = path
        self._steady = steady
        self._looked = float("-inf")
        self._seen: tuple[int, int, int] | None = None
        self._read: tuple[Server, ...] = ()

    def current(self) -> tuple[Server, ...]:
        """At least one."""
        if self._fixed:
            return self._fixed
        now = self._steady()
        if now - self._looked >= _CHECK_SECONDS:
            self._looked = now
            self._refresh()
        return self._read or (Server("127.0.0.1", PORT, is_trusted=True),)

    def _refresh(self) -> None:
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen == self._seen:
                return
            with self._path.open("rb") as file:
                self._read = read_resolv_conf(file.read(_MOST_OCTETS))
            self._seen = seen
        except OSError:
            # Between the removal of the old file and the new one's coming, those known go on.
            return


def read_resolv_conf(octets: bytes) -> tuple[Server, ...]:
    """The servers that the `nameserver` lines name."""
    found: list[Server] = []
    for line in octets.decode("ascii", "replace").splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            ip = ipaddress.ip_address(words[1])
        except ValueError:
            continue
        found.append(Server(words[1], PORT, is_loopback(ip)))
    return tuple(found[:_MOST_SERVERS])
