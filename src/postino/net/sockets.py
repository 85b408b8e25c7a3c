"""Addresses to listen on, and the sockets bound to them.

Invariants: an address somebody else listens on is an error, also when several workers share it.
Not here: accepting connections (net/listener.py).
"""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postino.core.errors import PostinoError, SettingsError

BACKLOG: Final = 4096
_LONGEST_UNIX_PATH: Final = 100
_ELSEWHERE: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses of documentation."""
_KEEPALIVE: Final = (
    (socket.TCP_KEEPIDLE, 300),
    (socket.TCP_KEEPINTVL, 60),
    (socket.TCP_KEEPCNT, 5),
)


class CannotListen(PostinoError):
    """A port or path cannot be bound; the sentence says which and what to do."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen: `host` and `port`, or a Unix socket's `path`. Host `*` is every address."""

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen_address(text: str) -> ListenAddress:
    """Parse `127.0.0.1:25`, `[::1]:25`, `*:25`, `localhost:25` or `unix:PATH`. Raises SettingsError."""
    if text.startswith("unix:") and len(text) > 5:
        return ListenAddress("", 0, text[5:])
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise SettingsError(f"{text!r} is not an address to listen on; write IPv6 as [::1]:{port or 25}")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise SettingsError(
            f"{text!r} is not an address to listen on; write HOST:PORT such as *:25, or unix:PATH"
        )
    return ListenAddress(host, int(port))


def bind(address: ListenAddress, count: int = 1) -> list[list[socket.socket]]:
    """Bind `address` for `count` workers and give each worker its sockets. Raises CannotListen.

    Each worker gets sockets of its own (SO_REUSEPORT), so that the kernel spreads connections evenly
    over the workers; a Unix socket is shared by all. A host name or `*` may mean several sockets.
    """
    if address.path:
        shared = _bind_unix(address)
        return [[shared] for _ in range(count)]
    workers: list[list[socket.socket]] = [[] for _ in range(count)]
    try:
        for family, target in _targets(address):
            if count > 1:
                # With SO_REUSEPORT a second server of the same user could bind silently beside the
                # first and take half its connections; a socket without it finds out.
                probe = _bind_tcp(address, family, target, share=False)
                if target[1] == 0:
                    target = (target[0], int(probe.getsockname()[1]))
                probe.close()
            workers_now = [_bind_tcp(address, family, target, share=count > 1) for _ in workers]
            for own, bound in zip(workers, workers_now, strict=True):
                own.append(bound)
    except BaseException:
        for own in workers:
            for bound in own:
                bound.close()
        raise
    return workers


def _targets(address: ListenAddress) -> list[tuple[int, tuple[str, int]]]:
    if address.host == "*":
        targets: list[tuple[int, tuple[str, int]]] = [(socket.AF_INET, ("0.0.0.0", address.port))]  # noqa: S104
        if socket.has_ipv6 and os.path.exists("/proc/net/if_inet6"):
            targets.append((socket.AF_INET6, ("::", address.port)))
        return targets
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise CannotListen(
            f"Cannot listen on {address}: the host name is not known here ({error.strerror}); "
            "write an address of this machine, or * for all"
        ) from error
    return list(dict.fromkeys((int(family), (str(sa[0]), int(sa[1]))) for family, _, _, _, sa in found))


def _bind_tcp(address: ListenAddress, family: int, target: tuple[str, int], *, share: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Accepted sockets inherit it: answers are whole writes already, waiting only delays them.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Inherited too: a client that vanished without a word is noticed after some ten minutes.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            bound.setsockopt(socket.IPPROTO_TCP, option, value)
        bound.bind(target)
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise CannotListen(_sentence(address, error)) from error
    return bound


def _bind_unix(address: ListenAddress) -> socket.socket:
    path = Path(address.path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with reachable(path.parent) as parent:
            name = str(parent / path.name)
            if path.is_socket():
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                    if probe.connect_ex(name) == 0:
                        raise CannotListen(
                            f"Cannot listen on {address}: another server uses it; stop that one or set "
                            "another path"
                        )
                path.unlink()
            bound.bind(name)
        path.chmod(0o666)
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except CannotListen:
        bound.close()
        raise
    except OSError as error:
        bound.close()
        raise CannotListen(_sentence(address, error)) from error
    return bound


def outward_addresses() -> list[str]:
    """The addresses this machine would speak to the world from, one of each family it has."""
    found = []
    for family, elsewhere in _ELSEWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                # Of a datagram socket this sends nothing; it only asks for the way.
                probe.connect((elsewhere, 9))
                found.append(str(probe.getsockname()[0]))
        except OSError:
            # No way there by this family.
            continue
    return found


@contextlib.contextmanager
def reachable(directory: Path) -> Iterator[Path]:
    """Give a name of `directory` short enough for Unix sockets in it (their addresses hold 108 octets)."""
    if len(os.fsencode(directory)) <= _LONGEST_UNIX_PATH - 24:
        yield directory
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _sentence(address: ListenAddress, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {address.port} on {address.host} is in use by another program; stop that program or "
            "choose another port"
        )
    if error.errno in {errno.EACCES, errno.EPERM} and 0 < address.port < 1024:
        return (
            f"Port {address.port} may be opened by root only; start Postino as root (it gives root up once "
            "its ports are open), or choose a port above 1023"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"Cannot listen on {address}: this machine does not have that address; use one it has, or *"
    return f"Cannot listen on {address}: {error.strerror or error}; choose another address in [listen]"
