"""What an operator does with the queue: choosing, holding, dropping, pausing, rerouting, taking back, counting."""

import pytest

from postino.core.errors import NotPermitted, OverQuota
from postino.core.ids import Instant
from postino.core.limits import Limits
from postino.delivery.drafts import draft_of
from postino.store.content import SealedBlob
from postino.store.messages import append
from postino.store.queue.choice import Choice
from postino.store.queue.destinations import (
    AT_ONCE,
    BY_MX,
    end_reroute,
    list_destinations,
    operator_routes,
    pause,
    paused_domains,
    reroute,
    resume,
)
from postino.store.queue.lease import next_due, read_octets, take_due
from postino.store.queue.operate import Notice, chosen_messages, drop, hold, list_queue, release, retry
from postino.store.queue.recall import recall, recallable
from postino.store.queue.rows import NotInQueue
from postino.store.queue.settle import settle
from postino.store.queue.stats import domain_stats, queue_stats
from postino.store.queue.values import QueueKind, RecipientState, Result
from tests.support.queued import DAY, HEADER, ME, counts, new_queued, outcome, put, waiting
from tests.support.stored import LIMITS, NOW, email, inbox_of, mailbox_contents, make_accounts

UNTIL = Instant(NOW + 600)
EVERYTHING = Choice()


def chosen(store, **choice):
    return store.read_now(lambda tx: chosen_messages(tx, Choice(**choice)))


def states(store):
    return [row[2] for row in waiting(store)]


def take(store, now=NOW, **more):
    return store.write_now(lambda tx: take_due(tx, ME, now=Instant(now), until=UNTIL, most=100, **more))


def defer(store, queue_id, number=1, next_at=NOW + 500):
    deferred = outcome(queue_id, number, Result.DEFERRED, next_at=next_at)
    store.write_now(lambda tx: settle(tx, ME, [deferred], [], NOW))


def change(store, function, *args, **choice):
    picked = Choice(**choice)
    return store.write_now(lambda tx: function(tx, chosen_messages(tx, picked), picked, *args))


# Choosing and listing


def test_choices(store):
    (ann,) = make_accounts(store, "ann")
    first = put(store, "x@a.example", "y@b.example", account_id=ann)
    second = put(store, "X@a.example", reverse_path="Bob@other_.example")
    third = put(store, "z@c.example", reverse_path="", kind=QueueKind.REPORT)
    assert chosen(store) == [first, second, third]
    assert chosen(store, picks=((first, 0), (third, 1), (second, 7))) == [first, third]
    assert chosen(store, names=("m1", "unknown")) == [first, second, third]
    assert chosen(store, picks=((99, 0),), names=("m1",)) == [first, second, third]
    assert chosen(store, domain="a.example") == [first, second]
    assert chosen(store, recipient="x@A.example") == [first, second]
    assert chosen(store, sender="ann@Example.org") == [first]
    assert chosen(store, sender="@other_.example") == [second]
    assert chosen(store, sender="@otherx.example") == []
    assert chosen(store, sender="") == [third]
    assert chosen(store, account_id=ann) == [first]
    assert chosen(store, domain="b.example", recipient="x@a.example") == []
    assert chosen(store, state=RecipientState.HELD) == []
    assert store.read_now(lambda tx: chosen_messages(tx, EVERYTHING, most=2)) == [first, second]


def test_a_list_shows_those_chosen_and_who_is_being_sent_to(store):
    queue_id = put(store, "x@a.example", "y@b.example", "z@a.example")
    take(store, exclude=["b.example"])
    store.write_now(lambda tx: settle(tx, ME, [outcome(queue_id, 1)], [], NOW))
    (listed,) = store.read_now(lambda tx: list_queue(tx, [queue_id, 99], EVERYTHING, NOW))
    assert [r.number for r in listed.message.recipients] == [2, 3]
    assert (listed.accepted_recipients, listed.sending) == (3, {3})
    (listed,) = store.read_now(lambda tx: list_queue(tx, [queue_id], Choice(domain="b.example"), UNTIL))
    assert [r.number for r in listed.message.recipients] == [2]
    assert listed.sending == set()


# Holding, releasing, trying now


def test_what_is_held_waits_for_release(store):
    queue_id = put(store, "x@a.example", "y@b.example")
    assert change(store, hold, picks=((queue_id, 2),)) == 1
    assert change(store, hold, picks=((queue_id, 2),)) == 0
    assert states(store) == [RecipientState.WAITING, RecipientState.HELD]
    assert [r.number for m in take(store, NOW + 9_000_000) for r in m.recipients] == [1]
    assert change(store, release, NOW + 50, picks=((queue_id, 0),)) == 1
    assert waiting(store)[1][2:4] == (RecipientState.WAITING, NOW + 50)


def test_release_keeps_the_time_a_message_is_to_be_sent_at(store):
    later = put(store, release_at=NOW + 5000)
    late = put(store)
    take(store)
    defer(store, late, next_at=NOW + 4000)
    change(store, hold)
    change(store, release, NOW + 10)
    assert [row[3] for row in waiting(store)] == [NOW + 5000, NOW + 10]
    assert later < late


def test_what_is_released_for_a_paused_destination_is_parked(store):
    put(store)
    change(store, hold)
    store.write_now(lambda tx: pause(tx, "a.example", "", NOW))
    assert states(store) == [RecipientState.HELD]
    change(store, release, NOW)
    assert states(store) == [RecipientState.PARKED]


def test_a_message_held_while_it_is_sent_leaves_when_it_was(store):
    queue_id = put(store, "x@a.example", "y@a.example")
    take(store)
    change(store, hold)
    outcomes = [outcome(queue_id, 1), outcome(queue_id, 2, Result.DEFERRED, next_at=NOW + 5)]
    assert store.write_now(lambda tx: settle(tx, ME, outcomes, [], NOW)).lost == []
    assert waiting(store) == [(queue_id, 2, RecipientState.HELD, NOW + 5, "")]


def test_retry_makes_due_what_waits_and_nothing_else(store):
    waits, later, held = put(store), put(store, release_at=NOW + 900), put(store)
    change(store, hold, picks=((held, 0),))
    take(store)
    settled = outcome(waits, 1, Result.DEFERRED, next_at=NOW + 900)
    store.write_now(lambda tx: settle(tx, ME, [settled], [], NOW))
    sending = put(store, "x@b.example")
    take(store)
    assert change(store, retry, NOW + 5) == 1
    # RFC 4865 §4.2: what is to be sent later is never released before.
    assert [row[3] for row in waiting(store)] == [AT_ONCE, NOW + 900, NOW, UNTIL]
    assert waits < later < sending
    assert change(store, retry, NOW + 900) == 2


def test_what_was_held_is_late_from_its_release_on(store):
    queue_id = put(store)
    change(store, hold)
    change(store, release, NOW + DAY)
    take(store, now=NOW + DAY)
    settled = outcome(queue_id, 1, Result.DEFERRED, next_at=NOW + DAY + 900)
    store.write_now(lambda tx: settle(tx, ME, [settled], [], NOW + DAY, delay_notice_seconds=3600))
    assert store.read_now(lambda tx: tx.one("SELECT notice_at FROM queue_recipient")) == (NOW + DAY + 3600,)


# Dropping


def test_dropping_some_recipients_leaves_the_others(store):
    first = put(store, "x@a.example", "y@b.example")
    second = put(store, "x@a.example")
    dropped = change(store, drop, NOW, domain="a.example")
    assert (dropped.recipients, dropped.messages, dropped.changed) == (2, 1, [])
    assert waiting(store)[0][:2] == (first, 2)
    assert chosen(store) == [first]
    assert second not in chosen(store)


def test_dropped_with_its_blob(store):
    with store.blobs.open_spool() as spool:
        spool.write(b"blob")
        blob = SealedBlob(spool.seal(), 0)
    put(store, body=blob, size=4)
    assert change(store, drop, NOW).blobs == [blob.blob_id]
    assert counts(store) == [0, 0, 0, 0]


def test_senders_are_told_in_the_same_write_and_only_of_what_is_dropped(store):
    first, second = put(store, "x@a.example", "y@a.example"), put(store)
    take(store)
    report = new_queued("ann@elsewhere.example", kind=QueueKind.REPORT, reverse_path="")
    notices = {
        first: Notice(frozenset({1, 2}), [report]),
        second: Notice(frozenset({1}), [report]),
    }
    # One recipient was sent to since the notice was made: its sender must not hear that it failed.
    store.write_now(lambda tx: settle(tx, ME, [outcome(first, 1)], [], NOW))
    dropped = store.write_now(lambda tx: drop(tx, [first, second], EVERYTHING, NOW, notices=notices))
    assert (dropped.recipients, dropped.changed) == (1, [first])
    assert [m.kind for m in take(store)] == [QueueKind.REPORT]


# Destinations


def test_a_paused_destination_parks_what_waits_and_what_comes(store):
    put(store, "x@a.example", "y@b.example")
    assert store.write_now(lambda tx: pause(tx, "a.example", "moving", NOW)) == 1
    put(store, "z@a.example")
    assert store.read_now(paused_domains) == {"a.example"}
    assert states(store) == [RecipientState.PARKED, RecipientState.WAITING, RecipientState.PARKED]
    assert [r.domain for m in take(store) for r in m.recipients] == ["b.example"]
    assert store.write_now(lambda tx: resume(tx, "a.example", NOW + 7)) == 2
    assert [row[3] for row in waiting(store) if not row[4]] == [AT_ONCE, AT_ONCE]
    assert store.write_now(lambda tx: resume(tx, "a.example", NOW)) is None
    assert store.read_now(list_destinations) == []


def test_pausing_twice_takes_the_later_reason(store):
    for reason in ("one", "two"):
        store.write_now(lambda tx, reason=reason: pause(tx, "a.example", reason, NOW))
    (row,) = store.read_now(list_destinations)
    assert (row.reason, row.paused_at, row.route) == ("two", NOW, "")


def test_a_rerouted_destination_is_tried_at_once_and_can_be_put_back(store):
    queue_id = put(store)
    take(store)
    defer(store, queue_id)
    later = put(store, release_at=NOW + 5000)
    assert store.write_now(lambda tx: reroute(tx, "a.example", "mx.example.com:25", NOW + 3)) == 2
    assert store.read_now(next_due) == AT_ONCE
    assert waiting(store)[1] == (later, 1, 0, NOW + 5000, "")
    assert store.read_now(operator_routes) == {"a.example": "mx.example.com:25"}
    store.write_now(lambda tx: reroute(tx, "a.example", BY_MX, NOW))
    assert store.read_now(operator_routes) == {"a.example": ""}
    store.write_now(lambda tx: pause(tx, "a.example", "", NOW))
    assert store.write_now(lambda tx: end_reroute(tx, "a.example", NOW)) == 0
    assert store.read_now(operator_routes) == {}
    assert store.write_now(lambda tx: end_reroute(tx, "a.example", NOW)) is None
    assert store.read_now(paused_domains) == {"a.example"}


# Counting


def test_counts(store):
    empty = store.read_now(lambda tx: queue_stats(tx, NOW))
    assert (empty.messages, empty.recipients, empty.oldest_at) == (0, 0, None)
    put(store, "x@a.example", "y@b.example", now=NOW - 100)
    put(store, "x@a.example", release_at=NOW + 5)
    put(store, "x@c.example", held=True)
    store.write_now(lambda tx: pause(tx, "b.example", "", NOW))
    found = store.read_now(lambda tx: queue_stats(tx, NOW))
    assert (found.messages, found.recipients) == (3, 4)
    assert (found.due, found.later, found.held, found.parked) == (1, 1, 1, 1)
    assert found.oldest_at == NOW - 100
    rows = store.read_now(lambda tx: domain_stats(tx, 2))
    assert [(r.domain, r.waiting, r.held, r.parked, r.oldest_at) for r in rows] == [
        ("a.example", 2, 0, 0, NOW - 100),
        ("b.example", 0, 0, 1, NOW - 100),
    ]
    assert rows[0].recipients == 2


# Taking back


def take_back(store, queue_id, now=NOW):
    message = store.read_now(lambda tx: recallable(tx, queue_id, now))
    octets = store.read_now(lambda tx: read_octets(tx, queue_id))
    addresses = [each.address for each in message.recipients]
    draft = draft_of(octets, addresses, store.blobs, Limits(), now=Instant(now))
    return store.write_now(lambda tx: recall(tx, message, draft, draft.facts.message_id, now=Instant(now)))


def test_a_message_taken_back_is_a_draft_with_its_blind_recipients_and_leaves_sent(store):
    (ann,) = make_accounts(store, "ann")
    sent = inbox_of(store, ann, "Sent")
    own = email(b"Hello\r\n", header=HEADER)
    other = email(b"Hello\r\n")
    store.write_now(lambda tx: [append(tx, ann, sent, new, now=NOW) for new in (own, other)])
    queue_id = put(store, "x@a.example", "y@b.example", account_id=ann, release_at=NOW + 30)
    done = take_back(store, queue_id)
    assert (done.drafts, done.removed_from_sent) == ("Drafts", 1)
    (draft,) = mailbox_contents(store, ann, "Drafts").values()
    assert draft == (
        b"Bcc: y@b.example\r\nFrom: Ann <ann@example.org>\r\nTo: x@a.example\r\n"
        b"Message-ID: <q@example.org>\r\nSubject: Hi\r\n\r\nHello\r\n"
    )
    flags = store.read_now(lambda tx: tx.all("SELECT flags FROM message WHERE mailbox_id<>?", (sent,)))
    assert len(flags) == 1
    assert len(mailbox_contents(store, ann, "Sent")) == 1
    assert counts(store)[:3] == [0, 0, 0]


def test_a_large_message_is_taken_back_in_its_file(store):
    (ann,) = make_accounts(store, "ann")
    with store.blobs.open_spool() as spool:
        spool.write(b"xxlarge body\r\n")
        blob = SealedBlob(spool.seal(), 2)
    queue_id = put(store, body=blob, size=12, account_id=ann)
    take_back(store, queue_id)
    (draft,) = mailbox_contents(store, ann, "Drafts").values()
    assert draft.endswith(b"\r\n\r\nlarge body\r\n")
    assert store.blobs.size(blob.blob_id) == 14


@pytest.mark.parametrize("renamed", [False, True])
def test_drafts_are_found_or_made(store, renamed):
    (ann,) = make_accounts(store, "ann")
    sql = "UPDATE mailbox SET special_use='' WHERE name='Drafts'"
    store.write_now(lambda tx: tx.run(sql))
    if renamed:
        store.write_now(lambda tx: tx.run("UPDATE mailbox SET name='Entwürfe' WHERE name='Drafts'"))
    assert take_back(store, put(store, account_id=ann)).drafts == "Drafts"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda store, q: store.write_now(lambda tx: settle(tx, ME, [outcome(q)], [], NOW)),
            "of 2 recipients",
        ),
        (lambda store, q: None, "this very moment"),
    ],
)
def test_what_somebody_has_or_gets_now_is_not_taken_back(store, spoil, words):
    (ann,) = make_accounts(store, "ann")
    queue_id = put(store, "x@a.example", "y@a.example", account_id=ann)
    take(store)
    spoil(store, queue_id)
    with pytest.raises(NotPermitted, match=words):
        take_back(store, queue_id)
    assert mailbox_contents(store, ann, "Drafts") == {}


def test_a_lease_that_has_ended_stands_in_nobodys_way(store):
    (ann,) = make_accounts(store, "ann")
    queue_id = put(store, account_id=ann)
    take(store)
    assert take_back(store, queue_id, now=UNTIL).drafts == "Drafts"


def test_what_nobody_here_wrote_is_not_taken_back(store):
    (ann,) = make_accounts(store, "ann")
    for queue_id in (put(store), put(store, kind=QueueKind.FORWARDED, account_id=ann)):
        with pytest.raises(NotPermitted, match="only be dropped"):
            take_back(store, queue_id)
    with pytest.raises(NotInQueue):
        take_back(store, 99)


def test_a_full_account_keeps_the_message_in_the_queue(store):
    (ann,) = make_accounts(store, "ann")
    queue_id = put(store, account_id=ann)
    store.write_now(lambda tx: tx.run("UPDATE account SET quota_octets=1"))
    with pytest.raises(OverQuota):
        take_back(store, queue_id)
    assert chosen(store) == [queue_id]
    assert LIMITS.message_octets
