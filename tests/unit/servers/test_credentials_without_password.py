"""Access tokens, client certificates and SCRAM-SHA-1 against a real store: who gets in, and what is told."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postino.core.errors import (
    AuthenticationCancelled,
    AuthenticationFailed,
    CredentialsExpired,
    NotAuthorized,
    ProtocolViolation,
    TemporarilyUnavailable,
)
from postino.net.connection import Connection
from postino.sasl.exchange import ScramHash
from postino.servers.login_guard import GuardRules
from postino.servers.token_keys import KeySource, TokenChecker
from postino.store import accounts
from tests.support.memory_network import OUTSIDER, FixedClock, MemoryClient, RecordingLog
from tests.support.scram_client import ScramClient
from tests.support.tokens import LOGIN, RULES, ec_key, published, token
from tests.support.world import NOW, PASSWORD, TEST_CREDENTIALS, World, open_world

CONFIGURATION = RULES.configuration


def checker() -> TokenChecker:
    log: Any = RecordingLog()
    return TokenChecker(
        RULES,
        KeySource(url="https://keys.example/"),
        clock=FixedClock(NOW),
        log=log,
        fetch=lambda _: json.dumps(published()).encode(),
    )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    rules = GuardRules(first_delay_seconds=0.0)
    async with open_world(tmp_path, rules=rules, tokens=checker(), scram_sha1=True) as made:
        yield made


def connection(*, tls: bool = True, names: tuple[str, ...] = ()) -> Connection:
    async def idle(_: Connection) -> None:
        return

    client = MemoryClient(idle, peer=OUTSIDER, tls=tls)
    client.transport._closing = False
    client.connection.client_names = names
    return client.connection


class Client:
    """Answers challenges from a list, and keeps them."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.seen: list[bytes] = []

    async def __call__(self, challenge: bytes) -> bytes:
        self.seen.append(challenge)
        answer = self.answers.pop(0)
        if answer is None:
            raise AuthenticationCancelled("taken back")
        return answer


async def run(
    world: World, mechanism: str, initial: bytes | None, client: Client | None = None, **how: Any
) -> str:
    authentication = world.context.authentication
    principal = await authentication.exchange(
        connection(**how), mechanism, initial, client or Client(), protocol="imap"
    )
    return principal.login


def bearer(text: str, login: str = LOGIN) -> bytes:
    return f"n,a={login},\x01auth=Bearer {text}\x01\x01".encode()


async def test_a_token_lets_in(world: World) -> None:
    assert await run(world, "OAUTHBEARER", bearer(token())) == LOGIN
    assert await run(world, "OAUTHBEARER", f"n,,\x01auth=Bearer {token()}\x01\x01".encode()) == LOGIN
    assert await run(world, "OAUTHBEARER", bearer(token(), "ANN@example.org")) == LOGIN
    assert await run(world, "XOAUTH2", f"user={LOGIN}\x01auth=Bearer {token()}\x01\x01".encode()) == LOGIN


async def test_a_refused_token_is_told_why_before_the_exchange_fails(world: World) -> None:
    for end in (b"\x01", None):
        client = Client(end)
        with pytest.raises(CredentialsExpired):
            await run(world, "OAUTHBEARER", bearer(token(exp=NOW - 3600)), client)
        assert [json.loads(seen) for seen in client.seen] == [
            {"status": "invalid_token", "scope": "mail", "openid-configuration": CONFIGURATION}
        ]
    client = Client(b"")
    with pytest.raises(AuthenticationFailed, match="scope"):
        await run(world, "XOAUTH2", f"user=x\x01auth=Bearer {token(scope='')}\x01\x01".encode(), client)
    assert json.loads(client.seen[0])["status"] == "401"


@pytest.mark.parametrize("login", ["bob@example.org", "nobody@example.org"])
async def test_a_token_is_good_for_its_owner_alone(world: World, login: str) -> None:
    with pytest.raises(NotAuthorized):
        await run(world, "OAUTHBEARER", bearer(token(), login), Client(b"\x01"))


async def test_a_token_of_somebody_without_an_account(world: World) -> None:
    client = Client(b"\x01")
    with pytest.raises(AuthenticationFailed, match="no such account"):
        await run(world, "OAUTHBEARER", bearer(token(email="x@example.org"), "x@example.org"), client)


async def test_tokens_are_guessed_slowly_too(tmp_path: Path) -> None:
    rules = GuardRules(first_delay_seconds=0.0, login_failures=3)
    async with open_world(tmp_path, rules=rules, tokens=checker()) as world:
        for number in range(3):
            with pytest.raises(AuthenticationFailed):
                await run(world, "OAUTHBEARER", bearer(f"guess{number}"), Client(b"\x01"))
        with pytest.raises(TemporarilyUnavailable):
            await run(world, "OAUTHBEARER", bearer(token()))


async def test_what_is_announced(world: World, tmp_path: Path) -> None:
    announced = world.context.authentication.mechanisms
    assert announced(connection(tls=False)) == ["SCRAM-SHA-256", "SCRAM-SHA-1"]
    assert announced(connection(names=(LOGIN,))) == [
        "EXTERNAL",
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-256",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-1",
        "OAUTHBEARER",
        "XOAUTH2",
        "PLAIN",
        "LOGIN",
    ]
    async with open_world(tmp_path / "plain") as plain:
        found = plain.context.authentication.mechanisms(connection())
        assert found == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"]
        for mechanism in ("OAUTHBEARER", "XOAUTH2", "EXTERNAL", "SCRAM-SHA-1"):
            with pytest.raises(ProtocolViolation):
                await run(plain, mechanism, b"x")


async def test_a_certificate_lets_in_as_whom_it_names(world: World) -> None:
    names = ("old@example.org", LOGIN, "bob@example.org")
    assert await run(world, "EXTERNAL", b"", names=names) == LOGIN
    assert await run(world, "EXTERNAL", b"bob@example.org", names=names) == "bob@example.org"
    assert await run(world, "EXTERNAL", b"BOB@example.org", names=names) == "bob@example.org"


async def test_a_certificate_lets_in_as_nobody_else(world: World) -> None:
    with pytest.raises(NotAuthorized):
        await run(world, "EXTERNAL", b"bob@example.org", names=(LOGIN,))
    with pytest.raises(AuthenticationFailed, match="no account"):
        await run(world, "EXTERNAL", b"", names=("x@example.org",))
    with pytest.raises(AuthenticationFailed, match="no account"):
        await run(world, "EXTERNAL", b"x@example.org", names=("x@example.org",))


async def scram_sha1(world: World, login: str, password: str, *, plus: bool = False) -> tuple[str, Client]:
    binding = connection().server_certificate_hash if plus else None
    client = ScramClient(login, password, binding=binding, hash_name="sha1")
    seen: list[bytes] = []

    class Answers(Client):
        async def __call__(self, challenge: bytes) -> bytes:
            seen.append(challenge)
            self.seen.append(challenge)
            if len(seen) == 1:
                return client.final(challenge)
            assert client.trusts(challenge)
            return b""

    answers = Answers()
    name = "SCRAM-SHA-1-PLUS" if plus else "SCRAM-SHA-1"
    return await run(world, name, client.first(), answers), answers


async def keep_sha1(world: World) -> None:
    keys = TEST_CREDENTIALS.make_scram(PASSWORD, ScramHash.SHA_1)

    def change(tx: Any) -> None:
        account = accounts.account_by_login(tx, LOGIN)
        assert account is not None
        accounts.set_scram_sha1(tx, account.id, keys)

    await world.store.write(change)


@pytest.mark.parametrize("plus", [False, True])
async def test_scram_sha_1_lets_in_once_its_keys_are_kept(world: World, plus: bool) -> None:
    # The account has keys of the other hash only: that fails like a wrong password.
    with pytest.raises(AuthenticationFailed, match="The login or the password is wrong"):
        await scram_sha1(world, LOGIN, PASSWORD, plus=plus)
    await keep_sha1(world)
    assert (await scram_sha1(world, LOGIN, PASSWORD, plus=plus))[0] == LOGIN
    with pytest.raises(AuthenticationFailed):
        await scram_sha1(world, LOGIN, "wrong", plus=plus)
    with pytest.raises(AuthenticationFailed):
        await scram_sha1(world, "nobody@example.org", PASSWORD, plus=plus)


async def test_a_new_password_forgets_the_old_ones_sha_1_keys(world: World) -> None:
    await keep_sha1(world)

    def change(tx: Any) -> str:
        account = accounts.account_by_login(tx, LOGIN)
        assert account is not None
        accounts.set_password(tx, account.id, TEST_CREDENTIALS.hash_password("other"), "")
        return accounts.account_by_id(tx, account.id).scram_sha1

    assert await world.store.write(change) == ""


async def test_no_token_and_no_password_is_logged(world: World) -> None:
    made = token(key=ec_key(), scope="")
    with pytest.raises(AuthenticationFailed):
        await run(world, "OAUTHBEARER", bearer(made), Client(b"\x01"))
    logged = repr([(event.event, event.fields) for event in world.log.events])
    assert "login.failed" in logged
    assert made not in logged
    assert base64.b64encode(made.encode()).decode() not in logged
