"""POP3 commands: one line in, one value out.

RFC: 1939 §5 to §7, 2449 §5 (CAPA), 2595 §4 (STLS), 5034 §4 (AUTH).
Exposure: sees unauthenticated octets, one line under its limit.
Invariants: any line gives a command or ProtocolViolation.
Not here: whether a command is allowed now (states.py).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from postino.core.errors import ProtocolViolation

MAX_NUMBER: Final = 4_294_967_295


@dataclass(frozen=True, slots=True)
class Capa:
    """What can you do?"""


@dataclass(frozen=True, slots=True)
class Stls:
    """Begin TLS."""


@dataclass(frozen=True, slots=True)
class User:
    """Whose maildrop; PASS follows."""

    login: str


@dataclass(frozen=True, slots=True)
class Pass:
    """The password of the login that USER gave."""

    password: str

    def __repr__(self) -> str:
        return "Pass()"


@dataclass(frozen=True, slots=True)
class Auth:
    """Begin a SASL exchange; without a mechanism, list them."""

    mechanism: str
    initial: bytes | None
    """Still base64, or `=`; None when the client sent none."""

    def __repr__(self) -> str:
        return f"Auth(mechanism={self.mechanism!r})"


@dataclass(frozen=True, slots=True)
class Stat:
    """How many messages, how many octets?"""


@dataclass(frozen=True, slots=True)
class List:
    """Sizes, of one message or (0) of all."""

    number: int


@dataclass(frozen=True, slots=True)
class Uidl:
    """Unique ids, of one message or (0) of all."""

    number: int


@dataclass(frozen=True, slots=True)
class Retr:
    """Send a message."""

    number: int


@dataclass(frozen=True, slots=True)
class Top:
    """Send a message's header and the first lines of its body."""

    number: int
    lines: int


@dataclass(frozen=True, slots=True)
class Dele:
    """Mark a message to be deleted at QUIT."""

    number: int


@dataclass(frozen=True, slots=True)
class Rset:
    """Take every DELE back."""


@dataclass(frozen=True, slots=True)
class Noop:
    """Are you there?"""


@dataclass(frozen=True, slots=True)
class Quit:
    """Delete what is marked, and part."""


Command = Capa | Stls | User | Pass | Auth | Stat | List | Uidl | Retr | Top | Dele | Rset | Noop | Quit

_WORDS: Final = re.compile(rb"[\x21-\x7e]+(?: [\x21-\x7e]+)*")


def parse_command(line: bytes) -> Command:
    """Parse one line without its CRLF. Raises ProtocolViolation saying what is wrong with it."""
    keyword, _, argument = line.partition(b" ")
    parse = _PARSERS.get(keyword) or _PARSERS.get(keyword.upper())
    if parse is None:
        raise ProtocolViolation("Unknown command; CAPA lists what there is")
    return parse(argument)


def retr_number(line: bytes) -> int:
    """The message number if the line is a RETR, else 0; for looking ahead."""
    if line[:5].upper() == b"RETR ":
        digits = line[5:].strip()
        if digits.isdigit() and len(digits) <= 10:
            return int(digits)
    return 0


def _number(octets: bytes) -> int:
    if not octets.isdigit() or len(octets) > 10 or not 0 < (number := int(octets)) <= MAX_NUMBER:
        raise ProtocolViolation("A message number is a number from 1 up")
    return number


def _alone(make: Callable[[], Command]) -> Callable[[bytes], Command]:
    def parse(argument: bytes) -> Command:
        if argument.strip(b" "):
            raise ProtocolViolation("This command has no argument")
        return make()

    return parse


def _with_number(make: Callable[[int], Command]) -> Callable[[bytes], Command]:
    def parse(argument: bytes) -> Command:
        return make(_number(argument.strip(b" ")))

    return parse


def _with_optional_number(make: Callable[[int], Command]) -> Callable[[bytes], Command]:
    def parse(argument: bytes) -> Command:
        stripped = argument.strip(b" ")
        return make(_number(stripped) if stripped else 0)

    return parse


def _top(argument: bytes) -> Command:
    words = argument.split()
    if len(words) != 2 or not words[1].isdigit() or len(words[1]) > 10:
        raise ProtocolViolation("TOP takes a message number and a number of lines")
    return Top(_number(words[0]), int(words[1]))


def _user(argument: bytes) -> Command:
    # A login with a space in it is nobody's here, but saying so would tell which logins exist.
    return User(_text(argument.strip(b" "), "USER takes a login, such as ann@example.org"))


def _pass(argument: bytes) -> Command:
    # The argument is the whole rest of the line, spaces and all (RFC 1939 §7).
    return Pass(_text(argument, "PASS takes a password"))


def _text(octets: bytes, usage: str) -> str:
    if not octets or b"\0" in octets:
        raise ProtocolViolation(usage)
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtocolViolation("Logins and passwords are UTF-8") from None


def _auth(argument: bytes) -> Command:
    if not argument.strip(b" "):
        return Auth("", None)
    words = argument.split(b" ")
    if not _WORDS.fullmatch(argument) or len(words) > 2:
        raise ProtocolViolation("AUTH takes a mechanism and perhaps an initial response")
    return Auth(words[0].decode("ascii"), words[1] if len(words) == 2 else None)


_PARSERS: Final[dict[bytes, Callable[[bytes], Command]]] = {
    b"CAPA": _alone(Capa),
    b"STLS": _alone(Stls),
    b"USER": _user,
    b"PASS": _pass,
    b"AUTH": _auth,
    b"STAT": _alone(Stat),
    b"LIST": _with_optional_number(List),
    b"UIDL": _with_optional_number(Uidl),
    b"RETR": _with_number(Retr),
    b"TOP": _top,
    b"DELE": _with_number(Dele),
    b"RSET": _alone(Rset),
    b"NOOP": _alone(Noop),
    b"QUIT": _alone(Quit),
}
