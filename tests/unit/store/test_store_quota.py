"""Quotas of messages and mailboxes, and annotations, below the servers."""

import pytest

from postino.core.errors import NoSuchAccount, NotPermitted, OverQuota
from postino.core.ids import NAMES
from postino.store.accounts import account_by_id, remove_account, set_admin
from postino.store.annotations import (
    SERVER,
    Found,
    Place,
    TooManyAnnotations,
    annotated_since,
    annotations,
    annotations_mod_seq,
    set_annotations,
)
from postino.store.mailboxes import create_mailbox, delete_mailbox, rename_mailbox
from postino.store.messages import append, deliver
from postino.store.quota import deleted_octets, quota_root, quota_root_by_login, set_quotas
from tests.support.stored import NOW, email, inbox_of, make_accounts


def test_a_quota_of_messages_is_never_exceeded(store):
    (ann,) = make_accounts(store, "ann")
    inbox = inbox_of(store, ann)
    store.write_now(lambda tx: set_quotas(tx, ann, octets=0, messages=2, mailboxes=0))
    for _ in range(2):
        store.write_now(lambda tx: append(tx, ann, inbox, email(), now=NOW))
    with pytest.raises(OverQuota, match="its quota of messages is used up"):
        store.write_now(lambda tx: append(tx, ann, inbox, email(), now=NOW))
    with pytest.raises(OverQuota, match=r"ann@example\.org"):
        store.write_now(lambda tx: deliver(tx, [(ann, inbox, email())], NOW))
    root = store.read_now(lambda tx: quota_root(tx, ann))
    assert (root.used_messages, root.quota_messages, root.mailboxes) == (2, 2, 6)


def test_the_quota_of_octets_is_named_when_it_is_that_one(store):
    (ann,) = make_accounts(store, "ann")
    inbox = inbox_of(store, ann)
    store.write_now(lambda tx: set_quotas(tx, ann, octets=10, messages=1, mailboxes=0))
    with pytest.raises(OverQuota, match="its quota of octets is used up"):
        store.write_now(lambda tx: append(tx, ann, inbox, email(), now=NOW))


def test_a_quota_of_mailboxes_counts_the_levels_that_are_made_too(store):
    (ann,) = make_accounts(store, "ann")
    store.write_now(lambda tx: set_quotas(tx, ann, octets=0, messages=0, mailboxes=8))
    with pytest.raises(OverQuota, match="as many mailboxes as its quota allows"):
        store.write_now(lambda tx: create_mailbox(tx, ann, "a/b/c", now=NOW))
    store.write_now(lambda tx: create_mailbox(tx, ann, "a/b", now=NOW))
    with pytest.raises(OverQuota):
        store.write_now(lambda tx: rename_mailbox(tx, ann, "a/b", "c/b", now=NOW))


def test_roots_are_found_and_set(store):
    ann, bob = make_accounts(store, "ann", "bob")
    assert store.read_now(lambda tx: quota_root_by_login(tx, "bob@example.org")).account_id == bob
    assert store.read_now(lambda tx: quota_root_by_login(tx, "x@example.org")) is None
    for bad in (-1, 2**61):
        with pytest.raises(NotPermitted):
            store.write_now(lambda tx, bad=bad: set_quotas(tx, ann, octets=bad, messages=0, mailboxes=0))
    for act in (
        lambda tx: set_quotas(tx, 99, octets=0, messages=0, mailboxes=0),
        lambda tx: quota_root(tx, 99),
        lambda tx: set_admin(tx, 99, True),
    ):
        with pytest.raises(NoSuchAccount):
            store.write_now(act)
    store.write_now(lambda tx: set_admin(tx, ann, True))
    assert store.read_now(lambda tx: account_by_id(tx, ann)).is_admin is True
    assert store.read_now(lambda tx: account_by_id(tx, bob)).is_admin is False
    inbox = inbox_of(store, ann)
    assert store.read_now(lambda tx: deleted_octets(tx, ann, inbox)) == 0


# Annotations


def put(store, place, *values, most=10):
    return store.write_now(
        lambda tx: set_annotations(tx, place, list(values), most=most, most_octets=100_000)
    )


def found(store, place, entry, **how):
    return store.read_now(lambda tx: annotations(tx, place, entry, **how))


def test_values_are_found_by_depth_and_size(store):
    (ann,) = make_accounts(store, "ann")
    here = Place(ann, inbox_of(store, ann), ann)
    put(
        store,
        here,
        ("/private/a", b"1"),
        ("/private/a/b", b"22"),
        ("/private/a/b/c", b""),
        ("/private/ab", b"x"),
    )
    assert found(store, here, "/private/a") == [Found("/private/a", 1, b"1")]
    assert [each.entry for each in found(store, here, "/private/a", depth=1)] == [
        "/private/a",
        "/private/a/b",
    ]
    assert [each.entry for each in found(store, here, "/private", depth=1)] == ["/private/a", "/private/ab"]
    assert [each.entry for each in found(store, here, "/private", depth=None)] == [
        "/private/a",
        "/private/a/b",
        "/private/a/b/c",
        "/private/ab",
    ]
    assert found(store, here, "/private/a/b", most_octets=1) == [Found("/private/a/b", 2, None)]


def test_private_ones_are_each_persons_own(store):
    ann, bob = make_accounts(store, "ann", "bob")
    inbox = inbox_of(store, ann)
    mine, his = Place(ann, inbox, ann), Place(ann, inbox, bob)
    put(store, mine, ("/private/x", b"ann"), ("/shared/x", b"all"))
    put(store, his, ("/private/x", b"bob"))
    assert [each.value for each in found(store, mine, "/private/x")] == [b"ann"]
    assert [each.value for each in found(store, his, "/private/x")] == [b"bob"]
    assert [each.value for each in found(store, his, "/shared/x")] == [b"all"]
    server = Place(SERVER, NAMES, bob)
    put(store, server, ("/private/x", b"bob's"), ("/shared/x", b"everybody's"))
    assert found(store, Place(SERVER, NAMES, ann), "/private/x") == []
    assert [each.value for each in found(store, Place(SERVER, NAMES, ann), "/shared/x")] == [b"everybody's"]
    store.write_now(lambda tx: remove_account(tx, bob))
    assert found(store, his, "/private/x") == []
    assert [each.value for each in found(store, server, "/shared/x")] == [b"everybody's"]


def test_too_many_change_nothing(store):
    (ann,) = make_accounts(store, "ann")
    here = Place(ann, inbox_of(store, ann), ann)
    put(store, here, ("/shared/a", b"1"), most=1)
    with pytest.raises(TooManyAnnotations):
        put(store, here, ("/shared/a", b"2"), ("/shared/b", b"2"), most=1)
    assert [each.value for each in found(store, here, "/shared/a")] == [b"1"]
    put(store, here, ("/shared/a", None), ("/shared/b", b"2"), most=1)
    assert found(store, here, "/shared/a") == []


def test_what_changed_is_told_even_when_it_is_gone(store):
    ann, bob = make_accounts(store, "ann", "bob")
    inbox = inbox_of(store, ann)
    here = Place(ann, inbox, ann)
    put(store, here, ("/shared/a", b"1"), ("/private/a", b"1"))
    since = store.read_now(lambda tx: annotations_mod_seq(tx, ann))
    (change,) = put(store, here, ("/shared/a", None), ("/private/never", None), ("/private/b", b"2"))
    assert (change.account_id, change.mailbox_id) == (ann, inbox)

    def told(viewer, mailbox_id=inbox):
        return [
            row[1] for row in store.read_now(lambda tx: annotated_since(tx, ann, mailbox_id, viewer, since))
        ]

    assert told(ann) == ["/private/b", "/shared/a"]
    assert told(ann, None) == ["/private/b", "/shared/a"]
    assert told(bob) == ["/shared/a"]
    put(store, Place(SERVER, NAMES, bob), ("/shared/x", b"1"))
    (second,) = put(store, Place(SERVER, NAMES, ann), ("/shared/x", b"2"))
    assert store.read_now(lambda tx: annotations_mod_seq(tx, SERVER)) == second.mod_seq == 2
    assert store.read_now(lambda tx: annotated_since(tx, SERVER, None, ann, 1)) == [(NAMES, "/shared/x", 2)]


def test_removed_names_are_not_remembered_for_ever(store):
    (ann,) = make_accounts(store, "ann")
    here = Place(ann, inbox_of(store, ann), ann)
    for number in range(130):
        put(store, here, (f"/shared/{number}", b"x"))
        put(store, here, (f"/shared/{number}", None))
    rows = store.read_now(lambda tx: tx.all("SELECT entry FROM annotation ORDER BY mod_seq"))
    assert [entry for (entry,) in rows] == [f"/shared/{number}" for number in range(30, 130)]


def test_they_go_with_their_mailbox(store):
    (ann,) = make_accounts(store, "ann")
    made = store.write_now(lambda tx: create_mailbox(tx, ann, "x", now=NOW))
    put(store, Place(ann, made.id, ann), ("/shared/a", b"1"), ("/private/b", b"2"))
    store.write_now(lambda tx: delete_mailbox(tx, ann, "x", now=NOW))
    assert store.read_now(lambda tx: tx.all("SELECT 1 FROM annotation")) == []


def test_names_of_what_was_removed_make_room(store):
    (ann,) = make_accounts(store, "ann")
    here = Place(ann, inbox_of(store, ann), ann)

    def put_within(entry, value):
        store.write_now(lambda tx: set_annotations(tx, here, [(entry, value)], most=10, most_octets=1000))

    for number in range(20):
        put_within(f"/shared/{number}", b"")
        put_within(f"/shared/{number}", None)
    put_within("/shared/full", b"x" * 850)
    with pytest.raises(OverQuota):
        put_within("/shared/more", b"")
    put_within("/shared/full", None)
    put_within("/shared/more", b"")
