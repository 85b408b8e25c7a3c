"""Make a tree of a script's tokens, going on behind what is wrong, so that all of it is told at once.

RFC: 5228 §8.2 (grammar).
Exposure: octets of logged-in users; nesting is limited, time is linear.
Invariants: any octets give a tree or BadScript.
Not here: what commands mean and take (compiler.py).
"""

from typing import Final, NamedTuple

from postino.sieve.actions import Place
from postino.sieve.budget import DEFAULT_BUDGET, Budget
from postino.sieve.faults import MOST_FAULTS, BadScript, Fault
from postino.sieve.language.lexer import Kind, Token, tokens_of
from postino.sieve.language.syntax import Argument, Command, Number, Strings, Tag, Test, Text, Tree

_BRANCHES: Final = frozenset({"if", "elsif", "else"})


class Reading(NamedTuple):
    """What could be made of a script."""

    tree: Tree
    faults: list[Fault]
    lacks_require: bool
    """A require could not be read: what the tree uses seems not to be allowed."""


def parse(octets: bytes, *, name: str = "script", budget: Budget = DEFAULT_BUDGET) -> Tree:
    """The script's tree. Raises BadScript with everything that is wrong with its form."""
    reading = read(octets, name=name, budget=budget)
    if reading.faults:
        raise BadScript(sorted(reading.faults, key=lambda fault: fault.place))
    return reading.tree


def read(octets: bytes, *, name: str = "script", budget: Budget = DEFAULT_BUDGET) -> Reading:
    """The tree of what is well formed, and the faults. Raises BadScript where there is no text to read."""
    tokens, faults = tokens_of(octets, name, budget.script_octets)
    parser = _Parser(tokens, faults, name, budget.depth)
    commands = parser.script()
    return Reading(Tree(commands, tokens[-1].line), parser.faults, parser.lacks_require)


class _Wrong(Exception):
    """This command cannot be read on; its fault is noted."""


class _Parser:
    def __init__(self, tokens: list[Token], faults: list[Fault], name: str, most_depth: int) -> None:
        self.faults = faults
        self._tokens = tokens
        self._at = 0
        self._name = name
        self._most_depth = most_depth
        self._depth = 0
        self.lacks_require = False
        signs = [token.text for token in tokens if token.kind is Kind.SPECIAL]
        self._unclosed = signs.count("{") - signs.count("}")
        """Blocks whose } is missing somewhere."""

    def script(self) -> tuple[Command, ...]:
        commands: list[Command] = []
        while self._now.kind is not Kind.END and len(self.faults) < MOST_FAULTS:
            if self._is("}"):
                self._note(self._now, "There is no { that this } belongs to; remove it.")
                self._at += 1
                continue
            self._add_command(commands)
        return tuple(commands)

    @property
    def _now(self) -> Token:
        return self._tokens[self._at]

    def _is(self, sign: str) -> bool:
        token = self._tokens[self._at]
        return token.kind is Kind.SPECIAL and token.text == sign

    def _note(self, token: Token, words: str) -> None:
        self.faults.append(Fault(Place(self._name, token.line, token.column), words))

    def _wrong(self, token: Token, words: str) -> _Wrong:
        self._note(token, words)
        return _Wrong()

    def _add_command(self, commands: list[Command]) -> None:
        start = self._at
        depth = self._depth
        try:
            commands.append(self._command())
        except _Wrong:
            self._depth = depth
            self._recover(start)
            first = self._tokens[start]
            self.lacks_require = self.lacks_require or first.text == "require"
            if first.kind is Kind.IDENTIFIER and first.text in _BRANCHES:
                # In its place, so that the elsif or else behind it has an if.
                always = Test(first.line, first.column, "true", (), ())
                commands.append(Command(first.line, first.column, "if", (), (always,), ()))

    def _recover(self, start: int) -> None:
        """To behind the command that began at `start`: its semicolon, or the end of its block."""
        self._at = max(self._at, start)
        depth = 0
        while (token := self._now).kind is not Kind.END:
            if token.kind is Kind.SPECIAL:
                if token.text == "{":
                    depth += 1
                elif token.text == "}":
                    if depth == 0 and self._at > start:
                        return
                    depth -= 1
                    if depth <= 0:
                        self._at += 1
                        return
                elif token.text == ";" and depth == 0:
                    self._at += 1
                    return
            self._at += 1

    def _command(self) -> Command:
        token = self._now
        if token.kind is not Kind.IDENTIFIER:
            raise self._wrong(token, f"A command is to begin here, and not {_shown(token)}.")
        self._at += 1
        arguments = self._arguments()
        tests = self._tests()
        end = self._now
        if self._is(";"):
            self._at += 1
            return Command(token.line, token.column, token.text, arguments, tests)
        if self._is("{"):
            block = self._block()
            return Command(token.line, token.column, token.text, arguments, tests, block)
        raise self._wrong(end, f"A ; is missing behind {token.text}, before {_shown(end)}.")

    def _block(self) -> tuple[Command, ...]:
        opening = self._now
        self._enter(opening)
        self._at += 1
        commands = self._commands_of(opening)
        self._depth -= 1
        return tuple(commands)

    def _commands_of(self, opening: Token) -> list[Command]:
        """Those of a block, to behind its } or to where that is missing."""
        commands: list[Command] = []
        while len(self.faults) < MOST_FAULTS:
            if self._is("}"):
                self._at += 1
                break
            if self._now.kind is Kind.END:
                self._note(opening, "This { has no }; put one where its block ends.")
                break
            if self._unclosed > 0 and self._is_of_outer(commands):
                self._unclosed -= 1
                branch = self._now
                where = f"before the {branch.text} in line {branch.line}"
                self._note(opening, f"This {{ has no }}; put one {where}.")
                break
            self._add_command(commands)
        return commands

    def _is_of_outer(self, commands: list[Command]) -> bool:
        """Whether an elsif or else comes that belongs to an if around this block."""
        return (
            self._now.kind is Kind.IDENTIFIER
            and self._now.text in {"elsif", "else"}
            and not (commands and commands[-1].name in {"if", "elsif"})
        )

    def _enter(self, token: Token) -> None:
        self._depth += 1
        if self._depth > self._most_depth:
            raise self._wrong(
                token, f"Blocks and tests are nested deeper than {self._most_depth}; flatten them."
            )

    def _arguments(self) -> tuple[Argument, ...]:
        arguments: list[Argument] = []
        while True:
            token = self._now
            if token.kind is Kind.TEXT:
                arguments.append(Text(token.line, token.column, token.text))
            elif token.kind is Kind.TAG:
                arguments.append(Tag(token.line, token.column, token.text))
            elif token.kind is Kind.NUMBER:
                arguments.append(Number(token.line, token.column, token.number))
            elif self._is("["):
                arguments.append(self._strings())
                continue
            else:
                return tuple(arguments)
            self._at += 1

    def _strings(self) -> Strings:
        opening = self._now
        self._at += 1
        items: list[Text] = []
        while True:
            token = self._now
            if token.kind is not Kind.TEXT:
                raise self._wrong(
                    token, f"A list in [ ] holds strings with commas between, not {_shown(token)}."
                )
            items.append(Text(token.line, token.column, token.text))
            self._at += 1
            if self._is("]"):
                self._at += 1
                return Strings(opening.line, opening.column, tuple(items))
            if not self._is(","):
                raise self._wrong(
                    self._now, f"A comma or ] is missing in the list, before {_shown(self._now)}."
                )
            self._at += 1

    def _tests(self) -> tuple[Test, ...]:
        if self._now.kind is Kind.IDENTIFIER:
            return (self._test(),)
        if not self._is("("):
            return ()
        self._enter(self._now)
        self._at += 1
        tests = [self._test()]
        while self._is(","):
            self._at += 1
            tests.append(self._test())
        if not self._is(")"):
            raise self._wrong(
                self._now, f"A comma or ) is missing between tests, before {_shown(self._now)}."
            )
        self._at += 1
        self._depth -= 1
        return tuple(tests)

    def _test(self) -> Test:
        token = self._now
        if token.kind is not Kind.IDENTIFIER:
            raise self._wrong(token, f"A test is to begin here, and not {_shown(token)}.")
        self._enter(token)
        self._at += 1
        arguments = self._arguments()
        tests = self._tests()
        self._depth -= 1
        return Test(token.line, token.column, token.text, arguments, tests)


def _shown(token: Token) -> str:
    if token.kind is Kind.END:
        return "the end of the script"
    if token.kind is Kind.TEXT:
        return "a string"
    return f":{token.text}" if token.kind is Kind.TAG else token.text
