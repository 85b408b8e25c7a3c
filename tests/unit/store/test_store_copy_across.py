"""COPY and MOVE from one account's mailbox to another's."""

import random

import pytest

from postino.core.errors import NoSuchMailbox, OverQuota
from postino.core.flags import flag_set
from postino.core.ids import Instant
from postino.core.numset import NumberSet
from postino.core.rights import parse_rights
from postino.store.accounts import remove_account
from postino.store.messages import append, copy, deliver, expunge, move
from postino.store.quota import set_quotas
from postino.store.store import Store
from postino.store.sweep import sweep
from tests.support.stored import EVERY_UID, NOW, email, inbox_of, mailbox_contents, make_accounts

SEEN = flag_set(["\\Seen", "\\Deleted", "\\Flagged", "$Work"])


def rows(store: Store, account_id: int, columns: str = "uid, flags, keywords, internal_date") -> list[tuple]:
    return store.read_now(
        lambda tx: tx.all(f"SELECT {columns} FROM message WHERE account_id=? ORDER BY uid", (account_id,))
    )


def test_a_copy_is_the_targets_own(store: Store) -> None:
    ann, bob = make_accounts(store, "ann", "bob")
    for n in range(5):
        new = email(b"body %d\r\n" % n, subject=f"S{n}", flags=SEEN, internal_date=NOW - n)
        store.write_now(lambda tx, new=new: append(tx, ann, inbox_of(store, ann), new, now=NOW))
    source, target = inbox_of(store, ann), inbox_of(store, bob)
    made = store.write_now(
        lambda tx: copy(tx, ann, source, NumberSet([(2, 4)]), target, target_account=bob, now=NOW)
    )
    assert (str(made.source_uids), str(made.target_uids)) == ("2:4", "1:3")
    before = mailbox_contents(store, ann)
    assert mailbox_contents(store, bob) == {uid - 1: before[uid] for uid in (2, 3, 4)}
    assert rows(store, bob)[0] == (1, SEEN.system, "$Work", NOW - 1)
    # Everything found out about a message is there as well, whatever columns there are.
    for old, new in zip(
        store.read_now(lambda tx: tx.all("SELECT * FROM content WHERE account_id=? ORDER BY id", (ann,)))[
            1:4
        ],
        store.read_now(lambda tx: tx.all("SELECT * FROM content WHERE account_id=? ORDER BY id", (bob,))),
        strict=True,
    ):
        assert old[2:4] + old[5:] == new[2:4] + new[5:]
    # The original can go without the copy noticing.
    store.write_now(lambda tx: expunge(tx, ann, source, None, only_deleted=False, now=NOW))
    store.write_now(lambda tx: sweep(tx, now=Instant(NOW + 10**7)))
    assert len(mailbox_contents(store, bob)) == 3
    store.write_now(lambda tx: remove_account(tx, ann))
    assert [b[-8:] for b in mailbox_contents(store, bob).values()] == [
        b"body 1\r\n",
        b"body 2\r\n",
        b"body 3\r\n",
    ]


def test_messages_of_one_content_become_messages_of_one_content(store: Store) -> None:
    ann, bob = make_accounts(store, "ann", "bob")
    source, target = inbox_of(store, ann), inbox_of(store, bob)
    for n in range(3):
        store.write_now(lambda tx, n=n: append(tx, ann, source, email(b"%d" % n), now=NOW))
    store.write_now(lambda tx: copy(tx, ann, source, NumberSet([(2, 3)]), source, now=NOW))
    store.write_now(lambda tx: copy(tx, ann, source, EVERY_UID, target, target_account=bob, now=NOW))
    bodies = [octets[-1:] for octets in mailbox_contents(store, bob).values()]
    assert bodies == [b"0", b"1", b"2", b"1", b"2"]
    assert store.read_now(lambda tx: tx.one("SELECT count(*) FROM content WHERE account_id=?", (bob,))) == (
        3,
    )


def test_scattered_messages_keep_their_contents(store: Store) -> None:
    ann, bob = make_accounts(store, "ann", "bob")
    source, target = inbox_of(store, ann), inbox_of(store, bob)
    for n in range(60):
        store.write_now(lambda tx, n=n: append(tx, ann, source, email(b"%d." % n), now=NOW))
    some = NumberSet.of(range(1, 61, 2))
    store.write_now(lambda tx: copy(tx, ann, source, some, target, target_account=bob, now=NOW))
    bodies = [octets.rpartition(b"\n")[2] for octets in mailbox_contents(store, bob).values()]
    assert bodies == [b"%d." % n for n in range(0, 60, 2)]


def test_a_shared_body_stays_one(store: Store) -> None:
    ann, bob, carol = make_accounts(store, "ann", "bob", "carol")
    new = email(b"x" * 5000)
    store.write_now(lambda tx: deliver(tx, [(ann, None, new), (bob, None, new)], NOW))
    source, target = inbox_of(store, ann), inbox_of(store, carol)
    store.write_now(lambda tx: copy(tx, ann, source, EVERY_UID, target, target_account=carol, now=NOW))
    shared = store.read_now(lambda tx: tx.all("SELECT count(*), min(length(body)) FROM shared_body"))
    assert shared == [(1, 5000)]
    store.write_now(lambda tx: remove_account(tx, ann))
    store.write_now(lambda tx: remove_account(tx, bob))
    assert mailbox_contents(store, carol)[1].endswith(b"x" * 5000)
    store.write_now(lambda tx: remove_account(tx, carol))
    assert store.read_now(lambda tx: tx.one("SELECT count(*) FROM shared_body")) == (0,)


def test_a_body_in_a_file_is_named_twice(store: Store) -> None:
    ann, bob = make_accounts(store, "ann", "bob")
    large = random.Random(1).randbytes(400_000)
    stored = store.seal_body(large)
    store.write_now(lambda tx: append(tx, ann, inbox_of(store, ann), email(large, stored=stored), now=NOW))
    source, target = inbox_of(store, ann), inbox_of(store, bob)
    store.write_now(lambda tx: copy(tx, ann, source, EVERY_UID, target, target_account=bob, now=NOW))
    assert store.write_now(lambda tx: remove_account(tx, ann)) == []
    assert mailbox_contents(store, bob)[1].endswith(large)
    assert len(store.write_now(lambda tx: remove_account(tx, bob))) == 1


def test_a_move_charges_one_and_discharges_the_other(store: Store) -> None:
    ann, bob = make_accounts(store, "ann", "bob")
    source, target = inbox_of(store, ann), inbox_of(store, bob)
    size = store.write_now(lambda tx: append(tx, ann, source, email(), now=NOW)) and len(
        mailbox_contents(store, ann)[1]
    )
    store.write_now(lambda tx: set_quotas(tx, bob, octets=size - 1))
    with pytest.raises(OverQuota):
        store.write_now(lambda tx: move(tx, ann, source, EVERY_UID, target, target_account=bob, now=NOW))
    assert len(rows(store, ann)) == 1
    store.write_now(lambda tx: set_quotas(tx, bob, octets=size))
    store.write_now(lambda tx: move(tx, ann, source, EVERY_UID, target, target_account=bob, now=NOW))
    used = store.read_now(lambda tx: tx.all("SELECT used_octets, used_messages FROM account ORDER BY id"))
    assert used == [(0, 0), (size, 1)]
    assert mailbox_contents(store, ann) == {}
    # What ann had is swept like anything expunged.
    assert store.write_now(lambda tx: sweep(tx, now=Instant(NOW + 10**7))).contents == 1


@pytest.mark.parametrize(
    ("letters", "flags", "counters"),
    [
        ("rwis", "\\Seen \\Flagged $Work", (0, 0)),
        ("rsti", "\\Seen \\Deleted", (0, 1)),
        ("i", "", (1, 0)),
        ("lrswipkxtea", "\\Seen \\Deleted \\Flagged $Work", (0, 1)),
    ],
)
@pytest.mark.parametrize("across", [True, False])
def test_a_copy_has_the_flags_its_maker_may_set(
    store: Store, letters: str, flags: str, counters: tuple[int, int], across: bool
) -> None:
    ann, bob = make_accounts(store, "ann", "bob")
    owner = bob if across else ann
    source, target = inbox_of(store, ann), inbox_of(store, owner, "Archive")
    store.write_now(lambda tx: append(tx, ann, source, email(flags=SEEN), now=NOW))
    rights = parse_rights(letters)
    store.write_now(
        lambda tx: copy(tx, ann, source, EVERY_UID, target, target_account=owner, rights=rights, now=NOW)
    )
    where = "FROM message WHERE account_id=? AND mailbox_id=?"
    kept = store.read_now(lambda tx: tx.all(f"SELECT flags, keywords {where}", (owner, target)))
    expected = flag_set(flags.split())
    assert kept == [(expected.system, expected.stored_keywords)]
    counted = store.read_now(
        lambda tx: tx.one("SELECT unseen, deleted FROM mailbox WHERE account_id=? AND id=?", (owner, target))
    )
    assert counted == counters


def test_messages_join_the_targets_threads(store: Store) -> None:
    ann, bob = make_accounts(store, "ann", "bob")
    header = b"Subject: x\r\nMessage-ID: <%b@x>\r\n%b\r\n"
    first = email(header=header % (b"1", b""))
    answer = email(header=header % (b"2", b"In-Reply-To: <1@x>\r\n"))
    store.write_now(lambda tx: append(tx, bob, inbox_of(store, bob), first, now=NOW))
    store.write_now(lambda tx: append(tx, ann, inbox_of(store, ann), answer, now=NOW))
    source, target = inbox_of(store, ann), inbox_of(store, bob)
    store.write_now(lambda tx: copy(tx, ann, source, EVERY_UID, target, target_account=bob, now=NOW))
    threads = store.read_now(lambda tx: tx.all("SELECT thread_id FROM content WHERE account_id=?", (bob,)))
    assert len(threads) == 2
    assert len(set(threads)) == 1


def test_nothing_to_copy_and_nowhere_to(store: Store) -> None:
    ann, bob = make_accounts(store, "ann", "bob")
    source, target = inbox_of(store, ann), inbox_of(store, bob)
    made = store.write_now(lambda tx: copy(tx, ann, source, EVERY_UID, target, target_account=bob, now=NOW))
    assert not made.target_uids
    with pytest.raises(NoSuchMailbox):
        store.write_now(
            lambda tx: copy(tx, ann, source, EVERY_UID, type(target)(999), target_account=bob, now=NOW)
        )
