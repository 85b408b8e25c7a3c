"""Private keys: made, kept, read from files.

RFC: 8301 §3.2 (how many bits), 8463 §3 (Ed25519).
Invariants: a key from a file is checked before it is kept; one that was kept is not checked again.
Not here: where they are kept (store/dkim_keys.py).
"""

from enum import Enum
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)

from postino.core.errors import PostinoError
from postino.mailauth.dkim.key_record import MAX_RSA_BITS

RSA_BITS: Final = 2048
_EXPONENT: Final = 65537

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


class KeyAlgorithm(Enum):
    """The column `dkim_key.algorithm`, and k= of the record."""

    RSA = "rsa"
    ED25519 = "ed25519"


class BadKey(PostinoError):
    """The key cannot be used."""


def make_key(algorithm: KeyAlgorithm) -> PrivateKey:
    """A new key. RSA takes a tenth of a second and more."""
    if algorithm is KeyAlgorithm.RSA:
        return generate_private_key(_EXPONENT, RSA_BITS)
    return Ed25519PrivateKey.generate()


def algorithm_of(key: PrivateKey) -> KeyAlgorithm:
    """Which kind it is."""
    return KeyAlgorithm.RSA if isinstance(key, RSAPrivateKey) else KeyAlgorithm.ED25519


def pack_key(key: PrivateKey) -> bytes:
    """PKCS #8, DER."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def unpack_key(octets: bytes) -> PrivateKey:
    """What pack_key() made. Raises BadKey."""
    try:
        # PERF: 3 us; checking an RSA key's primes would take 40 ms. What is kept was checked when it came
        # (read_key), or is our own.
        return _usable(load_der_private_key(octets, None, unsafe_skip_rsa_key_validation=True))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKey("A stored DKIM key cannot be read; remove it with `postino dkim remove`") from error


def read_key(octets: bytes) -> PrivateKey:
    """A key from a PEM or DER file, without a password. Raises BadKey."""
    load = load_pem_private_key if octets.lstrip().startswith(b"-----") else load_der_private_key
    try:
        key = _usable(load(octets, None))
    except TypeError as error:
        raise BadKey("The key is protected by a password; take that off first") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKey("The file holds no private key in PEM or DER form") from error
    if isinstance(key, RSAPrivateKey) and not RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise BadKey(f"The RSA key has {key.key_size} bits; one of {RSA_BITS} to {MAX_RSA_BITS} is needed")
    return key


def _usable(key: object) -> PrivateKey:
    if isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        return key
    raise BadKey("The key is neither RSA nor Ed25519")
