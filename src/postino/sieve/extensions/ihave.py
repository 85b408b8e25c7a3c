"""ihave: ask what this server can do, before using it; and error, which ends a script.

RFC: 5463 §4 (ihave), §5 (error).
Invariants: what there is not is never run: it ends the script with a fault that the compiler puts there.
Not here: compiling leniently (compiler.py).
"""

from typing import TYPE_CHECKING, Final

from postino.sieve.texts import constants, value_of
from postino.sieve.vocabulary import Check, CommandSpec, Extension, Op, Takes, TestSpec

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_CHANGING: Final = frozenset({"variables", "encoded-character"})
"""They say how strings are read, so they are required at the top or not at all."""


def _ihave(compiling: "Compiling", bound: "Bound") -> Check:
    names = constants(bound.texts["capabilities"])
    if names is None:
        compiling.fault(bound.node, "ihave takes names as they are, without variables.")
        return lambda run: False
    answer = all(
        name and (compiling.has(name) or (compiling.can_enable(name) and name not in _CHANGING))
        for name in names
    )
    if answer:
        for name in names:
            compiling.enable(name)
    else:
        compiling.is_lenient = True
    return lambda run: answer


def _error(compiling: "Compiling", bound: "Bound") -> Op:
    message = bound.text("message")

    def error(run: "Run") -> bool:
        run.place = bound.place
        raise run.fault(value_of(message, run))

    return error


IHAVE: Final = Extension(
    name="ihave",
    tests=(TestSpec(name="ihave", params=(("capabilities", Takes.STRINGS),), compile=_ihave),),
    commands=(CommandSpec(name="error", params=(("message", Takes.STRING),), compile=_error),),
)
