"""A compiled script as it is kept in the store: rows of octets that are made functions of when they are run.

RFC: none.
Invariants: a script is ready as soon as its rows were told apart, long before they are compiled; what was
    made of ifs that may be skipped is forgotten when it becomes much.
Not here: compiling (compiler.py), running ifs together (table.py), where scripts are kept (store/scripts.py).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from postino.sieve.actions import Place
from postino.sieve.faults import RunTimeFault
from postino.sieve.ifs import branch_of, command_needs, else_block, grouped, is_chain
from postino.sieve.language.syntax import Command, Tree
from postino.sieve.table import Branch, Index, index_of, table
from postino.sieve.vocabulary import Op

if TYPE_CHECKING:
    from postino.sieve.compiler import Compiling

_VERSION: Final = b"2:"
"""Of the stored form: another version's is not read, but compiled from the source again."""
_MOST_MADE: Final = 2048
"""Stored octets of which functions are kept, for ifs that seldom apply."""
_MADE_FACTOR: Final = 36
"""How much larger functions are than what they were made of (tests/unit/delivery/test_scripts.py)."""
_READ_FACTOR: Final = 3
"""The same for what is only told apart."""


class _Row(msgspec.Struct, frozen=True, array_like=True):
    """One command, or ifs that are run together."""

    line: int
    column: int
    commands: list[msgspec.Raw]
    index: Index | None = None
    """None: one command."""
    otherwise: list[msgspec.Raw] = []
    """The else, if there is one."""
    is_chain: bool = False


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    end_line: int
    required: list[str]
    rows: list[_Row]


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Stored)
_COMMANDS: Final = msgspec.msgpack.Decoder(Command)
_TOLD_ABOVE: Final = frozenset({"ihave", "include"})
"""Extensions by which what stands below depends on what stands above."""


def to_stored(tree: Tree, compiling: "Compiling") -> bytes:
    """The octets of a script that `compiling` compiled."""
    rows = [_row_of(group, compiling) for group in grouped(tree.commands)]
    return _VERSION + _ENCODER.encode(_Stored(tree.end_line, sorted(compiling.required), rows))


def _row_of(commands: Sequence[Command], compiling: "Compiling") -> _Row:
    first = commands[0]
    raw = [msgspec.Raw(_ENCODER.encode(command)) for command in commands]
    if first.name != "if":
        return _Row(first.line, first.column, raw)
    otherwise = [raw.pop()] if commands[-1].name == "else" else []
    index = index_of([command_needs(compiling, command) for command in commands[: len(raw)]])
    return _Row(first.line, first.column, raw, index, otherwise, is_chain(commands))


class StoredScript:
    """What was stored, told apart."""

    def __init__(self, octets: bytes) -> None:
        """Raises ValueError for what another version stored."""
        if not octets.startswith(_VERSION):
            raise ValueError("the script was stored by another version")
        try:
            self._stored = _DECODER.decode(memoryview(octets)[len(_VERSION) :])
        except msgspec.DecodeError as fault:
            raise ValueError(f"the stored script is damaged: {fault}") from None
        self._octets = len(octets)
        self.end_line = self._stored.end_line
        self.required = frozenset(self._stored.required)
        self._is_in_order = bool(self.required & _TOLD_ABOVE)

    @property
    def footprint(self) -> int:
        """About how many octets of memory it takes, with all that is kept of what is made of it."""
        if self._is_in_order:
            return self._octets * _MADE_FACTOR
        always = sum([len(raw) for row in self._stored.rows for raw in (*self._kept(row), *row.otherwise)])
        return _READ_FACTOR * self._octets + _MADE_FACTOR * (always + min(_MOST_MADE, self._octets))

    def _kept(self, row: _Row) -> Iterable[msgspec.Raw]:
        if row.index is None:
            return row.commands
        return [row.commands[number] for number in row.index.always]

    def commands(self) -> list[Command]:
        """The script's tree."""
        return [_COMMANDS.decode(raw) for row in self._stored.rows for raw in (*row.commands, *row.otherwise)]

    def ops(self, name: str, compiling: "Callable[[Iterable[str]], Compiling]") -> list[Op]:
        """The script's ops; `compiling` is given what was required in front of what it is to compile."""
        stored = self._stored
        if self._is_in_order:
            return compiling(()).block(self.commands(), at_top=True)
        ops: list[Op] = []
        making = _Making(name, lambda: compiling(stored.required))
        for row in stored.rows:
            if row.index is None:
                ops += compiling(stored.required).block([_COMMANDS.decode(row.commands[0])], at_top=True)
            else:
                ops.append(making.table(row, row.index))
        return ops


class _Making:
    """Makes the ifs of one script when they are first run."""

    def __init__(self, name: str, compiling: "Callable[[], Compiling]") -> None:
        self._name = name
        self._compiling = compiling
        self._passing: dict[tuple[int, int], tuple[Branch, int]] = {}
        """Those that need not be kept, by row and number, with their stored octets."""

    def table(self, row: _Row, index: Index) -> Op:
        """The op of a row."""
        always = frozenset(index.always)
        kept: dict[int, Branch] = {}

        def branch_at(number: int) -> Branch:
            if number not in always:
                return self._now_and_then(row.commands[number], (id(row), number))
            made = kept.get(number)
            if made is None:
                made = kept[number] = self._made(row.commands[number])
            return made

        otherwise = None
        if row.otherwise:
            otherwise = else_block(self._compiling(), _COMMANDS.decode(row.otherwise[0]))
        return table(
            Place(self._name, row.line, row.column),
            index,
            branch_at,
            len(row.commands),
            otherwise=otherwise,
            is_chain=row.is_chain,
        )

    def _now_and_then(self, raw: msgspec.Raw, key: tuple[int, int]) -> Branch:
        known = self._passing.get(key)
        if known is not None:
            return known[0]
        made = self._made(raw)
        # A script whose ifs apply in turn would in the end be kept whole. Other threads may run it too: what
        # they see is replaced, not changed.
        passing = self._passing
        if len(raw) + sum([octets for _, octets in passing.values()]) > _MOST_MADE:
            passing = {}
        self._passing = {**passing, key: (made, len(raw))}
        return made

    def _made(self, raw: msgspec.Raw) -> Branch:
        compiling = self._compiling()
        command = _COMMANDS.decode(raw)
        made = branch_of(compiling, command)
        if made is None or compiling.faults:
            place = Place(self._name, command.line, command.column)
            raise RunTimeFault(place, "put the script again, for it is no longer valid")
        return made
