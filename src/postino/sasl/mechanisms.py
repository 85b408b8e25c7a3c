"""Which mechanisms there are, and which may be offered on a connection.

RFC: 4422 §3.1 (names), 7677 §4 (PLUS first), 5802 §4 (SHA-1), 7628 §3 (bearer tokens need TLS).
Not here: running them (servers/authentication.py).
"""

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from postino.core.errors import ProtocolViolation
from postino.sasl.exchange import Exchange, ScramHash
from postino.sasl.external import external
from postino.sasl.login import login
from postino.sasl.oauth import oauthbearer, xoauth2
from postino.sasl.plain import plain
from postino.sasl.scram import ChannelBinding, scram


class Mechanism(Enum):
    """In the order of preference in which they are announced."""

    EXTERNAL = "EXTERNAL"
    SCRAM_SHA_256_PLUS = "SCRAM-SHA-256-PLUS"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_1_PLUS = "SCRAM-SHA-1-PLUS"
    SCRAM_SHA_1 = "SCRAM-SHA-1"
    OAUTHBEARER = "OAUTHBEARER"
    XOAUTH2 = "XOAUTH2"
    PLAIN = "PLAIN"
    LOGIN = "LOGIN"


NEEDS_PRIVACY: Final = frozenset({Mechanism.PLAIN, Mechanism.LOGIN, Mechanism.OAUTHBEARER, Mechanism.XOAUTH2})
"""Those that say something which whoever hears it could use."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What decides on a connection which mechanisms can succeed."""

    is_secure: bool
    """Nobody can listen."""
    binding: ChannelBinding
    has_certificate: bool = False
    """The client showed a certificate that we trust."""
    takes_tokens: bool = False
    scram_sha1: bool = False


@lru_cache(64)
def offered(found: Circumstances) -> tuple[Mechanism, ...]:
    """What a client may use: secrets in clear only where nobody listens, -PLUS only inside TLS."""
    wanted = {
        Mechanism.EXTERNAL: found.has_certificate,
        Mechanism.SCRAM_SHA_256_PLUS: found.binding.is_available,
        Mechanism.SCRAM_SHA_1_PLUS: found.binding.is_available and found.scram_sha1,
        Mechanism.SCRAM_SHA_1: found.scram_sha1,
        Mechanism.OAUTHBEARER: found.takes_tokens,
        Mechanism.XOAUTH2: found.takes_tokens,
    }
    return tuple(
        mechanism
        for mechanism in Mechanism
        if wanted.get(mechanism, True) and (found.is_secure or mechanism not in NEEDS_PRIVACY)
    )


def find_mechanism(name: str) -> Mechanism:
    """The mechanism of that name, in any case. Raises ProtocolViolation for an unknown one."""
    try:
        return Mechanism(name.upper())
    except ValueError:
        raise ProtocolViolation(f"{name[:40]!r} is not a mechanism of this server") from None


def needs_privacy(name: str) -> bool:
    """Whether there is such a mechanism, and it may be used (or works) inside TLS only."""
    return any(
        name.upper() == mechanism.value
        for mechanism in Mechanism
        if mechanism in NEEDS_PRIVACY or mechanism.value.endswith("-PLUS")
    )


def begin(mechanism: Mechanism, initial: bytes | None, *, nonce: bytes, binding: ChannelBinding) -> Exchange:
    """Start an exchange. `nonce` is used by SCRAM alone."""
    match mechanism:
        case Mechanism.PLAIN:
            return plain(initial)
        case Mechanism.LOGIN:
            return login(initial)
        case Mechanism.EXTERNAL:
            return external(initial)
        case Mechanism.OAUTHBEARER:
            return oauthbearer(initial)
        case Mechanism.XOAUTH2:
            return xoauth2(initial)
        case Mechanism.SCRAM_SHA_256 | Mechanism.SCRAM_SHA_256_PLUS:
            algorithm = ScramHash.SHA_256
        case Mechanism.SCRAM_SHA_1 | Mechanism.SCRAM_SHA_1_PLUS:
            algorithm = ScramHash.SHA_1
    plus = mechanism.value.endswith("-PLUS")
    return scram(initial, nonce=nonce, binding=binding, plus=plus, algorithm=algorithm)
