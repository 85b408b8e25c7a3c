"""vnd.postino.outgoing: hold what the account sends.

RFC: none; ours. `hold;` until somebody releases it, `hold :seconds 600;` for that time.
Invariants: the longest hold counts; holding leaves the implicit keep, which files the sent copy.
Not here: the queue.
"""

from typing import TYPE_CHECKING, Final

from postino.sieve.actions import Hold
from postino.sieve.vocabulary import CommandSpec, Extension, Op, TagSpec, Takes

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run


def _hold(compiling: "Compiling", bound: "Bound") -> Op:
    seconds = bound.numbers.get("seconds")
    if seconds == 0:
        compiling.fault(bound.node, ":seconds is at least 1; to hold it until it is released, write hold;")

    def hold(run: "Run") -> bool:
        run.place = bound.place
        if not run.is_outgoing():
            raise run.fault("hold is for messages the account sends; this one comes in")
        for number, known in enumerate(run.actions):
            if isinstance(known, Hold):
                if known.seconds is not None and (seconds is None or seconds > known.seconds):
                    run.actions[number] = Hold(place=bound.place, seconds=seconds)
                return False
        run.add(Hold(place=bound.place, seconds=seconds), ends_keep=False)
        return False

    return hold


OUTGOING: Final = Extension(
    name="vnd.postino.outgoing",
    commands=(CommandSpec(name="hold", tags=(TagSpec(name="seconds", takes=Takes.NUMBER),), compile=_hold),),
)
