"""The small door through which every store function reaches a database.

Invariants: a function that takes a `Tx` has no effect but through it, for the engine may run it
    again after a conflict or to single out the one that failed in a group commit.
Not here: engines (store/engine/), which know how to run one.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from postino.core.ports import MailboxChange
from postino.store.dialect import Dialect

T = TypeVar("T")
SqlValue = int | str | bytes | float | None
Row = tuple[Any, ...]


class Tx(Protocol):
    """One open transaction. SQL is the subset SQLite and PostgreSQL share, with `?` placeholders."""

    @property
    def dialect(self) -> Dialect:
        """How this database spells what the others spell differently."""
        ...

    def all(self, sql: str, params: Sequence[SqlValue] = ()) -> list[Row]:
        """Run a query and give every row."""
        ...

    def one(self, sql: str, params: Sequence[SqlValue] = ()) -> Row | None:
        """Run a query (or a statement with RETURNING) and give its first row, or None."""
        ...

    def run(self, sql: str, params: Sequence[SqlValue] = ()) -> int:
        """Run a statement and give the number of rows it changed."""
        ...

    def run_many(self, sql: str, rows: Iterable[Sequence[SqlValue]]) -> None:
        """Run a statement once for each row of parameters."""
        ...

    def note_change(self, change: MailboxChange) -> None:
        """Have this hint published once the transaction has committed."""
        ...


TxFunction = Callable[[Tx], T]


class RunTx(Protocol):
    """Runs functions one after the other, each in a transaction of its own."""

    def __call__(self, fn: Callable[[Tx], T], /) -> T:
        """Run one."""
        ...
