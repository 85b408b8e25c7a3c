import random

import pytest

from postino.core.errors import DatabaseDamaged
from postino.core.numset import NumberSet
from postino.store.bodies import ROW_OCTETS, Codec, pack, unpack
from postino.store.content import InlineBody, SealedBlob
from postino.store.fetch import Column, StoredBody, body_octets, fetch_rows, open_body
from postino.store.messages import append, deliver
from tests.support.stored import NOW, contents, email, inbox_of, mailbox_contents, make_accounts

TEXT = b"words that repeat themselves, as words in mail do\r\n"
NOISE = bytes((n * n * 7919 >> 5) & 0xFF for n in range(4000))


@pytest.fixture
def ann(store):
    return make_accounts(store, "ann", "bob")[0]


@pytest.fixture
def inbox(store, ann):
    return inbox_of(store, ann)


@pytest.mark.parametrize("octets", [b"", b"x", TEXT * 10, TEXT * 5000, NOISE * 3, bytes(300_000)])
def test_pack_and_unpack_are_inverse(octets):
    codec, stored = pack(octets)
    assert unpack(codec, stored, len(octets)) == octets
    assert len(stored) <= len(octets)


def test_pack_compresses_only_what_shrinks():
    assert pack(TEXT * 1000)[0] is Codec.ZSTD
    assert pack(TEXT)[0] is Codec.RAW
    assert pack(TEXT, compress_from=1)[0] is Codec.RAW
    assert pack(TEXT * 10, compress_from=1)[0] is Codec.ZSTD
    # Only the middle is looked at first; what cannot shrink there is kept as it is.
    assert pack(TEXT * 1000 + random.Random(1).randbytes(20_000) + TEXT * 1000)[0] is Codec.RAW
    assert (
        pack(random.Random(1).randbytes(9_000) + TEXT * 1000 + random.Random(1).randbytes(9_000))[0]
        is Codec.ZSTD
    )
    assert pack(NOISE * 3)[0] is Codec.ZSTD or len(NOISE) > 0


def test_unpack_refuses_what_is_not_the_body():
    _, stored = pack(TEXT * 1000)
    for codec, octets, size in (
        (Codec.ZSTD, b"junk", 4),
        (Codec.ZSTD, stored[:-9], len(TEXT) * 1000),
        (Codec.ZSTD, stored, 7),
        (Codec.RAW, b"abc", 4),
    ):
        with pytest.raises(DatabaseDamaged):
            unpack(codec, octets, size)


def test_columns_come_in_their_order_after_the_uid(store, ann, inbox):
    new = email(TEXT)
    done = store.write_now(lambda tx: append(tx, ann, inbox, new, now=NOW + 1))
    row = store.read_now(lambda tx: fetch_rows(tx, ann, inbox, NumberSet([(1, 1)]), frozenset(Column)))[0]
    assert row == (
        1,
        NOW,
        NOW + 1,
        new.facts.size,
        ann,
        done.mod_seq,
        done.mod_seq,
        new.facts.preview,
        new.facts.envelope,
        new.facts.bodystructure,
        new.facts.fields,
        new.facts.parts,
        new.header,
        TEXT,
    )
    some = frozenset({Column.SIZE, Column.ENVELOPE})
    assert store.read_now(lambda tx: fetch_rows(tx, ann, inbox, NumberSet([(1, 1)]), some)) == [
        (1, new.facts.size, new.facts.envelope)
    ]
    assert store.read_now(lambda tx: fetch_rows(tx, ann, inbox, NumberSet(), some)) == []


def test_rows_come_by_uid_for_scattered_sets(store, ann, inbox):
    def fill(tx):
        for n in range(40):
            append(tx, ann, inbox, email(b"%d" % n), now=NOW)

    store.write_now(fill)
    wanted = NumberSet.of([*range(1, 40, 3), 99])
    for columns in ({Column.SIZE}, {Column.ENVELOPE}, {Column.BODY}, {Column.FIELDS, Column.HEADER}):
        rows = store.read_now(lambda tx, c=columns: fetch_rows(tx, ann, inbox, wanted, frozenset(c)))
        assert [row[0] for row in rows] == list(range(1, 40, 3))


@pytest.mark.parametrize("body", [b"", b"short", TEXT * 3000, NOISE * 30, bytes(1_000_000)])
def test_any_body_comes_back_whole_and_by_range(store, ann, inbox, body):
    stored = store.seal_body(body)
    store.write_now(lambda tx: append(tx, ann, inbox, email(body, stored=stored), now=NOW))
    ((_, found),) = store.read_now(
        lambda tx: fetch_rows(tx, ann, inbox, NumberSet([(1, 1)]), frozenset({Column.BODY}))
    )
    assert body_octets(found, store.blobs) == body
    source = open_body(found, store.blobs)
    assert source.size == len(body)
    for start, length in ((0, 10), (len(body) // 2, 5000), (len(body) - 3, 10), (len(body) + 5, 10)):
        assert source.read(start, length) == body[start : start + length]


def test_what_stays_large_is_sealed_and_what_shrinks_is_not(store):
    import random

    noise = random.Random(1).randbytes(ROW_OCTETS + 1)
    assert isinstance(store.seal_body(noise), SealedBlob)
    assert store.seal_body(noise[:-1]) == InlineBody(noise[:-1])
    assert isinstance(store.seal_body(bytes(1_000_000)), InlineBody)


def test_blob_may_hold_the_header_too(store, ann, inbox):
    new = email(TEXT)
    with store.blobs.open_spool() as spool:
        spool.write(new.header)
        spool.write(TEXT)
        sealed = SealedBlob(spool.seal(), len(new.header))
    store.write_now(lambda tx: append(tx, ann, inbox, email(TEXT, stored=sealed), now=NOW))
    assert store.read_now(lambda tx: contents(tx, store.blobs, ann, inbox)) == {1: new.header + TEXT}


def test_one_blob_for_several_accounts(store, ann):
    with store.blobs.open_spool() as spool:
        spool.write(TEXT)
        sealed = SealedBlob(spool.seal(), 0)
    new = email(TEXT, stored=sealed)
    store.write_now(lambda tx: deliver(tx, [(ann, None, new), (ann + 1, None, new)], NOW))
    for account in (ann, ann + 1):
        assert mailbox_contents(store, account) == {1: new.header + TEXT}


def test_lost_shared_body_is_damage(tmp_path):
    from postino.store.store import open_store

    store = open_store(tmp_path, first=True)
    ann, bob = make_accounts(store, "ann", "bob")
    new = email(TEXT * 100)
    store.write_now(lambda tx: deliver(tx, [(ann, None, new), (bob, None, new)], NOW))
    store.write_now(lambda tx: tx.run("DELETE FROM shared_body"))
    inbox = inbox_of(store, ann)
    with pytest.raises(DatabaseDamaged):
        store.read_now(lambda tx: contents(tx, store.blobs, ann, inbox))
    store.close_now()


def test_stored_body_of_a_missing_blob_is_damage(store):
    with pytest.raises(DatabaseDamaged):
        body_octets(StoredBody(Codec.BLOB, None, "00" * 16, 0, 5), store.blobs)
