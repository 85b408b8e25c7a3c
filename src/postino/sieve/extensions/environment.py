"""environment: ask where and for whom the script runs.

RFC: 5183 §4 (the test), §4.1 (items).
Invariants: an item that is not there fails every comparison, even with the empty string.
Not here: finding the items out (delivery/), which hands them over in circumstances.py.
"""

from typing import TYPE_CHECKING, Final

from postino import __version__
from postino.sieve.texts import value_of
from postino.sieve.vocabulary import Check, Extension, Takes, TestSpec

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_USUAL: Final = {
    "name": "Postino",
    "version": __version__,
    "location": "MDA",
    "phase": "during",
    "remote-host": "",
    "vnd.dovecot.default-mailbox": "INBOX",
}
"""What holds unless the circumstances say something else."""


def item_of(run: "Run", name: str) -> str | None:
    """An item's value; None when it is not known."""
    name = name.lower()
    found = run.circumstances.environment.get(name)
    return _USUAL.get(name) if found is None else found


def _environment(compiling: "Compiling", bound: "Bound") -> Check:
    matching = compiling.matching(bound, bound.texts["keys"])
    text = bound.text("name")
    compare, counts = matching.values, matching.counts

    def environment(run: "Run") -> bool:
        value = item_of(run, value_of(text, run))
        if value is None:
            return False
        return compare(run, () if counts and not value else (value,))

    return environment


ENVIRONMENT: Final = Extension(
    name="environment",
    tests=(
        TestSpec(
            name="environment",
            params=(("name", Takes.STRING), ("keys", Takes.STRINGS)),
            matches=True,
            compile=_environment,
        ),
    ),
)
