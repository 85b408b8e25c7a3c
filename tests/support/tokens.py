"""A token issuer for tests: keys, and access tokens signed with them."""

import functools
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from postino.directory.token_rules import TokenRules
from tests.support.world import NOW

ISSUER = "https://login.example.org"
RULES = TokenRules(
    ISSUER,
    ("mail.example.org",),
    scopes=("mail",),
    configuration=f"{ISSUER}/.well-known/openid-configuration",
)
LOGIN = "ann@example.org"


@functools.cache
def rsa_key() -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})


@functools.cache
def ec_key(kid: str = "ec") -> ECKey:
    return ECKey.generate_key("P-256", {"kid": kid})


def published() -> dict[str, Any]:
    """The JWK set, without private parts."""
    return dict(KeySet([rsa_key(), ec_key()]).as_dict(private=False))


def token(*, key: Any = None, alg: str = "ES256", header: dict[str, Any] | None = None, **claims: Any) -> str:
    """An access token of ann's; a claim given as None is left out."""
    key = key or ec_key()
    kid = {} if isinstance(key, OctKey) or key.kid is None else {"kid": key.kid}
    said = {
        "iss": ISSUER,
        "aud": "mail.example.org",
        "exp": NOW + 600,
        "iat": NOW,
        "email": LOGIN,
        "email_verified": True,
        "scope": "openid mail",
        **claims,
    }
    return jwt.encode(
        {"alg": alg, **kid, **(header or {})},
        {name: value for name, value in said.items() if value is not None},
        key,
        algorithms=[alg],
    )
