from pathlib import Path

import apsw
import pytest

from postino.core.errors import DatabaseDamaged, DatabaseTooNew, StoreError
from postino.store.accounts import account_by_id
from postino.store.engine import sqlite_connection, sqlite_schema
from postino.store.engine.sqlite_schema import Migration, migrate, migrations
from postino.store.store import DATABASE_NAME, MOD_SEQ_JUMP, open_store
from tests.support.stored import findings, make_accounts


def raw(tmp_path):
    return apsw.Connection(str(tmp_path / DATABASE_NAME))


def mod_seq(store, account):
    return store.read_now(lambda tx: account_by_id(tx, account)).mod_seq


def test_orderly_end_keeps_mod_seqs(tmp_path):
    store = open_store(tmp_path, first=True)
    (ann,) = make_accounts(store, "ann")
    before = mod_seq(store, ann)
    store.close_now()
    store.close_now()
    store = open_store(tmp_path, first=True)
    assert mod_seq(store, ann) == before
    store.close_now()


def test_unclean_end_moves_every_mod_seq_forward_once(tmp_path):
    store = open_store(tmp_path, first=True)
    ann, bob = make_accounts(store, "ann", "bob")
    before = mod_seq(store, ann)
    store._ends_run = False  # as if it was killed
    store.close_now()
    later = open_store(tmp_path)
    assert mod_seq(later, ann) == before
    later.close_now()
    first = open_store(tmp_path, first=True)
    assert mod_seq(first, ann) == mod_seq(first, bob) == before + MOD_SEQ_JUMP
    other = open_store(tmp_path)
    assert mod_seq(other, ann) == before + MOD_SEQ_JUMP
    other.close_now()
    assert findings(first) == []
    first.close_now()
    first = open_store(tmp_path, first=True)
    assert mod_seq(first, ann) == before + MOD_SEQ_JUMP
    first.close_now()


def test_newer_database_is_refused_with_what_to_do(tmp_path):
    open_store(tmp_path, first=True).close_now()
    raw(tmp_path).execute("PRAGMA user_version=999")
    for first in (True, False):
        with pytest.raises(DatabaseTooNew, match=r"version 999 .* install the newer Postino"):
            open_store(tmp_path, first=first)


def test_older_database_is_left_alone_by_all_but_the_first(tmp_path, monkeypatch):
    open_store(tmp_path, first=True).close_now()
    steps = migrations()
    more = [*steps, Migration(len(steps) + 1, "more.sql", "CREATE TABLE more (x INTEGER)")]
    monkeypatch.setattr(sqlite_schema, "migrations", lambda: more)
    with pytest.raises(StoreError, match="start the server once"):
        open_store(tmp_path)
    store = open_store(tmp_path, first=True)
    assert store.read_now(lambda tx: tx.all("SELECT * FROM more")) == []
    store.close_now()


def test_failed_migration_leaves_the_database_as_it_was(tmp_path):
    open_store(tmp_path, first=True).close_now()
    steps = migrations()
    connection = raw(tmp_path)
    broken = Migration(len(steps) + 1, "broken.sql", "CREATE TABLE more (x INTEGER); SELECT nonsense")
    with pytest.raises(apsw.SQLError):
        migrate(connection, [*steps, broken])
    assert connection.pragma("user_version") == len(steps)
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name='more'").get == 0


def test_database_of_an_edited_migration_or_another_program_is_refused(tmp_path):
    open_store(tmp_path, first=True).close_now()
    raw(tmp_path).execute("UPDATE setting SET value='x' WHERE name='migration_0001'")
    with pytest.raises(DatabaseDamaged, match="0001"):
        open_store(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    raw(other).execute("PRAGMA user_version=1; CREATE TABLE theirs (x)")
    with pytest.raises(StoreError, match="another program"):
        open_store(other, first=True)


def test_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / DATABASE_NAME).write_bytes(b"this is text, and long enough to be read as a header" * 50)
    with pytest.raises(DatabaseDamaged):
        open_store(tmp_path, first=True)


def test_place_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be made"):
        open_store(tmp_path / "file" / "data", first=True)


def test_old_sqlite_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_connection.apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(StoreError, match=r"3\.51\.3"):
        open_store(tmp_path)
    monkeypatch.setattr(sqlite_connection.apsw, "sqlite_lib_version", lambda: "3.51.3")
    open_store(tmp_path, first=True).close_now()


def test_nobody_else_may_read_the_database_and_its_logs(tmp_path: Path) -> None:
    store = open_store(tmp_path, first=True)
    store.write_now(lambda tx: tx.one("SELECT 1"))
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("postino.sqlite*")}
    store.close_now()
    assert modes.keys() >= {"postino.sqlite", "postino.sqlite-wal"}
    assert set(modes.values()) == {0o600}
