"""reject and ereject: refuse a message, telling its sender why.

RFC: 5429 §2.1, §2.2, §2.4 (other actions), 6785 §3.11 (not for what IMAP does).
Invariants: at most one for a message, and none beside keep, fileinto, redirect or vacation (run.py).
Not here: how it is refused (delivery/).
"""

from typing import TYPE_CHECKING, Final

from postino.sieve.actions import Reject
from postino.sieve.texts import value_of
from postino.sieve.vocabulary import CommandSpec, Extension, Op, Takes

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run


def _reject(compiling: "Compiling", bound: "Bound") -> Op:
    reason = bound.text("reason")
    name = bound.node.name
    is_ereject = name == "ereject"

    def reject(run: "Run") -> bool:
        run.place = bound.place
        if run.during_imap():
            raise run.fault(f"{name} is for messages that come in; this one is in a mailbox already")
        words = value_of(reason, run).strip("\r\n")
        run.add(Reject(place=bound.place, reason=words, is_ereject=is_ereject))
        return False

    return reject


_PARAMS: Final = (("reason", Takes.STRING),)
REJECT: Final = Extension(
    name="reject", commands=(CommandSpec(name="reject", params=_PARAMS, compile=_reject),)
)
EREJECT: Final = Extension(
    name="ereject", commands=(CommandSpec(name="ereject", params=_PARAMS, compile=_reject),)
)
