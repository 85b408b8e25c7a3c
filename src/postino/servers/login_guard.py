"""Slow down and then refuse those who guess passwords, without locking out their neighbours.

RFC: none.
Exposure: its keys come from unauthenticated clients; every table is bounded.
Invariants: loopback is never refused (a web mail or a proxy on this machine speaks for everybody);
    the same wrong password again counts once (a mail program with an old password is no attacker);
    an address from which a login succeeded lately is not refused to that login because of others.
Not here: checking passwords (authentication.py), limits on connections (net/).
"""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, TypeVar

from postino.net.connection import Peer

_Key = TypeVar("_Key")
MAX_TRACKED: Final = 20_000
MAX_REMEMBERED_PASSWORDS: Final = 32


@dataclass(frozen=True, slots=True)
class GuardRules:
    """How much guessing is let pass. Counts are different wrong passwords within `window_seconds`."""

    window_seconds: float = 900.0
    first_delay_seconds: float = 0.5
    longest_delay_seconds: float = 8.0
    login_failures: int = 12
    """For one login from one address."""
    address_failures: int = 40
    """For all logins from one address."""
    network_failures: int = 160
    """For all logins from one /24 (IPv4) or /64 (IPv6)."""
    trusted_seconds: float = 30 * 24 * 3600.0
    """How long a login that succeeded from an address is let in from there, whatever others do."""


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0
    passwords: set[bytes] = field(default_factory=set)


class LoginGuard:
    """Counts failures of one worker. `now` is any steady clock in seconds."""

    def __init__(self, rules: GuardRules | None = None) -> None:
        self.rules = rules or GuardRules()
        self._by_login: OrderedDict[tuple[str, str], _Failures] = OrderedDict()
        self._by_address: OrderedDict[str, _Failures] = OrderedDict()
        self._by_network: OrderedDict[str, _Failures] = OrderedDict()
        self._trusted: OrderedDict[tuple[str, str], float] = OrderedDict()

    def refused_for(self, peer: Peer, login: str, now: float) -> float:
        """Seconds for which this login may not be tried from there; 0.0 when it may."""
        if peer.is_loopback:
            return 0.0
        rules = self.rules
        waits = [self._wait(self._by_login.get((peer.address, login)), rules.login_failures, now)]
        if self._trusted.get((peer.address, login), now) <= now:
            waits.append(self._wait(self._by_address.get(peer.address), rules.address_failures, now))
            waits.append(self._wait(self._by_network.get(network(peer.address)), rules.network_failures, now))
        return max(waits)

    def failed(self, peer: Peer, login: str, fingerprint: bytes, now: float) -> float:
        """Count a failure and give the seconds to let pass before it is told.

        `fingerprint` is the same for the same password, or unique where that cannot be known.
        """
        failures = self._touch(self._by_login, (peer.address, login), now)
        is_new = fingerprint not in failures.passwords
        if is_new:
            if len(failures.passwords) < MAX_REMEMBERED_PASSWORDS:
                failures.passwords.add(fingerprint)
            failures.count += 1
            if not peer.is_loopback:
                self._touch(self._by_address, peer.address, now).count += 1
                self._touch(self._by_network, network(peer.address), now).count += 1
        worst = failures.count
        others = self._by_address.get(peer.address)
        if others is not None:
            worst = max(worst, others.count // 2)
        rules = self.rules
        return float(min(rules.longest_delay_seconds, rules.first_delay_seconds * 2 ** min(worst - 1, 20)))

    def succeeded(self, peer: Peer, login: str, now: float) -> None:
        """Forget the login's failures from there, and let it in from there in future."""
        self._by_login.pop((peer.address, login), None)
        if peer.is_loopback:
            return
        self._trusted[peer.address, login] = now + self.rules.trusted_seconds
        self._trusted.move_to_end((peer.address, login))
        if len(self._trusted) > MAX_TRACKED:
            self._trusted.popitem(last=False)

    def _wait(self, failures: _Failures | None, most: int, now: float) -> float:
        if failures is None or failures.count < most:
            return 0.0
        return max(0.0, failures.last + self.rules.window_seconds - now)

    def _touch(self, table: "OrderedDict[_Key, _Failures]", key: _Key, now: float) -> _Failures:
        """The entry of `key`, empty again when its window is over, counted as touched now."""
        found = table.get(key)
        if found is None or now - found.last > self.rules.window_seconds:
            found = table[key] = _Failures()
        found.last = now
        table.move_to_end(key)
        if len(table) > MAX_TRACKED:
            table.popitem(last=False)
        return found


def network(address: str) -> str:
    """The /24 or /64 an address is in, as text; the address itself when it is not an IP address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ipaddress.IPv6Network((parsed, 64), strict=False))
        parsed = parsed.ipv4_mapped
    return str(ipaddress.IPv4Network((parsed, 24), strict=False))
