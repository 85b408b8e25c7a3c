"""SCRAM: the password never travels, and both sides prove that they know it.

RFC: 5802 (§3 the algorithm, §5.1 attributes, §6 channel binding, §7 grammar; SHA-1), 7677 (SHA-256),
    5929 §4 (tls-server-end-point).
Exposure: sees unauthenticated octets; nonces, logins and messages are bounded.
Invariants: an unknown login gets a salt and fails at the proof like a wrong password, so that
    neither answer nor order of messages tells whether an account exists.
Not here: where keys come from and the made-up salt (servers/authentication.py), nonces (given).

The channel binding tls-exporter (RFC 9266) cannot be had: Python's ssl does not give keying material out.
tls-server-end-point works in TLS 1.3 too, and ties the exchange to the server's certificate.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final

from postino.core.errors import AuthenticationFailed, ProtocolViolation
from postino.sasl.exchange import (
    Exchange,
    FindScramKeys,
    ReportProof,
    ScramHash,
    ScramKeys,
    Success,
    ask_client,
    decode_base64,
    first_message,
    login_text,
    require_same_identity,
)
from postino.sasl.saslprep import saslprep

DEFAULT_ITERATIONS: Final = 4096
MAX_NONCE_OCTETS: Final = 512
BINDING_TYPE: Final = b"tls-server-end-point"
_NONCE: Final = re.compile(rb"[\x21-\x2b\x2d-\x7e]+")
_FIRST: Final = re.compile(
    rb"(n|y|p=([A-Za-z0-9.-]{1,64})),(?:a=([^,\0]+))?,"  # gs2-header
    rb"(?:(m=)[^,]*,)?n=([^,\0]*),r=([^,]*)((?:,.*)?)",
    re.DOTALL,
)
_FINAL: Final = re.compile(rb"(c=([^,]*),r=([^,]*)(?:,[A-Za-z]=[^,\0]*)*),p=([^,]*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ChannelBinding:
    """What ties the exchange to the TLS connection it runs in. Empty `data`: there is nothing to tie to."""

    data: bytes = b""

    @property
    def is_available(self) -> bool:
        """Whether -PLUS can be offered."""
        return bool(self.data)


def derive_keys(
    password: str, salt: bytes, iterations: int, algorithm: ScramHash = ScramHash.SHA_256
) -> ScramKeys:
    """The keys of a password (RFC 5802 §3). Takes a millisecond or more: not for the event loop."""
    name = algorithm.value
    salted = hashlib.pbkdf2_hmac(name, saslprep(password).encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", name)
    return ScramKeys(
        iterations,
        salt,
        hashlib.new(name, client_key).digest(),
        hmac.digest(salted, b"Server Key", name),
    )


def format_keys(keys: ScramKeys) -> str:
    """Keys as the account table keeps them: `iterations:salt:stored_key:server_key`, base64."""
    parts = (base64.b64encode(part).decode() for part in (keys.salt, keys.stored_key, keys.server_key))
    return ":".join((str(keys.iterations), *parts))


def parse_keys(text: str) -> ScramKeys | None:
    """The reverse of format_keys; None for an account without SCRAM keys (or with damaged ones)."""
    try:
        iterations, *pieces = text.split(":")
        salt, stored_key, server_key = (base64.b64decode(piece, validate=True) for piece in pieces)
        return ScramKeys(int(iterations), salt, stored_key, server_key)
    except ValueError:
        return None


def invented_keys(
    login: str,
    secret: bytes,
    iterations: int = DEFAULT_ITERATIONS,
    algorithm: ScramHash = ScramHash.SHA_256,
) -> ScramKeys:
    """Keys for a login without an account: always the same for one login, and of no use to anyone."""
    # SECURITY: another salt for each hash, as real accounts have; one for both would tell them apart.
    digest = hmac.digest(secret, f"{algorithm.value} {login}".encode(), "sha512")
    return ScramKeys(iterations, digest[:16], digest[16:48], digest[32:64])


def scram(
    initial: bytes | None,
    *,
    nonce: bytes,
    binding: ChannelBinding,
    plus: bool,
    algorithm: ScramHash = ScramHash.SHA_256,
) -> Exchange:
    """Run SCRAM with that hash or, with `plus`, its -PLUS.

    `nonce` is the server's part: fresh, unguessable, printable without commas.
    """
    message = yield from first_message(initial)
    first = _FIRST.fullmatch(message)
    if first is None:
        raise ProtocolViolation("This is not a SCRAM client-first-message (RFC 5802 section 7)")
    flag, binding_type, authzid, mandatory, name, client_nonce, _extensions = first.groups()
    if mandatory:
        raise ProtocolViolation("Mandatory SCRAM extensions are not supported")
    _check_binding(flag, binding_type, binding, plus=plus)
    if len(client_nonce) > MAX_NONCE_OCTETS or not _NONCE.fullmatch(client_nonce):
        raise ProtocolViolation("The SCRAM nonce is empty, too long or not printable")
    login = login_text(unescaped(name))
    require_same_identity(login_text(unescaped(authzid)) if authzid else "", login)

    keys = yield FindScramKeys(login, algorithm)
    if not isinstance(keys, ScramKeys):
        raise TypeError("FindScramKeys is answered by ScramKeys")
    header_end = message.index(b",", message.index(b",") + 1) + 1
    whole_nonce = client_nonce + nonce
    server_first = b"r=%s,s=%s,i=%d" % (whole_nonce, base64.b64encode(keys.salt), keys.iterations)

    answer = yield from ask_client(server_first)
    final = _FINAL.fullmatch(answer)
    if final is None:
        raise ProtocolViolation("This is not a SCRAM client-final-message (RFC 5802 section 7)")
    without_proof, bound, repeated_nonce, proof_text = final.groups()
    proof = decode_base64(proof_text)
    expected = message[:header_end] + (binding.data if plus else b"")
    signed = b",".join((message[header_end:], server_first, without_proof))
    holds = (
        # SECURITY: all four hold or none; the header compared here is what makes a downgrade show.
        hmac.compare_digest(decode_base64(bound), expected)
        & hmac.compare_digest(repeated_nonce, whole_nonce)
        & _proof_holds(keys, proof, signed, algorithm.value)
    )
    if not (yield ReportProof(login, bool(holds))):
        raise AuthenticationFailed("The login or the password is wrong")
    signature = base64.b64encode(hmac.digest(keys.server_key, signed, algorithm.value))
    if (yield from ask_client(b"v=" + signature)):
        raise ProtocolViolation("Nothing follows the server's signature")
    return Success(login)


def _check_binding(flag: bytes, binding_type: bytes | None, binding: ChannelBinding, *, plus: bool) -> None:
    if plus:
        if binding_type != BINDING_TYPE:
            raise ProtocolViolation(
                "Channel binding is to tls-server-end-point here; use p=tls-server-end-point"
            )
        if not binding.is_available:
            raise ProtocolViolation("Channel binding needs TLS")
    elif binding_type is not None:
        raise ProtocolViolation("Channel binding needs a mechanism that ends in -PLUS")
    elif flag == b"y" and binding.is_available:
        # SECURITY: the client could bind and believes that we cannot: somebody took -PLUS out of
        # the list on its way (RFC 5802 §6).
        raise AuthenticationFailed("The server does offer channel binding: somebody may be in between")


def _proof_holds(keys: ScramKeys, proof: bytes, signed: bytes, name: str) -> bool:
    signature = hmac.digest(keys.stored_key, signed, name)
    if len(proof) != len(signature):
        return False
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    return hmac.compare_digest(hashlib.new(name, client_key).digest(), keys.stored_key)


def unescaped(name: bytes) -> bytes:
    """`=2C` and `=3D` stand for `,` and `=`; any other `=` is an error (RFC 5802 §5.1)."""
    if b"=" not in name:
        return name
    if re.search(rb"=(?!2C|3D)", name):
        raise ProtocolViolation("In a login here '=' is written =3D and ',' is written =2C")
    return name.replace(b"=2C", b",").replace(b"=3D", b"=")
