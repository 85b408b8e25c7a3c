"""stop, and the tests that join others: allof, anyof, not, true, false.

RFC: 5228 §3.3 (stop), §5.2 (allof), §5.3 (anyof), §5.8 (not), §5.9 (true), §5.10 (false).
Not here: if, elsif, else and require, which the compiler knows itself.
"""

from typing import TYPE_CHECKING, Final

from postino.sieve.vocabulary import Check, CommandSpec, Extension, Op, Tests, TestSpec

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run


def _stop(compiling: "Compiling", bound: "Bound") -> Op:
    place = bound.place

    def stop(run: "Run") -> bool:
        run.place = place
        return True

    return stop


def _allof(compiling: "Compiling", bound: "Bound") -> Check:
    checks = tuple(bound.checks)

    def allof(run: "Run") -> bool:
        for check in checks:  # noqa: SIM110
            if not check(run):
                return False
        return True

    return allof


def _anyof(compiling: "Compiling", bound: "Bound") -> Check:
    checks = tuple(bound.checks)

    def anyof(run: "Run") -> bool:
        for check in checks:  # noqa: SIM110
            if check(run):
                return True
        return False

    return anyof


def _not(compiling: "Compiling", bound: "Bound") -> Check:
    check = bound.checks[0]
    return lambda run: not check(run)


def _true(compiling: "Compiling", bound: "Bound") -> Check:
    return lambda run: True


def _false(compiling: "Compiling", bound: "Bound") -> Check:
    return lambda run: False


CONTROL: Final = Extension(
    name="",
    commands=(CommandSpec(name="stop", compile=_stop),),
    tests=(
        TestSpec(name="allof", tests=Tests.MANY, compile=_allof),
        TestSpec(name="anyof", tests=Tests.MANY, compile=_anyof),
        TestSpec(name="not", tests=Tests.ONE, compile=_not),
        TestSpec(name="true", compile=_true),
        TestSpec(name="false", compile=_false),
    ),
)
