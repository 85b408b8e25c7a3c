"""Whether an access token is good here, and whose it is.

RFC: 7519 §4 (claims), 7515 (signatures), 8725 §3 (algorithms by list, never `none`), 6750 §3.1 (error codes),
    9068 §2.2 (JWT access tokens).
Exposure: sees tokens of unauthenticated clients; nothing in one is believed before its signature holds.
Invariants: only listed algorithms; issuer, audience and expiry are always compared; a token is in no error.
Not here: fetching the issuer's keys (servers/token_keys.py), SASL around it (sasl/oauth.py).
"""

from typing import Any, Final

from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import Key, KeySet
from joserfc.jws import JWSRegistry

from postino.core.errors import AuthenticationFailed, CredentialsExpired, PostinoError
from postino.core.ids import Instant
from postino.directory.token_rules import BadToken, TokenRules
from postino.sasl.exchange import MAX_LOGIN_OCTETS

_MOST_KEYS: Final = 64


class UnknownKey(PostinoError):
    """The token names a key we do not have; the issuer may have made a new one."""


def read_keys(document: Any) -> KeySet:
    """A JWK set as the issuer publishes it. Raises ValueError, with what is wrong, for anything else."""
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("it is not a JWK set")
    usable = [key for key in document["keys"] if isinstance(key, dict) and key.get("use", "sig") == "sig"]
    try:
        return KeySet.import_key_set({"keys": usable[:_MOST_KEYS]})
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"it holds no usable key ({type(error).__name__})") from error


def check_token(token: str, keys: KeySet, rules: TokenRules, now: Instant) -> str:
    """The login the token's bearer has. Raises BadToken, or UnknownKey."""
    if not token:
        raise BadToken("invalid_token", AuthenticationFailed("Logging in like this needs an access token"))
    claims = _signed_claims(token, keys, rules)
    registry = jwt.JWTClaimsRegistry(
        now=now,
        leeway=rules.clock_skew_seconds,
        iss={"essential": True, "value": rules.issuer},
        aud={"essential": True, "values": list(rules.audience)},
        exp={"essential": True},
    )
    try:
        registry.validate(claims)
    except ExpiredTokenError:
        raise BadToken("invalid_token", CredentialsExpired("The access token has expired")) from None
    except JoseError:
        raise _refused("The access token is not for this server") from None
    if not _scopes(claims).issuperset(rules.scopes):
        raise BadToken(
            "insufficient_scope", AuthenticationFailed("The access token does not have the scope for mail")
        )
    return _login(claims, rules)


def _refused(reason: str) -> BadToken:
    return BadToken("invalid_token", AuthenticationFailed(reason))


def _signed_claims(token: str, keys: KeySet, rules: TokenRules) -> dict[str, Any]:
    """The claims of a token whose signature holds."""
    try:
        header = jws.extract_compact(token.encode("ascii"), registry=_registry(rules)).headers()
    except (JoseError, ValueError):
        # Also an opaque token, whose issuer would have to be asked: those are not taken.
        raise _refused("This is not a signed access token") from None
    # SECURITY: which algorithms count is ours to say, never the token's (RFC 8725 §3.1).
    if header.get("alg") not in rules.algorithms:
        raise _refused("The access token is signed in a way that is not taken here")
    name = header.get("kid")
    candidates = [key for key in keys if name is None or key.kid == name]
    if not candidates:
        raise UnknownKey("The access token is signed with a key the issuer has not published")
    for key in candidates:
        claims = _claims_by(key, token, rules)
        if claims is not None:
            return claims
    raise _refused("The signature of the access token does not hold")


def _claims_by(key: Key, token: str, rules: TokenRules) -> dict[str, Any] | None:
    try:
        return jwt.decode(token, key, registry=_registry(rules)).claims
    except (JoseError, ValueError):
        # Another's signature, a key of another kind than the algorithm's, or claims that are no JSON.
        return None


def _registry(rules: TokenRules) -> JWSRegistry:
    # Headers nobody knows are no reason to refuse (RFC 7515 §4), those in `crit` are, always.
    return JWSRegistry(algorithms=list(rules.algorithms), strict_check_header=False)


def _scopes(claims: dict[str, Any]) -> set[str]:
    """RFC 9068 §2.2.3 has `scope`, one text; some issuers have a list, or call it `scp`."""
    given = claims.get("scope", claims.get("scp", ""))
    if isinstance(given, str):
        return set(given.split())
    return {scope for scope in given if isinstance(scope, str)} if isinstance(given, list) else set()


def _login(claims: dict[str, Any], rules: TokenRules) -> str:
    login = claims.get(rules.login_claim)
    if not isinstance(login, str) or not 0 < len(login.encode()) <= MAX_LOGIN_OCTETS:
        raise _refused(f"The access token does not say whose it is (its claim {rules.login_claim})")
    # SECURITY: an address that anybody could have entered at the issuer is nobody's.
    if rules.login_claim == "email" and claims.get("email_verified", True) not in {True, "true"}:
        raise _refused("The issuer has not verified the address in the access token")
    return login
