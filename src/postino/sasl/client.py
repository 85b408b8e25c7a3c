"""Log in to other servers: PLAIN, LOGIN and SCRAM from the client's side.

RFC: 4616 §2 (PLAIN), 5802 §5 and 7677 (SCRAM), 5929 §4 (tls-server-end-point), 4422 §3.
Exposure: sees challenges of the server the operator named, bounded before they are looked into.
Invariants: pure; a password is in no error and no repr(); a SCRAM exchange is only complete when the server
    has proved that it knows the password's keys.
Not here: base64 and the dialogue around it (outbound/client/login.py), the server's side (mechanisms.py).
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from enum import Enum
from typing import Final, Protocol

from postino.core.errors import AuthenticationFailed, ProtocolViolation
from postino.sasl.exchange import MAX_MESSAGE_OCTETS, decode_base64
from postino.sasl.saslprep import saslprep

MOST_ITERATIONS: Final = 1_000_000
"""A server could keep us busy with more (RFC 5802 §9)."""
FEWEST_ITERATIONS: Final = 1024
"""Far below RFC 7677's 4096, and enough that a proof is not the password nearly in the clear."""
_SERVER_FIRST: Final = re.compile(
    rb"r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/=]+),i=([1-9][0-9]{0,8})(?:,.*)?", re.DOTALL
)
_SERVER_FINAL: Final = re.compile(rb"v=([A-Za-z0-9+/=]+)(?:,.*)?", re.DOTALL)


class ClientMechanism(Enum):
    """In the order of preference."""

    SCRAM_SHA_256_PLUS = "SCRAM-SHA-256-PLUS"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    PLAIN = "PLAIN"
    LOGIN = "LOGIN"


class ClientExchange(Protocol):
    """One attempt to log in."""

    initial: bytes | None
    """What is said first; None when the server begins."""

    @property
    def is_complete(self) -> bool:
        """Whether the server may say now that we are logged in."""
        ...

    def answer(self, challenge: bytes) -> bytes:
        """What to answer. May take milliseconds. Raises ProtocolViolation or AuthenticationFailed."""
        ...


def choose_mechanism(offered: Sequence[str], *, can_bind: bool) -> ClientMechanism | None:
    """The best of what a server offers, None when we know none; `can_bind`: its certificate is known."""
    for mechanism in ClientMechanism:
        if mechanism.value in offered and (can_bind or mechanism is not ClientMechanism.SCRAM_SHA_256_PLUS):
            return mechanism
    return None


def begin_as_client(
    mechanism: ClientMechanism, login: str, password: str, *, nonce: str, binding: bytes, offers_plus: bool
) -> ClientExchange:
    """Start an exchange. `binding` is the tls-server-end-point of the connection, empty without one."""
    match mechanism:
        case ClientMechanism.PLAIN:
            return _Plain(login, password)
        case ClientMechanism.LOGIN:
            return _Login(login, password)
        case ClientMechanism.SCRAM_SHA_256:
            # SECURITY: "y" tells a server that offers -PLUS that somebody took it out of the list on its way.
            return _Scram(login, password, nonce, b"y,," if binding and not offers_plus else b"n,,", b"")
        case ClientMechanism.SCRAM_SHA_256_PLUS:
            return _Scram(login, password, nonce, b"p=tls-server-end-point,,", binding)


class _Plain:
    def __init__(self, login: str, password: str) -> None:
        self.initial: bytes | None = f"\0{login}\0{password}".encode()

    @property
    def is_complete(self) -> bool:
        return True

    def answer(self, challenge: bytes) -> bytes:
        raise ProtocolViolation("The server asks for more where PLAIN has nothing more to say")


class _Login:
    def __init__(self, login: str, password: str) -> None:
        self.initial: bytes | None = None
        self._left = [password.encode(), login.encode()]

    @property
    def is_complete(self) -> bool:
        return not self._left

    def answer(self, challenge: bytes) -> bytes:
        # What it asks is said in any words and languages; the order is all there is.
        if not self._left:
            raise ProtocolViolation("The server asks for more where LOGIN has nothing more to say")
        return self._left.pop()


class _Scram:
    def __init__(self, login: str, password: str, nonce: str, header: bytes, binding: bytes) -> None:
        name = saslprep(login).replace("=", "=3D").replace(",", "=2C")
        self._password = saslprep(password).encode()
        self._nonce = nonce.encode("ascii")
        self._header = header
        self._binding = binding
        self._bare = b"n=%s,r=%s" % (name.encode(), self._nonce)
        self._signature = b""
        self._step = 0
        self.initial: bytes | None = header + self._bare

    @property
    def is_complete(self) -> bool:
        return self._step == 2

    def answer(self, challenge: bytes) -> bytes:
        if len(challenge) > MAX_MESSAGE_OCTETS:
            raise ProtocolViolation(f"A SASL message has at most {MAX_MESSAGE_OCTETS} octets")
        self._step += 1
        if self._step == 1:
            return self._prove(challenge)
        if self._step == 2:
            self._step = 1
            self._check(challenge)
            self._step = 2
            return b""
        raise ProtocolViolation("The server asks for more where SCRAM has nothing more to say")

    def _prove(self, server_first: bytes) -> bytes:
        found = _SERVER_FIRST.fullmatch(server_first)
        # SECURITY: a nonce that does not go on from ours is an exchange played back.
        if found is None or not found[1].startswith(self._nonce) or len(found[1]) <= len(self._nonce):
            raise ProtocolViolation(
                "The server's answer is no SCRAM server-first-message (RFC 5802 section 7)"
            )
        iterations = int(found[3])
        if not FEWEST_ITERATIONS <= iterations <= MOST_ITERATIONS:
            raise ProtocolViolation(f"The server asks for {iterations} iterations, which is not reasonable")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, decode_base64(found[2]), iterations)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        bound = base64.b64encode(self._header + self._binding)
        without_proof = b"c=%s,r=%s" % (bound, found[1])
        signed = b",".join((self._bare, server_first, without_proof))
        signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._signature = hmac.digest(server_key, signed, "sha256")
        return b"%s,p=%s" % (without_proof, base64.b64encode(proof))

    def _check(self, server_final: bytes) -> None:
        found = _SERVER_FINAL.fullmatch(server_final)
        if found is None:
            raise AuthenticationFailed("The server says that the login or the password is wrong")
        if not hmac.compare_digest(decode_base64(found[1]), self._signature):
            raise AuthenticationFailed("The server does not know the password: it is not who it should be")
