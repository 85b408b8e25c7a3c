"""OAUTHBEARER, XOAUTH2 and EXTERNAL by hand: RFC examples, and everything that must be refused."""

import base64
import json
from collections.abc import Generator

import pytest

from postino.core.errors import AuthenticationFailed, ProtocolViolation
from postino.sasl.exchange import (
    Challenge,
    CheckCertificate,
    CheckToken,
    Exchange,
    Success,
    TokenRefusal,
)
from postino.sasl.external import external
from postino.sasl.oauth import oauthbearer, xoauth2

TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
REFUSED = TokenRefusal(
    "invalid_token", AuthenticationFailed("no good"), "example_scope", "https://example.com/c"
)


def finished(exchange: Generator[object, object, Success], answer: object) -> Success:
    with pytest.raises(StopIteration) as done:
        exchange.send(answer)
    success: Success = done.value.value
    return success


def asked(exchange: Exchange) -> CheckToken:
    step = next(exchange)
    assert isinstance(step, CheckToken)
    return step


@pytest.mark.parametrize("port", ["143", "587"])
def test_the_successful_exchange_of_rfc_7628_section_4_1(port: str) -> None:
    message = (
        f"n,a=user@example.com,\x01host=server.example.com\x01port={port}\x01auth=Bearer {TOKEN}\x01\x01"
    )
    exchange = oauthbearer(message.encode())
    assert asked(exchange) == CheckToken("user@example.com", TOKEN)
    assert finished(exchange, True) == Success("user@example.com")


def test_the_octets_of_rfc_7628_section_4_1_are_these() -> None:
    wire = (
        "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyI"
        "HZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
    )
    assert asked(oauthbearer(base64.b64decode(wire))) == CheckToken(
        "user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
    )


def test_the_failed_exchange_of_rfc_7628_section_4_3() -> None:
    """An empty auth asks which scope is wanted; the error comes before the dummy answer."""
    exchange = oauthbearer(b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=\x01\x01")
    assert asked(exchange).token == ""
    told = exchange.send(REFUSED)
    assert isinstance(told, Challenge)
    assert json.loads(told.octets) == {
        "status": "invalid_token",
        "scope": "example_scope",
        "openid-configuration": "https://example.com/c",
    }
    with pytest.raises(AuthenticationFailed, match="no good"):
        exchange.send(b"\x01")


def test_the_example_of_rfc_7628_section_4_4_with_its_own_spelling_of_the_login() -> None:
    exchange = oauthbearer(f"n,user=someuser@example.com,\x01auth=Bearer {TOKEN}\x01\x01".encode())
    assert asked(exchange) == CheckToken("someuser@example.com", TOKEN)


@pytest.mark.parametrize(
    ("message", "login"),
    [
        (b"n,,\x01auth=BeArEr abc\x01\x01", ""),
        (b"y,,\x01auth=bearer abc\x01\x01", ""),
        (b"n,a=a=2Cb=3Dc,\x01auth=Bearer abc\x01\x01", "a,b=c"),
        (b"n,,\x01mthd=GET\x01unknown=x y\x01auth=Bearer  abc \x01\x01", ""),
        (b"n,,\x01auth=Bearer abc\x01auth=Bearer other\x01\x01", ""),
    ],
)
def test_oauthbearer_takes(message: bytes, login: str) -> None:
    assert asked(oauthbearer(message)) == CheckToken(login, "abc")
    later = oauthbearer(None)
    assert next(later) == Challenge(b"")
    assert later.send(message) == CheckToken(login, "abc")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x01",
        b"n,,",
        b"n,,\x01auth=Bearer abc\x01",
        b"n,,auth=Bearer abc\x01\x01",
        b"p=tls-exporter,,\x01auth=Bearer abc\x01\x01",
        b"n,a=\xff,\x01auth=Bearer abc\x01\x01",
        b"n,a=b=c,\x01auth=Bearer abc\x01\x01",
        b"n,,\x01auth=Basic YTpi\x01\x01",
        b"n,,\x01auth=Bearer a b\x01\x01",
        b"n,,\x01auth=Bearer ab\xc3\xa9\x01\x01",
        b"n,,\x01auth\x01\x01",
        b"n,,\x01=x\x01\x01",
        b"n,," + b"x" * 9000,
    ],
)
def test_oauthbearer_refuses_what_is_malformed(message: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        next(oauthbearer(message))


def test_xoauth2() -> None:
    exchange = xoauth2(f"user=someuser@example.com\x01auth=Bearer {TOKEN}\x01\x01".encode())
    assert asked(exchange) == CheckToken("someuser@example.com", TOKEN)
    assert finished(exchange, True) == Success("someuser@example.com")


def test_xoauth2_tells_its_own_error() -> None:
    exchange = xoauth2("user=jörg@example.com\x01auth=Bearer abc\x01\x01".encode())
    assert asked(exchange).login == "jörg@example.com"
    told = exchange.send(REFUSED)
    assert isinstance(told, Challenge)
    assert json.loads(told.octets) == {"status": "401", "schemes": "bearer", "scope": "example_scope"}
    with pytest.raises(AuthenticationFailed, match="no good"):
        exchange.send(b"")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x01\x01",
        b"user=a\x01auth=Bearer x\x01",
        b"auth=Bearer x\x01\x01",
        b"user=\x01auth=Bearer x\x01\x01",
    ],
)
def test_xoauth2_refuses_what_is_malformed(message: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        next(xoauth2(message))


def test_a_token_is_in_no_repr() -> None:
    assert "abc" not in repr(CheckToken("a", "abc"))


def test_external_of_rfc_4422_appendix_a() -> None:
    """No identity: the one the certificate has; an identity: that one (A.2, A.3)."""
    for message, login in ((b"", ""), (b"fred@example.com", "fred@example.com")):
        exchange = external(message)
        assert next(exchange) == CheckCertificate(login)
        assert finished(exchange, True) == Success(login)
    exchange = external(None)
    assert next(exchange) == Challenge(b"")
    assert exchange.send(b"") == CheckCertificate("")


@pytest.mark.parametrize("message", [b"a\0b", b"\xff", b"x" * 600])
def test_external_refuses_what_is_malformed(message: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        next(external(message))
