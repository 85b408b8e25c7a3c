"""The mark: what tells that nothing was committed, without asking SQLite."""

import subprocess
import sys

from postino.store.engine.sqlite_connection import SqliteOptions
from postino.store.store import DATABASE_NAME, open_store

_OTHER = """
import sys, apsw
apsw.Connection(sys.argv[1]).execute("UPDATE setting SET value='7' WHERE name='x'")
"""


def look(store):
    return store.read_now(lambda tx: tx.one("SELECT value FROM setting WHERE name='x'"))


def put(store, value):
    store.write_now(
        lambda tx: tx.run(
            "INSERT INTO setting (name, value) VALUES ('x', ?)"
            " ON CONFLICT (name) DO UPDATE SET value=excluded.value",
            (value,),
        )
    )


def test_it_changes_with_every_commit_and_only_then(store):
    assert store.mark() == b""  # nothing was read yet
    look(store)
    marks = [store.mark()]
    assert marks[0]
    for number in range(50):
        assert store.mark() == marks[-1]
        put(store, str(number))
        assert store.mark() not in marks
        marks.append(store.mark())
        assert look(store) == (str(number),)
        assert store.mark() == marks[-1]


def test_it_stays_when_a_transaction_comes_to_nothing(store):
    look(store)
    put(store, "1")
    before = store.mark()

    def fail(tx):
        tx.run("UPDATE setting SET value='2' WHERE name='x'")
        raise ValueError

    try:
        store.write_now(fail)
    except ValueError:
        pass
    assert (store.mark(), look(store)) == (before, ("1",))


def test_it_changes_when_another_process_commits(store, tmp_path):
    put(store, "1")
    look(store)
    before = store.mark()
    subprocess.run([sys.executable, "-c", _OTHER, str(tmp_path / DATABASE_NAME)], check=True)
    assert store.mark() != before
    assert look(store) == ("7",)


def test_it_changes_when_another_store_commits_and_outlives_it(store, tmp_path):
    look(store)
    other = open_store(tmp_path)
    look(other)
    before = store.mark()
    assert other.mark() == before
    put(other, "3")
    assert store.mark() == other.mark() != before
    other.close_now()
    assert other.mark() == b""
    put(store, "4")
    assert store.mark() not in (b"", before)


def test_folding_the_log_into_the_database_loses_nothing(tmp_path):
    store = open_store(tmp_path, first=True, options=SqliteOptions(checkpoint_pages=1))
    try:
        look(store)
        seen = {store.mark()}
        for number in range(20):
            put(store, str(number) * 30_000)
            assert store.mark() not in seen
            seen.add(store.mark())
    finally:
        store.close_now()
    assert store.mark() == b""
