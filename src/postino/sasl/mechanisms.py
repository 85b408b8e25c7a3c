"""Which mechanisms there are, and which may be offered on a connection.

RFC: 4422 §3.1 (names), 7677 §4 (PLUS first).
Not here: running them (servers/authentication.py).
"""

from enum import Enum

from postino.core.errors import ProtocolViolation
from postino.sasl.exchange import Exchange
from postino.sasl.login import login
from postino.sasl.plain import plain
from postino.sasl.scram import ChannelBinding, scram_sha_256


class Mechanism(Enum):
    """In the order of preference in which they are announced."""

    SCRAM_SHA_256_PLUS = "SCRAM-SHA-256-PLUS"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    PLAIN = "PLAIN"
    LOGIN = "LOGIN"


def offered(*, is_secure: bool, binding: ChannelBinding) -> list[Mechanism]:
    """What a client may use: the password in clear only where nobody listens, -PLUS only inside TLS."""
    made = [Mechanism.SCRAM_SHA_256_PLUS] if binding.is_available else []
    made.append(Mechanism.SCRAM_SHA_256)
    if is_secure:
        made += [Mechanism.PLAIN, Mechanism.LOGIN]
    return made


def find_mechanism(name: str) -> Mechanism:
    """The mechanism of that name, in any case. Raises ProtocolViolation for an unknown one."""
    try:
        return Mechanism(name.upper())
    except ValueError:
        raise ProtocolViolation(f"{name[:40]!r} is not a mechanism of this server") from None


def begin(mechanism: Mechanism, initial: bytes | None, *, nonce: bytes, binding: ChannelBinding) -> Exchange:
    """Start an exchange. `nonce` is used by SCRAM alone."""
    match mechanism:
        case Mechanism.PLAIN:
            return plain(initial)
        case Mechanism.LOGIN:
            return login(initial)
        case Mechanism.SCRAM_SHA_256:
            return scram_sha_256(initial, nonce=nonce, binding=binding, plus=False)
        case Mechanism.SCRAM_SHA_256_PLUS:
            return scram_sha_256(initial, nonce=nonce, binding=binding, plus=True)
