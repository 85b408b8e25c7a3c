"""Which access tokens are taken: everything a token can have wrong, one at a time."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey

from postino.core.errors import AuthenticationFailed, CredentialsExpired
from postino.core.ids import Instant
from postino.directory.token_rules import BadToken, TokenRules, openid_configuration
from postino.directory.tokens import UnknownKey, check_token, read_keys
from tests.support.tokens import ISSUER, LOGIN, RULES, ec_key, published, rsa_key, token
from tests.support.world import NOW

KEYS = read_keys(published())


def login_of(text: str, rules: TokenRules = RULES, now: int = NOW) -> str:
    return check_token(text, KEYS, rules, Instant(now))


def refusal(text: str, rules: TokenRules = RULES, now: int = NOW) -> BadToken:
    with pytest.raises(BadToken) as caught:
        login_of(text, rules, now)
    assert text == "" or text not in str(caught.value)
    return caught.value


def other(**changes: Any) -> TokenRules:
    fields = {name: getattr(RULES, name) for name in RULES.__dataclass_fields__}
    return TokenRules(**{**fields, **changes})


@pytest.mark.parametrize(
    "made",
    [
        token(),
        token(key=rsa_key(), alg="RS256"),
        token(key=rsa_key(), alg="PS384"),
        token(aud=["other", "mail.example.org"]),
        token(scope=None, scp=["mail", "calendar"]),
        token(email_verified=None),
        token(exp=NOW - 30),  # within the clock skew
        token(nbf=NOW + 30),
        token(header={"typ": "at+jwt", "x5t": "abc"}),
    ],
)
def test_good_tokens(made: str) -> None:
    assert login_of(made) == LOGIN


def test_the_login_can_be_another_claim() -> None:
    rules = other(login_claim="preferred_username")
    assert (
        login_of(token(preferred_username="bob@example.org", email_verified=False), rules)
        == "bob@example.org"
    )


def test_an_expired_token_says_so() -> None:
    bad = refusal(token(), now=NOW + 661)
    assert isinstance(bad.failure, CredentialsExpired)
    assert bad.status == "invalid_token"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"iss": 5},
        {"aud": "another.example.org"},
        {"aud": None},
        {"aud": []},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": float("nan")},
        {"nbf": NOW + 600},
        {"iat": NOW + 600},
        {"email": None},
        {"email": ""},
        {"email": 7},
        {"email": "x" * 600},
        {"email_verified": False},
        {"email_verified": "false"},
    ],
)
def test_claims_that_are_wrong(claims: dict[str, Any]) -> None:
    bad = refusal(token(**claims))
    assert bad.status == "invalid_token"
    assert not isinstance(bad.failure, CredentialsExpired)
    assert isinstance(bad.failure, AuthenticationFailed)


@pytest.mark.parametrize("scope", [None, "", "openid", "mailx", 7])
def test_a_token_without_the_scope(scope: object) -> None:
    assert refusal(token(scope=scope)).status == "insufficient_scope"


def _unsigned(alg: str) -> str:
    parts = (json.dumps({"alg": alg, "kid": "ec"}), json.dumps({"iss": ISSUER, "email": LOGIN}))
    return ".".join(base64.urlsafe_b64encode(p.encode()).decode().rstrip("=") for p in parts) + "."


def test_signatures_that_are_not_the_issuers() -> None:
    head, claims, signature = token().split(".")
    mine = ECKey.generate_key("P-256", {"kid": "ec"})
    public = json.dumps(rsa_key().as_dict(private=False)).encode()
    for forged in (
        f"{head}.{claims}.{signature[:-8]}AAAAAAAA",
        f"{head}.{claims[:-4]}AAAA.{signature}",
        f"{head}.{claims}.",
        _unsigned("none"),
        _unsigned("ES256"),
        token(key=mine),
        # RFC 8725 section 2.1: the public key used as if it were a shared secret.
        token(key=OctKey.import_key(public), alg="HS256", header={"kid": "rsa"}),
        token(key=rsa_key(), alg="RS256", header={"kid": "ec"}),
    ):
        assert refusal(forged).status == "invalid_token"


def test_an_algorithm_counts_only_when_it_is_listed() -> None:
    refusal(token(key=rsa_key(), alg="RS256"), other(algorithms=("ES256",)))
    secret = OctKey.import_key(b"a shared secret of thirty-two oct", {"kid": "shared"})
    keys = read_keys({"keys": [secret.as_dict(private=True)]})
    made = token(key=secret, alg="HS256", header={"kid": "shared"})
    with pytest.raises(BadToken):
        check_token(made, keys, RULES, NOW)
    assert check_token(made, keys, other(algorithms=("HS256",)), NOW) == LOGIN


def test_without_a_key_id_every_key_is_tried() -> None:
    nameless = ECKey.import_key({k: v for k, v in ec_key().as_dict(private=True).items() if k != "kid"})
    made = token(key=nameless)
    head = json.loads(base64.urlsafe_b64decode(made.split(".")[0] + "=="))
    assert head.get("kid") is None
    assert login_of(made) == LOGIN


def test_an_unknown_key_is_told_apart() -> None:
    with pytest.raises(UnknownKey):
        login_of(token(key=ec_key("new")))


@pytest.mark.parametrize("text", ["", "opaque", "a.b", "a.b.c", "a.b.c.d.e", "...", "é.é.é"])
def test_what_is_no_token(text: str) -> None:
    assert refusal(text).status == "invalid_token"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.lists(st.binary(max_size=40), min_size=3, max_size=3))
def test_any_text_is_refused_and_nothing_else(text: str, parts: list[bytes]) -> None:
    made = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    for candidate in (text, made):
        with pytest.raises((BadToken, UnknownKey)):
            login_of(candidate)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"keys": 5},
        {"keys": []},
        {"keys": [5]},
        {"keys": [{"kty": "RSA"}]},
        {"keys": [{"kty": "?"}]},
    ],
)
def test_what_is_no_set_of_keys(document: object) -> None:
    with pytest.raises(ValueError, match="it "):
        read_keys(document)


def test_keys_for_encryption_are_left_out() -> None:
    document = published()
    document["keys"] = [{**document["keys"][0], "use": "enc"}, document["keys"][1]]
    assert [key.kid for key in read_keys(msgspec.json.decode(msgspec.json.encode(document)))] == ["ec"]


def test_where_an_issuer_describes_itself() -> None:
    assert (
        openid_configuration("https://a.example/x/") == "https://a.example/x/.well-known/openid-configuration"
    )
    assert openid_configuration("urn:issuer") == ""
