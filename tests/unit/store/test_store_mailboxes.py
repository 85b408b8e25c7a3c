import pytest

from postino.core.errors import AlreadyExists, NoSuchMailbox, NotPermitted, TooManyMessages, UseTaken
from postino.core.limits import Limits
from postino.store.mailboxes import (
    create_mailbox,
    delete_mailbox,
    list_mailboxes,
    lone_subscriptions,
    mailbox_by_id,
    mailbox_by_name,
    rename_mailbox,
    set_subscribed,
)
from postino.store.messages import append
from tests.support.stored import LIMITS, NOW, email, inbox_of, make_accounts


@pytest.fixture
def ann(store):
    return make_accounts(store, "ann")[0]


def names(store, ann):
    usual = {"Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"}
    return [row.name for row in store.read_now(lambda tx: list_mailboxes(tx, ann)) if row.name not in usual]


def make(store, ann, name, limits=LIMITS):
    return store.write_now(lambda tx: create_mailbox(tx, ann, name, limits, now=NOW))


def rename(store, ann, old, new):
    return store.write_now(lambda tx: rename_mailbox(tx, ann, old, new, now=NOW))


def delete(store, ann, name):
    return store.write_now(lambda tx: delete_mailbox(tx, ann, name, now=NOW))


def test_names_are_nfc_and_inbox_has_one_spelling(store, ann):
    made = make(store, ann, "e\u0301te\u0301")
    assert made.name == "\u00e9t\u00e9"
    assert store.read_now(lambda tx: mailbox_by_name(tx, ann, "\u00e9te\u0301")).id == made.id
    assert store.read_now(lambda tx: mailbox_by_name(tx, ann, "InBox")).name == "INBOX"
    assert make(store, ann, "inbox/lists").name == "INBOX/lists"
    with pytest.raises(AlreadyExists):
        make(store, ann, "inbox")


def test_create_makes_the_levels_above_and_ignores_a_final_separator(store, ann):
    make(store, ann, "a/b/c/")
    assert names(store, ann) == ["a", "a/b", "a/b/c"]


@pytest.mark.parametrize("name", ["", "/", "a//b", "/a", "a\x00b", "a\nb", "a\x7fb", "a\ud800b", "a\u2028b"])
def test_names_that_cannot_be(store, ann, name):
    with pytest.raises(NotPermitted):
        make(store, ann, name)


def test_limits_of_names_and_numbers(store, ann):
    with pytest.raises(TooManyMessages):
        make(store, ann, "x" * 1001)
    with pytest.raises(TooManyMessages):
        make(store, ann, "/".join("x" * 51))
    with pytest.raises(TooManyMessages):
        make(store, ann, "a/b", Limits(mailboxes=7))
    make(store, ann, "a", Limits(mailboxes=7))


def test_one_mailbox_for_each_special_use(store, ann):
    with pytest.raises(UseTaken):
        store.write_now(lambda tx: create_mailbox(tx, ann, "S", special_use="\\Sent", now=NOW))


def test_uid_validity_never_comes_again(store, ann):
    first = make(store, ann, "a")
    delete(store, ann, "a")
    second = make(store, ann, "a")
    assert second.uid_validity > first.uid_validity
    assert second.id > first.id


def test_rename_takes_the_levels_below_along(store, ann):
    make(store, ann, "a/b/c")
    make(store, ann, "ab")
    before = store.read_now(lambda tx: mailbox_by_name(tx, ann, "a/b"))
    renamed = rename(store, ann, "a", "x/y")
    assert renamed.name == "x/y"
    assert names(store, ann) == ["ab", "x", "x/y", "x/y/b", "x/y/b/c"]
    after = store.read_now(lambda tx: mailbox_by_name(tx, ann, "x/y/b"))
    assert (after.id, after.uid_validity) == (before.id, before.uid_validity)


def test_rename_refusals(store, ann):
    make(store, ann, "a/b")
    make(store, ann, "c")
    for old, new, error in (
        ("nowhere", "x", NoSuchMailbox),
        ("a", "c", AlreadyExists),
        ("a", "a", NotPermitted),
        ("a", "a/z", NotPermitted),
        ("a", "", NotPermitted),
        ("a", "INBOX", AlreadyExists),
        ("a", "/".join("x" * 50), TooManyMessages),
    ):
        with pytest.raises(error):
            rename(store, ann, old, new)
    assert names(store, ann) == ["a", "a/b", "c"]


def test_renaming_inbox_moves_its_messages_and_keeps_it(store, ann):
    make(store, ann, "INBOX/kept")
    inbox = inbox_of(store, ann)
    for _ in range(2):
        store.write_now(lambda tx: append(tx, ann, inbox, email(), now=NOW))
    renamed = rename(store, ann, "INBOX", "old/mail")
    assert (renamed.name, renamed.messages, renamed.unseen) == ("old/mail", 2, 2)
    kept = store.read_now(lambda tx: mailbox_by_id(tx, ann, inbox))
    assert (kept.name, kept.messages, kept.uid_next) == ("INBOX", 0, 3)
    assert names(store, ann) == ["INBOX/kept", "old", "old/mail"]
    assert rename(store, ann, "INBOX", "empty").messages == 0


def test_delete_keeps_the_subscription_and_refuses_what_it_must(store, ann):
    made = make(store, ann, "a/b")
    store.write_now(lambda tx: append(tx, ann, made.id, email(), now=NOW))
    with pytest.raises(NotPermitted):
        delete(store, ann, "a")
    with pytest.raises(NotPermitted):
        delete(store, ann, "inbox")
    assert delete(store, ann, "a/b").id == made.id
    with pytest.raises(NoSuchMailbox):
        delete(store, ann, "a/b")
    with pytest.raises(NoSuchMailbox):
        store.read_now(lambda tx: mailbox_by_id(tx, ann, made.id))
    assert store.read_now(lambda tx: lone_subscriptions(tx, ann)) == ["a/b"]
    make(store, ann, "a/b")
    assert store.read_now(lambda tx: lone_subscriptions(tx, ann)) == []


def test_subscriptions_with_and_without_a_mailbox(store, ann):
    def subscribe(name, wanted):
        store.write_now(lambda tx: set_subscribed(tx, ann, name, wanted))

    subscribe("Sent", False)
    assert not store.read_now(lambda tx: mailbox_by_name(tx, ann, "Sent")).subscribed
    delete(store, ann, "Sent")
    assert store.read_now(lambda tx: lone_subscriptions(tx, ann)) == []
    subscribe("later", True)
    subscribe("later", True)
    assert store.read_now(lambda tx: lone_subscriptions(tx, ann)) == ["later"]
    subscribe("later", False)
    assert store.read_now(lambda tx: lone_subscriptions(tx, ann)) == []


@pytest.mark.parametrize("levels", [51, 400, 1_000, 100_000])
def test_very_many_levels_are_refused_politely(store, ann, levels):
    name = "/".join("a" * levels)
    with pytest.raises(TooManyMessages, match="A mailbox name has at most"):
        store.write_now(lambda tx: create_mailbox(tx, ann, name, now=NOW))
    with pytest.raises(TooManyMessages, match="A mailbox name has at most"):
        store.write_now(lambda tx: set_subscribed(tx, ann, f"Shared/x/{name}", True))


def test_deep_names_are_made_listed_and_renamed(store, ann):
    limits = Limits(mailbox_depth=1_000, mailbox_name_octets=4_000)
    name = "/".join("a" * 1_000)
    store.write_now(lambda tx: create_mailbox(tx, ann, name, limits, now=NOW))
    store.write_now(lambda tx: rename_mailbox(tx, ann, "a", "b", limits, now=NOW))
    names = {row.name for row in store.read_now(lambda tx: list_mailboxes(tx, ann))}
    assert "b" + name[1:] in names
    assert name not in names
