"""`postino dkim`: keys of a domain, as an operator handles them."""

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from postino.cli.main import main
from postino.mailauth.dkim.private_key import KeyAlgorithm
from postino.store import dkim_keys
from postino.store.accounts import create_domain
from postino.store.store import open_store
from postino.store.verify import verify
from tests.support.dkim_examples import ed25519_key, rsa_key, zone_of
from tests.support.fake_dns import FakeResolver, Zone
from tests.support.world import NOW


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = {KeyAlgorithm.RSA: rsa_key().private, KeyAlgorithm.ED25519: ed25519_key().private}
    monkeypatch.setattr("postino.mailauth.dkim.private_key.make_key", made.__getitem__)
    monkeypatch.setattr("postino.store.dkim_keys.make_key", made.__getitem__)
    path = tmp_path / "data"
    store = open_store(path, first=True)
    store.write_now(lambda tx: create_domain(tx, "example.org", NOW))
    store.close_now()
    return path


def run(data: Path, *words: str) -> str:
    done = CliRunner().invoke(main, [*words, "--data", str(data)])
    assert done.exit_code == 0, done.output
    return done.output


def refused(data: Path, *words: str) -> str:
    done = CliRunner().invoke(main, [*words, "--data", str(data)])
    assert done.exit_code != 0
    return " ".join(done.output.split())


def listed(data: Path) -> list[list[str]]:
    store = open_store(data)
    try:
        assert store.read_now(verify) == []
    finally:
        store.close_now()
    return [line.split("\t")[1:4] for line in run(data, "dkim", "list").splitlines()]


def test_a_new_domain_has_keys_that_wait(data: Path) -> None:
    assert "postino dns bücher.example" in run(data, "domain", "add", "bücher.example")
    rows = [line.split("\t") for line in run(data, "dkim", "list", "bücher.example").splitlines()]
    assert [row[2:4] for row in rows] == [["ed25519", "waiting"], ["rsa", "waiting"]]
    assert "_domainkey.xn--bcher-kva.example. IN TXT" in run(data, "dkim", "publish", "bücher.example")


def test_keys_from_making_to_removing(data: Path) -> None:
    shown = run(data, "dkim", "add", "example.org")
    assert shown.count("_domainkey.example.org. IN TXT") == 2
    assert run(data, "dkim", "publish", "example.org").count("IN TXT") == 2
    rsa = next(row[0] for row in listed(data) if row[1] == "rsa")
    record = "".join(re.findall(r'"([^"]*)"', run(data, "dkim", "publish", "example.org", rsa)))
    assert record == next(iter(zone_of(rsa_key()).values()))
    assert run(data, "dkim", "use", "example.org", rsa) == f"{rsa} signs mail of example.org\n"
    assert [rsa, "rsa", "in use"] in listed(data)
    assert "is in use" in refused(data, "dkim", "remove", "example.org", rsa)
    assert refused(data, "dkim", "rotate", "example.org").endswith("or remove the key first")
    new = run(data, "dkim", "rotate", "example.org", "--algorithm", "rsa").partition(".")[0]
    assert [new, "rsa", "waiting"] in listed(data)
    said = run(data, "dkim", "use", "example.org", new)
    assert f"{rsa} signs no more; its record must stay 12 days more" in said
    assert [rsa, "rsa", "retired"] in listed(data)
    run(data, "dkim", "remove", "example.org", rsa, "--force")
    assert rsa not in [row[0] for row in listed(data)]
    assert "12 days" in run(data, "dkim", "retire", "example.org", new)
    assert [new, "rsa", "retired"] in listed(data)


def test_a_rotation_by_hand_needs_no_mail(data: Path) -> None:
    run(data, "dkim", "rotate", "example.org")
    store = open_store(data)
    try:
        assert all(key.told_at for key in store.read_now(dkim_keys.list_keys))
    finally:
        store.close_now()


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_key_of_another_server_is_taken(data: Path, tmp_path: Path, encoding: Encoding) -> None:
    key = rsa_key()
    file = tmp_path / "old.private"
    file.write_bytes(key.private.private_bytes(encoding, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    shown = run(data, "dkim", "add", "example.org", "--key", str(file), "--selector", "old")
    assert shown.startswith("old._domainkey.example.org. IN TXT (")
    assert listed(data) == [["old", "rsa", "waiting"]]


def test_keys_that_cannot_be_used_are_refused(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "key"

    def add(octets: bytes, *more: str) -> str:
        file.write_bytes(octets)
        return refused(data, "dkim", "add", "example.org", "--key", str(file), *more)

    def packed(key: Any, encryption: Any) -> bytes:
        octets: bytes = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        return octets

    assert "holds no private key" in add(b"nonsense")
    assert "password" in add(packed(ed25519_key(), BestAvailableEncryption(b"x")))
    assert "1024 bits; one of 2048 to 4096" in add(packed(rsa_key(bits=1024), NoEncryption()))
    assert "is not rsa" in add(packed(ed25519_key(), NoEncryption()), "--algorithm", "rsa")
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    curve = generate_private_key(SECP256R1()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert "neither RSA nor Ed25519" in add(curve)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["add", "example.net"], "There is no domain example.net"),
        (["add", "example.org", "--selector", "s"], "say which with --algorithm"),
        (["add", "example.org", "--selector", "Two Words", "--algorithm", "rsa"], "is no selector"),
        (["add", "example.org", "--selector", "Upper", "--algorithm", "rsa"], "is no selector"),
        (["use", "example.org", "none"], "has no key with the selector none"),
        (["publish", "example.org"], "make some with: postino dkim add example.org"),
    ],
)
def test_what_cannot_be_done_says_why(data: Path, words: list[str], sentence: str) -> None:
    assert sentence in refused(data, "dkim", *words)


def test_the_list_asks_the_dns(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(data, "dkim", "add", "example.org")
    name = next(row[0] for row in listed(data) if row[1] == "ed25519")
    line = run(data, "dkim", "publish", "example.org", name).replace(" IN TXT ", " TXT ")
    zone = Zone(line.strip())

    class Resolver(FakeResolver):
        def close(self) -> None:
            """Nothing is open."""

    monkeypatch.setattr("postino.net.dns.resolver.DnsResolver", lambda servers: Resolver(zone))
    rows = [line.split("\t") for line in run(data, "dkim", "list", "--check").splitlines()]
    assert {row[2]: row[5] for row in rows} == {"ed25519": "in the DNS", "rsa": "not in the DNS"}
