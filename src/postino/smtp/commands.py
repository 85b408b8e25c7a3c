"""SMTP commands as values, and their grammar: one complete line in, one command out.

RFC: 5321 §4.1.1, 1870 §3 (SIZE), 6152 §2 (BODY), 3030 §2-§3 (BDAT, BINARYMIME), 6531 §3.4
    (SMTPUTF8), 4954 §4-§5 (AUTH), 3207 §4 (STARTTLS), 2033 §4.1 (LHLO).
Exposure: unauthenticated octets, one line of bounded length at a time.
Invariants: any line gives a command or BadCommand, never another error, in linear time.
Not here: framing (framer.py), whether a command may come now (states.py).
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
from postino.smtp.envelope import BodyType
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
    body: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class RcptCommand:
    """RCPT TO:<forward-path>. An empty domain means the server's own postmaster."""

    forward_path: Address

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
_PARAMETER: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*+)(?:=([^\x00-\x20=\x7f]++))?")
# RFC 3461 §4: xtext, as in AUTH=<mailbox>.
_XTEXT: Final = re.compile(r"(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[0-9A-F]{2})++")
_SIZE: Final = re.compile(r"[0-9]{1,20}")
_BDAT: Final = re.compile(r"([0-9]{1,20})( +LAST)? *", re.IGNORECASE)
_MECHANISM: Final = re.compile(r"[A-Za-z0-9_-]{1,20}")
_REPEATED_PATHS: Final = 2048
_BODY_TYPES: Final = {kind.value: kind for kind in BodyType}


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
    size, body, smtputf8 = 0, BodyType.SEVEN_BIT, False
    for name, value in _parameters(match[2]):
        if name == "SIZE":
            size = int(_require(_SIZE, value))
        elif name == "BODY":
            kind = _BODY_TYPES.get((value or "").upper())
            if kind is None:
                raise BadCommand(replies.BAD_PARAMETER)
            body = kind
        elif name == "SMTPUTF8":
            _refuse_value(value)
            smtputf8 = True
        elif name == "AUTH":
            # Who first submitted it, as the client says (RFC 4954 §5). Nobody here trusts a
            # client so far, so it is checked and forgotten, as the RFC asks.
            _require(_XTEXT, value)
        else:
            raise BadCommand(replies.UNKNOWN_PARAMETER)
    if not smtputf8 and not path.isascii():
        raise BadCommand(replies.SMTPUTF8_NEEDED)
    return MailCommand(reverse_path, size, body, smtputf8)


def _parse_rcpt(text: str) -> Command:
    match = _RCPT.fullmatch(text)
    if match is None:
        raise BadCommand(replies.BAD_RCPT)
    forward_path = parse_forward_path(match[1])
    if forward_path is None:
        raise BadCommand(replies.BAD_RECIPIENT)
    if match[2]:
        for _ in _parameters(match[2]):
            raise BadCommand(replies.UNKNOWN_PARAMETER)
    return RcptCommand(forward_path)


def _parameters(text: str) -> list[tuple[str, str | None]]:
    """Esmtp-params (RFC 5321 §4.1.2), names in upper case, none twice."""
    found: dict[str, str | None] = {}
    for word in text.split(" "):
        if not word:
            continue
        match = _PARAMETER.fullmatch(word)
        if match is None or match[1].upper() in found:
            raise BadCommand(replies.BAD_PARAMETER)
        found[match[1].upper()] = match[2]
    return list(found.items())


def _require(pattern: re.Pattern[str], value: str | None) -> str:
    if value is None or not pattern.fullmatch(value):
        raise BadCommand(replies.BAD_PARAMETER)
    return value


def _refuse_value(value: str | None) -> None:
    if value is not None:
        raise BadCommand(replies.BAD_PARAMETER)


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
