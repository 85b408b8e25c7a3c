"""The queue's way of a message: in, leased, settled; what is told of it; shared bodies and blobs."""

import msgspec
import pytest

from postino.core.ids import EVERYBODY, QUEUE, Instant
from postino.smtp.envelope import ByMode, MailOptions, Notify, Return
from postino.store.accounts import remove_account
from postino.store.content import InlineBody, SealedBlob
from postino.store.messages import deliver
from postino.store.queue.destinations import pause
from postino.store.queue.due import notice_at, take_overdue
from postino.store.queue.enqueue import enqueue, enqueue_message, packed_options, unpacked_options
from postino.store.queue.lease import lease_token, next_due, read_octets, release_leases, renew, take_due
from postino.store.queue.rows import NotInQueue
from postino.store.queue.settle import settle
from postino.store.queue.suppression import list_suppressed, suppress, suppressed, unsuppress
from postino.store.queue.values import NewRecipient, QueueKind, RecipientState, Result
from postino.store.shared_bodies import SharedBodies
from postino.store.store import open_store
from postino.store.sweep import remove_leftovers, sweep_store
from tests.support.queued import DAY, HEADER, ME, OTHER, counts, new_queued, outcome, put, waiting
from tests.support.stored import NOW, email, findings, inbox_of, mailbox_contents, make_accounts

UNTIL = Instant(NOW + 600)


def take(store, token=ME, *, now=NOW, until=UNTIL, most=100, exclude=()):
    return store.write_now(
        lambda tx: take_due(tx, token, now=Instant(now), until=until, most=most, exclude=exclude),
        durable=False,
    )


def finish(store, *outcomes, token=ME, reports=(), now=NOW, delay=0):
    return store.write_now(
        lambda tx: settle(tx, token, outcomes, reports, Instant(now), delay_notice_seconds=delay)
    )


def taken(messages):
    return [(m.queue_id, r.number) for m in messages for r in m.recipients]


# In and out


def test_what_was_enqueued_is_given_as_it_came(store):
    options = MailOptions(ret=Return.HEADERS, envid="e", smtputf8=True, priority=3)
    new = new_queued("x@a.example", "Y@B.example", body=b"body\r\n", options=options)
    queue_id = store.write_now(lambda tx: enqueue(tx, new, now=NOW))
    (message,) = take(store)
    assert (message.queue_id, message.options, message.reverse_path) == (queue_id, options, "ann@example.org")
    assert (message.size, message.created_at, message.expires_at) == (new.size, NOW, NOW + 5 * DAY)
    assert [(r.address, r.domain, r.attempts) for r in message.recipients] == [
        ("x@a.example", "a.example", 0),
        ("Y@B.example", "b.example", 0),
    ]
    octets = store.read_now(lambda tx: read_octets(tx, queue_id))
    assert (octets.header, octets.body, octets.size) == (HEADER, InlineBody(b"body\r\n"), new.size)


def test_notify_and_original_recipient_travel_along(store):
    recipient = NewRecipient(
        address="x@a.example",
        domain="a.example",
        notify=Notify.SUCCESS | Notify.DELAY,
        original="rfc822;z@a.example",
    )
    new = msgspec.structs.replace(new_queued(), recipients=[recipient])
    store.write_now(lambda tx: enqueue(tx, new, now=NOW))
    (message,) = take(store)
    assert message.recipients[0].notify == Notify.SUCCESS | Notify.DELAY
    assert message.recipients[0].original == "rfc822;z@a.example"


@pytest.mark.parametrize(
    "options",
    [
        MailOptions(),
        MailOptions(by_mode=ByMode.RETURN, by_trace=True, deliver_by=9),
        MailOptions(priority=-9),
    ],
)
def test_options_are_packed_and_unpacked(options):
    assert unpacked_options(packed_options(options)) == options


def test_usual_options_take_no_room():
    assert packed_options(MailOptions()) == b""


def test_a_message_leaves_with_its_last_recipient(store):
    queue_id = put(store, "x@a.example", "y@a.example")
    take(store)
    assert not finish(store, outcome(queue_id, 1)).finished
    assert counts(store) == [1, 1, 1, 0]
    assert finish(store, outcome(queue_id, 2, Result.RELAYED)).finished == [queue_id]
    assert counts(store) == [0, 0, 0, 0]
    with pytest.raises(NotInQueue):
        store.read_now(lambda tx: read_octets(tx, queue_id))


def test_numbers_are_never_given_twice(store):
    first = put(store)
    take(store)
    finish(store, outcome(first))
    assert put(store) > first


def test_a_thousand_recipients_settled_together(store):
    queue_id = put(store, *[f"x{n}@a.example" for n in range(1000)])
    assert len(taken(take(store, most=1000))) == 1000
    finish(
        store,
        *[outcome(queue_id, n) for n in range(1, 500)],
        *[outcome(queue_id, n) for n in range(501, 1001)],
    )
    assert [row[:2] for row in waiting(store)] == [(queue_id, 500)]
    assert finish(store, outcome(queue_id, 500, Result.FAILED)).finished == [queue_id]


# Leases


def test_a_recipient_is_leased_to_one(store):
    queue_id = put(store)
    assert taken(take(store)) == [(queue_id, 1)]
    assert take(store, OTHER) == []
    assert take(store, OTHER, now=UNTIL - 1) == []
    assert taken(take(store, OTHER, now=UNTIL, until=Instant(UNTIL + 600))) == [(queue_id, 1)]
    lost = finish(store, outcome(queue_id, 1, Result.DEFERRED, next_at=NOW + 1))
    assert lost.lost == [(queue_id, 1)]
    assert waiting(store)[0][3:] == (UNTIL + 600, OTHER)


def test_what_was_sent_is_gone_whoever_leased_it_since(store):
    queue_id = put(store)
    take(store)
    take(store, OTHER, now=UNTIL)
    settled = finish(store, outcome(queue_id))
    assert (settled.lost, settled.finished) == ([(queue_id, 1)], [queue_id])
    assert finish(store, outcome(queue_id), token=OTHER).lost == [(queue_id, 1)]


def test_a_failure_of_a_lost_lease_changes_nothing(store):
    queue_id = put(store)
    take(store)
    take(store, OTHER, now=UNTIL)
    assert finish(store, outcome(queue_id, 1, Result.FAILED, status="5.1.1")).lost == [(queue_id, 1)]
    assert counts(store)[1] == 1
    assert store.read_now(list_suppressed) == []


def test_urgent_ones_go_first_then_those_due_longest(store):
    late = put(store, release_at=NOW - 1)
    later = put(store, release_at=NOW - 50)
    slow = put(store, options=MailOptions(priority=-4), release_at=NOW - 100)
    urgent = put(store, options=MailOptions(priority=7))
    put(store, release_at=NOW + 1)
    assert [queue_id for queue_id, _ in taken(take(store))] == [urgent, later, late, slow]


def test_the_most_taken_is_kept_to_and_messages_stay_together(store):
    first = put(store, "x@a.example", "y@b.example", "z@a.example")
    second = put(store, "x@a.example")
    assert taken(take(store, most=3)) == [(first, 1), (first, 3), (second, 1)]
    assert taken(take(store)) == [(first, 2)]


def test_busy_destinations_are_passed_over(store):
    busy = put(store, "x@a.example", release_at=NOW - 10)
    free = put(store, "x@b.example", release_at=NOW - 5)
    assert store.read_now(next_due) == NOW - 10
    assert store.read_now(lambda tx: next_due(tx, ["a.example"])) == NOW - 5
    assert store.read_now(lambda tx: next_due(tx, ["a.example", "b.example"])) is None
    assert taken(take(store, exclude={"a.example"})) == [(free, 1)]
    assert taken(take(store, exclude={"b.example"})) == [(busy, 1)]


def test_next_due_looks_at_every_urgency(store):
    assert store.read_now(next_due) is None
    put(store, options=MailOptions(priority=5), release_at=NOW + 50)
    put(store, release_at=NOW + 20)
    assert store.read_now(next_due) == NOW + 20


def test_renewing_tells_what_is_still_ours(store):
    first, second = put(store), put(store, "x@b.example", "y@c.example")
    take(store)
    store.write_now(lambda tx: pause(tx, "c.example", "", NOW))
    ours = store.write_now(lambda tx: renew(tx, ME, [first, second], UNTIL + 5), durable=False)
    assert ours == {(first, 1), (second, 1)}
    assert [row[3] for row in waiting(store)] == [UNTIL + 5, UNTIL + 5, UNTIL]
    assert store.write_now(lambda tx: renew(tx, OTHER, [first, second], UNTIL + 9)) == set()


def test_leases_of_an_earlier_run_end_when_the_next_begins(tmp_path):
    store = open_store(tmp_path, first=True)
    queue_id = put(store)
    take(store)
    store.close_now()
    again = open_store(tmp_path, first=False)
    assert waiting(again)[0][4] == ME
    again.close_now()
    again = open_store(tmp_path, first=True)
    assert waiting(again) == [(queue_id, 1, RecipientState.WAITING, 0, "")]
    assert taken(take(again, OTHER)) == [(queue_id, 1)]
    assert findings(again) == []
    again.close_now()


def test_a_restarted_worker_ends_its_own_leases_only(store):
    mine, others, tenth = put(store), put(store), put(store)
    take(store, lease_token(1, "a"), most=1)
    take(store, lease_token(2, "b"), most=1)
    take(store, lease_token(10, "c"), most=1)
    assert store.write_now(lambda tx: release_leases(tx, worker=1)) == 1
    assert [row[4] for row in waiting(store)] == ["", "2.b", "10.c"]
    assert store.write_now(lambda tx: release_leases(tx, ["10.c"])) == 1
    assert [row[4] for row in waiting(store)] == ["", "", "10.c"]
    assert {mine, others, tenth} == {row[0] for row in waiting(store)}


def test_a_born_lease_is_sent_from_memory_and_tells_nobody(store):
    heard = []
    store.on_commit = heard.extend
    new = new_queued("x@a.example", "y@b.example")
    message = store.write_now(lambda tx: enqueue_message(tx, new, now=NOW, lease=ME, lease_until=UNTIL))
    assert heard == []
    assert [r.number for r in message.recipients] == [1, 2]
    assert [row[2:] for row in waiting(store)] == [(0, UNTIL, ME)] * 2
    queue_id = message.queue_id
    assert take(store, OTHER) == []
    assert finish(store, outcome(queue_id, 1), outcome(queue_id, 2)).finished == [queue_id]
    (again,) = take(store, now=UNTIL) or [None]
    assert again is None
    put(store)
    assert [(change.account_id, change.mailbox_id) for change in heard] == [(EVERYBODY, QUEUE)]


@pytest.mark.parametrize("when", [{"release_at": NOW + 30}, {"held": True}])
def test_mail_for_later_is_not_born_leased(store, when):
    new = new_queued(**when)
    message = store.write_now(lambda tx: enqueue_message(tx, new, now=NOW, lease=ME, lease_until=UNTIL))
    assert message.recipients == []
    assert waiting(store)[0][4] == ""
    assert take(store) == []


def test_recipients_of_a_paused_destination_are_parked_from_the_start(store):
    store.write_now(lambda tx: pause(tx, "b.example", "", NOW))
    new = new_queued("x@a.example", "y@b.example")
    message = store.write_now(lambda tx: enqueue_message(tx, new, now=NOW, lease=ME, lease_until=UNTIL))
    assert [r.number for r in message.recipients] == [1]
    assert [row[2] for row in waiting(store)] == [RecipientState.WAITING, RecipientState.PARKED]


# What came of it


def test_a_deferred_recipient_keeps_what_was_said(store):
    queue_id = put(store)
    take(store)
    deferred = outcome(queue_id, 1, Result.DEFERRED, next_at=NOW + 300, remote="mx.a.example (192.0.2.1)")
    finish(store, deferred, now=NOW + 5)
    assert take(store, now=NOW + 299) == []
    (message,) = take(store, now=NOW + 300)
    again = message.recipients[0]
    assert (again.attempts, again.first_failed_at, again.last_at) == (1, NOW + 5, NOW + 5)
    assert (again.last_status, again.last_reply) == ("4.0.0", "450 said so")
    assert again.last_remote == "mx.a.example (192.0.2.1)"
    finish(store, outcome(queue_id, 1, Result.DEFERRED, next_at=NOW + 900), now=NOW + 310)
    (message,) = take(store, now=NOW + 900)
    assert (message.recipients[0].attempts, message.recipients[0].first_failed_at) == (2, NOW + 5)


def test_what_was_no_attempt_counts_for_nothing(store):
    queue_id = put(store)
    take(store)
    finish(store, outcome(queue_id, 1, Result.DEFERRED, next_at=NOW + 7, counts=False))
    (message,) = take(store, now=NOW + 7)
    again = message.recipients[0]
    assert (again.attempts, again.first_failed_at, again.last_at) == (0, 0, 0)
    # But why it waits is known.
    assert again.last_reply == "450 said so"


def test_a_report_is_enqueued_in_the_write_that_ends_the_recipient(store):
    queue_id = put(store)
    take(store)
    report = new_queued("ann@elsewhere.example", kind=QueueKind.REPORT, reverse_path="")
    settled = finish(store, outcome(queue_id, 1, Result.FAILED), reports=[report])
    assert settled.finished == [queue_id]
    (message,) = take(store)
    assert [message.queue_id] == settled.reports
    assert (message.kind, message.reverse_path) == (QueueKind.REPORT, "")


def test_a_report_for_an_account_reaches_it_even_when_it_is_full(store):
    ann, bob = make_accounts(store, "ann", "bob")
    store.write_now(lambda tx: tx.run("UPDATE account SET quota_octets=1, quota_messages=1"))
    queue_id = put(store, account_id=ann)
    take(store)
    report = email(b"It failed\r\n")
    store.write_now(lambda tx: remove_account(tx, bob))
    settled = finish(
        store, outcome(queue_id, 1, Result.FAILED), reports=[(ann, None, report), (bob, None, report)]
    )
    assert settled.reports == []
    assert mailbox_contents(store, ann)[1].endswith(b"It failed\r\n")


def test_a_report_that_cannot_be_written_leaves_the_recipient_there(store):
    queue_id = put(store)
    take(store)
    broken = msgspec.structs.replace(new_queued(kind=QueueKind.REPORT, reverse_path=""), header=None)
    with pytest.raises(Exception, match=r"(?i)not null"):
        finish(store, outcome(queue_id, 1, Result.FAILED), reports=[broken])
    assert counts(store)[:2] == [1, 1]


# Suppression


def fail(store, address="x@a.example", status="5.1.1", now=NOW):
    queue_id = put(store, address, now=now)
    take(store, now=now, until=Instant(now + 60))
    finish(store, outcome(queue_id, 1, Result.FAILED, status=status), now=now)


def refused(store, *addresses, after=3):
    return set(store.read_now(lambda tx: suppressed(tx, addresses, suppress_after=after)))


def test_an_address_that_keeps_failing_is_refused_until_it_takes_mail(store):
    for turn in range(3):
        assert refused(store, "X@a.example") == set()
        fail(store, "x@A.example" if turn else "X@a.example")
    assert refused(store, "X@a.example", "y@a.example") == {"X@a.example"}
    assert refused(store, "X@a.example", after=0) == set()
    (found,) = store.read_now(list_suppressed)
    assert (found.address, found.failures, found.by_operator) == ("x@a.example", 3, False)
    assert found.reason == "550 said so"
    queue_id = put(store)
    take(store)
    finish(store, outcome(queue_id))
    assert refused(store, "X@a.example", after=1) == set()
    assert store.read_now(list_suppressed) == []


# 5.1.7 and 5.1.8 are about the sender (RFC 3463 §3.2), 5.1.0 about anything.
@pytest.mark.parametrize("status", ["5.2.2", "5.7.1", "5.4.4", "4.1.1", "5.1.0", "5.1.7", "5.1.8"])
def test_other_failures_do_not_count(store, status):
    fail(store, status=status)
    assert store.read_now(list_suppressed) == []


def test_the_operators_word_stands_until_it_is_taken_back(store):
    store.write_now(lambda tx: suppress(tx, "X@A.example", "asked us to", NOW))
    assert refused(store, "x@a.example", after=0) == {"x@a.example"}
    fail(store)
    queue_id = put(store)
    take(store)
    finish(store, outcome(queue_id))
    (found,) = store.read_now(list_suppressed)
    assert (found.reason, found.by_operator, found.failures) == ("asked us to", True, 0)
    assert store.write_now(lambda tx: unsuppress(tx, "x@a.example"))
    assert not store.write_now(lambda tx: unsuppress(tx, "x@a.example"))
    assert refused(store, "x@a.example", after=1) == set()


def test_quoted_and_foreign_addresses_are_compared_as_accounts_are(store):
    store.write_now(lambda tx: suppress(tx, '"Ann B"@a.example', "", NOW))
    store.write_now(lambda tx: suppress(tx, "JÜRGEN@bücher.example", "", NOW))
    assert refused(store, '"ann b"@a.example', "jürgen@bücher.example") == {
        '"ann b"@a.example',
        "jürgen@bücher.example",
    }


# Lateness


def test_when_a_sender_hears_next():
    def at(options=None, **more):
        given = {"release_at": 100, "expires_at": 900, "delay_told_at": 0, "delay_notice_seconds": 50} | more
        return notice_at(options=options or MailOptions(), **given)

    assert at() == 150
    assert at(delay_told_at=160) == 900
    assert at(delay_notice_seconds=0) == 900
    assert at(expires_at=0, delay_notice_seconds=0) == 0
    assert at(MailOptions(by_mode=ByMode.RETURN, deliver_by=120)) == 120
    assert at(MailOptions(by_mode=ByMode.NOTIFY, deliver_by=120), delay_told_at=110) == 120
    assert at(MailOptions(by_mode=ByMode.NOTIFY, deliver_by=120), delay_told_at=120) == 900


def overdue(store, now):
    return store.write_now(
        lambda tx: take_overdue(tx, ME, now=Instant(now), until=Instant(now + 60), most=10), durable=False
    )


def test_a_late_message_is_noticed_once_and_then_when_it_expires(store):
    queue_id = put(store)
    take(store)
    finish(store, outcome(queue_id, 1, Result.DEFERRED, next_at=NOW + 9000), delay=3600)
    assert overdue(store, NOW + 3599) == []
    (message,) = overdue(store, NOW + 3600)
    assert message.recipients[0].next_at == NOW + 9000
    told = outcome(queue_id, 1, Result.DEFERRED, next_at=NOW + 9000, counts=False, delay_told=True)
    finish(store, told, now=NOW + 3600, delay=3600)
    assert waiting(store)[0][3] == NOW + 9000
    assert overdue(store, NOW + 8999) == []
    (message,) = take(store, now=NOW + 9000, until=Instant(NOW + 9600))
    assert message.recipients[0].delay_told_at == NOW + 3600
    finish(store, outcome(queue_id, 1, Result.DEFERRED, next_at=NOW + 6 * DAY), now=NOW + 9000, delay=3600)
    assert overdue(store, NOW + 5 * DAY - 1) == []
    assert taken(overdue(store, NOW + 5 * DAY)) == [(queue_id, 1)]
    finish(store, outcome(queue_id, 1, Result.FAILED, status="4.4.7"))
    assert counts(store)[:3] == [0, 0, 0]


def test_what_is_due_is_tried_before_it_is_given_up(store):
    queue_id = put(store)
    take(store)
    finish(store, outcome(queue_id, 1, Result.DEFERRED, next_at=NOW + 300))
    assert overdue(store, NOW + 9 * DAY) == []
    assert taken(take(store, now=NOW + 9 * DAY, until=Instant(NOW + 10 * DAY))) == [(queue_id, 1)]


def test_a_deadline_is_heeded_though_nothing_failed(store):
    options = MailOptions(by_mode=ByMode.RETURN, deliver_by=NOW + 100)
    queue_id = put(store, options=options, release_at=NOW + 500)
    assert overdue(store, NOW + 99) == []
    assert taken(overdue(store, NOW + 100)) == [(queue_id, 1)]
    assert overdue(store, NOW + 100) == []


def test_senders_of_parked_mail_are_told_but_it_does_not_expire(store):
    store.write_now(lambda tx: pause(tx, "a.example", "", NOW))
    queue_id = put(store)
    put(store, kind=QueueKind.REPORT, reverse_path="")
    # Too early: whoever took it settles it, and that reckons up when.
    assert taken(overdue(store, NOW)) == [(queue_id, 1)]
    finish(store, outcome(queue_id, 1, Result.DEFERRED, next_at=NOW, counts=False), delay=3600)
    assert overdue(store, NOW + 3599) == []
    assert taken(overdue(store, NOW + 3600)) == [(queue_id, 1)]
    told = outcome(queue_id, 1, Result.DEFERRED, next_at=NOW, counts=False, delay_told=True)
    finish(store, told, now=NOW + 3600, delay=3600)
    assert overdue(store, NOW + 9 * DAY) == []
    assert waiting(store)[0][2:] == (RecipientState.PARKED, NOW, "")


def test_looking_for_what_is_overdue_uses_an_index(store):
    plans = []

    def look(tx):
        class Explained:
            dialect = tx.dialect

            def all(self, sql, params=()):
                plans.extend(row[3] for row in tx.all(f"EXPLAIN QUERY PLAN {sql}", params))
                return []

            def one(self, sql, params=()):
                self.all(sql, params)

            def run_many(self, sql, rows):
                return None

        take_overdue(Explained(), ME, now=NOW, until=NOW, most=1)

    store.write_now(look)
    assert any("queue_notice" in plan for plan in plans)
    assert not any(plan.startswith("SCAN") for plan in plans)


# Bodies


def test_a_body_for_accounts_and_the_queue_is_stored_once(store):
    ann, bob = make_accounts(store, "ann", "bob")
    new = email(b"shared " * 2000)

    def accept(tx):
        queued = new_queued(body=new.body)
        shared = SharedBodies([new.body, new.body, queued.body])
        deliver(tx, [(ann, None, new), (bob, None, new)], NOW, shared=shared)
        return enqueue(tx, queued, now=NOW, shared=shared)

    queue_id = store.write_now(accept)
    assert counts(store) == [1, 1, 1, 1]
    assert store.read_now(lambda tx: read_octets(tx, queue_id)).body == new.body
    take(store)
    finish(store, outcome(queue_id))
    assert counts(store)[3] == 1
    assert mailbox_contents(store, ann)[1].endswith(b"shared " * 2000)
    for account in (ann, bob):
        store.write_now(lambda tx, account=account: remove_account(tx, account))
    assert counts(store)[3] == 0


def test_a_shared_body_stays_for_the_queue_alone(store):
    (ann,) = make_accounts(store, "ann")
    body = InlineBody(b"compressible " * 5000)

    def accept(tx):
        shared = SharedBodies([body, body])
        new = new_queued(body=body, account_id=ann)
        queue_id = enqueue(tx, new, now=NOW, shared=shared)
        deliver(tx, [(ann, None, email(body.octets, stored=body))], NOW, shared=shared)
        return queue_id

    queue_id = store.write_now(accept)
    store.write_now(lambda tx: remove_account(tx, ann))
    assert counts(store) == [1, 1, 1, 1]
    (message,) = take(store)
    assert message.account_id == 0
    assert store.read_now(lambda tx: read_octets(tx, queue_id)).body == body
    finish(store, outcome(queue_id))
    assert counts(store) == [0, 0, 0, 0]


def sealed(store, octets):
    with store.blobs.open_spool() as spool:
        spool.write(octets)
        return SealedBlob(spool.seal(), 0)


async def test_a_blob_stays_while_the_queue_or_an_account_names_it(store):
    (ann,) = make_accounts(store, "ann")
    blob, own = sealed(store, b"blob"), sealed(store, b"own")
    first = put(store, body=blob, size=4)
    second = put(store, body=own, size=3)
    store.write_now(lambda tx: deliver(tx, [(ann, None, email(b"blob", stored=blob))], NOW))
    octets = store.read_now(lambda tx: read_octets(tx, first))
    assert (octets.body, octets.size) == (blob, len(HEADER) + 4)
    far = Instant(4_000_000_000)
    assert await remove_leftovers(store, now=far) == 0
    take(store)
    assert finish(store, outcome(first), outcome(second)).blobs == [own.blob_id]
    assert await sweep_store(store, now=far) == 0
    assert store.blobs.size(own.blob_id) is None
    assert store.blobs.size(blob.blob_id) == 4
    assert inbox_of(store, ann)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("DELETE FROM queue_message", "not in the queue"),
        ("DELETE FROM queue_recipient", "waits for nobody"),
        ("DELETE FROM queue_octets", "lost its octets"),
        ("DELETE FROM shared_body", "lost its body"),
        ("UPDATE queue_message SET size=size+1", "cannot be had back"),
        ("UPDATE queue_message SET account_id=99", "account 99"),
        ("UPDATE queue_message SET kind=9", "kind 9"),
        ("UPDATE queue_message SET kind=1", "could be reported on"),
        ("UPDATE queue_message SET expires_at=0", "expired before"),
        ("UPDATE queue_message SET release_at=0", "to be sent before"),
        ("UPDATE queue_message SET options=x'c1'", "cannot be read"),
        ("UPDATE queue_message SET recipients=0", "was accepted for 0"),
        ("UPDATE queue_recipient SET number=7", "was accepted for"),
        ("UPDATE queue_recipient SET domain='A.example'", "no pause would find"),
        ("UPDATE queue_recipient SET state=5", "state 5"),
        ("UPDATE queue_recipient SET lease='x'", "no dispatcher"),
        ("UPDATE queue_recipient SET lease='0.x', next_at=0", "no dispatcher"),
        ("UPDATE queue_recipient SET attempts=1", "of its attempts"),
        ("UPDATE queue_recipient SET urgency=-3", "as urgent as 3"),
        ("UPDATE queue_recipient SET state=2", "waits for a.example to be resumed"),
        ("INSERT INTO queue_destination (domain, paused_at) VALUES ('a.example', 1)", "is paused"),
        ("INSERT INTO queue_destination (domain) VALUES ('z.example')", "nothing is decided"),
        ("INSERT INTO suppression (address, reason, changed_at) VALUES ('z', '', 0)", "for no failure"),
        ("UPDATE queue_octets SET codec=3, blob_id='00ff'", "lost its file"),
    ],
)
def test_verify_notices(tmp_path, sql, words):
    store = open_store(tmp_path, first=True)
    body = InlineBody(b"shared")

    def make(tx):
        shared = SharedBodies([body, body])
        enqueue(tx, new_queued(body=body), now=NOW, shared=shared)
        enqueue(tx, new_queued(body=body), now=NOW, shared=shared)

    store.write_now(make)
    assert findings(store) == []
    store.write_now(lambda tx: tx.run(sql))
    assert any(words in str(finding) for finding in findings(store))
    store.close_now()


def test_verify_wants_a_deadline_looked_at(tmp_path):
    store = open_store(tmp_path, first=True)
    put(store, options=MailOptions(by_mode=ByMode.RETURN, deliver_by=NOW + 9))
    store.write_now(lambda tx: tx.run("UPDATE queue_recipient SET notice_at=0"))
    assert any("deadline" in str(finding) for finding in findings(store))
    store.close_now()
