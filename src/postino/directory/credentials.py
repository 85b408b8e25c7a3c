"""Passwords as they are kept: an Argon2id hash, and SCRAM keys.

RFC: 9106 (Argon2), 5802 §3 and 7677 (SCRAM keys).
Exposure: handles passwords; they are never kept, logged or put into an error.
Invariants: a hash names its own cost, so raising the cost leaves old hashes valid.
Not here: when and how often a password is checked (servers/authentication.py).
"""

import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from postino.sasl.exchange import ScramHash
from postino.sasl.saslprep import saslprep
from postino.sasl.scram import DEFAULT_ITERATIONS, derive_keys, format_keys

_SALT_OCTETS = 16
_HASH_OCTETS = 32


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """What checking one password costs; the default is OWASP's smallest recommendation."""

    memory_kib: int = 19 * 1024
    passes: int = 2
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class Credentials:
    """Makes what an account keeps of a password. Slow on purpose: call it in a thread."""

    argon2: Argon2Cost = field(default_factory=Argon2Cost)
    scram_iterations: int = DEFAULT_ITERATIONS

    def hash_password(self, password: str) -> str:
        """An Argon2id PHC string with a fresh salt."""
        kdf = Argon2id(
            salt=os.urandom(_SALT_OCTETS),
            length=_HASH_OCTETS,
            iterations=self.argon2.passes,
            lanes=self.argon2.lanes,
            memory_cost=self.argon2.memory_kib,
        )
        return kdf.derive_phc_encoded(prepare(password))

    def make_scram(self, password: str, algorithm: ScramHash = ScramHash.SHA_256) -> str:
        """SCRAM keys with a fresh salt, as the account table keeps them."""
        return format_keys(derive_keys(password, os.urandom(_SALT_OCTETS), self.scram_iterations, algorithm))


_DEFAULT = Credentials()


def prepare(password: str) -> bytes:
    """The octets that are hashed: the same for every spelling of one password."""
    return saslprep(password).encode()


def hash_password(password: str) -> str:
    """An Argon2id PHC string at the default cost (about 30 ms and 19 MiB)."""
    return _DEFAULT.hash_password(password)


def make_scram(password: str, algorithm: ScramHash = ScramHash.SHA_256) -> str:
    """SCRAM keys at the default number of iterations."""
    return _DEFAULT.make_scram(password, algorithm)


def verify_password(password: str, password_hash: str) -> bool:
    """Whether this is the password of the hash; False for a hash that is not Argon2id."""
    try:
        Argon2id.verify_phc_encoded(prepare(password), password_hash)
    except (InvalidKey, ValueError):
        return False
    return True
