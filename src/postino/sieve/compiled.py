"""Functions that run blocks and ifs, and words for arguments: what the compiler puts together.

RFC: 5228 §3.1 (if), §2.6 (arguments).
Not here: checking (compiler.py).
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from postino.sieve.actions import Place
from postino.sieve.language.syntax import Argument, Number, Strings, Tag, Text
from postino.sieve.vocabulary import Check, Op, Takes

if TYPE_CHECKING:
    from postino.sieve.run import Run

_MOST_SHOWN: Final = 200


class OneIf(msgspec.Struct, frozen=True):
    """An if without elsif and else."""

    place: Place
    check: Check
    block: Op

    def __call__(self, run: "Run") -> bool:
        """Run it."""
        run.place = self.place
        run.left -= 1
        if run.left < 0:
            run.look()
        return self.block(run) if self.check(run) else False


def executed(ops: Sequence[Op]) -> Op:
    """One op of many; ends when one of them ends the script."""
    row = tuple(_grouped(ops))
    if len(row) == 1:
        return row[0]

    def execute(run: "Run") -> bool:
        for op in row:  # noqa: SIM110
            if op(run):
                return True
        return False

    return execute


def _grouped(ops: Sequence[Op]) -> Iterator[Op]:
    """The ops, with ifs that follow each other made one."""
    ifs: list[OneIf] = []
    for op in ops:
        if isinstance(op, OneIf):
            ifs.append(op)
            continue
        if ifs:
            yield _all_of(ifs)
            ifs = []
        yield op
    if ifs:
        yield _all_of(ifs)


def _all_of(ifs: Sequence[OneIf]) -> Op:
    if len(ifs) == 1:
        return ifs[0]
    # PERF: the most usual form: a hundred of them are run for one message. Scripts of many accounts do not
    # stay in the processor's cache, so what counts is how many objects a rule is made of.
    rows = tuple([(one.check, one.block, one.place) for one in ifs])

    def decide(run: "Run") -> bool:
        for check, block, place in rows:
            run.place = place
            run.left -= 1
            if run.left < 0:
                run.look()
            if check(run) and block(run):
                return True
        return False

    return decide


def branching(branches: Sequence[tuple[Place, Check, Op]], otherwise: Op | None) -> Op:
    """An if with its branches; `otherwise` is the else."""
    if len(branches) == 1 and otherwise is None:
        return OneIf(*branches[0])
    row = tuple(branches)

    def decide_between(run: "Run") -> bool:
        for place, check, block in row:
            run.place = place
            run.left -= 1
            if run.left < 0:
                run.look()
            if check(run):
                return block(run)
        return otherwise(run) if otherwise is not None else False

    return decide_between


def kind_of(value: Argument) -> str:
    """What an argument is, in words."""
    match value:
        case Text():
            return "a string"
        case Strings():
            return "a list of strings"
        case Number():
            return "a number"
        case Tag():
            return f":{value.name}"


def listed(params: Sequence[tuple[str, Takes]], optional: int) -> str:
    """What a command takes, in words."""
    if not params:
        return "no arguments"
    words = [
        f"{name.replace('_', ' ')} ({takes.value}{', may be missing' if number < optional else ''})"
        for number, (name, takes) in enumerate(params)
    ]
    return " and ".join(words)


def counted(given: Sequence[Argument]) -> str:
    """How many arguments there are, in words."""
    if not given:
        return "there is none"
    return "there is one" if len(given) == 1 else f"there are {len(given)}"


def short(words: str) -> str:
    """The beginning of what is long."""
    return words if len(words) <= _MOST_SHOWN else words[:_MOST_SHOWN] + "..."
