"""imap4flags: flags for what is kept and filed, in a variable or in the one that has no name.

RFC: 5232 §3 (setflag, addflag, removeflag), §4 (hasflag), §5 (:flags).
Invariants: the internal variable holds valid flags only; a named one is a string with spaces between flags.
Not here: which words are flags (flags.py), putting them on messages (basics/actions.py, delivery/).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from postino.sieve.flags import flags_in, without
from postino.sieve.texts import constants, values_of
from postino.sieve.vocabulary import (
    Check,
    CommandSpec,
    Extension,
    MoreTags,
    Op,
    TagSpec,
    Takes,
    TestSpec,
)

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

Change = Callable[[Sequence[str], Sequence[str]], list[str]]
"""(flags there are, flags of the command) -> flags there are now."""


def _names(compiling: "Compiling", bound: "Bound", param: str) -> list[str] | None:
    """Where the variables' values are kept; None for the internal variable."""
    texts = bound.texts.get(param)
    if texts is None:
        return None
    if not compiling.has("variables"):
        compiling.fault(
            bound.node,
            f'{bound.node.name} on a variable needs require "variables"; put several flags into [ ].',
        )
        return None
    names = []
    for text in texts:
        if isinstance(text, str):
            names.append(compiling.settable(bound.node, text))
        else:
            compiling.fault(
                bound.node, "A variable's name stands in the script as it is, without ${ } in it."
            )
    return names


def _changing(change: Change) -> "Callable[[Compiling, Bound], Op]":
    def compile_change(compiling: "Compiling", bound: "Bound") -> Op:
        names = _names(compiling, bound, "variable_name")
        texts = bound.texts["list_of_flags"]

        def alter(run: "Run") -> bool:
            run.place = bound.place
            given = flags_in(values_of(texts, run))
            run.spend(1 + len(given))
            if names is None:
                run.flags = change(run.flags, given)
            else:
                for name in names:
                    run.assign(name, " ".join(change(flags_in([run.variable(name)]), given)))
            return False

        return alter

    return compile_change


def _hasflag(compiling: "Compiling", bound: "Bound") -> Check:
    names = _names(compiling, bound, "variable_list")
    texts = bound.texts["list_of_flags"]
    fixed = constants(texts)
    matching = compiling.matching(bound, _words(fixed or ()))

    def hasflag(run: "Run") -> bool:
        compare = matching.values
        if fixed is None:
            # RFC 5232 §2: each word of a string is a flag, so how many keys there are is known only now.
            def refuse(words: str) -> None:
                raise run.fault(words)

            compare = compiling.matching(bound, _words(values_of(texts, run)), fault=refuse).values
        if names is None:
            return compare(run, run.flags)
        return compare(run, [flag for name in names for flag in flags_in([run.variable(name)])])

    return hasflag


def _words(texts: Sequence[str]) -> list[str]:
    return [word for text in texts for word in text.split(" ") if word]


IMAP4FLAGS: Final = Extension(
    name="imap4flags",
    commands=tuple(
        CommandSpec(
            name=name,
            params=(("variable_name", Takes.STRING), ("list_of_flags", Takes.STRINGS)),
            optional=1,
            compile=_changing(change),
        )
        for name, change in (
            ("setflag", lambda flags, given: list(given)),
            ("addflag", lambda flags, given: flags_in([*flags, *given])),
            ("removeflag", without),
        )
    ),
    tests=(
        TestSpec(
            name="hasflag",
            params=(("variable_list", Takes.STRINGS), ("list_of_flags", Takes.STRINGS)),
            optional=1,
            matches=True,
            compile=_hasflag,
        ),
    ),
    more_tags=(MoreTags(to=("keep", "fileinto"), tags=(TagSpec(name="flags", takes=Takes.STRINGS),)),),
)
