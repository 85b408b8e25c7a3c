"""A public key's TXT record: read strictly, written for a zone file.

RFC: 6376 §3.6.1 (the record), 8463 §4.2 (ed25519), 8301 §3.2 (sizes of RSA keys), 1035 §5.1 (zone files).
Exposure: other people's DNS.
Invariants: a key in use is RSA of MIN_RSA_BITS to MAX_RSA_BITS with a usual exponent, or Ed25519.
Not here: asking the DNS; private keys (store/dkim_keys.py).
"""

import base64
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from postino.core.errors import ProtocolViolation
from postino.mailauth.dkim.reasons import Reason, SignatureRefused
from postino.mailauth.dkim.tags import decode_base64, parse_tags, split_list

MIN_RSA_BITS: Final = 1024
MAX_RSA_BITS: Final = 4096
_MAX_EXPONENT_BITS: Final = 33
_STRING_OCTETS: Final = 255

PublicKey = RSAPublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One record."""

    key_type: str
    """k=: `rsa`, `ed25519`, or one we do not know."""
    octets: bytes
    """p=; empty for a key that was revoked."""
    hashes: tuple[str, ...] | None = None
    """h=; None allows all."""
    services: tuple[str, ...] = ("*",)
    flags: tuple[str, ...] = ()

    @property
    def is_testing(self) -> bool:
        """t=y: results are not to count yet."""
        return "y" in self.flags

    def public_key(self) -> PublicKey:
        """The key itself. Raises SignatureRefused."""
        if not self.octets:
            raise SignatureRefused(Reason.KEY_REVOKED)
        if self.key_type == "ed25519":
            return _load_ed25519(self.octets)
        if self.key_type == "rsa":
            return _load_rsa(self.octets)
        raise SignatureRefused(Reason.KEY_ALGORITHM)


def parse_key_record(text: str) -> KeyRecord:
    """Read a record's joined strings. Raises SignatureRefused."""
    try:
        tags = parse_tags(text)
        if "v" in tags and (next(iter(tags)) != "v" or tags["v"] != "DKIM1"):
            raise ProtocolViolation("The record does not begin with v=DKIM1")
        if "p" not in tags:
            raise ProtocolViolation("The record has no p=")
        return KeyRecord(
            key_type=tags.get("k", "rsa"),
            octets=decode_base64(tags["p"]),
            hashes=tuple(split_list(tags["h"])) if "h" in tags else None,
            services=tuple(split_list(tags.get("s", "*"))),
            flags=tuple(split_list(tags.get("t", ""))),
        )
    except SignatureRefused:
        raise
    except ProtocolViolation as error:
        raise SignatureRefused(Reason.KEY_SYNTAX, str(error)) from error


def _load_ed25519(octets: bytes) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(octets)
    except ValueError as error:
        raise SignatureRefused(Reason.KEY_SYNTAX) from error


def _load_rsa(octets: bytes) -> RSAPublicKey:
    try:
        # Both forms are taken: RFC 6376 says RSAPublicKey, its examples and everybody have it wrapped.
        key = load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureRefused(Reason.KEY_SYNTAX) from error
    if not isinstance(key, RSAPublicKey):
        raise SignatureRefused(Reason.KEY_ALGORITHM)
    if key.key_size < MIN_RSA_BITS:
        raise SignatureRefused(Reason.KEY_SMALL)
    # SECURITY: a huge exponent makes every verification cost what signing does (RFC 6376 §8.13).
    if key.key_size > MAX_RSA_BITS or key.public_numbers().e.bit_length() > _MAX_EXPONENT_BITS:
        raise SignatureRefused(Reason.KEY_LARGE)
    return key


def print_key_record(key: PublicKey) -> str:
    """The record of a key, as one string."""
    if isinstance(key, RSAPublicKey):
        return (
            f"v=DKIM1; k=rsa; p={_base64(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))}"
        )
    return f"v=DKIM1; k=ed25519; p={_base64(key.public_bytes_raw())}"


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def zone_line(name: str, text: str) -> str:
    """A TXT record as a zone file has it, in strings of at most 255 octets."""
    escaped = [
        text[at : at + _STRING_OCTETS].replace("\\", "\\\\").replace('"', '\\"')
        for at in range(0, len(text), _STRING_OCTETS)
    ]
    if len(escaped) == 1:
        return f'{name}. IN TXT "{escaped[0]}"'
    strings = "\n".join(f'    "{piece}"' for piece in escaped)
    return f"{name}. IN TXT (\n{strings} )"
