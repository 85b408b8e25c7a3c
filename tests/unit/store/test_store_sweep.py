import os

import pytest

from postino.core.numset import NumberSet
from postino.store.changes import TooLongAgo, changes_since, vanished_since
from postino.store.content import SealedBlob
from postino.store.mailboxes import create_mailbox, delete_mailbox
from postino.store.messages import append, copy, deliver, expunge
from postino.store.sweep import (
    RETENTION_SECONDS,
    forget_expunged,
    remove_leftovers,
    sweep,
    sweep_store,
    too_much_expunged,
)
from postino.store.verify import verify
from tests.support.stored import (
    EVERY_UID,
    NOW,
    contents,
    email,
    inbox_of,
    make_accounts,
)

LATER = NOW + RETENTION_SECONDS + 1


@pytest.fixture
def ann(store):
    return make_accounts(store, "ann", "bob")[0]


@pytest.fixture
def inbox(store, ann):
    return inbox_of(store, ann)


def count(store, table):
    return store.read_now(lambda tx: tx.one(f"SELECT count(*) FROM {table}"))[0]


def expunge_all(store, ann, inbox):
    store.write_now(lambda tx: expunge(tx, ann, inbox, None, only_deleted=False, now=NOW))


async def test_expunged_content_stays_until_its_time_and_its_uid_for_ever(store, ann, inbox):
    store.write_now(lambda tx: append(tx, ann, inbox, email(), now=NOW))
    expunge_all(store, ann, inbox)
    assert await sweep_store(store, now=LATER - 2) == 0
    assert count(store, "content") == 1
    assert await sweep_store(store, now=LATER) == 1
    assert count(store, "content") == count(store, "octets") == 0
    assert store.read_now(lambda tx: vanished_since(tx, ann, inbox, 0, EVERY_UID)) == NumberSet([(1, 1)])
    assert await sweep_store(store, now=LATER) == 0


async def test_content_that_a_copy_needs_stays(store, ann, inbox):
    store.write_now(lambda tx: append(tx, ann, inbox, email(b"kept"), now=NOW))
    archive = inbox_of(store, ann, "Archive")
    store.write_now(lambda tx: copy(tx, ann, inbox, NumberSet([(1, 1)]), archive, now=NOW))
    expunge_all(store, ann, inbox)
    assert await sweep_store(store, now=LATER) == 0
    assert store.read_now(lambda tx: contents(tx, store.blobs, ann, archive))[1].endswith(b"kept")


async def test_content_expunged_twice_waits_for_the_later_one(store, ann, inbox):
    store.write_now(lambda tx: append(tx, ann, inbox, email(), now=NOW))
    archive = inbox_of(store, ann, "Archive")
    store.write_now(lambda tx: copy(tx, ann, inbox, NumberSet([(1, 1)]), archive, now=NOW))
    expunge_all(store, ann, inbox)
    store.write_now(lambda tx: expunge(tx, ann, archive, None, only_deleted=False, now=NOW + 100))
    assert await sweep_store(store, now=LATER) == 0
    assert await sweep_store(store, now=LATER + 100) == 1


async def test_shared_body_and_blob_go_with_the_last_account(store, ann):
    with store.blobs.open_spool() as spool:
        spool.write(b"blob")
        sealed = SealedBlob(spool.seal(), 0)
    for new in (email(b"shared " * 1000), email(b"blob", stored=sealed)):
        store.write_now(lambda tx, new=new: deliver(tx, [(ann, None, new), (ann + 1, None, new)], NOW))
    expunge_all(store, ann, inbox_of(store, ann))
    assert await sweep_store(store, now=LATER) == 2
    assert count(store, "shared_body") == 1
    assert store.blobs.size(sealed.blob_id) == 4
    expunge_all(store, ann + 1, inbox_of(store, ann + 1))
    assert await sweep_store(store, now=LATER) == 2
    assert count(store, "shared_body") == 0
    assert store.blobs.size(sealed.blob_id) is None


def test_sweep_works_in_batches_and_forgets_mailboxes_that_are_gone(store, ann):
    box = store.write_now(lambda tx: create_mailbox(tx, ann, "gone", now=NOW))

    def fill(tx):
        for _ in range(5):
            append(tx, ann, box.id, email(), now=NOW)

    store.write_now(fill)
    store.write_now(lambda tx: delete_mailbox(tx, ann, "gone", now=NOW))
    assert count(store, "expunged") == 5
    first = store.write_now(lambda tx: sweep(tx, now=LATER, batch=3))
    assert (first.contents, first.more) == (3, True)
    second = store.write_now(lambda tx: sweep(tx, now=LATER, batch=3))
    assert (second.contents, second.more) == (2, False)
    assert count(store, "expunged") == count(store, "content") == 0


async def test_leftover_files_go_after_a_day_and_named_ones_stay(store, ann, inbox):
    with store.blobs.open_spool() as spool:
        spool.write(b"named")
        sealed = SealedBlob(spool.seal(), 0)
    store.write_now(lambda tx: append(tx, ann, inbox, email(b"named", stored=sealed), now=NOW))
    with store.blobs.open_spool() as spool:
        spool.write(b"orphan")
        orphan = spool.seal()
    unsealed = store.blobs.open_spool()
    fresh = store.blobs.open_spool()
    for path in (store.blobs.path_of(sealed.blob_id), store.blobs.path_of(orphan), unsealed.path):
        os.utime(path, (NOW - 90_000, NOW - 90_000))
    os.utime(fresh.path, (NOW, NOW))
    assert await remove_leftovers(store, now=NOW) == 2
    assert store.blobs.size(orphan) is None
    assert store.blobs.size(sealed.blob_id) == 5
    assert fresh.path.exists()
    fresh.discard()
    unsealed.discard()


def test_a_sweep_goes_on_in_the_middle_of_an_expunge(store, ann, inbox):
    def fill(tx):
        for _ in range(7):
            append(tx, ann, inbox, email(), now=NOW)

    store.write_now(fill)
    few = NumberSet([(6, 7)])
    store.write_now(lambda tx: expunge(tx, ann, inbox, few, only_deleted=False, now=NOW))
    expunge_all(store, ann, inbox)
    assert count(store, "expunge") == 2
    swept = []
    while not swept or swept[-1].more:
        swept.append(store.write_now(lambda tx: sweep(tx, now=LATER, batch=3)))
        assert not any(finding for finding in store.read_now(lambda tx: list(verify(tx, store.blobs))))
    assert [each.contents for each in swept] == [3, 3, 1]
    assert count(store, "expunge") == count(store, "content") == 0
    assert count(store, "expunged") == 7


def test_verify_tells_of_content_that_no_sweep_would_remove(store, ann, inbox):
    store.write_now(lambda tx: append(tx, ann, inbox, email(), now=NOW))
    expunge_all(store, ann, inbox)
    store.write_now(lambda tx: tx.run("UPDATE expunge SET swept_uid=1"))
    (finding,) = store.read_now(lambda tx: list(verify(tx, store.blobs)))
    assert "a sweep that will not come" in finding.sentence
    store.write_now(lambda tx: tx.run("UPDATE expunge SET swept_uid=0"))


async def test_sweeping_the_store_forgets_the_oldest_expunges(store, ann, inbox):
    store.write_now(lambda tx: [append(tx, ann, inbox, email(), now=NOW) for _ in range(9)])
    for uid in range(1, 8):
        store.write_now(lambda tx, uid=uid: expunge(tx, ann, inbox, one(uid), only_deleted=False, now=NOW))
    await sweep_store(store, now=LATER, remembered=4)
    assert count(store, "expunged") == 4


def test_the_oldest_expunges_are_forgotten_and_what_is_said_of_them_stays_right(store, ann, inbox):
    store.write_now(lambda tx: [append(tx, ann, inbox, email(), now=NOW) for _ in range(12)])
    for uid in (1, 2, 4, 5, 7):
        store.write_now(lambda tx, uid=uid: expunge(tx, ann, inbox, one(uid), only_deleted=False, now=NOW))
    assert store.read_now(lambda tx: too_much_expunged(tx, keep=4)) == []
    ((account, mailbox, mod_seq),) = store.read_now(lambda tx: too_much_expunged(tx, keep=2))
    assert (account, mailbox) == (ann, inbox)
    # What is kept for undelete is not forgotten, but neither is it counted on.
    assert not store.write_now(lambda tx: forget_expunged(tx, ann, inbox, mod_seq))
    assert count(store, "expunged") == 5
    store.write_now(lambda tx: sweep(tx, now=LATER))
    assert store.write_now(lambda tx: forget_expunged(tx, ann, inbox, mod_seq, batch=2))
    assert not store.write_now(lambda tx: forget_expunged(tx, ann, inbox, mod_seq, batch=2))
    assert count(store, "expunged") == 2

    def vanished(since, uids=EVERY_UID, sample=()):
        return str(store.read_now(lambda tx: vanished_since(tx, ann, inbox, since, uids, sample)))

    assert vanished(mod_seq) == "5,7"
    assert vanished(mod_seq - 1) == "1:2,4:5,7"
    assert vanished(1, NumberSet([(2, 4), (7, 99)])) == "2,4,7"
    # Message 2 still has UID 6: the client knows of all that went before it.
    assert vanished(1, sample=[(1, 3), (2, 6), (4, 10)]) == "7"
    assert vanished(1, sample=[(2, 7), (9, 40)]) == "1:2,4:5,7"
    with pytest.raises(TooLongAgo):
        store.read_now(lambda tx: changes_since(tx, ann, inbox, mod_seq - 1, 13))


def one(uid):
    return NumberSet([(uid, uid)])
