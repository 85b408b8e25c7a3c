"""Access control lists and other accounts' mailboxes in the store."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.errors import NoPermission, NoSuchMailbox, NotPermitted, TooManyMessages
from postino.core.ids import EVERYBODY, NAMES, AccountId
from postino.core.limits import Limits
from postino.core.ports import MailboxChange
from postino.core.rights import ALL_RIGHTS, NO_RIGHTS, AclMode, Rights, parse_rights
from postino.store.access import list_reachable, reach_mailbox, reach_place
from postino.store.accounts import remove_account
from postino.store.acl import AclEntry, combined, delete_acl, list_acl, set_acl
from postino.store.mailboxes import create_mailbox, delete_mailbox, rename_mailbox, set_subscribed
from postino.store.store import Store, open_store
from tests.support.stored import NOW, findings, inbox_of, make_account, make_accounts

BOB = "bob@example.org"


def share(store: Store, owner: AccountId, name: str, who: str, letters: str, mode=AclMode.REPLACE) -> Rights:
    mailbox = inbox_of(store, owner, name)
    return store.write_now(lambda tx: set_acl(tx, owner, mailbox, who, parse_rights(letters), mode))


def make(store: Store, owner: AccountId, *names: str) -> None:
    for name in names:
        store.write_now(lambda tx, name=name: create_mailbox(tx, owner, name, now=NOW))


def entries(store: Store, owner: AccountId, name: str) -> list[tuple[str, str]]:
    mailbox = inbox_of(store, owner, name)
    return [(e.identifier, e.rights.letters) for e in store.read_now(lambda tx: list_acl(tx, owner, mailbox))]


@pytest.mark.parametrize(
    ("rows", "letters"),
    [
        ([], ""),
        ([("bob", "lr"), ("anyone", "rs")], "lrs"),
        ([("bob", "lrsw"), ("-bob", "sw")], "lr"),
        ([("bob", "lrsw"), ("-anyone", "w")], "lrs"),
        ([("anyone", "lr"), ("-bob", "lrswipkxtea")], ""),
        ([("-bob", "w")], ""),
    ],
)
def test_rights_are_what_is_given_less_what_is_denied(rows: list[tuple[str, str]], letters: str) -> None:
    assert combined(rows).letters == letters


def test_a_list_is_changed_in_three_ways(store: Store) -> None:
    ann, _ = make_accounts(store, "ann", "bob")
    assert share(store, ann, "INBOX", BOB, "lr").letters == "lr"
    assert share(store, ann, "INBOX", BOB, "sw", AclMode.ADD).letters == "lrsw"
    assert share(store, ann, "INBOX", BOB, "lw", AclMode.REMOVE).letters == "rs"
    assert entries(store, ann, "INBOX") == [(BOB, "rs")]
    assert share(store, ann, "INBOX", BOB, "rs", AclMode.REMOVE) == NO_RIGHTS
    assert entries(store, ann, "INBOX") == []


def test_an_identifier_is_an_account_or_anyone_and_never_the_owner(store: Store) -> None:
    ann, _ = make_accounts(store, "ann", "bob")
    share(store, ann, "INBOX", "-ANYONE", "w")
    assert entries(store, ann, "INBOX") == [("-anyone", "w")]
    for who in ("carol@example.org", "-", "", "ann@example.org", "-Ann@Example.org"):
        with pytest.raises(NotPermitted):
            share(store, ann, "INBOX", who, "lr")


def test_a_list_is_bounded(store: Store) -> None:
    ann, *_ = make_accounts(store, "ann", "bob", "carol", "dora")
    inbox = inbox_of(store, ann)
    limits = Limits(acl_entries=2)

    def add(who: str) -> None:
        store.write_now(lambda tx: set_acl(tx, ann, inbox, who, Rights.READ, AclMode.ADD, limits))

    add(BOB)
    add("carol@example.org")
    add(BOB)
    with pytest.raises(TooManyMessages, match="at most 2 entries"):
        add("dora@example.org")


def test_a_new_mailbox_inherits_and_a_renamed_one_keeps(store: Store) -> None:
    ann, _ = make_accounts(store, "ann", "bob")
    make(store, ann, "Work")
    share(store, ann, "Work", BOB, "lr")
    make(store, ann, "Work/a/b", "Other/c")
    assert entries(store, ann, "Work/a") == entries(store, ann, "Work/a/b") == [(BOB, "lr")]
    assert entries(store, ann, "Other/c") == []
    store.write_now(lambda tx: rename_mailbox(tx, ann, "Work/a", "Other/a", now=NOW))
    assert entries(store, ann, "Other/a/b") == [(BOB, "lr")]


def test_a_list_goes_with_its_mailbox_and_an_identifier_with_its_account(store: Store) -> None:
    ann, bob, carol = make_accounts(store, "ann", "bob", "carol")
    make(store, ann, "Work")
    share(store, ann, "Work", BOB, "lr")
    share(store, ann, "INBOX", BOB, "lr")
    share(store, ann, "INBOX", f"-{BOB}", "r")
    share(store, ann, "INBOX", "anyone", "l")
    share(store, carol, "INBOX", "ann@example.org", "l")
    store.write_now(lambda tx: delete_mailbox(tx, ann, "Work", now=NOW))
    assert store.read_now(lambda tx: tx.one("SELECT count(*) FROM acl WHERE account_id=?", (ann,))) == (3,)
    store.write_now(lambda tx: remove_account(tx, bob))
    assert entries(store, ann, "INBOX") == [("anyone", "l")]
    # Another account of that login has none of the old one's rights.
    again = store.write_now(lambda tx: make_account(tx, BOB))
    assert (
        store.read_now(lambda tx: reach_mailbox(tx, again, "Shared/ann@example.org/INBOX")).rights.letters
        == "l"
    )
    store.write_now(lambda tx: remove_account(tx, ann))
    assert store.read_now(lambda tx: tx.one("SELECT count(*) FROM acl")) == (0,)


def test_whoever_lists_hears_of_changes(store: Store) -> None:
    ann, bob = make_accounts(store, "ann", "bob")
    heard: list[MailboxChange] = []
    store.on_commit = heard.extend

    def told(change) -> set[tuple[int, bool]]:
        heard.clear()
        store.write_now(change)
        return {(change.account_id, change.mailbox_id == NAMES) for change in heard}

    assert (ann, True) in told(lambda tx: create_mailbox(tx, ann, "Work", now=NOW))
    work = inbox_of(store, ann, "Work")
    # Who has it selected, who owns it and who may see it now.
    assert told(lambda tx: set_acl(tx, ann, work, BOB, Rights.LOOKUP)) == {
        (ann, False),
        (ann, True),
        (bob, True),
    }
    assert told(lambda tx: set_acl(tx, ann, work, BOB, Rights.LOOKUP)) == set()
    assert told(lambda tx: create_mailbox(tx, ann, "Work/New", now=NOW)) == {(ann, True), (bob, True)}
    assert told(lambda tx: rename_mailbox(tx, ann, "Work/New", "Work/Old", now=NOW)) == {
        (ann, True),
        (bob, True),
    }
    assert told(lambda tx: delete_mailbox(tx, ann, "Work/Old", now=NOW)) >= {(ann, True), (bob, True)}
    assert told(lambda tx: set_subscribed(tx, bob, "Shared/ann@example.org/Work", True)) == {(bob, True)}
    assert told(lambda tx: delete_acl(tx, ann, work, BOB)) >= {(bob, True)}
    assert (EVERYBODY, True) in told(lambda tx: set_acl(tx, ann, work, "anyone", Rights.LOOKUP))


@pytest.mark.parametrize("name", ["Shared", "Shared/x", "Shared/ann@example.org/New"])
def test_no_mailbox_of_ones_own_is_called_as_anothers(store: Store, name: str) -> None:
    ann, _ = make_accounts(store, "ann", "bob")
    with pytest.raises(NotPermitted):
        store.write_now(lambda tx: create_mailbox(tx, ann, name, now=NOW))
    with pytest.raises(NotPermitted):
        store.write_now(lambda tx: rename_mailbox(tx, ann, "Drafts", name, now=NOW))


def test_a_place_needs_the_right_to_make_in_the_nearest_mailbox_above(store: Store) -> None:
    ann, bob = make_accounts(store, "ann", "bob")
    make(store, ann, "Work/Deep")
    share(store, ann, "Work", BOB, "lk")

    def place(name: str) -> tuple[int, str]:
        found = store.read_now(lambda tx: reach_place(tx, bob, name))
        return found.account_id, found.name

    assert place("Mine/x") == (bob, "Mine/x")
    assert place("Shared/ANN@example.org/Work/a/b/") == (ann, "Work/a/b")
    share(store, ann, "Work/Deep", BOB, "l")
    for refused in ("Work/Deep/x", "Top", "INBOX/x", "inbox"):
        with pytest.raises(NoPermission):
            place(f"Shared/ann@example.org/{refused}")
    for nobody in ("Shared/carol@example.org/x", "Shared/bob@example.org/x", "Shared/x", "Shared//"):
        with pytest.raises(NoPermission):
            place(nobody)


def test_a_login_with_the_separator_is_one_level(store: Store) -> None:
    odd, bob = make_accounts(store, "a/b", "bob")
    share(store, odd, "INBOX", BOB, "lr")
    (found,) = store.read_now(lambda tx: list_reachable(tx, bob)).shared
    assert found.name == "Shared/a\u2044b@example.org/INBOX"
    assert store.read_now(lambda tx: reach_mailbox(tx, bob, found.name)).account_id == odd


def test_listing_does_not_look_at_other_accounts(store: Store) -> None:
    ann, bob, _ = make_accounts(store, "ann", "bob", "carol")
    share(store, ann, "INBOX", BOB, "lr")
    plan = store.read_now(
        lambda tx: tx.all(
            "EXPLAIN QUERY PLAN SELECT 1 FROM account v CROSS JOIN acl a ON a.identifier IN"
            " ('anyone', '-anyone', v.login, '-' || v.login) AND a.account_id<>v.id WHERE v.id=?",
            (bob,),
        )
    )
    assert any("acl_of_identifier" in row[-1] for row in plan)
    assert not any(row[-1].startswith("SCAN") for row in plan)


# What LIST shows is what SELECT lets in

LETTERS = st.text("lrswipkxtea", max_size=4)


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory):
    store = open_store(tmp_path_factory.mktemp("acl"), first=True)
    ann, bob, _ = make_accounts(store, "ann", "bob", "carol")
    make(store, ann, "Work/a/b")
    yield store, ann, bob
    store.close_now()


WHO = st.sampled_from(["bob@example.org", "carol@example.org", "anyone"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["INBOX", "Work", "Work/a", "Work/a/b"]), st.booleans(), WHO, LETTERS),
        max_size=8,
    )
)
def test_what_list_shows_is_what_can_be_reached(
    shared_store: tuple[Store, AccountId, AccountId], steps: list[tuple[str, bool, str, str]]
) -> None:
    store, ann, bob = shared_store
    store.write_now(lambda tx: tx.run("DELETE FROM acl"))
    expected: dict[tuple[str, str], Rights] = {}
    for name, is_denied, who, letters in steps:
        identifier = f"-{who}" if is_denied else who
        share(store, ann, name, identifier, letters)
        expected[name, identifier] = parse_rights(letters)
    shown = {each.name: each for each in store.read_now(lambda tx: list_reachable(tx, bob)).shared}
    for name in ("INBOX", "Work", "Work/a", "Work/a/b", "Drafts"):
        given_ = expected.get((name, BOB), NO_RIGHTS) | expected.get((name, "anyone"), NO_RIGHTS)
        denied = expected.get((name, f"-{BOB}"), NO_RIGHTS) | expected.get((name, "-anyone"), NO_RIGHTS)
        rights = given_ & ~denied
        shared = f"Shared/ann@example.org/{name}"
        assert (shared in shown) == (Rights.LOOKUP in rights)
        for right in Rights:
            try:
                reached = store.read_now(lambda tx, right=right: reach_mailbox(tx, bob, shared, right))  # noqa: B023
            except NoPermission:
                assert right not in rights
                assert shared in shown
            except NoSuchMailbox:
                assert right not in rights
                assert shared not in shown
            else:
                assert right in rights
                assert reached.rights == rights
        if shared in shown:
            assert shown[shared].rights == rights
            assert shown[shared].may_read == (Rights.READ in rights)
    own = store.read_now(lambda tx: list_reachable(tx, ann))
    assert own.shared == []
    assert {each.rights for each in own.own} == {ALL_RIGHTS}
    assert findings(store) == []


def test_verify_finds_lists_that_cannot_be(store: Store) -> None:
    ann, _ = make_accounts(store, "ann", "bob")
    inbox = inbox_of(store, ann)
    for mailbox, identifier, letters, sentence in (
        (99, BOB, "l", "no such mailbox"),
        (inbox, "nobody@example.org", "l", "does not exist"),
        (inbox, "-nobody@example.org", "l", "does not exist"),
        (inbox, "ann@example.org", "l", "its owner"),
        (inbox, BOB, "", "cannot be"),
        (inbox, BOB, "lz", "cannot be"),
    ):
        store.write_now(
            lambda tx, row=(ann, mailbox, identifier, letters): tx.run(
                "INSERT INTO acl (account_id, mailbox_id, identifier, rights) VALUES (?, ?, ?, ?)", row
            )
        )
        found = findings(store)
        assert [sentence in str(finding) for finding in found] == [True], (identifier, found)
        store.write_now(lambda tx: tx.run("DELETE FROM acl"))


def test_an_entry_is_shown_with_its_rights() -> None:
    assert AclEntry("anyone", parse_rights("cd")).rights.letters == "kxte"
    assert parse_rights("lrd").wire_letters == "lrxted"
    assert parse_rights("k").wire_letters == "kc"
    assert ALL_RIGHTS.wire_letters == "lrswipkxteacd"
