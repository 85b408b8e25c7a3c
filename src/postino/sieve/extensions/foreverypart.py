"""foreverypart: run a block for each part of the message; and break.

RFC: 5703 §3.
Invariants: a loop goes forward only, also while the message is edited, and each part costs steps.
Not here: where a loop is (loop.py).
"""

from typing import TYPE_CHECKING, Final

from postino.sieve.compiled import executed
from postino.sieve.loop import Loop, next_path
from postino.sieve.vocabulary import CommandSpec, Extension, Op, TagSpec, Takes

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run


def _foreverypart(compiling: "Compiling", bound: "Bound") -> Op:
    block = executed(bound.block)
    if "name" in bound.tags and not isinstance(bound.text("name"), str):
        compiling.fault(bound.node, "A loop's name stands in the script as it is, without ${ } in it.")

    def foreverypart(run: "Run") -> bool:
        if run.loops:
            base = run.loops[-1].path
            loop = Loop(base, base, is_replaced=run.loops[-1].is_replaced)
            path = next_path(run.message.root, loop)
        else:
            loop, path = Loop((), ()), ()
        run.loops.append(loop)
        ended = False
        while path is not None and not ended:
            loop.path, loop.is_replaced = path, False
            run.spend(2)
            ended = block(run)
            path = next_path(run.message.root, loop)
        run.loops.pop()
        if run.leaving:
            run.leaving -= 1
            return run.leaving > 0
        return ended

    return foreverypart


def _break(compiling: "Compiling", bound: "Bound") -> Op:
    loops = compiling.loops[::-1]
    levels = 1
    if "name" in bound.tags:
        name = bound.text("name")
        if name in loops:
            levels += loops.index(str(name))
        else:
            compiling.fault(bound.node, "There is no loop with this name around this break.")
    elif not loops:
        compiling.fault(bound.node, "break stands inside foreverypart only.")

    def leave(run: "Run") -> bool:
        run.place = bound.place
        run.leaving = levels
        return True

    return leave


FOREVERYPART: Final = Extension(
    name="foreverypart",
    commands=(
        CommandSpec(
            name="foreverypart",
            tags=(TagSpec(name="name", takes=Takes.STRING),),
            has_block=True,
            compile=_foreverypart,
        ),
        CommandSpec(name="break", tags=(TagSpec(name="name", takes=Takes.STRING),), compile=_break),
    ),
)
