"""Limits on sending, and addresses an account may send as."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.address import Address, BadAddress
from postino.core.errors import AlreadyExists, NoSuchAccount, OverSendingLimit, StoreError
from postino.core.ids import AccountId, Instant
from postino.store.accounts import remove_account
from postino.store.identities import (
    Identity,
    add_identity,
    covers,
    identities_of,
    parse_identity,
    remove_identity,
)
from postino.store.sending import (
    DAY,
    DEFAULT,
    KNOWN_DAYS,
    NO_LIMITS,
    SendingLimits,
    count_message,
    note_told,
    sender,
    sent_today,
    set_limits,
    set_save_sent,
    set_undo_seconds,
)
from postino.store.store import open_store
from postino.store.sweep import sweep_store
from postino.store.verify import verify
from tests.support.stored import NOW, make_accounts

NOBODY = AccountId(99)


def count(store, account_id, recipients, limits=NO_LIMITS, now=NOW):
    store.write_now(lambda tx: count_message(tx, account_id, recipients, limits, Instant(now)))


def today(store, account_id, now=NOW):
    return store.read_now(lambda tx: sent_today(tx, account_id, Instant(now)))


def test_how_an_account_sends(store):
    ann, bob = make_accounts(store, "ann", "bob")
    default = SendingLimits(10, 20, 30)

    def change(tx):
        set_save_sent(tx, ann, True)
        set_undo_seconds(tx, ann, 7)
        set_limits(tx, ann, daily_messages=5, daily_recipients=0)

    store.write_now(change)
    found = store.read_now(lambda tx: sender(tx, ann))
    assert (found.login, found.save_sent, found.undo_seconds) == ("ann@example.org", True, 7)
    assert found.limits(default) == SendingLimits(5, 0, 30)
    found = store.read_now(lambda tx: sender(tx, bob))
    assert (found.save_sent, found.undo_seconds, found.daily_messages) == (False, 0, DEFAULT)
    assert found.limits(default) == default
    for change in (
        lambda tx: sender(tx, NOBODY),
        lambda tx: set_save_sent(tx, NOBODY, True),
        lambda tx: set_undo_seconds(tx, NOBODY, 1),
        lambda tx: set_limits(tx, NOBODY, daily_messages=1, daily_recipients=1),
        lambda tx: add_identity(tx, NOBODY, Identity("a", "b.example")),
        lambda tx: count_message(tx, NOBODY, ["a@b.example"], NO_LIMITS, NOW),
    ):
        with pytest.raises(NoSuchAccount):
            store.write_now(change)
    assert store.write_now(lambda tx: note_told(tx, NOBODY, NOW)) is False


def test_the_operator_is_told_once_a_day(store):
    (ann,) = make_accounts(store, "ann")
    told = [
        store.write_now(lambda tx, at=at: note_told(tx, ann, Instant(at))) for at in (NOW, NOW + 1, NOW + DAY)
    ]
    assert told == [True, False, True]
    # That is no message of hers.
    assert today(store, ann) == (0, 0)
    count(store, ann, ["a@b.example"])
    assert store.write_now(lambda tx: note_told(tx, ann, NOW)) is False


def test_the_sweep_forgets_old_days_and_people_of_long_ago(store):
    (ann,) = make_accounts(store, "ann")
    count(store, ann, ["a@b.example", "c@b.example"])
    later = NOW + (KNOWN_DAYS - 1) * DAY
    count(store, ann, ["c@b.example"], now=later)
    sweep_now = NOW + (KNOWN_DAYS + 1) * DAY

    asyncio.run(sweep_store(store, now=Instant(sweep_now)))
    assert store.read_now(lambda tx: tx.all("SELECT day FROM sending")) == [(later // DAY,)]
    count(store, ann, ["a@b.example", "c@b.example"], now=sweep_now)
    assert today(store, ann, sweep_now) == (1, 1)


def test_what_is_known_of_an_account_goes_with_it(store):
    ann, _ = make_accounts(store, "ann", "bob")
    count(store, ann, ["a@b.example"])
    store.write_now(lambda tx: add_identity(tx, ann, Identity("", "b.example")))
    store.write_now(lambda tx: remove_account(tx, ann))
    for table in ("sending", "correspondent", "identity"):
        assert store.read_now(lambda tx, table=table: tx.all(f"SELECT * FROM {table}")) == []


def test_verify_finds_rows_of_nobody(tmp_path):
    store = open_store(tmp_path, first=True)
    store.write_now(lambda tx: tx.run("INSERT INTO sending (account_id, day) VALUES (7, 1)"))
    assert "sending" in str(store.read_now(lambda tx: verify(tx))[0])
    store.close_now()


_RECIPIENTS = st.lists(st.sampled_from([f"{name}@b.example" for name in "abcdefgh"]), max_size=5)
_STEPS = st.lists(st.tuples(_RECIPIENTS, st.sampled_from([0, 1, 30, 60, 3600, DAY])), max_size=12)


@settings(max_examples=60, deadline=None)
@given(_STEPS, st.integers(0, 4), st.integers(0, 6), st.integers(0, 3))
def test_limits_are_what_a_plain_count_says(tmp_path_factory, steps, messages, recipients, burst):
    store = open_store(tmp_path_factory.mktemp("limits"), first=True)
    (ann,) = make_accounts(store, "ann")
    limits = SendingLimits(messages, recipients, burst)
    known: set[str] = set()
    sent: list[tuple[int, int]] = []  # when, new people
    now = int(NOW)
    for to, wait in steps:
        now += wait
        of_day = [new for at, new in sent if at // DAY == now // DAY]
        new = len(set(to) - known)
        refused = (
            (messages and len(of_day) >= messages)
            or (recipients and new and sum(of_day) + new > recipients)
            or (burst and len([at for at, _ in sent if at // 60 == now // 60]) >= burst)
        )
        if refused:
            with pytest.raises(OverSendingLimit) as caught:
                count(store, ann, to, limits, now)
            assert caught.value.passes == (not recipients or new <= recipients)
        else:
            count(store, ann, to, limits, now)
            known |= set(to)
            sent.append((now, new))
        of_day = [new for at, new in sent if at // DAY == now // DAY]
        assert today(store, ann, now) == (len(of_day), sum(of_day))
    store.close_now()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Sales@Example.NET", Identity("sales", "example.net")),
        ("@Example.NET", Identity("", "example.net")),
        ("jürgen@xn--bcher-kva.example", Identity("jürgen", "bücher.example")),
        ('"odd name"@example.net', Identity("odd name", "example.net")),
    ],
)
def test_identities_are_kept_folded(text, kept):
    assert parse_identity(text) == kept
    assert parse_identity(str(kept)) == kept


@pytest.mark.parametrize("text", ["", "@", "sales", "a@b@", "@b c"])
def test_bad_identities(text):
    with pytest.raises(BadAddress):
        parse_identity(text)


def test_identities_are_added_listed_and_removed(store):
    ann, bob = make_accounts(store, "ann", "bob")
    shop, sales = Identity("", "shop.example"), Identity("sales", "example.net")
    for each in (shop, sales):
        store.write_now(lambda tx, each=each: add_identity(tx, ann, each))
    with pytest.raises(AlreadyExists):
        store.write_now(lambda tx: add_identity(tx, ann, sales))
    assert store.read_now(lambda tx: identities_of(tx, ann)) == [sales, shop]
    assert store.read_now(lambda tx: identities_of(tx, bob)) == []
    store.write_now(lambda tx: remove_identity(tx, ann, sales))
    with pytest.raises(StoreError):
        store.write_now(lambda tx: remove_identity(tx, ann, sales))
    assert store.read_now(lambda tx: identities_of(tx, ann)) == [shop]


def test_details_belong_to_an_identity_where_there_is_a_separator():
    granted = [Identity("sales", "example.net")]
    address = Address("sales+x", "example.net")
    assert covers(granted, address, "+")
    assert not covers(granted, address, "")
    assert not covers([], address, "+")
