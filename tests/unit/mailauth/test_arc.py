"""ARC: chains of ours and of dkimpy's, and every way a chain breaks."""

import re
from typing import Any

import dkim
import pytest

from postino.mailauth.arc.chain import ArcResult, verify_arc
from postino.mailauth.arc.seal import seal_message
from postino.mailauth.authentication_results import (
    AuthenticationResults,
    AuthResult,
    MethodResult,
    Property,
    parse_results,
)
from postino.mailauth.dkim.canonicalization import BodyHash, Canonicalization
from postino.mailauth.dkim.sign import SigningKey, sign_message
from tests.support.dkim_examples import Zone, answer, ed25519_key, pem, rsa_key, zone_of

NOW = 1_767_225_600
HEADER = (
    b"From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: Hello\r\n"
    b"Date: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\n"
)
BODY = b"Hello,\r\n\r\nBob.\r\n"
FOUND = MethodResult("spf", "pass", (Property("smtp", "mailfrom", "example.org"),))


def check(header: bytes, zone: Zone, body: bytes = BODY) -> ArcResult:
    found = answer(verify_arc(header, (body,), now=NOW), zone)
    assert isinstance(found, ArcResult)
    return found


def seal(header: bytes, key: SigningKey, zone: Zone, body: bytes = BODY) -> bytes:
    found = BodyHash(Canonicalization.RELAXED)
    found.update(body)
    chain = check(header, zone, body)
    results = AuthenticationResults(f"mx.{key.domain}", (FOUND, chain.as_method_result()))
    return seal_message(header, found.digest(), key, chain, results, now=NOW) + header


A = rsa_key("a", "a.example", 1024)
B = rsa_key("b", "b.example", 1024)
C = ed25519_key("c", "c.example")
D = rsa_key("d", "d.example", 1024)
ZONE = zone_of(A, B, C, D)


def dnsfunc(name: bytes, timeout: int = 5) -> bytes:
    return ZONE[name.decode().rstrip(".")].encode()


def test_a_message_without_a_chain_has_none() -> None:
    assert check(HEADER, ZONE) == ArcResult(AuthResult.NONE)


def test_seals_of_several_handlers_make_a_chain() -> None:
    own = rsa_key(bits=1024)
    body = BodyHash(Canonicalization.RELAXED)
    body.update(BODY)
    header = sign_message(HEADER, body.digest(), (own,), now=NOW) + HEADER
    for number, key in enumerate((A, B, C), 1):
        header = seal(header, key, ZONE)
        found = check(header, ZONE)
        assert (found.result, found.instance) == (AuthResult.PASS, number), found
    assert found.sealers == ("a.example", "b.example", "c.example")
    assert re.findall(rb"cv=([a-z]+)", header) == [b"pass", b"pass", b"none"]
    first = re.search(rb"ARC-Authentication-Results: i=1;(.*?)\r\n(?=[A-Z])", header, re.DOTALL)
    assert first is not None
    assert parse_results(first[1]).results == (FOUND, MethodResult("arc", "none"))
    assert header.count(b"dkim-signature") == 3
    assert max(map(len, header.split(b"\r\n"))) <= 78


def test_dkimpy_believes_our_chain() -> None:
    header = seal(seal(HEADER, A, ZONE), B, ZONE)
    status, results, why = dkim.arc_verify(header + BODY, dnsfunc=dnsfunc)
    assert (status, why) == (dkim.CV_Pass, "success"), (results, why)


class _Parsed:
    """As much of the package `authres` as dkimpy's sealing uses."""

    def __init__(self, value: str) -> None:
        found = parse_results(value.encode())
        self.authserv_id = found.server
        self.results = [_ParsedResult(result) for result in found.results]


class _ParsedResult:
    def __init__(self, result: MethodResult) -> None:
        self.method, self.result = result.method, result.result

    def __str__(self) -> str:
        return f"{self.method}={self.result}"


@pytest.fixture
def dkimpy_seals(monkeypatch: pytest.MonkeyPatch) -> Any:
    class Authres:
        class AuthenticationResultsHeader:
            @staticmethod
            def parse(field: str) -> _Parsed:
                return _Parsed(field.partition(":")[2])

        class core:  # noqa: N801
            SyntaxError = ValueError

    monkeypatch.setattr(dkim, "authres", Authres, raising=False)

    def sealed(header: bytes, key: SigningKey, status: str) -> bytes:
        field = f"Authentication-Results: mx.{key.domain}; spf=pass; arc={status}\r\n".encode()
        fields = dkim.arc_sign(
            field + header + BODY,
            key.selector.encode(),
            key.domain.encode(),
            pem(key),
            f"mx.{key.domain}".encode(),
            timestamp=NOW,
        )
        return b"".join(fields) + field + header

    return sealed


def test_we_believe_dkimpys_chain_and_continue_it(dkimpy_seals: Any) -> None:
    header = dkimpy_seals(HEADER, A, "none")
    assert check(header, ZONE).result is AuthResult.PASS
    header = seal(header, B, ZONE)
    header = dkimpy_seals(header, D, "pass")
    assert (check(header, ZONE).result, check(header, ZONE).instance) == (AuthResult.PASS, 3)


def _sealed() -> bytes:
    return seal(seal(HEADER, A, ZONE), B, ZONE)


@pytest.mark.parametrize(
    ("old", "new", "explanation"),
    [
        (b"Subject: Hello", b"Subject: Bye", "message signature 2: signature did not verify"),
        (b"spf=pass", b"spf=fail", "seal 2: signature did not verify"),
        (b"cv=pass", b"cv=none", "the seal of set 2 says cv=none"),
        (b"cv=pass", b"cv=fail", "the chain had failed before"),
        (b"cv=pass", b"cv=maybe", "cv= is neither none, pass nor fail"),
        (b"cv=pass", b"x=pass", "The tag cv= of an ARC-Seal is missing"),
        (b"cv=pass", b"cv=pass; h=from", "An ARC-Seal has no h= (RFC 8617 §4.1.3)"),
        (b"ARC-Seal: i=2", b"X-Seal: i=2", "An ARC set is not whole"),
        (b"ARC-Seal: i=2", b"ARC-Seal: i=1", "The ARC sets are not numbered one by one"),
        (b"ARC-Seal: i=2", b"ARC-Seal: i=51", "i= is not a number from 1 to 50"),
        (b"ARC-Message-Signature: i=2", b"ARC-Message-Signature: j=2", "The tag i= is missing"),
        (b"Results: i=2;", b"Results: 2;", "ARC-Authentication-Results has no instance number"),
        (b"Results: i=1;", b"Results: i=0;", "i= is not a number from 1 to 50"),
        (b"s=b;", b"s=none;", "message signature 2: no key for signature"),
        (b"a=rsa-sha256", b"a=rsa-sha1", "message signature 2: rsa-sha1 is no longer used"),
    ],
)
def test_a_chain_that_was_changed_fails(old: bytes, new: bytes, explanation: str) -> None:
    header = _sealed()
    assert old in header
    found = check(header.replace(old, new), ZONE)
    assert (found.result, found.explanation) == (AuthResult.FAIL, explanation)
    assert found.sealers == ()


def test_a_changed_body_fails() -> None:
    found = check(_sealed(), ZONE, BODY + b"more\r\n")
    assert found.explanation == "message signature 2: body hash did not verify"


def test_an_older_seal_is_checked_too_and_a_silent_dns_is_a_failure() -> None:
    header = _sealed()
    name = "a._domainkey.a.example"
    assert check(header, {**ZONE, name: None}).explanation == "seal 1: key unavailable"
    other = {**ZONE, name: zone_of(rsa_key("other", "a.example", 1024))["other._domainkey.a.example"]}
    assert check(header, other).explanation == "seal 1: signature did not verify"


def test_the_older_keys_are_not_asked_for_when_the_newest_set_is_wrong() -> None:
    checking = verify_arc(_sealed(), (b"other",), now=NOW)
    assert [question.name for question in next(checking)] == ["b._domainkey.b.example"]
    with pytest.raises(StopIteration) as done:
        checking.send([(ZONE["b._domainkey.b.example"],)])
    assert done.value.value.result is AuthResult.FAIL


def test_a_broken_chain_is_closed_once_and_for_all() -> None:
    broken = _sealed().replace(b"Subject: Hello", b"Subject: [list] Hello")
    closed = seal(broken, A, ZONE)
    assert closed.startswith(b"ARC-Seal: i=3; a=rsa-sha256; cv=fail;")
    found = check(closed, ZONE)
    assert (found.result, found.was_failed, found.instance) == (AuthResult.FAIL, True, 3)
    assert seal(closed, B, ZONE) == closed
    # Its seal covers its own set alone (RFC 8617 §5.1.2), which makes it that of a chain of one.
    alone = closed[: closed.index(b"ARC-Seal: i=2")] + HEADER
    assert dkim.arc_verify(alone + BODY, dnsfunc=dnsfunc)[0] == dkim.CV_Fail


def test_no_set_is_added_after_the_fiftieth() -> None:
    chain = ArcResult(AuthResult.FAIL, 50)
    assert seal_message(HEADER, b"", A, chain, AuthenticationResults("mx"), now=NOW) == b""
    many = b"ARC-Seal: i=1\r\nARC-Message-Signature: i=1\r\nARC-Authentication-Results: i=1; x\r\n" * 51
    assert check(many + HEADER, ZONE).explanation == "There are more than 50 ARC sets"
