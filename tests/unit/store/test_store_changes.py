"""What changed is found by what was noted of it, and the same without the notes."""

import pytest

from postino.core.flags import flag_set
from postino.core.numset import NumberSet
from postino.store import changes
from postino.store.changes import changes_since, missed_since
from postino.store.flagging import LOG_ROWS, prune_flag_log
from postino.store.messages import FlagChange, FlagMode, append, expunge, store_flags
from tests.support.stored import NOW, email, inbox_of, make_accounts

SEEN = FlagChange(FlagMode.ADD, flag_set(["\\Seen"]))
UNSEEN = FlagChange(FlagMode.REMOVE, flag_set(["\\Seen"]))


@pytest.fixture
def ann(store):
    return make_accounts(store, "ann")[0]


@pytest.fixture
def inbox(store, ann):
    inbox = inbox_of(store, ann)
    store.write_now(lambda tx: [append(tx, ann, inbox, email(), now=NOW) for _ in range(60)])
    return inbox


def flag(store, ann, inbox, uids, change=SEEN):
    return store.write_now(lambda tx: store_flags(tx, ann, inbox, NumberSet.of(uids), change)).mod_seq


def noted(store):
    return store.read_now(lambda tx: tx.all("SELECT mod_seq, first_uid, last_uid FROM flag_change"))


def found(store, ann, inbox, since, uid_next=61):
    rows = store.read_now(lambda tx: changes_since(tx, ann, inbox, since, uid_next)).rows
    return [row[0] for row in rows]


def test_a_store_is_noted_in_a_few_rows_cut_where_the_gaps_are(store, ann, inbox):
    dense = flag(store, ann, inbox, [10, 11, 13])
    wide = flag(store, ann, inbox, [1, 2, 40, 60])
    assert noted(store) == [(dense, 10, 13), *((wide, uid, uid) for uid in (1, 2, 40, 60))]
    many = flag(store, ann, inbox, [*range(4, 37, 4), 55, 56])
    rows = [row for row in noted(store) if row[0] == many]
    assert len(rows) == 8
    assert [last for _, _, last in rows][-1] == 56
    assert found(store, ann, inbox, wide) == [*range(4, 37, 4), 55, 56]
    assert found(store, ann, inbox, dense) == sorted([1, 2, 40, 60, *range(4, 37, 4), 55, 56])


def test_without_notes_the_mailbox_is_looked_through(store, ann, inbox):
    before = flag(store, ann, inbox, [5])
    after = [flag(store, ann, inbox, [uid], SEEN) for uid in (9, 7, 50)]
    assert found(store, ann, inbox, before) == [7, 9, 50]
    store.write_now(lambda tx: prune_flag_log(tx, ann, inbox, keep=1))
    assert [row[0] for row in noted(store)] == after[-1:]
    assert found(store, ann, inbox, before) == [7, 9, 50]
    assert found(store, ann, inbox, after[1]) == [50]
    # Too few to prune.
    store.write_now(lambda tx: prune_flag_log(tx, ann, inbox, keep=1))
    assert [row[0] for row in noted(store)] == after[-1:]


def test_the_notes_do_not_grow_without_end(store, ann, inbox):
    def toggle(tx):
        for turn in range(6 * LOG_ROWS):
            store_flags(tx, ann, inbox, NumberSet([(1, 1)]), UNSEEN if turn % 2 else SEEN)

    store.write_now(toggle)
    assert LOG_ROWS <= len(noted(store)) < 3 * LOG_ROWS


def test_what_a_client_missed_has_its_numbers(store, ann, inbox):
    since = flag(store, ann, inbox, [5])
    store.write_now(lambda tx: expunge(tx, ann, inbox, NumberSet([(3, 8)]), only_deleted=False, now=NOW))
    flag(store, ann, inbox, [2, 10, 59])
    store.write_now(lambda tx: append(tx, ann, inbox, email(), now=NOW))

    def missed(mod_seq, known=None):
        return store.read_now(lambda tx: missed_since(tx, ann, inbox, mod_seq, known))

    all_of_it = missed(since)
    assert (str(all_of_it.vanished), all_of_it.since) == ("3:8", since)
    assert [row[0] for row in all_of_it.rows] == [2, 10, 59, 61]
    assert all_of_it.numbers == [2, 4, 53, 55]
    some = missed(since, NumberSet([(8, 20), (70, 90)]))
    assert (str(some.vanished), [row[0] for row in some.rows], some.numbers) == ("8", [10], [4])
    # From changes that were lost to a power cut: the client may know flags that never came to be.
    future = missed(1 << 40, NumberSet([(1, 2)]))
    assert (future.since, [row[0] for row in future.rows]) == (0, [1, 2])
    nothing = missed(since, NumberSet())
    assert (nothing.vanished, nothing.rows, nothing.numbers) == (NumberSet(), [], [])


@pytest.mark.parametrize("most", [0, 1, 3, 4])
def test_very_much_that_was_missed_is_not_read(store, ann, inbox, most, monkeypatch):
    since = flag(store, ann, inbox, [5])
    flag(store, ann, inbox, [2, 10])
    store.write_now(lambda tx: [append(tx, ann, inbox, email(), now=NOW) for _ in range(2)])
    monkeypatch.setattr(changes, "MISSED", most)
    missed = store.read_now(lambda tx: missed_since(tx, ann, inbox, since, None))
    assert (missed.rows is None) == (most < 4)
