"""What scripts written for Dovecot rely on: debug_log, report, and environment items as variables.

RFC: none; Pigeonhole's vnd.dovecot.debug, vnd.dovecot.report and vnd.dovecot.environment. 5965 §3.1
    (feedback types).
Not here: the environment test, the report itself (delivery/).
"""

import re
from typing import TYPE_CHECKING, Final

from postino.sieve.actions import ReportAbuse
from postino.sieve.basics.actions import good_address
from postino.sieve.texts import value_of
from postino.sieve.vocabulary import CommandSpec, Extension, Op, TagSpec, Takes

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+")


def _debug_log(compiling: "Compiling", bound: "Bound") -> Op:
    message = bound.text("message")

    def debug_log(run: "Run") -> bool:
        run.place = bound.place
        run.note(f"says: {value_of(message, run)}")
        return False

    return debug_log


def _report(compiling: "Compiling", bound: "Bound") -> Op:
    kind, message, address = (bound.text(name) for name in ("feedback_type", "message", "address"))
    if isinstance(kind, str) and _TOKEN.fullmatch(kind) is None:
        compiling.fault(bound.node, f"{kind!r} is no feedback type; write abuse, fraud, virus or other.")
    if isinstance(address, str) and good_address(address) is None:
        compiling.fault(bound.node, f"{address!r} is not an address a report can be sent to.")

    def report(run: "Run") -> bool:
        run.place = bound.place
        to, feedback_type = good_address(value_of(address, run)), value_of(kind, run)
        if to is None or _TOKEN.fullmatch(feedback_type) is None:
            raise run.fault("a report needs a feedback type such as abuse, and an address to send it to")
        run.add(
            ReportAbuse(
                place=bound.place,
                feedback_type=feedback_type.lower(),
                message=value_of(message, run),
                address=to,
                headers_only="headers_only" in bound.tags,
            ),
            ends_keep=False,
        )
        return False

    return report


DOVECOT_DEBUG: Final = Extension(
    name="vnd.dovecot.debug",
    commands=(CommandSpec(name="debug_log", params=(("message", Takes.STRING),), compile=_debug_log),),
)
DOVECOT_ENVIRONMENT: Final = Extension(name="vnd.dovecot.environment", implies=("environment",))
DOVECOT_REPORT: Final = Extension(
    name="vnd.dovecot.report",
    commands=(
        CommandSpec(
            name="report",
            params=(
                ("feedback_type", Takes.STRING),
                ("message", Takes.STRING),
                ("address", Takes.STRING),
            ),
            tags=(TagSpec(name="headers_only"),),
            compile=_report,
        ),
    ),
)
