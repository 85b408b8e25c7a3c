"""ManageSieve commands: one frame in, one value out.

RFC: 5804 §2 (commands), §4 (grammar).
Exposure: sees unauthenticated octets, within the framer's limits.
Invariants: any frame gives a command or ProtocolViolation, whose sentence never repeats what the client
    sent, for that could be a password.
Not here: whether a command is allowed now (states.py), names that scripts have (script_name.py).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from postino.core.errors import ProtocolViolation
from postino.managesieve.framer import CommandFrame
from postino.managesieve.script_name import script_name

MAX_NUMBER: Final = 4_294_967_295
MAX_TAG_OCTETS: Final = 1024


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Begin a SASL exchange."""

    mechanism: str
    initial: bytes | None = field(repr=False)
    """Still base64; None when the client sent none."""


@dataclass(frozen=True, slots=True)
class Starttls:
    """Begin TLS."""


@dataclass(frozen=True, slots=True)
class Logout:
    """Part."""


@dataclass(frozen=True, slots=True)
class Capability:
    """What can you do?"""


@dataclass(frozen=True, slots=True)
class HaveSpace:
    """May a script of this size be put under this name?"""

    name: str
    octets: int


@dataclass(frozen=True, slots=True)
class PutScript:
    """Keep a script."""

    name: str
    source: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ListScripts:
    """Which scripts are there?"""


@dataclass(frozen=True, slots=True)
class SetActive:
    """Have this script filter what comes in; an empty name has none do so."""

    name: str


@dataclass(frozen=True, slots=True)
class GetScript:
    """Send a script."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteScript:
    """Remove a script."""

    name: str


@dataclass(frozen=True, slots=True)
class RenameScript:
    """Give a script another name."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class CheckScript:
    """Would PUTSCRIPT take this?"""

    source: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Noop:
    """Are you there? `tag` is said again in the answer; None when there was none."""

    tag: bytes | None


@dataclass(frozen=True, slots=True)
class Unauthenticate:
    """Be as before the login."""


Command = (
    Authenticate
    | Starttls
    | Logout
    | Capability
    | HaveSpace
    | PutScript
    | ListScripts
    | SetActive
    | GetScript
    | DeleteScript
    | RenameScript
    | CheckScript
    | Noop
    | Unauthenticate
)

_ATOM: Final = re.compile(rb"[!\x23-\x27\x2a-\x5b\x5d-\x7a\x7c-\x7e]{1,1024}")
_NUMBER: Final = re.compile(rb"0|[1-9][0-9]{0,9}")
_QUOTED: Final = re.compile(rb'"((?:[^"\\\r\n\x00]|\\["\\])*)"')
_ESCAPE: Final = re.compile(rb"\\(.)")
_MARKER: Final = re.compile(rb"\{[0-9]+\+?\}")
_MECHANISM: Final = re.compile(rb"[A-Za-z0-9_-]{1,20}")


class _Reader:
    """Goes through a frame's parts from left to right."""

    __slots__ = ("_at", "_part", "_parts")

    def __init__(self, frame: CommandFrame) -> None:
        self._parts = frame.parts
        self._part = 0
        self._at = 0

    def atom(self) -> bytes:
        found = _ATOM.match(self._parts[self._part], self._at)
        if found is None:
            raise ProtocolViolation("A line begins with the name of a command, such as LISTSCRIPTS")
        self._at = found.end()
        return found[0]

    @property
    def is_at_end(self) -> bool:
        return self._part == len(self._parts) - 1 and self._at == len(self._parts[self._part])

    def space(self) -> None:
        if self._parts[self._part][self._at : self._at + 1] != b" ":
            raise ProtocolViolation("An argument is missing, or not set off by one space")
        self._at += 1

    def string(self) -> bytes:
        text = self._parts[self._part]
        quoted = _QUOTED.match(text, self._at)
        if quoted is not None:
            self._at = quoted.end()
            content = quoted[1]
            # A literal's octets are anything; quoted text is UTF-8 (RFC 5804 §4, SAFE-UTF8-CHAR).
            if not content.isascii():
                _require_utf8(content)
            return _ESCAPE.sub(rb"\1", content) if b"\\" in content else content
        if self._part + 1 < len(self._parts) and _MARKER.fullmatch(text, self._at):
            literal = self._parts[self._part + 1]
            self._part += 2
            self._at = 0
            return literal
        raise ProtocolViolation('A string is written "so", or as a literal: {2+}, a line end, and 2 octets')

    def number(self) -> int:
        found = _NUMBER.match(self._parts[self._part], self._at)
        if found is None or (number := int(found[0])) > MAX_NUMBER:
            raise ProtocolViolation(f"A size is a number from 0 to {MAX_NUMBER}, without zeros in front")
        self._at = found.end()
        return number

    def end(self) -> None:
        if not self.is_at_end:
            raise ProtocolViolation("There is more on the line than this command takes")


def parse_command(frame: CommandFrame) -> Command:
    """Parse one command. Raises ProtocolViolation saying what is wrong with it."""
    reader = _Reader(frame)
    parse = _PARSERS.get(reader.atom().upper())
    if parse is None:
        raise ProtocolViolation("There is no such command")
    command = parse(reader)
    reader.end()
    return command


def parse_answer(frame: CommandFrame) -> bytes:
    """What a client says within a SASL exchange: a string alone. Raises ProtocolViolation."""
    reader = _Reader(frame)
    answer = reader.string()
    reader.end()
    return answer


def _require_utf8(octets: bytes) -> None:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtocolViolation("Quoted strings are UTF-8") from None


def _argument(reader: _Reader) -> bytes:
    reader.space()
    return reader.string()


def _authenticate(reader: _Reader) -> Command:
    mechanism = _argument(reader)
    if not _MECHANISM.fullmatch(mechanism):
        raise ProtocolViolation("AUTHENTICATE takes the name of a mechanism that CAPABILITY lists under SASL")
    initial = None if reader.is_at_end else _argument(reader)
    return Authenticate(mechanism.decode("ascii").upper(), initial)


def _have_space(reader: _Reader) -> Command:
    name = script_name(_argument(reader))
    reader.space()
    return HaveSpace(name, reader.number())


def _put_script(reader: _Reader) -> Command:
    return PutScript(script_name(_argument(reader)), _argument(reader))


def _set_active(reader: _Reader) -> Command:
    octets = _argument(reader)
    return SetActive(script_name(octets) if octets else "")


def _rename_script(reader: _Reader) -> Command:
    return RenameScript(script_name(_argument(reader)), script_name(_argument(reader)))


def _noop(reader: _Reader) -> Command:
    if reader.is_at_end:
        return Noop(None)
    tag = _argument(reader)
    if len(tag) > MAX_TAG_OCTETS:
        raise ProtocolViolation(f"NOOP takes a string of at most {MAX_TAG_OCTETS} octets")
    return Noop(tag)


_PARSERS: Final[dict[bytes, Callable[[_Reader], Command]]] = {
    b"AUTHENTICATE": _authenticate,
    b"STARTTLS": lambda _: Starttls(),
    b"LOGOUT": lambda _: Logout(),
    b"CAPABILITY": lambda _: Capability(),
    b"HAVESPACE": _have_space,
    b"PUTSCRIPT": _put_script,
    b"LISTSCRIPTS": lambda _: ListScripts(),
    b"SETACTIVE": _set_active,
    b"GETSCRIPT": lambda reader: GetScript(script_name(_argument(reader))),
    b"DELETESCRIPT": lambda reader: DeleteScript(script_name(_argument(reader))),
    b"RENAMESCRIPT": _rename_script,
    b"CHECKSCRIPT": lambda reader: CheckScript(_argument(reader)),
    b"NOOP": _noop,
    b"UNAUTHENTICATE": lambda _: Unauthenticate(),
}
