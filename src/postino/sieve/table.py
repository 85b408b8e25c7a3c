"""Ifs that follow each other, run together: fields are looked at once, and only ifs that may apply are tried.

Of a hundred usual rules, one or none applies to a message. Each field is compared with the words of all rules
at once; the tests of the others are never run, and when the script was stored, not even made.
RFC: 5228 §3.1 (if, elsif, else).
Invariants: the same ifs are true as when each was run in its turn (tests/unit/sieve/test_tables.py).
Not here: what a test needs (needs.py), making functions of tests and blocks (compiler.py).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from postino.sieve.actions import Place
from postino.sieve.basics.envelope import envelope_values
from postino.sieve.folding import fold_ascii
from postino.sieve.needs import Needs
from postino.sieve.parts import PARTS
from postino.sieve.vocabulary import Check, Op

if TYPE_CHECKING:
    from postino.sieve.run import Run

_LONG: Final = 1024


class Branch(NamedTuple):
    """One if or elsif with its block."""

    place: Place
    check: Check
    block: Op


class Ask(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Everything that is looked for in one place."""

    test: str
    name: str
    part: str
    equal: dict[str, list[int]]
    """By what a value has to be: the branches that may apply then."""
    held: dict[str, list[int]]
    """By what a value has to hold."""


class Index(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Which branches may apply to a message."""

    asks: list[Ask]
    always: list[int]
    """Branches of which nothing is known."""


def index_of(needs: Sequence[Needs]) -> Index:
    """The index of branches with these needs."""
    asks: dict[tuple[str, str, str], Ask] = {}
    always = []
    for number, some in enumerate(needs):
        if some is None:
            always.append(number)
            continue
        for need in some:
            place = (need.test, need.name, need.part)
            ask = asks.setdefault(place, Ask(*place, {}, {}))
            numbers = (ask.equal if need.is_whole else ask.held).setdefault(need.key, [])
            if number not in numbers:
                numbers.append(number)
    return Index(list(asks.values()), always)


def table(
    place: Place,
    index: Index,
    branch_at: Callable[[int], Branch],
    count: int,
    *,
    otherwise: Op | None = None,
    is_chain: bool = False,
) -> Op:
    """An op that runs the branches in their order.

    `place` is where the first one stands. `is_chain`: the first that is true is the only one, and `otherwise`
    is run when there is none.
    """

    def run_table(run: "Run") -> bool:
        run.place = place
        run.spend(count)
        message = run.message
        waiting = _candidates(run, index, count)
        at = 0
        while at < len(waiting):
            number = waiting[at]
            at += 1
            where, check, block = branch_at(number)
            run.place = where
            if not check(run):
                continue
            if is_chain:
                return block(run)
            if block(run):
                return True
            if run.message is not message:
                # The block edited the message: what comes behind sees another one.
                message = run.message
                waiting, at = [later for later in _candidates(run, index, count) if later > number], 0
        return otherwise(run) if otherwise is not None else False

    return run_table


def _candidates(run: "Run", index: Index, count: int) -> Sequence[int]:
    """The numbers of branches that may apply, in their order."""
    if run.during_imap():
        # Tests of the envelope end the script there, so they are to be run.
        return range(count)
    found = list(index.always)
    for ask in index.asks:
        values = _values(run, ask)
        equal, held = ask.equal, ask.held
        run.spend((len(values) * (1 + len(held))) >> 4)
        for value in values:
            if equal and value in equal:
                found += equal[value]
            if held:
                if len(value) > _LONG:
                    run.spend((len(value) >> 10) * len(held))
                for key, numbers in held.items():
                    if key in value:
                        found += numbers
    return sorted(set(found)) if len(found) > 1 else found


def _values(run: "Run", ask: Ask) -> Sequence[str]:
    if ask.test == "header":
        return run.message.folded(ask.name)
    if ask.test == "address":
        return run.message.address_parts(
            ask.name, PARTS[ask.part], run.circumstances.separator, is_folded=True
        )
    return [fold_ascii(value) for value in envelope_values(run, ask.name, PARTS[ask.part])]
