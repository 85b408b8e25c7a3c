"""Logging in against a real store: who gets in, what it costs, and what is not told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postino.core.errors import (
    AuthenticationCancelled,
    AuthenticationFailed,
    ProtocolViolation,
    TemporarilyUnavailable,
)
from postino.net.connection import Connection, Peer
from postino.servers import authentication as module
from postino.servers.login_guard import GuardRules
from postino.store import accounts
from tests.support.memory_network import CERTIFICATE_HASH, OUTSIDER, MemoryClient
from tests.support.scram_client import ScramClient
from tests.support.world import TEST_CREDENTIALS, World, open_world

LOGIN = "ann@example.org"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, rules=GuardRules(first_delay_seconds=0.0)) as made:
        yield made


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were really hashed."""
    seen: list[str] = []
    real = module.verify_password

    def counted(password: str, stored: str) -> bool:
        seen.append(password)
        return real(password, stored)

    monkeypatch.setattr(module, "verify_password", counted)
    return seen


def connection(*, peer: Peer = OUTSIDER, tls: bool = True) -> Connection:
    async def idle(_: Connection) -> None:
        return

    client = MemoryClient(idle, peer=peer, tls=tls)
    client.transport._closing = False
    return client.connection


async def log_in(world: World, login: str = LOGIN, password: str = "secret", **how: object) -> str:
    principal = await world.context.authentication.password(
        connection(**how), login, password, protocol="pop3"
    )
    return principal.login


async def never(_: bytes) -> bytes:
    raise AssertionError("nothing more was to be asked")


async def test_the_right_password_gets_in_however_the_login_is_spelled(world: World) -> None:
    assert await log_in(world) == LOGIN
    assert await log_in(world, "ANN@Example.ORG") == LOGIN


@pytest.mark.parametrize(
    ("login", "password"),
    [
        (LOGIN, "Secret"),
        (LOGIN, ""),
        (LOGIN, "x" * 5000),
        ("nobody@example.org", "secret"),
        ("ann", "secret"),
    ],
)
async def test_others_do_not(world: World, login: str, password: str) -> None:
    with pytest.raises(AuthenticationFailed) as failure:
        await log_in(world, login, password)
    assert str(failure.value) == "The login or the password is wrong"


async def test_an_unknown_login_costs_a_hash_too(world: World, checks: list[str]) -> None:
    with pytest.raises(AuthenticationFailed):
        await log_in(world, "nobody@example.org", "secret")
    assert checks == ["secret"]


async def test_no_password_in_the_clear(world: World) -> None:
    with pytest.raises(ProtocolViolation):
        await log_in(world, tls=False)
    assert await log_in(world, tls=False, peer=Peer("127.0.0.1", 1)) == LOGIN


async def test_success_is_remembered_until_the_password_changes(world: World, checks: list[str]) -> None:
    await log_in(world)
    await log_in(world)
    assert checks == ["secret"]
    new_hash = TEST_CREDENTIALS.hash_password("other")

    def change(tx: object) -> None:
        account = accounts.account_by_login(tx, LOGIN)  # type: ignore[arg-type]
        assert account is not None
        accounts.set_password(tx, account.id, new_hash, "")  # type: ignore[arg-type]

    await world.store.write(change)
    with pytest.raises(AuthenticationFailed):
        await log_in(world)
    assert await log_in(world, password="other") == LOGIN


async def test_success_is_forgotten_after_minutes(tmp_path: Path, checks: list[str]) -> None:
    time = [0.0]
    async with open_world(tmp_path, steady=lambda: time[0]) as world:
        await log_in(world)
        time[0] = module.REMEMBER_SECONDS + 1
        await log_in(world)
    assert len(checks) == 2


async def test_many_at_once_with_one_password_cost_one_hash(world: World, checks: list[str]) -> None:
    assert await asyncio.gather(*(log_in(world) for _ in range(20))) == [LOGIN] * 20
    assert checks == ["secret"]


async def test_a_client_that_goes_away_does_not_harm_those_who_wait_with_it(world: World) -> None:
    first = asyncio.ensure_future(log_in(world))
    second = asyncio.ensure_future(log_in(world))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == LOGIN


async def test_too_many_at_once_are_told_to_come_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    results = await asyncio.gather(
        *(log_in(world, f"nobody{n}@example.org") for n in range(5)), return_exceptions=True
    )
    assert sum(isinstance(result, TemporarilyUnavailable) for result in results) == 3


async def test_guessers_are_refused_before_anything_is_hashed(tmp_path: Path, checks: list[str]) -> None:
    rules = GuardRules(first_delay_seconds=0.0, login_failures=3)
    async with open_world(tmp_path, rules=rules) as world:
        for password in ("a", "b", "c"):
            with pytest.raises(AuthenticationFailed):
                await log_in(world, password=password)
        with pytest.raises(TemporarilyUnavailable):
            await log_in(world)
        assert checks == ["a", "b", "c"]
        assert await log_in(world, peer=Peer("198.51.100.9", 1)) == LOGIN


async def test_a_failure_is_told_after_a_pause(tmp_path: Path) -> None:
    async with open_world(tmp_path, rules=GuardRules(first_delay_seconds=0.05)) as world:
        loop = asyncio.get_running_loop()
        before = loop.time()
        with pytest.raises(AuthenticationFailed):
            await log_in(world, password="wrong")
        assert loop.time() - before >= 0.05


async def scram(world: World, client: ScramClient, mechanism: str, *, tls: bool = True) -> str:
    said: list[bytes] = []

    async def ask(challenge: bytes) -> bytes:
        said.append(challenge)
        if len(said) == 1:
            return client.final(challenge)
        assert client.trusts(challenge)
        return b""

    principal = await world.context.authentication.exchange(
        connection(tls=tls), mechanism, client.first(), ask, protocol="imap"
    )
    return principal.login


async def test_scram(world: World) -> None:
    assert await scram(world, ScramClient(LOGIN, "secret"), "SCRAM-SHA-256") == LOGIN
    assert await scram(world, ScramClient(LOGIN, "secret"), "scram-sha-256", tls=False) == LOGIN
    plus = ScramClient(LOGIN, "secret", binding=CERTIFICATE_HASH)
    assert await scram(world, plus, "SCRAM-SHA-256-PLUS") == LOGIN


@pytest.mark.parametrize(("login", "password"), [(LOGIN, "wrong"), ("nobody@example.org", "secret")])
async def test_scram_fails_alike(world: World, login: str, password: str) -> None:
    with pytest.raises(AuthenticationFailed) as failure:
        await scram(world, ScramClient(login, password), "SCRAM-SHA-256")
    assert str(failure.value) == "The login or the password is wrong"


async def test_an_unknown_login_has_the_same_salt_after_a_restart(tmp_path: Path) -> None:
    async def salt() -> bytes:
        said: list[bytes] = []

        async def ask(challenge: bytes) -> bytes:
            said.append(challenge)
            raise AuthenticationCancelled

        with pytest.raises(AuthenticationCancelled):
            await world.context.authentication.exchange(
                connection(), "SCRAM-SHA-256", b"n,,n=nobody@example.org,r=x", ask, protocol="imap"
            )
        return said[0].split(b",")[1]

    async with open_world(tmp_path) as world:
        first = await salt()
        again = module.Authentication(
            world.store, world.context.limits, world.context.clock, world.context.log
        )
        world.context.authentication.close()
        world.context.authentication = again
        assert await salt() == first
        again.close()


async def test_mechanisms_follow_the_connection(world: World) -> None:
    authentication = world.context.authentication
    assert authentication.mechanisms(connection(tls=False)) == ["SCRAM-SHA-256"]
    assert authentication.mechanisms(connection(tls=False, peer=Peer("::1", 1)))[1:] == ["PLAIN", "LOGIN"]
    assert authentication.mechanisms(connection())[0] == "SCRAM-SHA-256-PLUS"
    with pytest.raises(ProtocolViolation):
        await authentication.exchange(connection(tls=False), "PLAIN", b"", never, protocol="smtp")


async def test_plain_and_the_log(world: World) -> None:
    principal = await world.context.authentication.exchange(
        connection(), "PLAIN", b"\0ann@example.org\0secret", never, protocol="smtp"
    )
    assert principal.login == LOGIN
    with pytest.raises(AuthenticationFailed):
        await world.context.authentication.exchange(
            connection(), "PLAIN", b"\0ann@example.org\0hunter2", never, protocol="smtp"
        )
    events = world.log.events
    assert [event.event for event in events] == ["login.ok", "login.failed"]
    assert "secret" not in repr(events)
    assert "hunter2" not in repr(events)
    assert events[0].fields["account"] == LOGIN
    assert events[0].fields["protocol"] == "smtp"
