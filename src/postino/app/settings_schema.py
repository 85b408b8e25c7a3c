"""The settings schema as data: tables, and in each its settings with type, unit, default and meaning.

Invariants: made from the declarations alone (app/settings.py); nothing about a setting is written twice.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from postino.app.settings import Settings


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of one table."""

    table: str
    key: str
    type_name: str
    """For people: `text`, `whole number`, `one of auto, json, text` ..."""
    unit: str
    """`octets`, `seconds`, `count`, or empty."""
    default: Any
    """msgspec.NODEFAULT when the key must be given."""
    meaning: str
    shown: Any
    """What the commented file shows: an example, or the default."""

    @property
    def name(self) -> str:
        """`limits.message_octets`."""
        return f"{self.table}.{self.key}"


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the file. A `repeated` one is written [[name]], as often as needed."""

    name: str
    meaning: str
    settings: tuple[Setting, ...]
    repeated: bool = False


@cache
def tables() -> tuple[Table, ...]:
    """Every table in the order of the file."""
    root = inspect.type_info(Settings)
    assert isinstance(root, inspect.StructType)
    found: list[Table] = []
    for field in root.fields:
        _collect(field.encode_name, field.type, found, repeated=False)
    return tuple(found)


def find_table(name: str) -> Table | None:
    """The table called `name`."""
    return next((table for table in tables() if table.name == name), None)


def _collect(name: str, declared: inspect.Type, found: list[Table], *, repeated: bool) -> None:
    struct, _, _ = _unwrap(declared)
    assert isinstance(struct, inspect.StructType)
    settings: list[Setting] = []
    inner: list[tuple[str, inspect.Type]] = []
    for field in struct.fields:
        kind, meaning, extra = _unwrap(field.type)
        if isinstance(kind, inspect.VarTupleType) and isinstance(kind.item_type, inspect.StructType):
            inner.append((f"{name}.{field.encode_name}", kind.item_type))
            continue
        default = field.default
        settings.append(
            Setting(
                name,
                field.encode_name,
                _type_name(kind),
                str(extra.get("unit", "")),
                default,
                meaning,
                extra.get("example", default),
            )
        )
    meaning = (struct.cls.__doc__ or "").strip().partition("\n")[0]
    if name == "limits":
        meaning = "What others may make the server do, at most."
    found.append(Table(name, meaning, tuple(settings), repeated))
    for inner_name, inner_type in inner:
        _collect(inner_name, inner_type, found, repeated=True)


def _unwrap(declared: inspect.Type) -> tuple[inspect.Type, str, dict[str, Any]]:
    """A type without its annotations, its meaning, and what else was said of it."""
    meaning = ""
    extra: dict[str, Any] = {}
    while isinstance(declared, inspect.Metadata):
        meaning = str((declared.extra_json_schema or {}).get("description", meaning))
        extra = {**(declared.extra or {}), **extra}
        declared = declared.type
    return declared, meaning, extra


def _type_name(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.StrType):
        return "text"
    if isinstance(kind, inspect.IntType):
        return "whole number"
    if isinstance(kind, inspect.FloatType):
        return "number"
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(f'"{value}"' for value in kind.values)
    if isinstance(kind, inspect.VarTupleType):
        if isinstance(kind.item_type, inspect.LiteralType):
            return "list of " + ", ".join(f'"{value}"' for value in kind.item_type.values)
        return "list of texts"
    raise TypeError(f"settings of type {kind!r} have no name for people yet")


def is_required(setting: Setting) -> bool:
    """Whether the key must be given where its table is."""
    return setting.default is msgspec.NODEFAULT
