"""Make a small program of an expression: steps between which a machine can be at several places at once.

RFC: draft-ietf-sieve-regex-01 §2.
Invariants: at most MAX_STEPS steps, whatever is counted; the first saves where a match begins.
Not here: running it (machine.py).
"""

from enum import Enum
from typing import Final, assert_never

import msgspec

from postino.sieve.regular.letters import Letters
from postino.sieve.regular.reading import (
    At,
    BadPattern,
    Either,
    Group,
    Node,
    One,
    Repeat,
    Row,
    Where,
)

MAX_STEPS: Final = 3000


class Kind(Enum):
    """What a step does."""

    LETTER = 0
    FORK = 1
    SAVE = 2
    AT = 3
    DONE = 4


class Step(msgspec.Struct):
    """One step. `next` is the one behind it, `other` the fork's second choice."""

    kind: Kind
    next: int = 0
    other: int = 0
    letters: Letters | None = None
    where: Where | None = None


def program_of(node: Node) -> list[Step]:
    """The program. Raises BadPattern when it would be too long."""
    steps: list[Step] = []

    def add(step: Step) -> int:
        if len(steps) >= MAX_STEPS:
            raise BadPattern("the expression is too large; count less in { }, or make several of it")
        step.next = len(steps) + 1
        steps.append(step)
        return len(steps) - 1

    def star(item: Node) -> None:
        fork = add(Step(Kind.FORK))
        emit(item)
        back = add(Step(Kind.FORK))
        steps[back].next = steps[back].other = fork
        steps[fork].other = len(steps)

    def repeat(node: Repeat) -> None:
        for _ in range(node.least):
            emit(node.item)
        if node.most is None:
            star(node.item)
            return
        forks = []
        for _ in range(node.most - node.least):
            forks.append(add(Step(Kind.FORK)))
            emit(node.item)
        for fork in forks:
            steps[fork].other = len(steps)

    def either(node: Either) -> None:
        leaving = []
        for item in node.items[:-1]:
            fork = add(Step(Kind.FORK))
            emit(item)
            leaving.append(add(Step(Kind.FORK)))
            steps[fork].other = len(steps)
        emit(node.items[-1])
        for step in leaving:
            steps[step].next = steps[step].other = len(steps)

    def emit(node: Node) -> None:
        match node:
            case One():
                add(Step(Kind.LETTER, letters=node.letters))
            case At():
                add(Step(Kind.AT, where=node.where))
            case Row():
                for item in node.items:
                    emit(item)
            case Either():
                either(node)
            case Repeat():
                repeat(node)
            case Group():
                add(Step(Kind.SAVE, other=2 * node.number))
                emit(node.item)
                add(Step(Kind.SAVE, other=2 * node.number + 1))
            case _:
                assert_never(node)

    add(Step(Kind.SAVE, other=0))
    emit(node)
    add(Step(Kind.SAVE, other=1))
    add(Step(Kind.DONE))
    return steps
