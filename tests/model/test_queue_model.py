"""Two dispatchers, an operator and crashes in any order, against a plain dictionary of who waits for what.

Each accepted recipient is in exactly one state: waiting in the queue, sent, failed with a report in the queue in the
same write, or dropped. A far server is given a message twice only where docs/states/queue.md says so: when what it
answered was lost with its dispatcher, or written after the lease had ended.
"""

import shutil
import tempfile
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

import msgspec
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from postino.core.ids import Instant
from postino.smtp.envelope import MailOptions
from postino.store.queue.choice import Choice
from postino.store.queue.destinations import pause, paused_domains, resume
from postino.store.queue.enqueue import enqueue_message
from postino.store.queue.lease import lease_token, next_due, release_leases, renew, take_due
from postino.store.queue.operate import chosen_messages, drop, hold, release, retry
from postino.store.queue.settle import settle
from postino.store.queue.values import (
    LeaseToken,
    NewRecipient,
    Outcome,
    QueueId,
    QueueKind,
    RecipientState,
    Result,
)
from postino.store.store import open_store
from tests.support.queued import new_queued
from tests.support.stored import NOW, findings

DOMAINS = ["a.example", "b.example"]
LEASE_SECONDS = 100
STEPS = (
    *["accept", "take", "answer", "settle"] * 4,
    *["wait", "too long", "release"] * 2,
    *["renew", "worker dies", "all die", "pause", "resume", "change mind", "drop", "hold", "retry"],
)
Key = tuple[int, int]
_GIVEN = (Result.SENT, Result.RELAYED)


class End(Enum):
    WAITS = auto()
    SENT = auto()
    FAILED = auto()
    DROPPED = auto()


@dataclass
class Recipient:
    domain: str
    end: End = End.WAITS
    given: int = 0
    """How often a far server took it."""
    may_double: int = 0
    """How often it was given and that was, or may have been, forgotten."""


@dataclass
class Dispatcher:
    worker: int
    runs: int = 0
    leased: dict[Key, int] = field(default_factory=dict)
    """What it knows of, and until when."""
    answered: dict[Key, Result] = field(default_factory=dict)
    """What far servers said and is not settled yet."""

    @property
    def token(self) -> LeaseToken:
        return lease_token(self.worker, f"run{self.runs}")


class QueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="postino-queue-"))
        self.store = open_store(self.directory, first=True)
        self.now = Instant(NOW)
        self.recipients: dict[Key, Recipient] = {}
        self.dispatchers = [Dispatcher(0), Dispatcher(1)]
        self.reports = set[int]()
        self.reported: set[Key] = set()

    def teardown(self) -> None:
        try:
            assert findings(self.store) == []
        finally:
            self.store.close_now()
            shutil.rmtree(self.directory, ignore_errors=True)

    @rule(data=st.data(), step=st.sampled_from(STEPS))
    def anything(self, data: st.DataObject, step: str) -> None:
        # One rule, because Hypothesis leaves out some of many, and then nothing is ever settled.
        draw = data.draw
        by = draw(st.integers(0, 1))
        domain = draw(st.sampled_from(DOMAINS))
        match step:
            case "accept":
                self.accept(
                    domains=draw(st.lists(st.sampled_from(DOMAINS), min_size=1, max_size=4)),
                    by=draw(st.sampled_from([None, by])),
                    later=draw(st.sampled_from([0, 0, 0, 50])),
                    held=draw(st.sampled_from([False, False, False, True])),
                    priority=draw(st.sampled_from([0, 0, 4, -4])),
                    reported=draw(st.booleans()),
                )
            case "wait":
                self.wait(draw(st.sampled_from([1, 30, 60, LEASE_SECONDS + 1, 5000])))
            case "take":
                self.take(by, draw(st.integers(1, 6)), draw(st.sets(st.sampled_from(DOMAINS), max_size=1)))
            case "too long":
                self.what_takes_too_long_is_taken_over()
            case "answer":
                self.far_servers_answer(by, draw(st.lists(st.sampled_from(Result), min_size=1, max_size=6)))
            case "settle":
                self.settle_what_was_answered(by, draw(st.sampled_from([0, 40, 400])))
            case "renew":
                self.keep_leases(by)
            case "worker dies":
                self.worker_dies_and_is_started_again(by)
            case "all die":
                self.everything_dies()
            case "pause" | "resume":
                self.pause_or_resume(domain, paused=step == "pause")
            case "change mind":
                self.operator_changes_his_mind(domain, by)
            case "drop":
                self.drop_one(draw(st.integers(0, 9)))
            case _:
                self.change(domain, step)

    # The queue's users

    def accept(
        self, domains: list[str], by: int | None, later: int, held: bool, priority: int, reported: bool
    ) -> None:
        new = new_queued(
            now=self.now,
            release_at=self.now + later,
            held=held and priority == 4,
            options=MailOptions(priority=priority),
            reverse_path="ann@example.org" if reported else "",
        )
        those = [NewRecipient(address=f"x@{domain}", domain=domain) for domain in domains]
        new = msgspec.structs.replace(new, recipients=those)
        dispatcher = None if by is None else self.dispatchers[by]
        until = Instant(self.now + LEASE_SECONDS)
        message = self.store.write_now(
            lambda tx: enqueue_message(
                tx, new, now=self.now, lease=dispatcher.token if dispatcher else None, lease_until=until
            )
        )
        for number, domain in enumerate(domains, 1):
            self.recipients[message.queue_id, number] = Recipient(domain)
        assert dispatcher is not None or not message.recipients
        for recipient in message.recipients:
            assert dispatcher is not None
            dispatcher.leased[message.queue_id, recipient.number] = until

    def wait(self, seconds: int) -> None:
        self.now = Instant(self.now + seconds)

    def take(self, by: int, most: int, exclude: set[str]) -> None:
        dispatcher = self.dispatchers[by]
        until = Instant(self.now + LEASE_SECONDS)
        messages = self.store.write_now(
            lambda tx: take_due(tx, dispatcher.token, now=self.now, until=until, most=most, exclude=exclude),
            durable=False,
        )
        keys = [(message.queue_id, each.number) for message in messages for each in message.recipients]
        paused = self.store.read_now(paused_domains)
        for key in keys:
            recipient = self.recipients.get(key)
            if recipient is not None:
                assert recipient.end is End.WAITS
                assert recipient.domain not in exclude | paused
            for other in self.dispatchers:
                if recipient is not None and other.answered.get(key) in _GIVEN:
                    # Writing it down took longer than the lease.
                    recipient.may_double += 1
                assert other.leased.get(key, 0) <= self.now, "two dispatchers hold one recipient"
            dispatcher.leased[key] = until
        if len(keys) < most:
            due_at = self.store.read_now(lambda tx: next_due(tx, exclude))
            assert due_at is None or due_at > self.now, "something due was not taken"

    def what_takes_too_long_is_taken_over(self) -> None:
        self.wait(LEASE_SECONDS + 1)
        for holder in self.dispatchers:
            if holder.leased:
                self.take(1 - holder.worker, 6, set())
                return

    def operator_changes_his_mind(self, domain: str, by: int) -> None:
        self.pause_or_resume(domain, paused=True)
        self.pause_or_resume(domain, paused=False)
        self.take(by, 6, set())

    def far_servers_answer(self, by: int, results: list[Result]) -> None:
        dispatcher = self.dispatchers[by]
        keys = sorted(key for key in dispatcher.leased if key not in dispatcher.answered)
        for key, result in zip(keys, results, strict=False):
            dispatcher.answered[key] = result
            recipient = self.recipients.get(key)
            if recipient is None or result not in _GIVEN:
                continue
            recipient.given += 1
            if dispatcher.leased[key] <= self.now:
                # Sending took longer than the lease: who took it over may be sending, too.
                recipient.may_double += 1
            assert recipient.given <= 1 + recipient.may_double, "a far server was given a message twice"

    def settle_what_was_answered(self, by: int, next_in: int) -> None:
        dispatcher = self.dispatchers[by]
        if not dispatcher.answered:
            return
        outcomes, reports, told = [], [], set()
        for (queue_id, number), result in dispatcher.answered.items():
            outcomes.append(
                Outcome(
                    queue_id=QueueId(queue_id),
                    number=number,
                    result=result,
                    status="5.1.1" if result is Result.FAILED else "2.0.0",
                    reply="so",
                    next_at=Instant(self.now + next_in),
                )
            )
            if result is Result.FAILED and (queue_id, number) in self.recipients:
                reports.append(
                    new_queued("ann@example.org", kind=QueueKind.REPORT, reverse_path="", now=self.now)
                )
                told.add((queue_id, number))
        settled = self.store.write_now(
            lambda tx: settle(tx, dispatcher.token, outcomes, reports, self.now, delay_notice_seconds=3600)
        )
        assert len(settled.reports) == len(reports)
        self.reports |= set(settled.reports)
        self.reported |= told
        for key, result in dispatcher.answered.items():
            del dispatcher.leased[key]
            recipient = self.recipients.get(key)
            if recipient is None:
                if result in _GIVEN or (result is Result.FAILED and key not in settled.lost):
                    self.reports.discard(key[0])
                continue
            if result in _GIVEN:
                if recipient.end is End.WAITS:
                    recipient.end = End.SENT
            elif key not in settled.lost and result is Result.FAILED:
                assert recipient.end is End.WAITS
                recipient.end = End.FAILED
        dispatcher.answered.clear()

    def keep_leases(self, by: int) -> None:
        dispatcher = self.dispatchers[by]
        until = Instant(self.now + LEASE_SECONDS)
        ids = sorted({QueueId(queue_id) for queue_id, _ in dispatcher.leased})
        ours = self.store.write_now(lambda tx: renew(tx, dispatcher.token, ids, until), durable=False)
        for key in list(dispatcher.leased):
            if key in ours:
                dispatcher.leased[key] = until
            elif key not in dispatcher.answered:
                # Held, parked, dropped or taken over: it is not sent any more.
                del dispatcher.leased[key]

    # Crashes

    def worker_dies_and_is_started_again(self, by: int) -> None:
        self._forget(self.dispatchers[by])
        self.store.write_now(lambda tx: release_leases(tx, worker=by))

    def everything_dies(self) -> None:
        for dispatcher in self.dispatchers:
            self._forget(dispatcher)
        self.store.close_now()
        self.store = open_store(self.directory, first=True)
        assert self.store.read_now(lambda tx: tx.one("SELECT 1 FROM queue_recipient WHERE lease<>''")) is None

    def _forget(self, dispatcher: Dispatcher) -> None:
        for key, result in dispatcher.answered.items():
            if key in self.recipients and result in _GIVEN:
                self.recipients[key].may_double += 1
        dispatcher.leased.clear()
        dispatcher.answered.clear()
        dispatcher.runs += 1

    # The operator

    def pause_or_resume(self, domain: str, paused: bool) -> None:
        if paused:
            self.store.write_now(lambda tx: pause(tx, domain, "", self.now))
        else:
            self.store.write_now(lambda tx: resume(tx, domain, self.now))

    def change(self, domain: str, what: str) -> None:
        choice = Choice(domain=domain)
        ids = self.store.read_now(lambda tx: chosen_messages(tx, choice))
        if what == "hold":
            self.store.write_now(lambda tx: hold(tx, ids, choice))
        elif what == "release":
            self.store.write_now(lambda tx: release(tx, ids, choice, self.now))
        else:
            self.store.write_now(lambda tx: retry(tx, ids, choice, self.now))

    def drop_one(self, which: int) -> None:
        waiting = sorted(key for key, recipient in self.recipients.items() if recipient.end is End.WAITS)
        if not waiting:
            return
        key = waiting[which % len(waiting)]
        choice = Choice(picks=(key,))  # type: ignore[arg-type]
        dropped = self.store.write_now(lambda tx: drop(tx, [key[0]], choice, self.now))  # type: ignore[list-item]
        assert dropped.recipients == 1
        self.recipients[key].end = End.DROPPED

    # What must always hold

    @invariant()
    def everybody_is_in_one_place(self) -> None:
        rows = self.store.read_now(
            lambda tx: tx.all(
                "SELECT r.queue_id, r.number, r.state, r.domain, m.kind FROM queue_recipient r"
                " JOIN queue_message m ON m.id=r.queue_id"
            )
        )
        reports = {queue_id for queue_id, *_, kind in rows if kind == QueueKind.REPORT}
        waiting = {(queue_id, number) for queue_id, number, _, _, kind in rows if kind != QueueKind.REPORT}
        assert waiting == {key for key, r in self.recipients.items() if r.end is End.WAITS}
        assert reports == self.reports
        failed = {key for key, r in self.recipients.items() if r.end is End.FAILED}
        assert failed <= self.reported, "one failed and nobody was told"
        paused = self.store.read_now(paused_domains)
        for _, _, state, domain, _ in rows:
            assert (state == RecipientState.PARKED) <= (domain in paused)
            assert not (state == RecipientState.WAITING and domain in paused)


QueueMachine.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    # Each example is a database of its own: explaining a failure would outlast the test's time.
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
)
TestQueueModel = QueueMachine.TestCase
