"""What a script did to messages that were there, written down and taken back."""

import pytest

from postino.core.address import parse_address
from postino.core.flags import flag_set
from postino.core.ids import AccountId, Instant, MailboxId
from postino.core.numset import NumberSet
from postino.store.accounts import create_account, create_domain, remove_account
from postino.store.applied_scripts import (
    KEPT_SECONDS,
    Undone,
    Wanted,
    applied_changes,
    apply,
    begin,
    forget_old_changes,
    undo,
)
from postino.store.flagging import message_flags
from postino.store.mailboxes import create_mailbox, delete_mailbox, mailbox_by_name
from postino.store.messages import append, expunge
from postino.store.store import open_store
from postino.store.verify import verify
from tests.support.stored import email as new_email
from tests.support.world import NOW

ANN = AccountId(1)
SEEN, WORK = flag_set(["\\Seen"]), flag_set(["$Work"])
"""Three messages in INBOX, 1 unread, 2 and 3 read."""


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path / "data", first=True)

    def make(tx):
        create_domain(tx, "example.org", NOW)
        create_account(tx, parse_address("ann@example.org"), "hash", "scram", 0, NOW)
        create_mailbox(tx, ANN, "Boss", now=NOW)
        create_mailbox(tx, ANN, "Lists", now=NOW)
        inbox = mailbox_by_name(tx, ANN, "INBOX").id
        for flags in (flag_set(), SEEN, SEEN):
            append(tx, ANN, inbox, new_email(flags=flags), now=NOW)

    store.write_now(make)
    yield store
    assert store.read_now(verify) == []
    store.close_now()


def box(store, name: str) -> MailboxId:
    return store.read_now(lambda tx: mailbox_by_name(tx, ANN, name).id)


def flags(store, name: str) -> dict[int, str]:
    everything = NumberSet([(1, 99)])
    found = store.read_now(lambda tx: message_flags(tx, ANN, mailbox_by_name(tx, ANN, name).id, everything))
    return {uid: each.wire.decode() for uid, each in found.items()}


def do(store, *wanted: Wanted, now: Instant = NOW) -> int:
    inbox = box(store, "INBOX")
    return store.write_now(lambda tx: apply(tx, ANN, inbox, wanted, now=now))


def take_back(store) -> Undone:
    return store.write_now(lambda tx: undo(tx, ANN, applied_changes(tx, ANN), now=NOW))


def test_moved_copied_and_flagged_messages_come_back_as_they_were(store):
    before = flags(store, "INBOX")
    boss, lists = box(store, "Boss"), box(store, "Lists")
    assert (
        do(
            store,
            Wanted(uids=NumberSet.of([1, 2]), move_to=boss, copy_to=(lists,), added=SEEN.union(WORK)),
            Wanted(uids=NumberSet.of([3]), removed=SEEN),
        )
        == 5
    )
    assert flags(store, "INBOX") == {3: "()"}
    assert flags(store, "Boss") == {1: "(\\Seen $Work)", 2: "(\\Seen $Work)"}
    assert flags(store, "Lists") == {1: "(\\Seen $Work)", 2: "(\\Seen $Work)"}
    assert take_back(store) == Undone(moved=2, flagged=1, removed=2)
    assert sorted(flags(store, "INBOX").values()) == sorted(before.values())
    assert flags(store, "Boss") == flags(store, "Lists") == {}
    assert take_back(store) == Undone()


def test_what_is_no_longer_where_it_was_put_is_left_alone(store):
    boss = box(store, "Boss")
    do(store, Wanted(uids=NumberSet.of([1, 2]), move_to=boss))
    store.write_now(lambda tx: expunge(tx, ANN, boss, NumberSet.of([1]), only_deleted=False, now=NOW))
    assert take_back(store) == Undone(moved=1, gone=1)
    assert flags(store, "INBOX") == {3: "(\\Seen)", 4: "(\\Seen)"}


def test_a_mailbox_that_is_gone_is_the_inbox(store):
    lists, boss = box(store, "Lists"), box(store, "Boss")
    store.write_now(lambda tx: append(tx, ANN, lists, new_email(), now=NOW))
    store.write_now(lambda tx: apply(tx, ANN, lists, [Wanted(uids=NumberSet.of([1]), move_to=boss)], now=NOW))
    store.write_now(lambda tx: delete_mailbox(tx, ANN, "Lists", now=NOW))
    assert take_back(store) == Undone(moved=1)
    assert len(flags(store, "INBOX")) == 4


def test_only_the_last_script_can_be_undone_and_not_for_ever(store):
    boss = box(store, "Boss")
    do(store, Wanted(uids=NumberSet.of([1]), move_to=boss))
    store.write_now(lambda tx: begin(tx, ANN))
    do(store, Wanted(uids=NumberSet.of([2]), move_to=boss))
    assert len(store.read_now(lambda tx: applied_changes(tx, ANN))) == 1
    store.write_now(lambda tx: forget_old_changes(tx, Instant(NOW + KEPT_SECONDS - 1)))
    assert len(store.read_now(lambda tx: applied_changes(tx, ANN))) == 1
    store.write_now(lambda tx: forget_old_changes(tx, Instant(NOW + KEPT_SECONDS)))
    assert store.read_now(lambda tx: applied_changes(tx, ANN)) == []


def test_nothing_stays_of_an_account_that_is_removed(store):
    do(store, Wanted(uids=NumberSet.of([1]), added=WORK))
    store.write_now(lambda tx: remove_account(tx, ANN))
    assert store.read_now(lambda tx: tx.all("SELECT * FROM applied_change")) == []
