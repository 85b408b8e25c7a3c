"""Compile if, elsif and else: what is wrong with them, and which of them are run together.

RFC: 5228 §3.1.
Not here: running them (table.py), tests and blocks themselves (compiler.py).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from postino.sieve.compiled import executed
from postino.sieve.language.syntax import Command
from postino.sieve.needs import Needs, needs_of
from postino.sieve.table import Branch, index_of, table
from postino.sieve.vocabulary import Op

if TYPE_CHECKING:
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_LEAST_BRANCHES: Final = 3
"""Fewer are run one by one in less time."""


def grouped(commands: Iterable[Command]) -> Iterator[list[Command]]:
    """What is run together: ifs that follow each other, an if with its elsif and else; others alone."""
    alike: list[Command] = []
    for chain in _chains(commands):
        if chain[0].name == "if" and len(chain) == 1:
            alike += chain
            continue
        if alike:
            yield alike
            alike = []
        yield chain
    if alike:
        yield alike


def _chains(commands: Iterable[Command]) -> Iterator[list[Command]]:
    chain: list[Command] = []
    for command in commands:
        if chain and (chain[0].name != "if" or command.name not in {"elsif", "else"}):
            yield chain
            chain = []
        chain.append(command)
    if chain:
        yield chain


def is_chain(group: Sequence[Command]) -> bool:
    """Whether only the first if that is true is run."""
    return len(group) > 1 and group[1].name != "if"


def joined(compiling: "Compiling", group: Sequence[Command]) -> Op:
    """The op of a group that begins with an if."""
    branches: list[Branch] = []
    needs: list[Needs] = []
    otherwise: Op | None = None
    for command in group:
        if compiling.has_enough_faults:
            break
        if otherwise is not None:
            compiling.fault(command, f"Nothing of an if may follow its else; remove this {command.name}.")
        if command.name == "else":
            otherwise = else_block(compiling, command)
            continue
        branch = branch_of(compiling, command)
        if branch is not None:
            branches.append(branch)
            needs.append(command_needs(compiling, command))
    only_first = is_chain(group)
    if len(branches) >= _LEAST_BRANCHES and any(some is not None for some in needs):
        return table(
            branches[0].place,
            index_of(needs),
            branches.__getitem__,
            len(branches),
            otherwise=otherwise,
            is_chain=only_first,
        )

    def one_by_one(run: "Run") -> bool:
        for place, check, block in branches:
            run.place = place
            run.spend(1)
            if check(run):
                if block(run):
                    return True
                if only_first:
                    return False
        return otherwise(run) if otherwise is not None else False

    return one_by_one


def branch_of(compiling: "Compiling", command: Command) -> Branch | None:
    """An if or elsif; None for one without a test."""
    name = command.name
    _look_at_block(compiling, command)
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
