"""A compiled script: ready to be run over messages, and to be stored so that it need not be parsed again.

RFC: 5228 §2.10.3 (require), 5804 §2.6 (what PUTSCRIPT checks).
Not here: compiling (compiler.py), running (run.py).
"""

from collections.abc import Callable, Sequence

import msgspec

from postino.sieve.actions import Place
from postino.sieve.faults import Fault
from postino.sieve.vocabulary import Op


class Script(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What compile_script() gives."""

    name: str
    """By which places in it are named: `main:12`."""
    requires: frozenset[str]
    """Its extensions."""
    warnings: Sequence[Fault] = ()
    stored: bytes
    """For stored_script()."""
    octets: int
    """Of the source."""
    footprint: int
    """About how many octets of memory the script takes: what a cache counts."""
    end: Place
    """Its last line: where an implicit keep comes from."""
    execute: Op
    traced_execute: Callable[[], Op]
    """The same, telling each step to the run's trace."""
