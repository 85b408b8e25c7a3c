"""The Authentication-Results field as a value: what checks said of a message, made and read.

RFC: 8601 §2.2 (grammar), §2.7 (methods and results), 8617 §4.1.1 (the same after an instance number).
Exposure: reads octets of unauthenticated mail; linear time, at most MAX_RESULTS are kept.
Invariants: a field that breaks the grammar is refused whole; whether one is ours to believe is for who
    asks (RFC 8601 §5): the name in it proves nothing.
Not here: the checks.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from postino.core.errors import ProtocolViolation

MAX_RESULTS: Final = 100
FIELD_NAME: Final = b"Authentication-Results"
_LINE: Final = 78
_LONGEST_VALUE: Final = 400
"""Octets of one value, which whoever signed a message may have made as long as a header may be, and within
which no line is folded; a line has at most 998 octets."""
_LONGEST_NOTE: Final = 200
"""Characters of a comment or reason that are shown."""
_MAX_OCTETS: Final = 64 * 1024


class AuthResult(Enum):
    """What a check came to."""

    NONE = "none"
    PASS = "pass"  # noqa: S105  (no password)
    FAIL = "fail"
    SOFTFAIL = "softfail"
    POLICY = "policy"
    NEUTRAL = "neutral"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class Property:
    """One thing the result is about: `header.d=example.org`."""

    kind: str
    """The ptype: smtp, header, body or policy."""
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One method's result. Words are in lower case, in a field that was read too."""

    method: str
    result: str
    properties: tuple[Property, ...] = ()
    reason: str = ""
    comment: str = ""
    """Written behind the result; of a field that was read, comments are dropped."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class AuthenticationResults:
    """One whole field."""

    server: str
    """The authserv-id."""
    results: tuple[MethodResult, ...] = ()
    """None: no check was made."""


_TOKEN: Final = re.compile(r"[^\x00-\x20()<>@,;:\\\"/\[\]?=\x7f]+")
_ADDRESS: Final = re.compile(
    r"(?:[^\x00-\x20()<>@,;:\\\"\[\]\x7f.]+(?:\.[^\x00-\x20()<>@,;:\\\"\[\]\x7f.]+)*)?@[^\x00-\x20()<>@,;:\\\"/\[\]?=\x7f]+"
)
_KEYWORD: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")


def print_results(results: AuthenticationResults, *, name: bytes = FIELD_NAME, before: str = "") -> bytes:
    """The field, folded, with its line end. `before` comes first in the value (RFC 8617's `i=1; `)."""
    lines = [f"{name.decode()}: {before}{_value(results.server)};"]
    if not results.results:
        lines[-1] += " none"
    for number, result in enumerate(results.results, 1):
        words = list(_words(result))
        if number < len(results.results):
            words[-1] += ";"
        lines.append(f"\t{words[0]}")
        for word in words[1:]:
            if len(lines[-1]) + 1 + len(word) > _LINE:
                lines.append(f"\t {word}")
            else:
                lines[-1] += f" {word}"
    return ("\r\n".join(lines) + "\r\n").encode("utf-8", "replace")


def _words(result: MethodResult) -> Iterator[str]:
    version = f"/{result.version}" if result.version != 1 else ""
    yield f"{result.method}{version}={result.result}"
    if result.comment:
        yield f"({_comment(result.comment[:_LONGEST_NOTE])})"
    if result.reason:
        yield f"reason={_value(result.reason[:_LONGEST_NOTE])}"
    for found in result.properties:
        # Cut, it would be somebody else's.
        if len(found.value.encode(errors="replace")) <= _LONGEST_VALUE:
            yield f"{found.kind}.{found.name}={_value(found.value, is_property=True)}"


def _value(text: str, *, is_property: bool = False) -> str:
    if _TOKEN.fullmatch(text) or (is_property and _ADDRESS.fullmatch(text)):
        return text
    clean = "".join(character if character.isprintable() else " " for character in text)
    escaped = clean.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _comment(text: str) -> str:
    return "".join(" " if c in "()\\" or not c.isprintable() else c for c in text)


def parse_results(value: bytes) -> AuthenticationResults:
    """Read the field's value, folded or not. Raises ProtocolViolation."""
    if len(value) > _MAX_OCTETS:
        raise ProtocolViolation(f"The field is longer than {_MAX_OCTETS} octets")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProtocolViolation("The field is not UTF-8") from error
    reader = _Reader(text)
    server = reader.value()
    if reader.at_digit():
        version = reader.number()
        if version != 1:
            raise ProtocolViolation(f"Version {version} of the field is not known")
    results: list[MethodResult] = []
    while reader.take(";"):
        if not results and reader.at_end():
            break
        method = reader.keyword()
        if not results and method == "none" and reader.at_end():
            break
        results.append(_result(reader, method))
        if len(results) > MAX_RESULTS:
            raise ProtocolViolation(f"The field has more than {MAX_RESULTS} results")
    if not reader.at_end():
        raise ProtocolViolation("The field does not go on as its grammar asks")
    return AuthenticationResults(server, tuple(results))


def _result(reader: "_Reader", method: str) -> MethodResult:
    version = reader.number() if reader.take("/") else 1
    reader.require("=")
    result = reader.keyword()
    reason = ""
    properties: list[Property] = []
    while not reader.at(";") and not reader.at_end():
        word = reader.keyword()
        if word == "reason" and not reason and not properties and reader.take("="):
            reason = reader.value()
            continue
        reader.require(".")
        name = reader.keyword()
        reader.require("=")
        properties.append(Property(word, name, reader.property_value()))
    return MethodResult(method, result, tuple(properties), reason, version=version)


_BLANKS: Final = re.compile(r"[ \t\r\n]*+")
_COMMENT_PIECE: Final = re.compile(r"[^()\\]++|\\.|[()]", re.DOTALL)
_QUOTED: Final = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_VALUE: Final = re.compile(r"[^\x00-\x20()<>@,;:\\\"/\[\]?=\x7f]++")
_PROPERTY: Final = re.compile(r"[^\x00-\x20()<>,;\\\"\x7f]++")
_NUMBER: Final = re.compile(r"[0-9]{1,9}+")


class _Reader:
    """A place in the text; comments and white space are passed over before each thing."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0

    def at(self, character: str) -> bool:
        self.skip()
        return self.text.startswith(character, self.place)

    def at_end(self) -> bool:
        self.skip()
        return self.place == len(self.text)

    def at_digit(self) -> bool:
        self.skip()
        return self.text[self.place : self.place + 1].isdigit()

    def take(self, character: str) -> bool:
        found = self.at(character)
        self.place += found
        return found

    def require(self, character: str) -> None:
        if not self.take(character):
            raise ProtocolViolation(f"A {character} is missing")

    def keyword(self) -> str:
        return self.match(_KEYWORD).lower()

    def number(self) -> int:
        return int(self.match(_NUMBER))

    def value(self) -> str:
        return self.quoted() if self.at('"') else self.match(_VALUE)

    def property_value(self) -> str:
        if not self.at('"'):
            # More than the grammar has: real fields leave `/` and `=` of selectors and hashes unquoted.
            return self.match(_PROPERTY)
        quoted = self.quoted()
        return quoted + self.match(_PROPERTY) if self.text.startswith("@", self.place) else quoted

    def quoted(self) -> str:
        return _QUOTED_PAIR.sub(r"\1", self.match(_QUOTED, 1))

    def match(self, expression: "re.Pattern[str]", group: int = 0) -> str:
        self.skip()
        found = expression.match(self.text, self.place)
        if found is None:
            raise ProtocolViolation("The field does not go on as its grammar asks")
        self.place = found.end()
        return found[group]

    def skip(self) -> None:
        place = _end_of_blanks(self.text, self.place)
        while self.text.startswith("(", place):
            place = _end_of_blanks(self.text, self._end_of_comment(place))
        self.place = place

    def _end_of_comment(self, place: int) -> int:
        depth = 0
        while True:
            found = _COMMENT_PIECE.match(self.text, place)
            if found is None:
                raise ProtocolViolation("A comment has no end")
            place = found.end()
            if found[0] == "(":
                depth += 1
            elif found[0] == ")":
                depth -= 1
                if not depth:
                    return place


def _end_of_blanks(text: str, place: int) -> int:
    found = _BLANKS.match(text, place)
    assert found is not None
    return found.end()
