"""Mechanisms driven by hand: RFC examples first, then everything that must be refused."""

import base64
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.errors import AuthenticationFailed, ProtocolViolation
from postino.sasl.exchange import (
    MAX_LOGIN_OCTETS,
    MAX_MESSAGE_OCTETS,
    MAX_PASSWORD_OCTETS,
    Challenge,
    CheckCertificate,
    CheckPassword,
    CheckToken,
    Exchange,
    FindScramKeys,
    ReportProof,
    ScramHash,
    Success,
    TokenRefusal,
    decode_base64,
    decode_initial,
    login_key,
)
from postino.sasl.login import login
from postino.sasl.mechanisms import Circumstances, Mechanism, begin, find_mechanism, needs_privacy, offered
from postino.sasl.plain import plain
from postino.sasl.scram import (
    ChannelBinding,
    derive_keys,
    format_keys,
    invented_keys,
    parse_keys,
    scram,
)
from tests.support.scram_client import ScramClient

PASSWORD = "pencil"
# RFC 7677 §3
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
KEYS = derive_keys(PASSWORD, SALT, 4096)
BINDING = ChannelBinding(b"certificate hash")
NONE = ChannelBinding()


def drive(
    exchange: Exchange,
    client: Callable[[bytes], bytes],
    *,
    password: str = PASSWORD,
    asked: list[object] | None = None,
) -> Success:
    """Answer an exchange's questions as the server would, and its challenges as `client`."""
    try:
        step = next(exchange)
        while True:
            if asked is not None:
                asked.append(step)
            match step:
                case Challenge():
                    step = exchange.send(client(step.octets))
                case CheckPassword():
                    step = exchange.send(step.password == password)
                case FindScramKeys():
                    step = exchange.send(KEYS)
                case ReportProof():
                    step = exchange.send(step.holds)
                case CheckToken():
                    refused = TokenRefusal("invalid_token", AuthenticationFailed("no"), "mail")
                    step = exchange.send(True if step.token == "good" else refused)
                case CheckCertificate():
                    step = exchange.send(True)
    except StopIteration as done:
        success: Success = done.value
    return success


def silent(challenge: bytes) -> bytes:
    raise AssertionError(f"unexpected challenge {challenge!r}")


@pytest.mark.parametrize(
    ("message", "login_name", "password"),
    [
        (b"\0tim\0tanstaaftanstaaf", "tim", "tanstaaftanstaaf"),  # RFC 4616 §4
        (b"tim\0tim\0secret", "tim", "secret"),
        (b"TIM\0tim\0secret", "tim", "secret"),
        ("\0jörg\0pässword".encode(), "jörg", "pässword"),
        (b"\0a@b\0 with spaces ", "a@b", " with spaces "),
    ],
)
def test_plain_takes(message: bytes, login_name: str, password: str) -> None:
    assert drive(plain(message), silent, password=password) == Success(login_name)
    assert drive(plain(None), lambda _: message, password=password) == Success(login_name)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"tim",
        b"\0tim",
        b"\0tim\0",
        b"\0\0secret",
        b"\0tim\0secret\0",
        b"\0tim\0secret\0more",
        b"\0\xff\0secret",
        b"\0tim\0\xff",
        b"\0" + b"a" * (MAX_LOGIN_OCTETS + 1) + b"\0x",
        b"\0a\0" + b"x" * (MAX_PASSWORD_OCTETS + 1),
        b"x" * (MAX_MESSAGE_OCTETS + 1),
    ],
)
def test_plain_refuses_what_is_malformed(message: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        drive(plain(message), silent)
    with pytest.raises(ProtocolViolation):
        drive(plain(None), lambda _: message)


def test_plain_refuses_a_wrong_password_and_another_identity() -> None:
    with pytest.raises(AuthenticationFailed):
        drive(plain(b"\0tim\0wrong"), silent)
    asked: list[object] = []
    with pytest.raises(AuthenticationFailed):
        drive(plain(b"root\0tim\0pencil"), silent, asked=asked)
    assert asked == []


def test_login_asks_twice_and_takes_an_initial_response_as_the_login() -> None:
    answers = iter([b"tim", b"pencil"])
    asked: list[object] = []
    assert drive(login(None), lambda _: next(answers), asked=asked) == Success("tim")
    assert asked[:2] == [Challenge(b"Username:"), Challenge(b"Password:")]
    assert drive(login(b"tim"), lambda _: b"pencil") == Success("tim")


@pytest.mark.parametrize("answers", [[b""], [b"tim", b""], [b"\xff"], [b"tim", b"a\0b"]])
def test_login_refuses_what_is_malformed(answers: list[bytes]) -> None:
    given_answers = iter(answers)
    with pytest.raises(ProtocolViolation):
        drive(login(None), lambda _: next(given_answers))


def test_scram_plays_the_example_of_rfc_7677() -> None:
    said: list[bytes] = []
    answers = iter(
        [
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=%s"
            % b"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            b"",
        ]
    )

    def client(challenge: bytes) -> bytes:
        said.append(challenge)
        return next(answers)

    exchange = scram(
        b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        nonce=b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        binding=NONE,
        plus=False,
    )
    assert drive(exchange, client) == Success("user")
    assert said == [
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ]


def test_scram_sha_1_of_rfc_5802_section_5() -> None:
    """The whole example, with the RFC's nonces and salt."""
    keys = derive_keys(PASSWORD, base64.b64decode("QSXCR+Q6sek8bf92"), 4096, ScramHash.SHA_1)
    exchange = begin(
        Mechanism.SCRAM_SHA_1,
        b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        nonce=b"3rfcNHYJY1ZVvWVs7j",
        binding=NONE,
    )
    assert next(exchange) == FindScramKeys("user", ScramHash.SHA_1)
    assert exchange.send(keys) == Challenge(
        b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
    )
    proof = exchange.send(
        b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
    )
    assert proof == ReportProof("user", True)
    assert exchange.send(True) == Challenge(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")
    with pytest.raises(StopIteration) as done:
        exchange.send(b"")
    assert done.value.value == Success("user")


def test_invented_keys_differ_by_hash_as_real_ones_do() -> None:
    one, other = (invented_keys("a", b"secret", algorithm=kind) for kind in ScramHash)
    assert one.salt != other.salt


def run_scram(client: ScramClient, binding: ChannelBinding, *, plus: bool, alter: object = None) -> Success:
    seen: list[bytes] = []

    def answer(challenge: bytes) -> bytes:
        seen.append(challenge)
        if len(seen) == 1:
            made = client.final(challenge)
            return alter(made) if callable(alter) else made
        assert client.trusts(challenge)
        return b""

    return drive(scram(client.first(), nonce=b"server", binding=binding, plus=plus), answer)


def test_scram_plus_binds_to_the_certificate() -> None:
    assert run_scram(ScramClient("user", PASSWORD, binding=BINDING.data), BINDING, plus=True) == Success(
        "user"
    )
    with pytest.raises(AuthenticationFailed):
        run_scram(ScramClient("user", PASSWORD, binding=b"another certificate"), BINDING, plus=True)


def test_scram_takes_a_login_with_commas_and_the_same_authzid() -> None:
    assert run_scram(ScramClient("a,b=c", PASSWORD), NONE, plus=False) == Success("a,b=c")
    assert run_scram(ScramClient("user", PASSWORD, authzid="USER"), NONE, plus=False) == Success("user")
    assert run_scram(ScramClient("user", PASSWORD, flag="y"), NONE, plus=False) == Success("user")


def test_scram_refuses_a_downgrade() -> None:
    with pytest.raises(AuthenticationFailed, match="in between"):
        run_scram(ScramClient("user", PASSWORD, flag="y"), BINDING, plus=False)


def test_scram_refuses_a_wrong_password_and_another_identity() -> None:
    with pytest.raises(AuthenticationFailed):
        run_scram(ScramClient("user", "wrong"), NONE, plus=False)
    with pytest.raises(AuthenticationFailed):
        run_scram(ScramClient("user", PASSWORD, authzid="root"), NONE, plus=False)


@pytest.mark.parametrize(
    "alter",
    [
        lambda final: final.replace(b"r=client", b"r=Client"),
        lambda final: final.replace(b"c=biws", b"c=eSws"),
        lambda final: final[:-8] + b"AAAAAAA=",
        lambda final: final.partition(b",p=")[0] + b",p=AAAA",
        lambda final: final.partition(b",p=")[0] + b",x=y" + b",p=" + final.partition(b",p=")[2],
    ],
)
def test_scram_refuses_an_altered_final_message(alter: Callable[[bytes], bytes]) -> None:
    with pytest.raises(AuthenticationFailed):
        run_scram(ScramClient("user", PASSWORD), NONE, plus=False, alter=alter)


@pytest.mark.parametrize(
    "final", [b"", b"c=biws", b"c=biws,r=x", b"p=AAAA", b"c=!,r=x,p=AAAA", b"c=biws,r=x,p=!"]
)
def test_scram_refuses_a_malformed_final_message(final: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        run_scram(ScramClient("user", PASSWORD), NONE, plus=False, alter=lambda _: final)


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n,,",
        b"n,,n=user",
        b"n,,r=x,n=user",
        b"n,,n=,r=x",
        b"n,,n=user,r=",
        b"n,,n=us=er,r=x",
        b"n,,n=us=2cer,r=x",
        b"n,,m=ext,n=user,r=x",
        b"n,,n=user,r=" + b"x" * 513,
        b"n,,n=user,r=a b",
        b"n,,n=u\0r,r=x",
        b"n,,n=\xff,r=x",
        b"q,,n=user,r=x",
        b"p=tls-server-end-point,,n=user,r=x",
        b"n,," + b"n" * (MAX_MESSAGE_OCTETS + 1),
    ],
)
def test_scram_refuses_a_malformed_first_message(first: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        drive(scram(first, nonce=b"s", binding=NONE, plus=False), silent)


@pytest.mark.parametrize("first", [b"n,,n=user,r=x", b"y,,n=user,r=x", b"p=tls-unique,,n=user,r=x"])
def test_scram_plus_refuses_another_binding(first: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        drive(scram(first, nonce=b"s", binding=BINDING, plus=True), silent)


def test_keys_travel_through_text() -> None:
    assert parse_keys(format_keys(KEYS)) == KEYS
    for text in ("", "4096", "x:a:b:c", "4096:!:b:c", "4096:a:b", "²:::", "1:\xfe::"):
        assert parse_keys(text) is None


def test_invented_keys_are_stable_and_differ_by_login() -> None:
    assert invented_keys("a", b"secret") == invented_keys("a", b"secret")
    assert invented_keys("a", b"secret").salt != invented_keys("b", b"secret").salt
    assert len(invented_keys("a", b"secret").salt) == 16


def test_what_is_offered() -> None:
    assert [m.value for m in offered(Circumstances(is_secure=False, binding=NONE))] == ["SCRAM-SHA-256"]
    assert [m.value for m in offered(Circumstances(is_secure=True, binding=BINDING))] == [
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-256",
        "PLAIN",
        "LOGIN",
    ]
    everything = Circumstances(
        is_secure=True, binding=BINDING, has_certificate=True, takes_tokens=True, scram_sha1=True
    )
    assert offered(everything) == tuple(Mechanism)
    in_clear = Circumstances(is_secure=False, binding=NONE, takes_tokens=True, scram_sha1=True)
    assert [m.value for m in offered(in_clear)] == ["SCRAM-SHA-256", "SCRAM-SHA-1"]
    assert needs_privacy("oauthbearer")
    assert not needs_privacy("SCRAM-SHA-256")
    assert not needs_privacy("NOSUCH")
    assert find_mechanism("plain") is Mechanism.PLAIN
    with pytest.raises(ProtocolViolation):
        find_mechanism("X" * 1000)


@pytest.mark.parametrize(("line", "octets"), [(b"", b""), (b"Zg==", b"f"), (b"Zm9v", b"foo")])
def test_base64(line: bytes, octets: bytes) -> None:
    assert decode_base64(line) == octets
    assert decode_initial(b"=") == b""


@pytest.mark.parametrize(
    "line", [b"Z", b"Zg=", b"Zg==\n", b"=Zg=", b"Z g=", b"Zg==Zg==", b"\xff\xff\xff\xff"]
)
def test_base64_refuses(line: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode_base64(line)


def test_logins_are_compared_folded() -> None:
    assert login_key("Ann@Example.ORG") == "ann@example.org"
    assert login_key("Jo\u0308rg@x") == login_key("JÖRG@x")


@settings(max_examples=200)
@given(st.sampled_from(list(Mechanism)), st.none() | st.binary(max_size=60), st.lists(st.binary(max_size=60)))
def test_any_octets_end_in_success_or_a_documented_error(
    mechanism: Mechanism, initial: bytes | None, answers: list[bytes]
) -> None:
    left = iter(answers)
    try:
        drive(begin(mechanism, initial, nonce=b"s", binding=BINDING), lambda _: next(left, b"x"))
    except (ProtocolViolation, AuthenticationFailed):
        pass
