"""Cut a script into tokens.

RFC: 5228 §2.2-§2.4 (white space, comments, literal data), §8.1 (lexical tokens).
Exposure: octets of logged-in users; linear time.
Invariants: any octets give tokens or faults; every token knows its place.
DEVIATION: lines may end in LF alone, as files of most editors do; CRLF stays CRLF inside strings.
Not here: grammar (parser.py).
"""

import re
from bisect import bisect_right
from enum import Enum
from typing import Final, NamedTuple

from postino.sieve.actions import Place
from postino.sieve.faults import MOST_FAULTS, BadScript, Fault

MAX_NUMBER: Final = 2**63 - 1
_FACTORS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class Kind(Enum):
    """What a token is."""

    IDENTIFIER = "a name"
    TAG = "a tag"
    NUMBER = "a number"
    TEXT = "a string"
    SPECIAL = "a sign"
    END = "the end of the script"


class Token(NamedTuple):
    """One token; `text` is the decoded string, the lower-case name, or the sign."""

    kind: Kind
    text: str
    number: int
    line: int
    column: int


_TOKEN: Final = re.compile(
    r"(?P<blank>[ \t\r\n]++|\#[^\n]*+|/\*(?:[^*]++|\*(?!/))*+\*/)"
    r"|text:[ \t]*+(?:\#[^\n]*+)?+\r?\n(?P<lines>(?:(?!\.\r?(?:\n|\Z))[^\n]*+\n)*+)\.\r?(?:\n|\Z)"
    r"|(?!text:)(?P<identifier>[A-Za-z_][A-Za-z0-9_]*+)"
    r"|:(?P<tag>[A-Za-z_][A-Za-z0-9_]*+)"
    r"|(?P<number>[0-9]++)(?P<factor>[KkMmGg]?+)(?![A-Za-z0-9_])"
    r'|"(?P<quoted>(?:[^"\\]++|\\.)*+)"'
    r"|(?P<special>[][(){},;])",
    # `text:` in any case, as all names are; ASCII, else K would also be the Kelvin sign.
    re.DOTALL | re.IGNORECASE | re.ASCII,
)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_STUFFED: Final = re.compile(r"^\.(?=\.)", re.MULTILINE)
_JUNK: Final = re.compile(r"[^\s\"#\[\](){},;:A-Za-z0-9_]++")
_WORD: Final = re.compile(r"[A-Za-z0-9_]+")
_LINE_END: Final = re.compile(r"\n")


def tokens_of(octets: bytes, name: str, most_octets: int) -> tuple[list[Token], list[Fault]]:
    """The tokens, END last, and what could not be read. Raises BadScript where nothing can be."""
    if len(octets) > most_octets:
        raise BadScript(
            [
                Fault(
                    Place(name, 1),
                    f"The script has {len(octets)} octets, of {most_octets} at most; split it with include.",
                )
            ]
        )
    source = _decoded(octets, name)
    starts = [0, *(found.end() for found in _LINE_END.finditer(source))]
    tokens: list[Token] = []
    faults: list[Fault] = []
    at, end = 0, len(source)
    line = 0
    last = len(starts) - 1
    match = _TOKEN.match
    while at < end:
        found = match(source, at)
        # PERF: tokens come in order, so the line is found by walking on.
        while line < last and starts[line + 1] <= at:
            line += 1
        column = at - starts[line] + 1
        if found is None:
            at = _skip(source, at, Place(name, line + 1, column), faults)
            if len(faults) >= MOST_FAULTS:
                break
            continue
        at = found.end()
        kind = found.lastgroup
        if kind == "blank":
            continue
        token = _token(kind, found, line + 1, column)
        if token.number > MAX_NUMBER:
            faults.append(Fault(Place(name, line + 1, column), f"{found[0]} is too large a number."))
        tokens.append(token)
    line = bisect_right(starts, end) - 1
    tokens.append(Token(Kind.END, "", 0, line + 1, end - starts[line] + 1))
    return tokens, faults


def _token(kind: str | None, found: re.Match[str], line: int, column: int) -> Token:
    if kind == "identifier":
        return Token(Kind.IDENTIFIER, found["identifier"].lower(), 0, line, column)
    if kind == "special":
        return Token(Kind.SPECIAL, found[0], 0, line, column)
    if kind == "quoted":
        text = found["quoted"]
        return Token(Kind.TEXT, _ESCAPE.sub(r"\1", text) if "\\" in text else text, 0, line, column)
    if kind == "tag":
        return Token(Kind.TAG, found["tag"].lower(), 0, line, column)
    if kind == "lines":
        return Token(Kind.TEXT, _STUFFED.sub("", found["lines"]), 0, line, column)
    digits = found["number"]
    number = int(digits) * _FACTORS[found["factor"].lower()] if len(digits) < 20 else MAX_NUMBER + 1
    return Token(Kind.NUMBER, found[0], number, line, column)


def _decoded(octets: bytes, name: str) -> str:
    if octets.startswith(b"\xef\xbb\xbf"):
        octets = octets[3:]
    try:
        source = octets.decode("utf-8")
    except UnicodeDecodeError as fault:
        before = octets[: fault.start]
        place = Place(name, before.count(b"\n") + 1, fault.start - (before.rfind(b"\n") + 1) + 1)
        raise BadScript([Fault(place, "This is not UTF-8; save the script in that encoding.")]) from None
    if "\0" in source:
        at = source.index("\0")
        place = Place(name, source.count("\n", 0, at) + 1, at - source.rfind("\n", 0, at))
        raise BadScript([Fault(place, "The script has the octet NUL, which is not text; remove it.")])
    return source


def _skip(source: str, at: int, place: Place, faults: list[Fault]) -> int:
    """Note what cannot be read at `at`, and where to go on."""
    rest = source[at : at + 5].lower()
    if rest.startswith('"'):
        faults.append(Fault(place, 'This string has no end; put a " behind it.'))
        return len(source)
    if rest.startswith("/*"):
        faults.append(Fault(place, "This comment has no end; put */ behind it."))
        return len(source)
    if rest.startswith("text:"):
        faults.append(
            Fault(
                place,
                "This text: has no end; put a line with only a dot behind it.",
            )
        )
        return len(source)
    # Digits of other scripts, such as \u00b2, do not begin numbers.
    if (found := _WORD.match(source, at)) is not None and rest[:1].isdigit():
        faults.append(
            Fault(place, f"{found[0][:40]} is not a number; only K, M and G may follow the digits.")
        )
        return found.end()
    junk = _JUNK.match(source, at)
    stop = junk.end() if junk is not None else at + 1
    faults.append(
        Fault(place, f"{source[at : min(stop, at + 20)]} does not belong here; strings stand in quotes.")
    )
    return stop
