"""Which raw header values a test looks at: of the message or of parts, all of a name or one of them.

RFC: 5228 §5.1, §5.7 (all fields of a name), 5260 §6 (:index, :last), 5703 §4 (:mime, :anychild).
Not here: decoding (message.py), comparing (matching.py).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from postino.mime.part import walk
from postino.sieve.loop import part_at
from postino.sieve.mime_options import OPTIONS

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

Source = Callable[["Run", Sequence[str]], Sequence[bytes]]
"""(run, lower-case field names) -> raw values; :index counts through all names in their order."""


def counted(run: "Run", values: Sequence[bytes]) -> Sequence[bytes]:
    """The values, counted before they are decoded: fields of strangers may be of any length."""
    run.spend(sum(map(len, values)) >> 4)
    return values


def is_plain(bound: "Bound") -> bool:
    """Whether the test looks at all fields of the message's own header."""
    return not bound.tags.keys() & {"index", "last", "mime", "anychild", *OPTIONS}


def source_of(compiling: "Compiling", bound: "Bound") -> Source:
    """Where the test finds its values."""
    source = _all_fields
    if "mime" in bound.tags:
        source = _fields_within if "anychild" in bound.tags else _part_fields
    elif "anychild" in bound.tags:
        compiling.fault(bound.node, ":anychild counts for :mime, which is not there; add it.")
    if "index" in bound.tags:
        return _chosen(source, _position(compiling, bound))
    if "last" in bound.tags:
        compiling.fault(bound.node, ":last counts for :index, which is not there; add it or remove :last.")
    return source


def _all_fields(run: "Run", names: Sequence[str]) -> Sequence[bytes]:
    fields = run.message.fields
    found = [value for name in names for value in fields.get(name, ())]
    run.spend(len(found) >> 5)
    return found


def _part_fields(run: "Run", names: Sequence[str]) -> Sequence[bytes]:
    """Of the part a loop is at; outside loops, of the message."""
    path = run.loops[-1].path if run.loops else ()
    part = part_at(run.message.root, path) if path else None
    if part is None:
        return _all_fields(run, names) if not path else ()
    fields = run.message.part_fields(part)
    run.spend(1)
    return [value for name in names for value in fields.get(name, ())]


def _fields_within(run: "Run", names: Sequence[str]) -> Sequence[bytes]:
    """Of that part and all parts in it."""
    message = run.message
    top = part_at(message.root, run.loops[-1].path if run.loops else ())
    found: list[bytes] = []
    for part in walk(top) if top is not None else ():
        run.spend(1)
        fields = message.part_fields(part)
        for name in names:
            found += fields.get(name, ())
    return found


def _position(compiling: "Compiling", bound: "Bound") -> int:
    number = bound.numbers.get("index", 0)
    if number < 1:
        compiling.fault(bound.node, ":index counts from 1.")
    return -number if "last" in bound.tags else number - 1


def _chosen(source: Source, position: int) -> Source:
    def chosen(run: "Run", names: Sequence[str]) -> Sequence[bytes]:
        values = source(run, names)
        if -len(values) <= position < len(values):
            return (values[position],)
        return ()

    return chosen
