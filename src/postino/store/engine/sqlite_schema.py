"""Bring a SQLite database to this program's schema, and refuse one that a newer program wrote.

Invariants: a migration runs whole or not at all; one that has run never changes (its checksum is kept).
Not here: what the tables mean (store/migrations/sqlite/*.sql).
"""

import hashlib
import re
from importlib import resources
from typing import Final, NamedTuple

import apsw

from postino.core.errors import DatabaseDamaged, DatabaseTooNew, StoreError
from postino.store.engine.sqlite_connection import APPLICATION_ID, translate

_FILE_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


class Migration(NamedTuple):
    """One numbered step of the schema."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Tells an edited file from the one that ran."""
        return hashlib.sha256(self.sql.encode()).hexdigest()[:16]


def migrations() -> list[Migration]:
    """Every step this program knows, in order, without gaps."""
    found: list[Migration] = []
    for file in (resources.files("postino.store") / "migrations" / "sqlite").iterdir():
        match = _FILE_NAME.fullmatch(file.name)
        if match:
            found.append(Migration(int(match[1]), file.name, file.read_text("utf-8")))
    found.sort()
    assert [step.version for step in found] == list(range(1, len(found) + 1)), "a migration is missing"
    return found


def migrate(connection: apsw.Connection, steps: list[Migration] | None = None) -> int:
    """Run the steps the database lacks, each in a transaction; give the schema version it then has."""
    steps = migrations() if steps is None else steps
    version = _checked_version(connection, steps)
    for step in steps[version:]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have run it while this one waited for the lock.
            if connection.pragma("user_version") < step.version:
                connection.execute(step.sql)
                connection.execute(
                    "INSERT INTO setting (name, value) VALUES (?, ?)",
                    (f"migration_{step.version:04}", step.checksum),
                )
                connection.execute(f"PRAGMA user_version={step.version}")
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    return len(steps)


def require_current(connection: apsw.Connection) -> None:
    """Refuse a database that has not exactly this program's schema. Changes nothing."""
    steps = migrations()
    version = _checked_version(connection, steps)
    if version < len(steps):
        raise StoreError(
            f"The database has schema version {version} and this Postino needs {len(steps)}; "
            "start the server once to bring it up to date"
        )


def _checked_version(connection: apsw.Connection, steps: list[Migration]) -> int:
    try:
        return _read_version(connection, steps)
    except apsw.Error as error:
        raise translate(error) from error


def _read_version(connection: apsw.Connection, steps: list[Migration]) -> int:
    version = int(connection.pragma("user_version"))
    owner = connection.pragma("application_id")
    if owner not in (0, APPLICATION_ID) or (owner == 0 and version != 0):
        raise StoreError("This file is another program's database; choose another data directory")
    if version > len(steps):
        raise DatabaseTooNew(
            f"The database has schema version {version} and this Postino knows only {len(steps)}; "
            "install the newer Postino that wrote it, or restore an older backup"
        )
    if version:
        known = dict(connection.execute("SELECT name, value FROM setting WHERE name LIKE 'migration_%'"))
        for step in steps[:version]:
            if known.get(f"migration_{step.version:04}") != step.checksum:
                raise DatabaseDamaged(
                    f"The database was made by a different {step.name}; install the Postino that made it"
                )
    return version
