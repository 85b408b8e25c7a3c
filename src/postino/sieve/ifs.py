"""Compile if, elsif and else: what is wrong with them, and which of them are run together.

RFC: 5228 §3.1.
Not here: running them (table.py), tests and blocks themselves (compiler.py).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from postino.sieve.compiled import executed
from postino.sieve.language.syntax import Command
from postino.sieve.needs import Needs, needs_of
from postino.sieve.table import Branch, index_of, table
from postino.sieve.vocabulary import Check, Op

if TYPE_CHECKING:
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_LEAST_BRANCHES: Final = 3
"""Fewer are run one by one in less time."""


class Ifs:
    """Ifs without elsif and else that follow each other."""

    def __init__(self, compiling: "Compiling") -> None:
        self._compiling = compiling
        self._branches: list[Branch] = []
        self._needs: list[Needs] = []

    def add(self, command: Command) -> None:
        """The next one."""
        branch = branch_of(self._compiling, command)
        if branch is not None:
            self._branches.append(branch)
            self._needs.append(command_needs(self._compiling, command))

    def taken(self) -> list[Op]:
        """The ops of those added so far; none of them is left."""
        branches, needs = self._branches, self._needs
        self._branches, self._needs = [], []
        if not branches:
            return []
        return [_joined(branches, needs)]


def chained(compiling: "Compiling", chain: Sequence[Command]) -> Op:
    """An if with what follows it."""
    branches: list[Branch] = []
    needs: list[Needs] = []
    otherwise: Op | None = None
    for command in chain:
        if otherwise is not None:
            compiling.fault(command, f"Nothing of an if may follow its else; remove this {command.name}.")
        if command.name == "else":
            otherwise = else_block(compiling, command)
            continue
        branch = branch_of(compiling, command)
        if branch is not None:
            branches.append(branch)
            needs.append(command_needs(compiling, command))
    return _joined(branches, needs, otherwise, is_chain=True)


def branch_of(compiling: "Compiling", command: Command) -> Branch | None:
    """An if or elsif; None for one without a test."""
    name = command.name
    _look_at_block(compiling, command)
    checks: list[Check] = []
    if len(command.tests) != 1:
        advice = "; put several into allof (...) or anyof (...)" if command.tests else ""
        compiling.fault(command, f"{name} takes one test{advice}.")
    checks = [compiling.check(test) for test in command.tests]
    block = executed(compiling.block(command.block or ()))
    return Branch(compiling.place(command), checks[0], block) if checks else None


def else_block(compiling: "Compiling", command: Command) -> Op:
    """What an else runs."""
    _look_at_block(compiling, command)
    if command.tests:
        compiling.fault(command, "else takes no test; write elsif for another condition.")
    return executed(compiling.block(command.block or ()))


def command_needs(compiling: "Compiling", command: Command) -> Needs:
    """What must be so for an if or elsif to be run."""
    if compiling.faults or not compiling.may_skip:
        return None
    return needs_of(command.tests[0], has_variables=compiling.has("variables"))


def _look_at_block(compiling: "Compiling", command: Command) -> None:
    if command.block is None:
        compiling.fault(command, f"{command.name} needs a block in {{ }} behind it.")
    if command.arguments:
        compiling.fault(command.arguments[0], f"{command.name} takes no arguments, only a test.")


def _joined(
    branches: Sequence[Branch], needs: Sequence[Needs], otherwise: Op | None = None, *, is_chain: bool = False
) -> Op:
    if len(branches) >= _LEAST_BRANCHES and any(some is not None for some in needs):
        return table(
            branches[0].place,
            index_of(needs),
            branches.__getitem__,
            len(branches),
            otherwise=otherwise,
            is_chain=is_chain,
        )

    def one_by_one(run: "Run") -> bool:
        for place, check, block in branches:
            run.place = place
            run.spend(1)
            if check(run):
                if block(run):
                    return True
                if is_chain:
                    return False
        return otherwise(run) if otherwise is not None else False

    return one_by_one
