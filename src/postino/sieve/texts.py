"""Strings of a script: constants, or made when the script runs because they name variables.

RFC: 5229 §3 (variables in strings), 5228 §2.4.2.4 (encoded characters).
Invariants: what is made never exceeds the budget's length.
Not here: setting variables (extensions/variables.py).
"""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from postino.sieve.run import Run

MadeText = Callable[["Run"], str]
TextValue = str | MadeText

VARIABLE: Final = re.compile(r"\$\{(?:(?:[A-Za-z_][A-Za-z0-9_]*\.)*[A-Za-z_][A-Za-z0-9_]*|[0-9]+)\}")
VARIABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ENCODED: Final = re.compile(
    r"\$\{(?P<kind>hex|unicode):[ \t\r\n]*(?P<codes>[0-9a-f]+(?:[ \t\r\n]+[0-9a-f]+)*)[ \t\r\n]*\}",
    re.IGNORECASE,
)
_HIGHEST: Final = 0x10FFFF


def value_of(text: TextValue, run: "Run") -> str:
    """The string, as it is now."""
    return text if isinstance(text, str) else text(run)


def values_of(texts: Sequence[TextValue], run: "Run") -> list[str]:
    """The strings, as they are now."""
    return [text if isinstance(text, str) else text(run) for text in texts]


def told_of(text: TextValue, run: "Run") -> str:
    """The string as it may leave the script: octets that are no UTF-8, as of ${hex:}, are no text."""
    value = value_of(text, run)
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def all_told_of(texts: Sequence[TextValue], run: "Run") -> list[str]:
    """The strings as they may leave the script."""
    return [told_of(text, run) for text in texts]


def constants(texts: Sequence[TextValue]) -> list[str] | None:
    """The strings when none of them depends on the run."""
    found = [text for text in texts if isinstance(text, str)]
    return found if len(found) == len(texts) else None


class BadCharacter(ValueError):
    """${unicode:...} names something that is no character."""


def decode_characters(text: str) -> str:
    """Replace ${hex: ...} and ${unicode: ...}; what is not quite either stays. Raises BadCharacter."""

    def decoded(found: re.Match[str]) -> str:
        codes = found["codes"].split()
        if found["kind"].lower() == "hex":
            if any(len(code) > 2 for code in codes):
                return found[0]
            return bytes(int(code, 16) for code in codes).decode("utf-8", "surrogateescape")
        numbers = [int(code, 16) if len(code) <= 12 else _HIGHEST + 1 for code in codes]
        for number in numbers:
            if number > _HIGHEST or 0xD800 <= number <= 0xDFFF:
                raise BadCharacter(found[0])
        return "".join(map(chr, numbers))

    made = _ENCODED.sub(decoded, text)
    # Octets of one character may stand in two ${hex:}.
    return (
        made if made.isascii() else made.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    )


def variables_in(text: str) -> list[str]:
    """The names of the variables in a string, in lower case; matched pieces have numbers."""
    return [found[0][2:-1].lower() for found in VARIABLE.finditer(text)]


def made_of(text: str, stored_name: Callable[[str], str] = str) -> TextValue:
    """The string with its variables; itself when it names none. `stored_name` says where values are kept."""
    if "${" not in text or VARIABLE.search(text) is None:
        return text
    pieces: list[tuple[str, str]] = []
    at = 0
    for found in VARIABLE.finditer(text):
        pieces.append((text[at : found.start()], stored_name(found[0][2:-1].lower())))
        at = found.end()
    rest = text[at:]

    def make(run: "Run") -> str:
        made: list[str] = []
        for before, name in pieces:
            made.append(before)
            made.append(run.variable(name))
        made.append(rest)
        return run.bounded("".join(made))

    return make
