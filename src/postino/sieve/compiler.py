"""Check a script's tree against what its extensions know, and make functions of it; all faults at once.

RFC: 5228 §2.6 (arguments), §2.10.5-§2.10.7 (require, errors, when they are found), §3 (control commands).
Invariants: what compiles runs: arguments have the right kinds, extensions were required, faults have places.
Not here: what single commands do (basics/, extensions/), ifs (ifs.py), the grammar (language/).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from postino.sieve.actions import Place
from postino.sieve.bound import Bound
from postino.sieve.compiled import counted, executed, kind_of, listed, short
from postino.sieve.faults import MOST_FAULTS, Fault
from postino.sieve.folding import FOLDS
from postino.sieve.ifs import grouped, joined
from postino.sieve.language.printer import show_command, show_test
from postino.sieve.language.syntax import Argument, Command, Number, Strings, Tag, Test, Text
from postino.sieve.texts import (
    VARIABLE_NAME,
    BadCharacter,
    TextValue,
    decode_characters,
    made_of,
    variables_in,
)
from postino.sieve.vocabulary import (
    Check,
    CommandSpec,
    EnvelopePart,
    Extension,
    Matching,
    MatchSpec,
    MatchType,
    Op,
    TagSpec,
    Takes,
    Tests,
    TestSpec,
)

if TYPE_CHECKING:
    from postino.sieve.run import Run

_MOST_MATCH_DIGITS: Final = 3
_COMPARATOR: Final = TagSpec(name="comparator", takes=Takes.STRING)
_NUMERIC: Final = "i;ascii-numeric"
_COMPARATORS: Final = {
    "i;octet": "",
    "i;ascii-casemap": "",
    _NUMERIC: "comparator-i;ascii-numeric",
    "i;unicode-casemap": "comparator-i;unicode-casemap",
}
_ALWAYS: Final = frozenset({"comparator-i;octet", "comparator-i;ascii-casemap"})


class Vocabulary:
    """Everything extensions know, by name."""

    def __init__(self, extensions: Sequence[Extension]) -> None:
        self.extensions = {extension.name: extension for extension in extensions}
        self.commands: dict[str, CommandSpec] = {}
        self.tests: dict[str, TestSpec] = {}
        self.tags: dict[str, dict[str, TagSpec]] = {}
        self.match_types: dict[str, MatchType] = {}
        self.envelope_parts: dict[str, tuple[str, EnvelopePart]] = {}
        """By lower-case name, with the extension that has it."""
        self.owners: dict[tuple[str, str], str] = {}
        """The extension of each ("command" | "test" | "match", name)."""
        for extension in extensions:
            for command in extension.commands:
                self.commands[command.name] = command
                self.owners["command", command.name] = command.extension or extension.name
                self._add_tags(command.name, command.tags, "")
            for test in extension.tests:
                self.tests[test.name] = test
                self.owners["test", test.name] = test.extension or extension.name
                self._add_tags(test.name, test.tags, "")
            for part in extension.envelope_parts:
                self.envelope_parts[part.name] = (extension.name, part)
            for match_type in extension.match_types:
                self.match_types[match_type.name] = match_type
                self.owners["match", match_type.name] = extension.name
        for extension in extensions:
            for more in extension.more_tags:
                for name in more.to:
                    self._add_tags(name, more.tags, extension.name)

    def _add_tags(self, name: str, tags: Sequence[TagSpec], extension: str) -> None:
        known = self.tags.setdefault(name, {})
        for tag in tags:
            known[tag.name] = TagSpec(
                name=tag.name, takes=tag.takes, group=tag.group, extension=tag.extension or extension
            )


class Compiling:
    """One script being compiled."""

    def __init__(
        self, vocabulary: Vocabulary, name: str, *, traced: bool = False, required: Iterable[str] = ()
    ) -> None:
        """`required`: what was required in front of what is to be compiled."""
        self.name = name
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []
        self.required: set[str] = set()
        self.enabled: set[str] = {"", *_ALWAYS}
        self.vocabulary = vocabulary
        self.loops: list[str] = []
        """The names of the foreverypart loops we are in; empty for those without."""
        self.shared: set[str] = set()
        """Variables that `global` declared (extensions/include.py)."""
        self.set_names: set[str] = set()
        """Variables that were set, as stored."""
        self.is_lenient = False
        """An ihave asked for what there is not: what is unknown from there on fails when it is run."""
        self._lacks: list[tuple[Command | Test | Argument, str]] = []
        """What the command being compiled lacks, where that is to be found out when it is run."""
        self._traced = traced
        for extension in required:
            self.enable(extension)

    # What extensions call.

    def place(self, node: Command | Test | Argument) -> Place:
        """Where something stands."""
        return Place(self.name, node.line, node.column)

    def fault(self, node: Command | Test | Argument, words: str) -> None:
        """Note what is wrong, in a sentence that says what to do."""
        self.faults.append(Fault(self.place(node), words))

    def warn(self, node: Command | Test | Argument, words: str) -> None:
        """Note what is allowed and probably not meant."""
        self.warnings.append(Fault(self.place(node), words))

    def _lack(self, node: Command | Test | Argument, words: str, *, is_known: bool) -> None:
        # RFC 5463 §4 point 2: with ihave, this is a fault when it is run, not before.
        if self.is_lenient or (is_known and self.has("ihave")):
            self._lacks.append((node, words))
        else:
            self.fault(node, words)

    def has(self, extension: str) -> bool:
        """Whether the script required it."""
        return extension in self.enabled

    def text(self, node: Text) -> TextValue:
        """A string, with what variables and encoded-character make of it."""
        value = node.value
        if "${" not in value:
            return value
        if self.has("encoded-character"):
            try:
                value = decode_characters(value)
            except BadCharacter as bad:
                self.fault(node, f"{bad} is no Unicode character.")
        if not self.has("variables"):
            return value
        for name in variables_in(value):
            if "." in name and not self._is_shared(name) and not self._is_item(name):
                self.fault(node, f"There are no variables called {name}; write a name without a full stop.")
            elif name.isdigit() and len(name.lstrip("0")) > _MOST_MATCH_DIGITS:
                self.fault(node, f"No pattern has piece {name}; pieces go from ${{0}} to ${{999}}.")
        return made_of(value, self.stored_name)

    def stored_name(self, name: str) -> str:
        """Under which name a variable's value is kept while the script runs (RFC 6609 §3.4)."""
        name = name.lower()
        return f"global.{name}" if name in self.shared else name

    def settable(self, node: Command | Test | Argument, name: str) -> str:
        """The stored name of a variable to be set; notes a name that cannot be set."""
        if VARIABLE_NAME.fullmatch(name) is None:
            if not self._is_shared(name.lower()):
                self.fault(node, f"{name!r} cannot be a variable: letters, digits and _, no digit first.")
            return name.lower()
        stored = self.stored_name(name)
        self.set_names.add(stored)
        return stored

    def _is_shared(self, name: str) -> bool:
        space, _, rest = name.partition(".")
        return space == "global" and self.has("include") and VARIABLE_NAME.fullmatch(rest) is not None

    def _is_item(self, name: str) -> bool:
        return name.startswith("env.") and self.has("vnd.dovecot.environment")

    def matching(
        self,
        bound: Bound,
        keys: Sequence[TextValue],
        *,
        sets_matches: bool = True,
        fault: Callable[[str], None] | None = None,
    ) -> Matching:
        """How the test compares with its keys; `fault` is told of those that are known only in a run."""
        given = next((name for name in bound.tags if name in self.vocabulary.match_types), "is")
        match_type = self.vocabulary.match_types[given]
        comparator = bound.tags.get("comparator")
        if comparator is not None and not match_type.has_comparator:
            self.fault(comparator, f":{given} compares in its own way; remove :comparator.")
        name = comparator.value if isinstance(comparator, Text) else "i;ascii-casemap"
        needed = _COMPARATORS.get(name)
        if needed is None and comparator is not None:
            words = f"There is no comparator {name}; known are {', '.join(_COMPARATORS)}."
            self._lack(comparator, words, is_known=False)
        elif needed and comparator is not None and not self.has(needed):
            self._lack(
                comparator, f'The comparator {name} needs require "{needed}"; at the top.', is_known=True
            )
        return match_type.make(
            MatchSpec(
                keys=keys,
                comparator=name,
                fold=None if name == _NUMERIC else FOLDS.get(name, FOLDS["i;octet"]),
                relation=bound.texts.get(given, ()),
                keeps_matches=sets_matches and self.has("variables"),
                fault=fault or (lambda words: self.fault(bound.node, words)),
            )
        )

    def require(self, names: Sequence[Text]) -> list[str]:
        """Make extensions known; gives those there are not."""
        unknown = []
        for text in names:
            name = text.value
            extension = self.vocabulary.extensions.get(name)
            if not name or (extension is None and name not in _ALWAYS):
                unknown.append(name)
                continue
            self.enable(name)
        return unknown

    def can_enable(self, name: str) -> bool:
        """Whether this server has an extension."""
        return bool(name) and (name in self.vocabulary.extensions or name in _ALWAYS)

    def enable(self, name: str) -> None:
        """Make an extension known from here on."""
        self.required.add(name)
        self.enabled.add(name)
        extension = self.vocabulary.extensions.get(name)
        if extension is not None:
            self.enabled.update(extension.implies)

    # The tree.

    def script(self, commands: Sequence[Command]) -> Op:
        """The whole script."""
        return executed(self.block(commands, at_top=True))

    def block(self, commands: Sequence[Command], *, at_top: bool = False) -> list[Op]:
        """The commands of a block, in a row."""
        ops: list[Op] = []
        may_require = at_top
        for group in grouped(commands):
            if self.has_enough_faults:
                break
            command = group[0]
            if command.name == "require":
                self._require(command, may_require=may_require)
                continue
            may_require = False
            if command.name == "if":
                ops.append(joined(self, group))
            elif command.name in {"elsif", "else"}:
                self.fault(command, f"{command.name} stands only right behind the block of an if or elsif.")
            elif (made := self._command(command)) is not None:
                ops.append(made)
        return ops

    @property
    def has_enough_faults(self) -> bool:
        """Whether to look for more would help nobody."""
        return len(self.faults) >= MOST_FAULTS

    def _require(self, command: Command, *, may_require: bool) -> None:
        arguments = command.arguments
        if len(arguments) != 1 or not isinstance(arguments[0], Text | Strings) or command.tests:
            self.fault(command, 'require takes one string or a list of strings: require ["fileinto"];')
            return
        if command.block is not None:
            self.fault(command, "require ends with a semicolon, not with a block.")
        if not may_require:
            self.fault(command, "require stands at the top of the script, before every other command.")
        given = arguments[0]
        names = given.items if isinstance(given, Strings) else (given,)
        for name in self.require(names):
            near = get_close_matches(name, self.vocabulary.extensions, 1)
            advice = f"; did you mean {near[0]}?" if near else "; remove it, and what uses it."
            self.fault(given, f"This server has no extension {name!r}{advice}")
        fresh = {item.value for item in names}
        for name in sorted(self.required & self.vocabulary.extensions.keys()):
            for other in self.vocabulary.extensions[name].excludes:
                if other in self.required and fresh & {name, other}:
                    self.fault(given, f"{other} cannot be used together with {name}; remove one of them.")

    @property
    def may_skip(self) -> bool:
        """Whether tests that cannot be true need not be run: nobody looks on, and none fails on its own."""
        return not self._traced and not self.has("ihave")

    def _command(self, command: Command) -> Op | None:
        faults, lacks = len(self.faults), len(self._lacks)
        op = self._compiled_command(command)
        return self._lacking(command, faults, lacks) or op

    def _lacking(self, node: Command | Test, faults: int, lacks: int) -> Op | None:
        """What stands for a command or test that lacks something; faults may have come of that too."""
        if len(self._lacks) == lacks:
            return None
        words = self._lacks[lacks][1]
        del self.faults[faults:], self._lacks[lacks:]
        self.warn(node, f"This ends the script when it is run: {words}")
        place = self.place(node)

        def lacking(run: "Run") -> bool:
            run.place = place
            raise run.fault(words)

        return lacking

    def _compiled_command(self, command: Command) -> Op | None:
        name = command.name
        spec = self.vocabulary.commands.get(name)
        if spec is None or not self._may_use("command", name):
            self._unknown(command, "command", self.vocabulary.commands)
            if command.block and not self._lacks:
                self.block(command.block)
            return None
        bound = self._bind(command, spec)
        if spec.has_block and command.block is None:
            self.fault(command, f"{name} needs a block in {{ }} behind it.")
        elif not spec.has_block and command.block is not None:
            self.fault(command, f"{name} ends with a semicolon, not with a block.")
        if bound is None:
            if command.block:
                self.block(command.block)
            return None
        op = spec.compile(self, bound)
        return self._told(command, op) if self._traced else op

    def check(self, test: Test) -> Check:
        """A compiled test; of one with faults, something that is never run."""
        faults, lacks = len(self.faults), len(self._lacks)
        check = self._compiled_test(test)
        return self._lacking(test, faults, lacks) or check

    def _compiled_test(self, test: Test) -> Check:
        name = test.name
        spec = self.vocabulary.tests.get(name)
        if spec is None or not self._may_use("test", name):
            self._unknown(test, "test", self.vocabulary.tests)
            for inner in test.tests:
                self.check(inner)
            return _never
        bound = self._bind(test, spec)
        if bound is None:
            return _never
        check = spec.compile(self, bound)
        return self._told_check(test, check) if self._traced else check

    def _may_use(self, kind: str, name: str) -> bool:
        return self.vocabulary.owners[kind, name] in self.enabled

    def _unknown(self, node: Command | Test, kind: str, known: Mapping[str, object]) -> None:
        name = node.name
        if name in known:
            owner = self.vocabulary.owners[kind, name]
            self._lack(node, f'{name} needs require "{owner}"; at the top of the script.', is_known=True)
        elif kind == "command" and name in self.vocabulary.tests:
            self.fault(node, f"{name} is a test; it belongs behind an if.")
        elif kind == "test" and name in self.vocabulary.commands:
            self.fault(node, f"{name} is an action; it belongs into a block: if ... {{ {name} ...; }}.")
        else:
            near = get_close_matches(name, [*known, "if", "elsif", "else"] if kind == "command" else known, 1)
            advice = f"; did you mean {near[0]}?" if near else "."
            self._lack(node, f"There is no {kind} {name}{advice}", is_known=False)

    # Arguments.

    def _bind(self, node: Command | Test, spec: CommandSpec | TestSpec) -> Bound | None:
        faults = len(self.faults)
        bound = Bound(node=node, place=self.place(node), tags={}, texts={}, numbers={}, checks=[], block=[])
        rest = self._bind_tags(node, spec, bound)
        self._bind_positional(node, spec, rest, bound)
        self._bind_tests(node, spec, bound)
        if isinstance(node, Command) and spec_has_block(spec) and node.block is not None:
            name = bound.texts.get("name", [""])[0]
            self.loops.append(name if isinstance(name, str) else "")
            bound.block = self.block(node.block)
            self.loops.pop()
        return bound if len(self.faults) == faults else None

    def _bind_tags(self, node: Command | Test, spec: CommandSpec | TestSpec, bound: Bound) -> list[Argument]:
        allowed = self.vocabulary.tags[spec.name]
        matches = spec.matches
        groups: dict[str, str] = {}
        arguments = list(node.arguments)
        positional: list[Argument] = []
        at = 0
        while at < len(arguments):
            argument = arguments[at]
            at += 1
            if not isinstance(argument, Tag):
                positional.append(argument)
                continue
            tag = self._tag(argument, allowed, spec.name, matches=matches)
            if tag is None:
                continue
            if positional:
                self.fault(argument, f":{tag.name} stands before the other arguments of {spec.name}.")
            if tag.name in bound.tags:
                self.fault(argument, f":{tag.name} is there twice; remove one.")
            if tag.group and groups.setdefault(tag.group, tag.name) != tag.name:
                self.fault(argument, f":{tag.name} and :{groups[tag.group]} exclude each other; keep one.")
            bound.tags[tag.name] = None
            if tag.takes is not None:
                if at >= len(arguments):
                    self.fault(argument, f":{tag.name} takes {tag.takes.value} behind it.")
                    break
                value = arguments[at]
                at += 1
                if self._takes(value, tag.takes, f":{tag.name}"):
                    assert not isinstance(value, Tag)
                    bound.tags[tag.name] = value
                    self._keep(tag.name, value, bound)
        return positional

    def _tag(
        self, argument: Tag, allowed: Mapping[str, TagSpec], of: str, *, matches: bool
    ) -> TagSpec | None:
        name = argument.name
        tag = allowed.get(name)
        if tag is None and matches:
            if name == "comparator":
                return _COMPARATOR
            match_type = self.vocabulary.match_types.get(name)
            if match_type is not None and match_type.tests and of not in match_type.tests:
                words = f":{name} is for {', '.join(match_type.tests)}, not for {of}."
                self.fault(argument, words)
            if match_type is not None:
                owner = self.vocabulary.owners["match", name]
                tag = TagSpec(name=name, takes=match_type.takes, extension=owner, group="match type")
        if tag is None:
            near = get_close_matches(name, allowed, 1)
            advice = f"; did you mean :{near[0]}?" if near else "."
            self._lack(argument, f"{of} has no :{name}{advice}", is_known=False)
            return None
        if tag.extension not in self.enabled:
            words = f':{name} of {of} needs require "{tag.extension}"; at the top of the script.'
            self._lack(argument, words, is_known=True)
        return tag

    def _takes(self, value: Argument, takes: Takes, of: str) -> bool:
        if takes is Takes.NUMBER:
            fits = isinstance(value, Number)
        else:
            fits = isinstance(value, Text) or (takes is Takes.STRINGS and isinstance(value, Strings))
        if not fits:
            self.fault(value, f"{of} takes {takes.value} here, not {kind_of(value)}.")
        return fits

    def _keep(self, name: str, value: Argument, bound: Bound) -> None:
        match value:
            case Text():
                bound.texts[name] = [self.text(value)]
            case Strings():
                bound.texts[name] = [self.text(item) for item in value.items]
            case Number():
                bound.numbers[name] = value.value
            case Tag():
                raise AssertionError(value)

    def _bind_positional(
        self,
        node: Command | Test,
        spec: CommandSpec | TestSpec,
        given: Sequence[Argument],
        bound: Bound,
    ) -> None:
        params = list(spec.params)
        if isinstance(spec, CommandSpec) and spec.optional_last and len(given) == len(params) - 1:
            params.pop()
        least = len(params) - spec.optional
        if not least <= len(given) <= len(params):
            self.fault(node, f"{spec.name} takes {listed(params, spec.optional)}, and {counted(given)}.")
            return
        for (name, takes), value in zip(params[len(params) - len(given) :], given, strict=True):
            if self._takes(value, takes, spec.name):
                self._keep(name, value, bound)

    def _bind_tests(self, node: Command | Test, spec: CommandSpec | TestSpec, bound: Bound) -> None:
        tests = node.tests
        match spec.tests:
            case Tests.NONE:
                if tests:
                    missing = "; is there a ; missing before it?" if isinstance(node, Command) else "."
                    self.fault(tests[0], f"{spec.name} takes no test{missing}")
                    return
            case Tests.ONE:
                if len(tests) != 1:
                    self.fault(node, f"{spec.name} takes one test behind it.")
            case Tests.MANY:
                if not tests:
                    self.fault(node, f"{spec.name} takes tests in ( ), with commas between.")
        bound.checks = [self.check(test) for test in tests]

    # Telling.

    def _told(self, command: Command, op: Op) -> Op:
        place, words = self.place(command), short(show_command(command))

        def told(run: "Run") -> bool:
            run.place = place
            run.note(words)
            return op(run)

        return told

    def _told_check(self, test: Test, check: Check) -> Check:
        place, words = self.place(test), short(show_test(test))

        def told(run: "Run") -> bool:
            run.place = place
            answer = check(run)
            run.place = place
            run.note(f"{words} -> {'true' if answer else 'false'}")
            return answer

        return told


def spec_has_block(spec: CommandSpec | TestSpec) -> bool:
    """Whether it is a command with a block."""
    return isinstance(spec, CommandSpec) and spec.has_block


def _never(run: "Run") -> bool:
    """Stands for a test with faults: such a script is not run."""
    raise run.fault("this test has faults")
