"""What a SASL mechanism says while it runs: challenges for the client, questions for the server.

RFC: 4422 §3 (the exchange), 4616 §2 and 5802 §5.1 (lengths are ours).
Exposure: sees unauthenticated octets; every text is bounded before it is looked into.
Invariants: a mechanism is a generator. It yields a Challenge and is sent the client's octets, or a
    question and is sent its answer; it returns Success, or raises ProtocolViolation (malformed) or
    AuthenticationFailed. It never learns more of an account than the answer to its question.
Not here: the questions' answers and the order of pauses (servers/authentication.py).
"""

import binascii
import re
import unicodedata
from collections.abc import Generator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from postino.core.errors import AuthenticationFailed, NotAuthorized, ProtocolViolation

MAX_LOGIN_OCTETS: Final = 512
MAX_PASSWORD_OCTETS: Final = 1024
MAX_MESSAGE_OCTETS: Final = 8192
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]*={0,2}")


class ScramHash(Enum):
    """The hash functions SCRAM is spoken with here, by the names hashlib knows them under."""

    SHA_1 = "sha1"
    SHA_256 = "sha256"


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What the server keeps of a password for SCRAM (RFC 5802 §3): enough to check, not to log in."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes


@dataclass(frozen=True, slots=True)
class Challenge:
    """Octets for the client; the mechanism is sent the octets it answers."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class CheckPassword:
    """Whether this is the account's password; answered by a bool."""

    login: str
    password: str


@dataclass(frozen=True, slots=True)
class FindScramKeys:
    """The keys of this login; answered by ScramKeys, made up ones when there is no such account."""

    login: str
    hash: ScramHash


@dataclass(frozen=True, slots=True)
class ReportProof:
    """Tell whether a SCRAM proof held, before the client learns; answered by a bool: go on.

    The keys of an account that does not exist never go on, whatever the proof.
    """

    login: str
    holds: bool


@dataclass(frozen=True, slots=True)
class CheckToken:
    """Whether this access token is good and lets its bearer act as `login`, or as whom it names when that is
    empty; answered by True or a TokenRefusal.
    """

    login: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenRefusal:
    """Why a token was refused, as RFC 7628 §3.2.2 has the client told, and the error it ends with."""

    status: str
    error: AuthenticationFailed
    scope: str = ""
    configuration: str = ""


@dataclass(frozen=True, slots=True)
class CheckCertificate:
    """Whether the certificate the client showed lets it act as `login`, or as whom it names when that is
    empty. Answered by True; otherwise nobody comes back.
    """

    login: str


@dataclass(frozen=True, slots=True)
class Success:
    """The client is who it says: `login` as it was written, empty where only its credentials say it."""

    login: str


Step = Challenge | CheckPassword | FindScramKeys | ReportProof | CheckToken | CheckCertificate
Answer = bytes | bool | ScramKeys | TokenRefusal
Exchange = Generator[Step, Answer, Success]


def ask_client(challenge: bytes) -> Generator[Step, Answer, bytes]:
    """Yield a challenge and give the client's octets. Raises ProtocolViolation when there are too many."""
    answer = yield Challenge(challenge)
    if not isinstance(answer, bytes):
        raise TypeError("a Challenge is answered by octets")
    if len(answer) > MAX_MESSAGE_OCTETS:
        raise ProtocolViolation(f"A SASL message has at most {MAX_MESSAGE_OCTETS} octets")
    return answer


def first_message(initial: bytes | None) -> Generator[Step, Answer, bytes]:
    """The client's first message: the initial response, or what it answers to an empty challenge."""
    if initial is None:
        return (yield from ask_client(b""))
    if len(initial) > MAX_MESSAGE_OCTETS:
        raise ProtocolViolation(f"A SASL message has at most {MAX_MESSAGE_OCTETS} octets")
    return initial


def login_text(octets: bytes) -> str:
    """A login as text. Raises ProtocolViolation for an empty, over-long or undecodable one."""
    return _text(octets, MAX_LOGIN_OCTETS, "login")


def password_text(octets: bytes) -> str:
    """A password as text, under the same rules."""
    return _text(octets, MAX_PASSWORD_OCTETS, "password")


def _text(octets: bytes, most: int, what: str) -> str:
    if not octets:
        raise ProtocolViolation(f"The {what} is empty")
    if len(octets) > most:
        raise ProtocolViolation(f"A {what} has at most {most} octets")
    if b"\0" in octets:
        raise ProtocolViolation(f"A {what} cannot contain NUL")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtocolViolation(f"The {what} is not UTF-8") from None


def login_key(login: str) -> str:
    """What two spellings of one login have in common; the form the directory looks up."""
    return unicodedata.normalize("NFC", login).casefold()


def require_same_identity(authzid: str, authcid: str) -> None:
    """Refuse to act as somebody else (RFC 4422 §3.4.1); nobody here may."""
    if authzid and login_key(authzid) != login_key(authcid):
        raise NotAuthorized("Nobody may log in as somebody else here; leave the other identity out")


def decode_base64(line: bytes) -> bytes:
    """A protocol's base64 line as octets (RFC 4648 §4, no line breaks). Raises ProtocolViolation."""
    if len(line) % 4 or not _BASE64.fullmatch(line):
        raise ProtocolViolation("The response is not base64")
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error:
        raise ProtocolViolation("The response is not base64") from None


def decode_initial(argument: bytes) -> bytes:
    """An initial response in a command: base64, or `=` for an empty one (RFC 4954 §4, 5034 §4)."""
    return b"" if argument == b"=" else decode_base64(argument)
