"""What the settings ask of an access token, and how one is refused.

RFC: 6750 §3.1 (error codes), 8725 §3.1 (algorithms by list, `none` never).
Not here: looking into a token (tokens.py, which takes a library that servers without an issuer do not load).
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from postino.core.errors import AuthenticationFailed, PostinoError

Algorithm = Literal[
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "Ed25519",
    "HS256",
    "HS384",
    "HS512",
]
ALGORITHMS: Final[tuple[Algorithm, ...]] = tuple(
    each for each in get_args(Algorithm) if not each.startswith("HS")
)
"""Those with a public key. With HS256 and the like the issuer and this server share a secret."""


_DISCOVERY: Final = "/.well-known/openid-configuration"


def openid_configuration(issuer: str) -> str:
    """Where an issuer says what it can do and where its keys are (OpenID Connect Discovery 1.0 §4)."""
    return issuer.rstrip("/") + _DISCOVERY if issuer.startswith("https://") else ""


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What the settings' table [oauth] asks of a token."""

    issuer: str
    audience: tuple[str, ...]
    login_claim: str = "email"
    scopes: tuple[str, ...] = ()
    algorithms: tuple[Algorithm, ...] = ALGORITHMS
    clock_skew_seconds: int = 60
    configuration: str = ""
    """Where a client learns how to get a token (openid-configuration); empty tells nothing."""


class BadToken(PostinoError):
    """Not a token of ours; `status` is the code of RFC 6750 §3.1, `failure` what the login ends with."""

    def __init__(self, status: str, failure: AuthenticationFailed) -> None:
        super().__init__(str(failure))
        self.status = status
        self.failure = failure
