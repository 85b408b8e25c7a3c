"""Where the issuer's keys come from: a file, a URL, or what the issuer says; and how often."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from postino.core.errors import TemporarilyUnavailable
from postino.directory.token_rules import BadToken, TokenRules
from postino.net.https_client import MAX_OCTETS, https_get
from postino.servers.token_keys import SOON_SECONDS, KeySource, TokenChecker
from tests.support.https_server import https_server
from tests.support.memory_network import FixedClock, RecordingLog
from tests.support.tokens import LOGIN, RULES, ec_key, published, token

KEYS = json.dumps(published()).encode()


class Web:
    """Documents by URL, and a clock."""

    def __init__(self, **documents: Any) -> None:
        self.documents: dict[str, Any] = {"https://keys.example/": KEYS, **documents}
        self.asked: list[str] = []
        self.now = 1000.0

    def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        found = self.documents[url]
        if isinstance(found, Exception):
            raise found
        return bytes(found)


def checker(web: Web, source: KeySource | None = None, rules: TokenRules = RULES) -> TokenChecker:
    log: Any = RecordingLog()
    return TokenChecker(
        rules,
        source or KeySource(url="https://keys.example/"),
        clock=FixedClock(),
        log=log,
        steady=lambda: web.now,
        fetch=web.fetch,
    )


async def test_keys_are_fetched_once_for_many_tokens() -> None:
    web = Web()
    made = checker(web)
    assert await asyncio.gather(*(made.login_of(token()) for _ in range(20))) == [LOGIN] * 20
    assert web.asked == ["https://keys.example/"]


async def test_old_keys_serve_while_new_ones_are_fetched_or_cannot_be() -> None:
    web = Web()
    made = checker(web)
    await made.login_of(token())
    web.documents["https://keys.example/"] = TemporarilyUnavailable("gone")
    web.now += 3601
    assert await made.login_of(token()) == LOGIN
    await asyncio.sleep(0.05)
    assert len(web.asked) == 2
    assert await made.login_of(token()) == LOGIN


async def test_a_new_key_of_the_issuer_is_found_and_made_up_ones_are_not_asked_for_twice() -> None:
    web = Web()
    made = checker(web)
    await made.login_of(token())
    new = token(key=ec_key("new"))
    with pytest.raises(BadToken, match="not published"):
        await made.login_of(new)
    assert len(web.asked) == 1
    web.now += SOON_SECONDS + 1
    web.documents["https://keys.example/"] = json.dumps(
        {"keys": [*published()["keys"], ec_key("new").as_dict(private=False)]}
    ).encode()
    assert await made.login_of(new) == LOGIN
    for number in range(20):
        with pytest.raises(BadToken):
            await made.login_of(token(key=ec_key("new"), header={"kid": f"made-up-{number}"}))
    assert len(web.asked) == 2


@pytest.mark.parametrize("answer", [b"", b"[]", b"{", b'{"keys": []}', TemporarilyUnavailable("down")])
async def test_without_any_keys_nobody_is_told_that_the_token_is_bad(answer: Any) -> None:
    web = Web(**{"https://keys.example/": answer})
    made = checker(web)
    for _ in range(3):
        with pytest.raises(TemporarilyUnavailable, match="try again later"):
            await made.login_of(token())
    assert len(web.asked) == 1
    web.documents["https://keys.example/"] = KEYS
    web.now += SOON_SECONDS + 1
    assert await made.login_of(token()) == LOGIN


async def test_keys_from_a_file(tmp_path: Path) -> None:
    web = Web()
    file = tmp_path / "keys.json"
    made = checker(web, KeySource(file=file))
    with pytest.raises(TemporarilyUnavailable):
        await made.login_of(token())
    file.write_bytes(KEYS)
    web.now += SOON_SECONDS + 1
    assert await made.login_of(token()) == LOGIN
    assert web.asked == []


async def test_the_issuer_says_where_its_keys_are() -> None:
    where = "https://login.example.org/.well-known/openid-configuration"
    told = {"issuer": RULES.issuer, "jwks_uri": "https://keys.example/"}
    web = Web(**{where: json.dumps(told).encode()})
    assert await checker(web, KeySource()).login_of(token()) == LOGIN
    assert web.asked == [where, "https://keys.example/"]


@pytest.mark.parametrize(
    "told",
    [
        {},
        [],
        {"issuer": "https://evil.example", "jwks_uri": "https://keys.example/"},
        {"issuer": RULES.issuer},
        {"issuer": RULES.issuer, "jwks_uri": 5},
    ],
)
async def test_an_issuer_that_speaks_for_another_is_not_believed(told: Any) -> None:
    where = "https://login.example.org/.well-known/openid-configuration"
    web = Web(**{where: json.dumps(told).encode()})
    with pytest.raises(TemporarilyUnavailable):
        await checker(web, KeySource()).login_of(token())
    assert web.asked == [where]


async def test_keys_over_a_real_connection(tmp_path: Path) -> None:
    with https_server(tmp_path, {"/keys": (200, KEYS)}) as (url, authority, asked):
        log: Any = RecordingLog()
        source = KeySource(url=f"{url}/keys", authorities=authority)
        made = TokenChecker(RULES, source, clock=FixedClock(), log=log)
        assert await made.login_of(token()) == LOGIN
        assert asked == ["/keys"]
        untrusted = TokenChecker(RULES, KeySource(url=f"{url}/keys"), clock=FixedClock(), log=log)
        with pytest.raises(TemporarilyUnavailable):
            await untrusted.login_of(token())


def test_documents_that_are_not_taken(tmp_path: Path) -> None:
    answers = {
        "/": (200, b"{}"),
        "/moved": (302, b"http://localhost/"),
        "/large": (200, b"x" * (MAX_OCTETS + 1)),
        "/query?a=b": (200, b"found"),
    }
    with https_server(tmp_path, answers) as (url, authority, _):
        assert https_get(url, authorities=authority) == b"{}"
        assert https_get(f"{url}/query?a=b", authorities=authority) == b"found"
        for bad in ("/moved", "/large", "/missing"):
            with pytest.raises(TemporarilyUnavailable, match=bad):
                https_get(url + bad, authorities=authority)
        for bad in (
            "http://localhost/",
            "file:///etc/passwd",
            "https://",
            url.replace("localhost", "[::"),
            f"{url}/a b",
        ):
            with pytest.raises(TemporarilyUnavailable):
                https_get(bad, authorities=authority)
        with pytest.raises(TemporarilyUnavailable):
            https_get(url.replace("localhost", "127.0.0.2"), authorities=authority)
        with pytest.raises(TemporarilyUnavailable):
            https_get(url, authorities=str(tmp_path / "missing.pem"))
    with pytest.raises(TemporarilyUnavailable):
        https_get(url, authorities=authority, timeout_seconds=1)
