"""What scripts leave behind: vacation answers, ids seen, traces."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.core.ids import AccountId, Instant
from postino.sieve.actions import Remembered
from postino.store.accounts import remove_account
from postino.store.seen_ids import remember, was_seen
from postino.store.sweep import sweep_store
from postino.store.trace import (
    MOST_CHARACTERS,
    MOST_OF_MESSAGE,
    TraceEvent,
    note_trace,
    recent_traces,
    trace_of,
)
from postino.store.vacation import may_answer, reply_key
from tests.support.stored import NOW, make_accounts

DAY = 86_400


@pytest.fixture
def ann(store):
    return make_accounts(store, "ann", "bob")[0]


def answer(store, account_id, key, *, days=7, now=NOW):
    until = Instant(now + days * DAY)
    return store.write_now(lambda tx: may_answer(tx, account_id, key, until, Instant(now)))


def test_a_sender_is_answered_once_in_the_time(store, ann):
    # RFC 5230 §4.2
    key = reply_key("away", "eve@example.com")
    assert answer(store, ann, key)
    assert not answer(store, ann, key)
    assert not answer(store, ann, key, now=NOW + 7 * DAY - 1)
    assert answer(store, ann, key, now=NOW + 7 * DAY)
    assert not answer(store, ann, key, now=NOW + 7 * DAY)


def test_answers_differ_by_account_handle_and_sender(store, ann):
    assert answer(store, ann, reply_key("away", "eve@example.com"))
    assert answer(store, ann, reply_key("away", "joe@example.com"))
    assert answer(store, ann, reply_key("trip", "eve@example.com"))
    assert answer(store, AccountId(ann + 1), reply_key("away", "eve@example.com"))


@given(st.lists(st.tuples(st.text(), st.text()), min_size=2, unique=True))
def test_keys_of_different_answers_differ(pairs):
    assert len({reply_key(*pair) for pair in pairs}) == len(pairs)


def see(store, account_id, unique_id="<1@x>", *, handle="", seconds=100, is_last=False, now=NOW, most=1000):
    ids = [Remembered(handle=handle, unique_id=unique_id, seconds=seconds, is_last=is_last)]
    store.write_now(lambda tx: remember(tx, account_id, ids, now=Instant(now), most_seconds=most))


def seen(store, account_id, unique_id="<1@x>", *, handle="", now=NOW):
    return store.read_now(lambda tx: was_seen(tx, account_id, handle, unique_id, now))


def test_ids_are_remembered_for_their_time(store, ann):
    # RFC 7352 §3.1
    assert not seen(store, ann)
    see(store, ann)
    assert seen(store, ann, now=NOW + 99.5)
    assert not seen(store, ann, now=NOW + 100)
    assert not seen(store, ann, handle="other")
    assert not seen(store, ann, "<2@x>")
    assert not seen(store, AccountId(ann + 1))


def test_time_counts_from_the_first_or_with_last_from_the_last(store, ann):
    # RFC 7352 §3.3
    see(store, ann)
    see(store, ann, now=NOW + 50)
    assert not seen(store, ann, now=NOW + 100)
    see(store, ann, "<l@x>", is_last=True)
    see(store, ann, "<l@x>", is_last=True, now=NOW + 50)
    assert seen(store, ann, "<l@x>", now=NOW + 149)
    see(store, ann, now=NOW + 100)
    assert seen(store, ann, now=NOW + 199)


def test_ids_are_not_remembered_for_longer_than_the_settings_say(store, ann):
    see(store, ann, seconds=10**9, most=50)
    assert not seen(store, ann, now=NOW + 50)


def note(store, account_id, message_id, *words, now=NOW):
    events = [TraceEvent("main", line, each) for line, each in enumerate(words, 1)]
    store.write_now(lambda tx: note_trace(tx, account_id, message_id, events, Instant(now)))


def words_of(traced):
    return [event.words for event in traced.events]


def test_what_was_decided_about_a_message_is_told_in_order(store, ann):
    note(store, ann, "m1", "filed in Boss", "sent on to x@example.com")
    note(store, ann, "m1", "later")
    note(store, AccountId(ann + 1), "m1", "another's")
    traced = store.read_now(lambda tx: trace_of(tx, ann, "m1"))
    assert (traced.message_id, traced.at) == ("m1", NOW)
    assert words_of(traced) == ["filed in Boss", "sent on to x@example.com", "later"]
    assert [(event.script, event.line) for event in traced.events] == [("main", 1), ("main", 2), ("main", 1)]
    assert store.read_now(lambda tx: trace_of(tx, ann, "m2")) is None


def test_the_newest_messages_come_first(store, ann):
    for number in range(5):
        note(store, ann, f"m{number}", f"a{number}", f"b{number}", now=NOW + number)
    found = store.read_now(lambda tx: recent_traces(tx, ann, 2))
    assert [(traced.message_id, words_of(traced)) for traced in found] == [
        ("m4", ["a4", "b4"]),
        ("m3", ["a3", "b3"]),
    ]
    assert store.read_now(lambda tx: recent_traces(tx, AccountId(ann + 1), 2)) == []


def test_traces_are_bounded(store, ann):
    note(store, ann, "m", *["x" * 1000] * 90)
    note(store, ann, "m", *["y"] * 90)
    words = words_of(store.read_now(lambda tx: trace_of(tx, ann, "m")))
    assert len(words) == MOST_OF_MESSAGE
    assert words[0] == "x" * MOST_CHARACTERS
    assert words[-1] == "y"


def test_the_sweep_forgets_what_has_passed(store, ann):
    answer(store, ann, reply_key("a", "b"), days=1)
    answer(store, ann, reply_key("c", "d"), days=30)
    see(store, ann, seconds=DAY, most=10**9)
    see(store, ann, "<2@x>", seconds=30 * DAY, most=10**9)
    note(store, ann, "old", "one", "two")
    note(store, ann, "new", "three", now=NOW + 20 * DAY)
    asyncio.run(sweep_store(store, now=Instant(NOW + 25 * DAY), trace_seconds=21 * DAY))
    counts = {
        table: store.read_now(lambda tx, table=table: tx.one(f"SELECT count(*) FROM {table}")[0])
        for table in ("vacation_reply", "sieve_seen", "trace_event")
    }
    assert counts == {"vacation_reply": 1, "sieve_seen": 1, "trace_event": 1}


def test_all_of_it_goes_with_the_account(store, ann):
    answer(store, ann, reply_key("a", "b"))
    see(store, ann)
    note(store, ann, "m", "kept")
    store.write_now(lambda tx: remove_account(tx, ann))
    for table in ("vacation_reply", "sieve_seen", "trace_event"):
        assert store.read_now(lambda tx, table=table: tx.all(f"SELECT * FROM {table}")) == []
