"""Make a Script of octets, or of what was stored of it.

RFC: 5228 §2.10, 5804 §2.6.
Exposure: octets of logged-in users.
Invariants: any octets give a Script or BadScript, and nothing else.
Not here: the grammar (language/), checking (compiler.py), the stored form (stored.py), running (run.py).
"""

from collections.abc import Sequence
from functools import lru_cache

from postino.sieve.actions import Place
from postino.sieve.budget import DEFAULT_BUDGET, Budget
from postino.sieve.compiled import executed
from postino.sieve.compiler import Compiling, Vocabulary
from postino.sieve.extensions import ALL
from postino.sieve.faults import MOST_FAULTS, BadScript, Fault
from postino.sieve.language.parser import read
from postino.sieve.script import Script
from postino.sieve.stored import StoredScript, to_stored
from postino.sieve.vocabulary import Op


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """What scripts may use."""
    return Vocabulary(ALL)


def extension_names() -> list[str]:
    """The capability strings, as ManageSieve announces them."""
    return [extension.name for extension in ALL if extension.name]


def compile_script(octets: bytes, *, name: str = "script", budget: Budget = DEFAULT_BUDGET) -> Script:
    """Compile a script's source.

    `name` is what places in it are called by. Raises BadScript, which lists every fault with line and column.
    """
    reading = read(octets, name=name, budget=budget)
    compiling = Compiling(vocabulary(), name)
    execute = executed(compiling.block(reading.tree.commands, at_top=True))
    # Where a require could not be read, what it would have allowed is no fault.
    faults = reading.faults if reading.lacks_require else [*reading.faults, *compiling.faults]
    if faults:
        raise BadScript(sorted(faults, key=lambda fault: fault.place)[:MOST_FAULTS])
    stored = to_stored(reading.tree, compiling)
    warnings = tuple(compiling.warnings)
    return _script(name, StoredScript(stored), stored, execute, octets=len(octets), warnings=warnings)


def stored_script(stored: bytes, *, name: str, octets: int) -> Script:
    """The script of `Script.stored`, much faster. Raises ValueError for what another version stored."""
    told = StoredScript(stored)
    execute = executed(told.ops(name, lambda required: Compiling(vocabulary(), name, required=required)))
    return _script(name, told, stored, execute, octets=octets)


def _script(
    name: str, told: StoredScript, stored: bytes, execute: Op, *, octets: int, warnings: Sequence[Fault] = ()
) -> Script:
    def traced() -> Op:
        tracing = Compiling(vocabulary(), name, traced=True)
        return executed(tracing.block(StoredScript(stored).commands(), at_top=True))

    return Script(
        name=name,
        requires=told.required,
        warnings=warnings,
        stored=stored,
        octets=octets,
        footprint=told.footprint,
        end=Place(name, told.end_line),
        execute=execute,
        traced_execute=traced,
    )
