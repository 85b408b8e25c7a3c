"""SMTP commands as values, and their grammar: one complete line in, one command out.

RFC: 5321 §4.1.1, 3030 §2 (BDAT), 4954 §4 (AUTH), 3207 §4 (STARTTLS), 2033 §4.1 (LHLO).
Exposure: unauthenticated octets, one line of bounded length at a time.
Invariants: any line gives a command or BadCommand, never another error, in linear time.
Not here: framing (framer.py), the parameters of MAIL and RCPT (parameters.py), whether a command may come
    now (states.py).
"""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from postino.core.address import Address
from postino.smtp import replies
from postino.smtp.envelope import NO_MAIL_OPTIONS, NO_RCPT_OPTIONS, ByMode, MailOptions, RcptOptions
from postino.smtp.parameters import Hold, read_mail_parameters, read_rcpt_parameters
from postino.smtp.paths import ReversePath, parse_forward_path, parse_path
from postino.smtp.reply import BadCommand


class Greeting(Enum):
    """Which of the three hellos was said."""

    EHLO = "EHLO"
    HELO = "HELO"
    LHLO = "LHLO"


@dataclass(frozen=True, slots=True)
class HelloCommand:
    """EHLO, HELO or LHLO with the client's name for itself, which proves nothing."""

    greeting: Greeting
    host: str


@dataclass(frozen=True, slots=True)
class MailCommand:
    """MAIL FROM:<reverse-path> and its parameters."""

    reverse_path: ReversePath
    size: int = 0
    """Announced octets; 0 when not announced."""
    options: MailOptions = NO_MAIL_OPTIONS
    """`deliver_by` is not known before the time is: see `by_seconds`."""
    hold: Hold | None = None
    by_seconds: int = 0
    """What BY said, from when the line came; meaningful with options.by_mode."""

    @property
    def returns_late(self) -> bool:
        """Whether it is to be given back, rather than go on, when its time is over."""
        return self.options.by_mode is ByMode.RETURN


@dataclass(frozen=True, slots=True)
class RcptCommand:
    """RCPT TO:<forward-path> and its parameters. An empty domain means the server's own postmaster."""

    forward_path: Address
    options: RcptOptions = NO_RCPT_OPTIONS

    @property
    def is_ascii(self) -> bool:
        """Whether it may be said without SMTPUTF8."""
        return self.forward_path.local_part.isascii() and self.forward_path.domain.isascii()


@dataclass(frozen=True, slots=True)
class BdatCommand:
    """BDAT: `octets` octets follow the line at once."""

    octets: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class AuthCommand:
    """AUTH. `initial_response` None means none was sent, empty that an empty one was (`=`)."""

    mechanism: str
    initial_response: bytes | None


@dataclass(frozen=True, slots=True)
class VrfyCommand:
    """VRFY with whatever the client asks about."""

    text: str


class SimpleCommand(Enum):
    """Commands without an argument that matters."""

    DATA = "DATA"
    RSET = "RSET"
    NOOP = "NOOP"
    QUIT = "QUIT"
    STARTTLS = "STARTTLS"
    HELP = "HELP"
    EXPN = "EXPN"


Command = HelloCommand | MailCommand | RcptCommand | BdatCommand | AuthCommand | VrfyCommand | SimpleCommand

# QUIRK(many senders): a space after the colon is against RFC 5321 §3.3 and common (verified
# 2026-07 in old Outlook and in scripts); it is harmless here. Remove: never worth it.
_BRACKETED: Final = r'<(?:[^<>"\x00-\x1f\x7f]++|"(?:[^"\\\x00-\x1f\x7f]|\\.)*+")*+>'
_MAIL: Final = re.compile(rf"FROM: *+({_BRACKETED})((?: ++[^ ]++)*+) *+", re.IGNORECASE)
_RCPT: Final = re.compile(rf"TO: *+({_BRACKETED})((?: ++[^ ]++)*+) *+", re.IGNORECASE)
_BDAT: Final = re.compile(r"([0-9]{1,20})( +LAST)? *", re.IGNORECASE)
_MECHANISM: Final = re.compile(r"[A-Za-z0-9_-]{1,20}")
_REPEATED_PATHS: Final = 2048


def parse_command(line: bytes) -> Command:
    """Understand one line, its CRLF taken off. Raises BadCommand."""
    verb, _, rest = line.partition(b" ")
    parse = _PARSERS.get(verb.upper())
    if parse is None:
        raise BadCommand(replies.UNKNOWN_COMMAND)
    try:
        text = rest.decode("utf-8")
    except UnicodeDecodeError:
        # No grammar has DEL, so this is refused as the verb asks (a BDAT with its framing lost).
        text = "\x7f"
    return parse(text)


def _parse_mail(text: str) -> Command:
    match = _MAIL.fullmatch(text)
    if match is None:
        raise BadCommand(replies.BAD_MAIL)
    path = match[1]
    reverse_path: ReversePath = None
    if path != "<>":
        reverse_path = parse_path(path)
        if reverse_path is None:
            raise BadCommand(replies.BAD_SENDER)
    if not match[2]:
        if not path.isascii():
            raise BadCommand(replies.SMTPUTF8_NEEDED)
        return MailCommand(reverse_path)
    found = read_mail_parameters(match[2])
    if not found.options.smtputf8 and not path.isascii():
        raise BadCommand(replies.SMTPUTF8_NEEDED)
    return MailCommand(reverse_path, found.size, found.options, found.hold, found.by_seconds)


def _parse_rcpt(text: str) -> Command:
    match = _RCPT.fullmatch(text)
    if match is None:
        raise BadCommand(replies.BAD_RCPT)
    forward_path = parse_forward_path(match[1])
    if forward_path is None:
        raise BadCommand(replies.BAD_RECIPIENT)
    if match[2]:
        return RcptCommand(forward_path, read_rcpt_parameters(match[2]))
    return RcptCommand(forward_path)


def _parse_hello(greeting: Greeting) -> Callable[[str], Command]:
    def parse(text: str) -> Command:
        host = text.strip(" ")
        if not host or any(ch <= " " or ch == "\x7f" for ch in host):
            raise BadCommand(replies.BAD_HELO)
        # DEVIATION: RFC 5321 §4.1.1.1 wants a domain or address literal. Many real clients have
        # no such name; only what cannot stand in a Received field is held back (received.py).
        return HelloCommand(greeting, host)

    return parse


def _parse_bdat(text: str) -> Command:
    match = _BDAT.fullmatch(text)
    if match is None:
        # SECURITY: without its size nobody knows where the chunk ends, and its octets must
        # never be read as commands.
        raise BadCommand(replies.BAD_BDAT, fatal=True)
    return BdatCommand(int(match[1]), match[2] is not None)


def _parse_auth(text: str) -> Command:
    words = text.split()
    if not 1 <= len(words) <= 2 or not _MECHANISM.fullmatch(words[0]):
        raise BadCommand(replies.BAD_AUTH)
    if len(words) == 1:
        return AuthCommand(words[0].upper(), None)
    initial = b"" if words[1] == "=" else decode_base64(words[1].encode())
    return AuthCommand(words[0].upper(), initial)


def decode_base64(line: bytes) -> bytes:
    """The octets of one SASL response line. Raises BadCommand."""
    try:
        return base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        raise BadCommand(replies.BAD_BASE64) from None


def _parse_vrfy(text: str) -> Command:
    if not text.strip():
        raise BadCommand(replies.BAD_VRFY)
    return VrfyCommand(text.strip())


def _parse_bare(command: SimpleCommand) -> Callable[[str], Command]:
    def parse(text: str) -> Command:
        if text.strip(" "):
            raise BadCommand(replies.NO_ARGUMENT_ALLOWED)
        return command

    return parse


def _parse_any(command: SimpleCommand) -> Callable[[str], Command]:
    return lambda text: command


_PARSERS: Final[dict[bytes, Callable[[str], Command]]] = {
    # PERF: the same senders write to the same people again and again: 0.2 us instead of 4.
    b"MAIL": lru_cache(maxsize=_REPEATED_PATHS)(_parse_mail),
    b"RCPT": lru_cache(maxsize=_REPEATED_PATHS)(_parse_rcpt),
    b"DATA": _parse_bare(SimpleCommand.DATA),
    b"BDAT": _parse_bdat,
    b"RSET": _parse_bare(SimpleCommand.RSET),
    b"EHLO": _parse_hello(Greeting.EHLO),
    b"HELO": _parse_hello(Greeting.HELO),
    b"LHLO": _parse_hello(Greeting.LHLO),
    b"AUTH": _parse_auth,
    b"STARTTLS": _parse_bare(SimpleCommand.STARTTLS),
    b"QUIT": _parse_bare(SimpleCommand.QUIT),
    # NOOP and HELP take any string (RFC 5321 §4.1.1.8, §4.1.1.9).
    b"NOOP": _parse_any(SimpleCommand.NOOP),
    b"HELP": _parse_any(SimpleCommand.HELP),
    b"VRFY": _parse_vrfy,
    b"EXPN": _parse_any(SimpleCommand.EXPN),
}
