"""A compiled script: ready to be run over messages, and to be stored so that it need not be parsed again.

RFC: 5228 §2.10.3 (require), 5804 §2.6 (what PUTSCRIPT checks).
Not here: compiling (compiler.py), running (run.py).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from postino.sieve.faults import Fault

if TYPE_CHECKING:
    from postino.sieve.run import Run


class Script(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What compile_script() gives."""

    name: str
    """By which places in it are named: `main:12`."""
    requires: frozenset[str]
    """Its extensions."""
    warnings: Sequence[Fault] = ()
    stored: bytes
    """The tree, for stored_script()."""
    octets: int
    """Of the source: what a cache counts."""
    execute: "Callable[[Run], bool]"
