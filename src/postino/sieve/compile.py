"""Make a Script of octets, or of a tree that was stored.

RFC: 5228 §2.10, 5804 §2.6.
Exposure: octets of logged-in users.
Invariants: any octets give a Script or BadScript, and nothing else.
Not here: the grammar (language/), checking (compiler.py), running (run.py).
"""

from functools import lru_cache
from typing import Final

import msgspec

from postino.sieve.actions import Place
from postino.sieve.budget import DEFAULT_BUDGET, Budget
from postino.sieve.compiler import Compiling, Vocabulary
from postino.sieve.extensions import ALL
from postino.sieve.faults import BadScript, Fault
from postino.sieve.language.parser import MOST_FAULTS, Reading, read
from postino.sieve.language.syntax import Tree
from postino.sieve.script import Script
from postino.sieve.vocabulary import Op

_VERSION: Final = b"1:"
"""Of the stored form: another version's is not read, but compiled from the source again."""
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Tree)


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
    if reading.faults:
        raise BadScript(_all_faults(reading, name))
    tree = reading.tree
    return _compiled(tree, _VERSION + _ENCODER.encode(tree), name, len(octets))


def _all_faults(reading: Reading, name: str) -> list[Fault]:
    """Of a script's form, and of what is well formed in it."""
    faults = list(reading.faults)
    if not reading.lacks_require:
        compiling = Compiling(vocabulary(), name)
        compiling.block(reading.tree.commands, at_top=True)
        faults += compiling.faults
    return sorted(faults, key=lambda fault: fault.place)[:MOST_FAULTS]


def stored_script(stored: bytes, *, name: str, octets: int) -> Script:
    """The script of `Script.stored`. Raises ValueError for what another version stored, and BadScript."""
    if not stored.startswith(_VERSION):
        raise ValueError("the script was stored by another version")
    try:
        tree = _DECODER.decode(memoryview(stored)[len(_VERSION) :])
    except msgspec.DecodeError as fault:
        raise ValueError(f"the stored script is damaged: {fault}") from None
    return _compiled(tree, stored, name, octets, is_checked=True)


def _compiled(tree: Tree, stored: bytes, name: str, octets: int, *, is_checked: bool = False) -> Script:
    compiling = Compiling(vocabulary(), name, is_checked=is_checked)
    execute = compiling.script(tree.commands)
    if compiling.faults:
        raise BadScript(sorted(compiling.faults, key=lambda fault: fault.place))

    def traced() -> Op:
        return Compiling(vocabulary(), name, traced=True).script(
            _DECODER.decode(stored[len(_VERSION) :]).commands
        )

    return Script(
        name=name,
        requires=frozenset(compiling.required),
        warnings=tuple(compiling.warnings),
        stored=stored,
        octets=octets,
        end=Place(name, tree.end_line),
        execute=execute,
        traced_execute=traced,
    )
