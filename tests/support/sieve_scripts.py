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
_FITTING: dict[str, Sequence[str]] = {
    "address": ("carl@example.net", "DORA@example.net", "${x}@example.net"),
    "addresses": ("bob@example.com", "ann@example.org"),
    "annotation": ("/private/comment", "/shared/vendor/x"),
    "bymode": ("notify", "return"),
    "bytimeabsolute": ("2026-12-24T18:00:00+01:00",),
    "capabilities": ("fileinto", "regex", "unheard-of"),
    "comparator": ("i;octet", "i;ascii-casemap", "i;ascii-numeric", "i;unicode-casemap"),
    "content": ("text", "message", "multipart", "text/html", ""),
    "count": ("gt", "eq", "ne"),
    "date_part": ("year", "julian", "zone", "iso8601", "std11", "weekday", "time"),
    "envelope_part": ("from", "to", "auth", "notify", "orcpt", "ret", "envid", "bytimerelative", "bymode"),
    "feedback_type": ("abuse", "virus"),
    "field_name": ("X-A", "Subject", "X-Count"),
    "flags": ("\\Seen", "$Junk", "\\Flagged \\Deleted", "${x}"),
    "from": ("bob@example.com", "Bob <bob@example.com>"),
    "header": ("message-id", "subject"),
    "header_name": ("date", "received", "resent-date"),
    "header_names": ("subject", "from", "to", "cc", "received", "content-type", "content-disposition", "x-a"),
    "importance": ("1", "2", "3", "${x}"),
    "keys": ("*", "?*@*", "*a*b*", "1", "", "(a*)*b|.{1,3}", "[[:alpha:]]+", "\\*", "${x}"),
    "list_of_flags": ("\\Seen", "$Junk a b", "${x}"),
    "mailbox": ("Junk", "A/B", "${x}", "INBOX"),
    "method": ("mailto:bob@example.com", "mailto:a@example.net?subject=x&body=%41", "${x}"),
    "name": ("x", "y", "one", "domain", "vnd.postino.direction"),
    "notify": ("NEVER", "SUCCESS,DELAY"),
    "options": ("a=b", "x=${x}"),
    "ret": ("FULL", "HDRS"),
    "score": ("5", "1", "${x}"),
    "source": ("${x}", "${1}${2}", "${y} a", "b"),
    "specialuse": ("\\Junk", "\\Archive"),
    "text": ("Enclosed: ${x}", "line\r\n--part\r\n"),
    "value": ("${x}${x}", "${1}", "a", "${y}${unicode: 40}", "ge", "lt"),
    "value_patterns": ("*", "a?", "${x}"),
    "variable_name": ("x", "y"),
    "zone": ("+0100", "-2359", "${x}"),
}  # fmt: skip
"""What parameters and tags take that makes a script without faults, by their names."""
_NUMBERS = (0, 1, 2, 5, 100, 1024, 4_000_000_000)
_OFTEN = ("set", "set", "addheader", "deleteheader", "foreverypart", "extracttext", "fileinto")
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
        self._commands = [*sorted(name for name in known.commands if name != "global"), *_OFTEN]
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
            tags.append(TagSpec(name="comparator", takes=Takes.STRING))
        words = [self._tag(self._choices.one(tags)) for _ in range(self._choices.number(3)) if tags]
        params = list(spec.params)[self._choices.number(2) if spec.optional else 0 :]
        return "".join(f" {word}" for word in (*words, *(self._value(name, takes) for name, takes in params)))

    def _tag(self, tag: TagSpec) -> str:
        return f":{tag.name}" if tag.takes is None else f":{tag.name} {self._value(tag.name, tag.takes)}"

    def _value(self, name: str, takes: Takes) -> str:
        if takes is Takes.NUMBER:
            return str(self._choices.one(_NUMBERS))
        if takes is Takes.STRINGS and self._choices.number(3) == 1:
            return "[" + ", ".join(self._text(name) for _ in range(2)) + "]"
        return self._text(name)

    def _text(self, name: str) -> str:
        is_odd = self._choices.number(4) == 1
        return quoted(self._choices.one(_WORDS if is_odd else _FITTING.get(name, _WORDS)))


def _compiles(script: str) -> bool:
    try:
        compile_script(script.encode())
    except BadScript:
        return False
    return True


def script_of(octets: bytes, *, is_clean: bool = False) -> str:
    """A script; most have faults, unless it is to be clean."""
    return ScriptMaker(Choices(octets)).script(is_clean=is_clean)
