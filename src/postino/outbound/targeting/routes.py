"""Which way a message takes: by MX as the DNS says, or by a route of the settings or of the operator.

RFC: 5321 §5 (by MX, unless the operator knows better), 2033 §5 (LMTP never on port 25), 8314 §3.3 (465 for
    TLS from the first octet), 6409 §3.1 (587 where a login is needed).
Invariants: the first route that fits is taken; what an operator set for one domain goes before the settings;
    a route that cannot be used is an error when the settings are read, never when a message is sent.
Not here: looking up hosts and the TLS that DANE or MTA-STS ask for (targets.py), sending (attempt.py).
"""

import ipaddress
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from postino.core.address import BadAddress, domain_key, parse_address, parse_domain
from postino.core.errors import SettingsError
from postino.outbound.settings import OutboundSettings, RouteSettings
from postino.outbound.targeting.target import OPPORTUNISTIC, HostTls, TlsLevel, TlsOrigin

_MOST_REMEMBERED: Final = 20_000
_LONGEST_PASSWORD: Final = 4096
_LEVELS: Final = {
    "none": TlsLevel.NONE,
    "opportunistic": TlsLevel.OPPORTUNISTIC,
    "required": TlsLevel.REQUIRED,
    "verified": TlsLevel.VERIFIED,
    "implicit": TlsLevel.VERIFIED,
}


@dataclass(frozen=True, slots=True)
class Route:
    """A way the operator chose.

    With neither `host` nor `unix_path` the domain's own MX are used, with these source addresses and at least
    this TLS (`tls.level`, where `tls.origin` is ROUTE).
    """

    host: str = ""
    """A name (looked up as A and AAAA, never as MX) or an IP address without brackets."""
    port: int = 0
    unix_path: str = ""
    is_lmtp: bool = False
    tls: HostTls = OPPORTUNISTIC
    login: str = ""
    password: str = ""
    source_addresses: tuple[str, ...] = ()

    @property
    def is_by_mx(self) -> bool:
        """Whether the domain's mail exchangers are asked for all the same."""
        return not self.host and not self.unix_path


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a recipient's mail goes. Those with one `key` share connections, concurrency and back-off."""

    key: str
    route: Route | None
    """None: by MX, as the settings of [outbound] have it."""
    domain: str
    """The recipient's, U-labels; or an address literal, `[192.0.2.1]`."""


@dataclass(frozen=True, slots=True)
class _Rule:
    route: Route
    key: str
    """Empty where the domain is the key."""
    domains: frozenset[str]
    domain_ends: tuple[str, ...]
    addresses: frozenset[str]
    sender_domains: frozenset[str]
    sender_ends: tuple[str, ...]

    def fits(self, sender: str, sender_domain: str, domain: str) -> bool:
        for_all = not self.domains and not self.domain_ends
        if not (for_all or domain in self.domains or domain.endswith(self.domain_ends)):
            return False
        from_all = not self.addresses and not self.sender_domains and not self.sender_ends
        return (
            from_all
            or sender in self.addresses
            or sender_domain in self.sender_domains
            or sender_domain.endswith(self.sender_ends)
        )


class Routes:
    """All routes, made anew when the settings are read again."""

    def __init__(self, settings: OutboundSettings, read_password: Callable[[str], str]) -> None:
        """`read_password` gives what a password file of the settings holds. Raises SettingsError."""
        self._rules = [
            _with_password(rule, settings.routes[number], number, read_password)
            for number, rule in enumerate(_parse(settings))
        ]
        self._overrides: dict[str, Destination] = {}
        self._known: dict[tuple[str, str], Destination] = {}

    def set_overrides(self, hosts: Mapping[str, str]) -> None:
        """What the operator set for single domains meanwhile: domain -> HOST:PORT, or empty for its MX."""
        self._overrides = {domain: _overridden(domain, host) for domain, host in hosts.items()}
        self._known.clear()

    def destination(self, reverse_path: str, domain: str) -> Destination:
        """Where mail of this sender (empty: the null reverse-path) for this domain goes."""
        known = self._known.get((reverse_path, domain))
        if known is not None:
            return known
        found = self._overrides.get(domain) or self._find(reverse_path, domain)
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[reverse_path, domain] = found
        return found

    def _find(self, reverse_path: str, domain: str) -> Destination:
        sender = unicodedata.normalize("NFC", reverse_path).casefold() or "<>"
        sender_domain = domain_key(sender.rpartition("@")[2]) if reverse_path else ""
        if sender_domain:
            sender = f"{sender.rpartition('@')[0]}@{sender_domain}"
        for rule in self._rules:
            if rule.fits(sender, sender_domain, domain):
                return Destination(rule.key or _mx_key(rule.route, domain), rule.route, domain)
        return Destination(domain, None, domain)


def check_routes(settings: OutboundSettings) -> None:
    """Raise SettingsError for the first route that can never be used. Reads no file."""
    _parse(settings)


def check_override(host: str) -> None:
    """Raise SettingsError when this cannot stand for the host of a domain (`set_overrides`)."""
    _overridden("example.org", host)


def read_password_file(path: Path) -> str:
    """The password in a file, its line end cut off. Raises SettingsError."""
    try:
        with path.open("rb") as file:
            octets = file.read(_LONGEST_PASSWORD + 1)
    except OSError as error:
        raise SettingsError(
            f"the password file {path} cannot be read ({error.strerror}); make it, with the password as "
            "its one line, and let the server's user read it"
        ) from error
    text = octets.removesuffix(b"\n").removesuffix(b"\r")
    if not text or len(octets) > _LONGEST_PASSWORD or b"\n" in text or b"\0" in text:
        raise SettingsError(
            f"the password file {path} must hold one line with the password, and nothing else"
        )
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SettingsError(f"the password file {path} is not UTF-8; write the password anew") from error


def _parse(settings: OutboundSettings) -> list[_Rule]:
    return [_rule(route, number) for number, route in enumerate(settings.routes)]


def _fault(number: int, key: str, sentence: str) -> SettingsError:
    return SettingsError(f"outbound.routes.{key}, in [[outbound.routes]] number {number + 1}: {sentence}")


def _rule(given: RouteSettings, number: int) -> _Rule:
    try:
        route = _route(given)
    except _RouteFault as fault:
        raise _fault(number, fault.key, str(fault)) from fault
    domains, domain_ends = set[str](), list[str]()
    for text in given.domains:
        _add_domain(text, domains, domain_ends, number, "domains")
    addresses, sender_domains, sender_ends = set[str](), set[str](), list[str]()
    for text in given.senders:
        if text == "<>":
            addresses.add(text)
        elif "@" in text:
            try:
                addresses.add(parse_address(text).key)
            except BadAddress as error:
                raise _fault(number, "senders", str(error)) from error
        else:
            _add_domain(text, sender_domains, sender_ends, number, "senders")
    return _Rule(
        route,
        "" if route.is_by_mx else _host_key(route),
        frozenset(domains),
        tuple(domain_ends),
        frozenset(addresses),
        frozenset(sender_domains),
        tuple(sender_ends),
    )


def _add_domain(text: str, whole: set[str], ends: list[str], number: int, key: str) -> None:
    if text.startswith("[") and text.endswith("]"):
        whole.add(text.lower())
        return
    try:
        domain = parse_domain(text.removeprefix("."))
    except BadAddress as error:
        raise _fault(number, key, str(error)) from error
    whole.add(domain)
    if text.startswith("."):
        ends.append(f".{domain}")


class _RouteFault(Exception):
    """What is wrong with a route, and which of its keys says so."""

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(sentence)
        self.key = key


def _route(given: RouteSettings) -> Route:
    """A route without its password."""
    is_lmtp = given.protocol == "lmtp"
    level = _LEVELS[given.tls]
    sources = tuple(_source(text) for text in given.source_addresses)
    if bool(given.login) != bool(given.password_file):
        key, other = ("password_file", "login") if given.login else ("login", "password_file")
        raise _RouteFault(key, f"it is missing; {other} is given, and they go together")
    if not given.host:
        for key in ("login", "authorities"):
            if getattr(given, key):
                raise _RouteFault(key, "without a host it means nothing; name the server in host")
        if is_lmtp or given.tls == "implicit":
            key, what = ("protocol", "lmtp") if is_lmtp else ("tls", "implicit")
            raise _RouteFault(key, f"mail exchangers do not speak {what}; name the server in host")
        return Route(tls=_tls(level), source_addresses=sources)
    if given.host.startswith("unix:"):
        return _unix_route(given, is_lmtp)
    host, port = _host_and_port(given, is_lmtp)
    if given.login and level < TlsLevel.REQUIRED and not _is_loopback(host):
        raise _RouteFault(
            "tls", "a password must not travel in the clear; write verified, required or implicit"
        )
    if given.authorities and level is not TlsLevel.VERIFIED:
        raise _RouteFault("authorities", "they are asked only where tls is verified or implicit")
    names = (host,) if level is TlsLevel.VERIFIED else ()
    tls = replace(_tls(level), implicit=given.tls == "implicit", names=names, authorities=given.authorities)
    return Route(host, port, "", is_lmtp, tls, given.login, "", sources)


def _unix_route(given: RouteSettings, is_lmtp: bool) -> Route:
    path = given.host.removeprefix("unix:")
    if not path:
        raise _RouteFault("host", "a path is missing; write unix:PATH, such as unix:/run/lmtp.sock")
    if _LEVELS[given.tls] > TlsLevel.OPPORTUNISTIC:
        raise _RouteFault("tls", "a Unix socket needs no TLS; write none, or leave it out")
    for key in ("login", "source_addresses"):
        if getattr(given, key):
            raise _RouteFault(key, "it means nothing for a Unix socket; leave it out")
    return Route(unix_path=path, is_lmtp=is_lmtp, tls=_tls(TlsLevel.NONE))


def _tls(level: TlsLevel) -> HostTls:
    return HostTls(level=level, origin=TlsOrigin.ROUTE)


def _host_and_port(given: RouteSettings, is_lmtp: bool) -> tuple[str, int]:
    host, port = _split(given.host)
    if port is None:
        if is_lmtp:
            raise _RouteFault("host", f"LMTP has no port of its own; write {given.host}:24, or unix:PATH")
        port = 465 if given.tls == "implicit" else 587 if given.login else 25
    elif is_lmtp and port == 25:
        raise _RouteFault("host", "LMTP must not be spoken on port 25 (RFC 2033); name its own port")
    return host, port


def _split(text: str) -> tuple[str, int | None]:
    """HOST, HOST:PORT, ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT."""
    try:
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))), None
    except ValueError:
        pass
    host, colon, digits = text.rpartition(":")
    if not colon:
        host, port = text, None
    elif digits.isascii() and digits.isdigit() and 0 < int(digits) < 65_536:
        port = int(digits)
    else:
        raise _RouteFault("host", f"{digits!r} is not a port; write HOST:PORT such as smtp.example.net:587")
    bare = host.removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(bare)), port
    except ValueError:
        pass
    try:
        return parse_domain(host), port
    except BadAddress as error:
        raise _RouteFault(
            "host", f"{text!r} is not a server; write HOST, HOST:PORT or unix:PATH, IPv6 as [2001:db8::1]:25"
        ) from error


def _source(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise _RouteFault(
            "source_addresses", f"{text!r} is not an IP address; write one of this machine's"
        ) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host_key(route: Route) -> str:
    if route.unix_path:
        return f"unix:{route.unix_path}"
    host = f"[{route.host}]" if ":" in route.host else route.host
    # Another login, or another address to come from, is another connection.
    login = f"{route.login}@" if route.login else ""
    lmtp = " lmtp" if route.is_lmtp else ""
    return f"{login}{host}:{route.port}{lmtp}{_tls_key(route)}{_source_key(route)}"


def _tls_key(route: Route) -> str:
    # SECURITY: what less was enough for is no connection for a route that asks for more.
    tls = route.tls
    if tls.level is TlsLevel.OPPORTUNISTIC:
        return ""
    how = "implicit" if tls.implicit else tls.level.name.lower()
    return f" tls={how} by {tls.authorities}" if tls.authorities else f" tls={how}"


def _source_key(route: Route) -> str:
    return f" from {','.join(route.source_addresses)}" if route.source_addresses else ""


def _mx_key(route: Route, domain: str) -> str:
    return f"{domain}{_tls_key(route)}{_source_key(route)}"


def _with_password(
    rule: _Rule, given: RouteSettings, number: int, read_password: Callable[[str], str]
) -> _Rule:
    if not given.password_file:
        return rule
    try:
        password = read_password(given.password_file)
    except SettingsError as error:
        raise _fault(number, "password_file", str(error)) from error
    return replace(rule, route=replace(rule.route, password=password))


def _overridden(domain: str, host: str) -> Destination:
    if not host:
        return Destination(domain, None, domain)
    try:
        route = _route(RouteSettings(host=host))
    except _RouteFault as fault:
        raise SettingsError(f"{fault}") from fault
    return Destination(_host_key(route), route, domain)
