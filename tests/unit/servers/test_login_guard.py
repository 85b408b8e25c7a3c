"""Who is slowed down, who is refused, and above all who is not."""

import pytest

from postino.net.connection import Peer
from postino.servers import login_guard
from postino.servers.login_guard import GuardRules, LoginGuard, network

RULES = GuardRules(
    window_seconds=100.0,
    first_delay_seconds=1.0,
    longest_delay_seconds=8.0,
    login_failures=3,
    address_failures=6,
    network_failures=10,
)
THERE = Peer("203.0.113.7", 1)
NEIGHBOUR = Peer("203.0.113.8", 1)
ELSEWHERE = Peer("198.51.100.1", 1)
HERE = Peer("127.0.0.1", 1)


def fail(guard: LoginGuard, peer: Peer, login: str, times: int, now: float = 0.0) -> list[float]:
    return [guard.failed(peer, login, b"%d" % n, now) for n in range(times)]


def test_delays_grow_to_a_limit() -> None:
    assert fail(LoginGuard(RULES), THERE, "ann", 6) == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_a_login_is_refused_from_the_address_until_the_window_is_over() -> None:
    guard = LoginGuard(RULES)
    fail(guard, THERE, "ann", 2)
    assert guard.refused_for(THERE, "ann", 0.0) == 0.0
    fail(guard, THERE, "ann", 3)
    assert guard.refused_for(THERE, "ann", 30.0) == 70.0
    assert guard.refused_for(THERE, "bob", 30.0) == 0.0
    assert guard.refused_for(ELSEWHERE, "ann", 30.0) == 0.0
    assert guard.refused_for(THERE, "ann", 100.0) == 0.0
    assert guard.failed(THERE, "ann", b"new", 101.0) == 1.0


def test_the_same_wrong_password_counts_once() -> None:
    guard = LoginGuard(RULES)
    assert [guard.failed(THERE, "ann", b"old password", float(n)) for n in range(50)] == [1.0] * 50
    assert guard.refused_for(THERE, "ann", 50.0) == 0.0


def test_an_address_is_refused_for_every_login() -> None:
    guard = LoginGuard(RULES)
    for login in "abcdef":
        fail(guard, THERE, login, 1)
    assert guard.refused_for(THERE, "somebody", 0.0) == 100.0
    assert guard.refused_for(NEIGHBOUR, "somebody", 0.0) == 0.0


def test_a_network_is_refused() -> None:
    guard = LoginGuard(RULES)
    for last in range(10):
        fail(guard, Peer(f"203.0.113.{last}", 1), "ann", 1)
    assert guard.refused_for(Peer("203.0.113.99", 1), "somebody", 0.0) == 100.0
    assert guard.refused_for(ELSEWHERE, "somebody", 0.0) == 0.0


def test_who_logged_in_from_there_is_not_locked_out_by_others() -> None:
    guard = LoginGuard(RULES)
    guard.succeeded(THERE, "ann", 0.0)
    for login in "abcdefghijklmnop":
        fail(guard, THERE, login, 1)
    assert guard.refused_for(THERE, "somebody", 0.0) > 0
    assert guard.refused_for(THERE, "ann", 0.0) == 0.0


def test_success_forgets_the_logins_failures() -> None:
    guard = LoginGuard(RULES)
    fail(guard, THERE, "ann", 2)
    guard.succeeded(THERE, "ann", 0.0)
    assert guard.failed(THERE, "ann", b"x", 0.0) == 1.0


def test_loopback_is_slowed_down_but_never_refused() -> None:
    guard = LoginGuard(RULES)
    assert fail(guard, HERE, "ann", 50)[-1] == 8.0
    assert guard.refused_for(HERE, "ann", 0.0) == 0.0
    assert guard.refused_for(Peer("", 0), "ann", 0.0) == 0.0


def test_tables_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_guard, "MAX_TRACKED", 100)
    guard = LoginGuard(RULES)
    for number in range(1000):
        peer = Peer(f"10.{number // 256}.{number % 256}.1", 1)
        fail(guard, peer, f"login{number}", 1)
        guard.succeeded(peer, "other", 0.0)
    for table in (guard._by_login, guard._by_address, guard._by_network, guard._trusted):
        assert len(table) <= 100
    fail(guard, THERE, "ann", 500)
    assert len(guard._by_login[THERE.address, "ann"].passwords) <= login_guard.MAX_REMEMBERED_PASSWORDS


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("203.0.113.7", "203.0.113.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:203.0.113.7", "203.0.113.0/24"),
        ("not an address", "not an address"),
    ],
)
def test_networks(address: str, found: str) -> None:
    assert network(address) == found
