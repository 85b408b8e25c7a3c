"""Make Sieve scripts and messages of any octets: every command, test and tag, with what they take, at random.

The same octets give the same script, so that hypothesis and the fuzzer can make a failing one smaller.
"""

from collections.abc import Sequence
from typing import TypeVar

from postino.sieve import BadScript
from postino.sieve.compile import compile_script, vocabulary
from postino.sieve.language.printer import quoted
from postino.sieve.vocabulary import CommandSpec, TagSpec, Takes, Tests, TestSpec

T = TypeVar("T")
_WORDS = (
    "subject", "from", "to", "content-type", "x-a", "received", "*", "a?*b", "1", "10", "ge", "eq", "ann@example.org",
    "Junk", "INBOX", "\\Seen", "text", "text/plain", "multipart/mixed", "${1}", "${x}", "${global.x}", "x", "y",
    "mailto:bob@example.com", "utf-8", "", "A", "Grüße", "filename", "--out", "year", "+0100", "(a|b)*c", "one",
    "global.x", "2026-11-23", "name", "a b", "line\r\nline", "Content-Type: text/html\r\n\r\n<p>x</p>", "script",
)  # fmt: skip
_NUMBERS = (0, 1, 2, 5, 100, 1024, 4_000_000_000)
_MOST_COMMANDS = 12
_MOST_DEPTH = 3


class Choices:
    """Decisions taken from octets; the first one of everything when there are none left."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    def number(self, below: int) -> int:
        """A number from 0 on."""
        if self._at >= len(self._octets) or below < 2:
            return 0
        self._at += 1
        return self._octets[self._at - 1] % below

    def one(self, of: Sequence[T]) -> T:
        """One of a list."""
        return of[self.number(len(of))]


class ScriptMaker:
    """Writes one script."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        known = vocabulary()
        self._known = known
        self._commands = sorted(name for name in known.commands if name != "global")
        self._tests = sorted(known.tests)
        self._left = 40

    def script(self, *, is_clean: bool) -> str:
        """The whole of it, with every extension but those that do not go together."""
        extensions = self._known.extensions
        names = [name for name in extensions if name and not extensions[name].excludes]
        head = "require [" + ", ".join(map(quoted, names)) + "];\r\n" + 'global "x";\r\n'
        commands = [self._command(0) for _ in range(1 + self._choices.number(_MOST_COMMANDS))]
        return head + "\r\n".join(one for one in commands if not is_clean or _compiles(head + one))

    def _block(self, depth: int) -> str:
        return "\r\n".join(self._command(depth) for _ in range(1 + self._choices.number(3)))

    def _command(self, depth: int) -> str:
        self._left -= 1
        if self._left < 0:
            return "keep;"
        if depth < _MOST_DEPTH and self._choices.number(3) == 1:
            return f"if {self._test(depth)} {{\r\n{self._block(depth + 1)}\r\n}}"
        spec = self._known.commands[self._choices.one(self._commands)]
        text = f"{spec.name}{self._arguments(spec)}"
        if not spec.has_block:
            return f"{text};"
        return f"{text} {{\r\n{self._block(depth + 1)}\r\n}}" if depth < _MOST_DEPTH else f"{text} {{ }}"

    def _test(self, depth: int) -> str:
        spec = self._known.tests[self._choices.one(self._tests)]
        text = f"{spec.name}{self._arguments(spec)}"
        match spec.tests:
            case Tests.NONE:
                return text
            case Tests.ONE:
                return f"{text} {self._test(depth + 1) if depth < _MOST_DEPTH else 'true'}"
            case Tests.MANY:
                inner = self._test(depth + 1) if depth < _MOST_DEPTH else "true"
                return f"{text} ({inner}, false)"

    def _arguments(self, spec: CommandSpec | TestSpec) -> str:
        tags = list(self._known.tags[spec.name].values())
        if spec.matches:
            tags += [TagSpec(name=one.name, takes=one.takes) for one in self._known.match_types.values()]
        words = [self._tag(self._choices.one(tags)) for _ in range(self._choices.number(3)) if tags]
        params = list(spec.params)[self._choices.number(2) if spec.optional else 0 :]
        return "".join(f" {word}" for word in (*words, *(self._value(takes) for _, takes in params)))

    def _tag(self, tag: TagSpec) -> str:
        return f":{tag.name}" if tag.takes is None else f":{tag.name} {self._value(tag.takes)}"

    def _value(self, takes: Takes) -> str:
        if takes is Takes.NUMBER:
            return str(self._choices.one(_NUMBERS))
        if takes is Takes.STRINGS and self._choices.number(3) == 1:
            return "[" + ", ".join(quoted(self._choices.one(_WORDS)) for _ in range(2)) + "]"
        return quoted(self._choices.one(_WORDS))


def _compiles(script: str) -> bool:
    try:
        compile_script(script.encode())
    except BadScript:
        return False
    return True


def script_of(octets: bytes, *, is_clean: bool = False) -> str:
    """A script; most have faults, unless it is to be clean."""
    return ScriptMaker(Choices(octets)).script(is_clean=is_clean)
