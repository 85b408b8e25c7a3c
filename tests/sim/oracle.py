"""What must be true of a simulated world, looked at each hour and at its end.

Every recipient that was accepted came to one end: taken by its server, delivered here, given back with a report by the
same write, dropped by the operator, or still there because the operator wants it so. Twice only where
docs/states/queue.md says so. The journal (what the database went through), the far servers (what they were given) and
the people (what they were answered) are three independent witnesses.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from postino.outbound.dispatch.attempt import EXPIRED, LATE
from postino.outbound.dispatch.retry import (
    GREYLISTED_SECONDS,
    LONGEST_CLOSED_SECONDS,
    SPREAD,
)
from postino.smtp.envelope import Notify
from postino.store.content import InlineBody
from postino.store.queue.values import NewQueued, QueueKind, RecipientState, Result
from tests.sim.journal import Commit, NewMessage, RowChange, Settling
from tests.sim.network import Taking
from tests.sim.people import AWAY_DAYS, FORWARDS, SCRIPTED, USERS, Mail, Wanted
from tests.sim.reports_read import Told, is_report, read_report
from tests.support.world import DOMAIN

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

HOUR = 3600
LATE_SECONDS = 900.0
"""Who is due is leased within this time, while there are workers and the disk takes writes."""
_MESSAGE_ID = re.compile(rb"^message-id:\s*<([^>]*)>", re.IGNORECASE | re.MULTILINE)
_ANSWER = b"auto-replied (vacation)"
_MOST_FINDINGS = 12
_TURNS_BY_THE_CLOCK = 720
"""In an hour of a worker with nothing to do: leases, notices, measures."""
_TURNS_FOR_WORK = 60
_DONE = (Result.SENT, Result.RELAYED)
Key = tuple[int, int]


def message_id(header: bytes) -> str:
    """Of a message, without <>."""
    found = _MESSAGE_ID.search(header.partition(b"\r\n\r\n")[0])
    return found[1].decode() if found else ""


@dataclass
class Life:
    """One recipient's time in the queue."""

    message: NewMessage
    name: str
    """The message's Message-ID."""
    row: RowChange
    born: Commit
    ended: Commit | None = None
    end: str = ""
    """`sent`, `relayed`, `failed`, `dropped`; empty while it is there."""
    by: Settling | None = None
    due: int = 0
    """When it was due, while it was not leased."""
    attempts: int = 0
    told_late: int = 0

    @property
    def key(self) -> Key:
        return self.row.queue_id, self.row.number


@dataclass
class Findings:
    """What is wrong."""

    sentences: list[str] = field(default_factory=list)

    def add(self, sentence: str) -> None:
        if len(self.sentences) < _MOST_FINDINGS and sentence not in self.sentences:
            self.sentences.append(sentence)


class Oracle:
    """Judges one simulation."""

    def __init__(self, simulation: "Simulation") -> None:
        self._sim = simulation
        self.findings = Findings()

    # While it runs

    def look_at_taking(self, taking: Taking) -> None:
        """A far server has just taken a message: was it one that may have it, in this way?"""
        sim, message = self._sim, taking.message
        add = self.findings.add
        place = sim.places.places[taking.host]
        habits = message.habits
        assert habits is not None
        what = f"{taking.host} took {message_id(message.octets)} for {message.recipients[0][0]} at {taking.at:.0f}"
        name = message_id(message.octets)
        mail = sim.mail_named(name)
        quality = _quality(habits, place.host.name)
        is_good = bool(message.tls) and quality == "good"
        for address, _ in message.recipients:
            domain = next((one for one in sim.places.domains if one.name == address.rpartition("@")[2]), None)
            if domain is None:
                add(f"{what}: {address} is of no domain")
                continue
            if domain.name in sim.rerouted:
                continue
            if taking.host not in [host.name for host in domain.hosts]:
                add(f"{what}: {address} is not its business")
            optional = mail is not None and mail.tls_optional
            if domain.policy == "dane" and not is_good and not optional:
                add(f"{what} against DANE (TLS {message.tls!r}, certificate {quality})")
            policy = sim.policy_of(domain.name)
            is_held = policy is not None and policy.fetched_at < sim.wall(taking.link.opened_at) - 1
            if domain.policy == "enforce" and is_held and not is_good and not optional:
                add(f"{what} against MTA-STS (TLS {message.tls!r}, certificate {quality})")
        if mail is None:
            return
        if mail.require_tls and not is_good:
            add(f"{what} against REQUIRETLS (TLS {message.tls!r}, certificate {quality})")
        if mail.require_tls and "REQUIRETLS" not in message.mail_parameters:
            add(f"{what} without saying REQUIRETLS")
        if mail.release_at > sim.wall(taking.at):
            add(f"{what}, which was to wait until {mail.release_at}")
        if mail.deliver_by and sim.wall(taking.link.opened_at) > mail.deliver_by + 1200:
            add(f"{what}, after the time its sender gave it")
        is_unchanged = mail.body.isascii() or "BODY" in message.mail_parameters
        if is_unchanged and not message.octets.endswith(b"\r\n\r\n" + mail.body):
            add(f"{what}, and it is not what was sent")

    def look_at_connecting(self, link: Any) -> None:
        """A connection was made: are there too many now?"""
        sim = self._sim
        settings = sim.settings
        each = max(1, settings.connections_per_destination // sim.workers)
        open_links = sim.network.open_links(link.process)
        if len(open_links) > settings.connections + 20:
            self.findings.add(f"{link.process} has {len(open_links)} connections at {link.opened_at:.0f}")
        for domain in sim.places.domains:
            if domain.name in sim.rerouted:
                continue
            addresses = {address for host in domain.hosts for address in host.addresses}
            count = sum(one.address in addresses for one in open_links)
            # Those that ask ahead, or are routed there, are beside the lane's own.
            if count > each + 3 + (100 if sim.rerouted else 0):
                self.findings.add(
                    f"{link.process} has {count} connections to {domain.name}, where {each} are allowed"
                )

    def look_each_hour(self, turns: int, work: int) -> None:
        """Nobody is forgotten, and nothing turns in circles: `turns` of the loop for `work`."""
        sim = self._sim
        idle = sim.workers * (4 * HOUR / sim.look_seconds + _TURNS_BY_THE_CLOCK)
        if turns > idle + _TURNS_FOR_WORK * work + 500:
            self.findings.add(f"{turns} turns of the loop for {work} events before {sim.time.seconds:.0f}")
        now = sim.time.now()
        if sim.calm_since is None or sim.time.seconds - sim.calm_since < LATE_SECONDS:
            return
        rows = sim.operator.store.read_now(
            lambda tx: tx.all(
                "SELECT queue_id, number, address, next_at, lease FROM queue_recipient WHERE state=0"
                " AND next_at<=?",
                (now - LATE_SECONDS,),
            )
        )
        for row in rows:
            self.findings.add(f"nobody sends {row}, which was due long before {now}")
        rows = sim.operator.store.read_now(
            lambda tx: tx.all(
                "SELECT r.queue_id, r.number, r.address, m.expires_at FROM queue_recipient r"
                " JOIN queue_message m ON m.id=r.queue_id WHERE r.state=0 AND m.expires_at<=?",
                (now - 2 * HOUR,),
            )
        )
        for row in rows:
            self.findings.add(f"nobody gives {row} up, whose time was over long before {now}")

    # At the end

    def judge(self) -> list[str]:
        """Everything."""
        sim = self._sim
        lives = self._lives()
        reports = self._reports(lives)
        takings = self._takings()
        self._judge_ends(lives, takings)
        self._judge_reports(lives, reports)
        self._judge_mails(lives, takings)
        self._judge_schedule()
        self._judge_inboxes(lives)
        self._judge_answers(lives)
        for life in lives.values():
            if not life.end and not sim.may_stay(life):
                self.findings.add(
                    f"{life.name} for {life.row.address} never came to an end (queue {life.key})"
                )
        return self.findings.sentences

    def _lives(self) -> dict[Key, Life]:
        lives: dict[Key, Life] = {}
        messages: dict[int, NewMessage] = {}
        for commit in self._sim.journal.commits:
            messages.update((message.queue_id, message) for message in commit.messages)
            outcomes = {
                (outcome.queue_id, outcome.number): (outcome, settling)
                for settling in commit.settlings
                for outcome in settling.outcomes
            }
            for row in commit.rows:
                key = (row.queue_id, row.number)
                if row.op == "in":
                    message = messages[row.queue_id]
                    lives[key] = Life(message, message_id(message.header), row, commit, due=row.next_at)
                    continue
                life = lives[key]
                if row.op == "up":
                    if not row.lease:
                        life.due = row.next_at
                    life.row = row
                    continue
                life.ended = commit
                found = outcomes.get(key)
                if found is not None and found[0].result is not Result.DEFERRED:
                    life.end, life.by = found[0].result.name.lower(), found[1]
                elif commit.act == "drop":
                    life.end = "dropped"
                else:
                    life.end = "vanished"
                    self.findings.add(f"{life.name} for {row.address} vanished from the queue ({key})")
        return lives

    def _takings(self) -> dict[tuple[str, str], list[Taking]]:
        found: dict[tuple[str, str], list[Taking]] = defaultdict(list)
        for taking in self._sim.network.takings:
            name = message_id(taking.message.octets)
            for address, _ in taking.message.recipients:
                found[name, address].append(taking)
        return found

    def _confirmed(
        self, lives: dict[Key, Life], takings: dict[tuple[str, str], list[Taking]]
    ) -> dict[tuple[int, Key], bool]:
        """(a taking, a row) of which it was written that the row was sent to -> whether it was the writer's."""
        confirmed: dict[tuple[int, Key], bool] = {}
        for commit in self._sim.journal.commits:
            for settling in commit.settlings:
                for outcome in settling.outcomes:
                    key = (outcome.queue_id, outcome.number)
                    if outcome.result not in _DONE or key not in lives:
                        continue
                    life = lives[key]
                    before = [
                        taking
                        for taking in takings.get((life.name, life.row.address), [])
                        if taking.link.process is commit.process and taking.at <= commit.at
                    ]
                    if before:
                        confirmed[id(before[-1]), key] = key not in settling.lost
        return confirmed

    def _judge_ends(self, lives: dict[Key, Life], takings: dict[tuple[str, str], list[Taking]]) -> None:
        """Who was sent to was sent to; more than once only where that is said."""
        written = self._confirmed(lives, takings)
        for life in lives.values():
            mine = takings.get((life.name, life.row.address), [])
            if life.row.domain == DOMAIN:
                continue
            what = f"{life.name} for {life.row.address}"
            confirmed = []
            for taking in mine:
                was_own = written.get((id(taking), life.key))
                if was_own:
                    confirmed.append(taking)
                elif was_own is None and not self._is_excused(taking):
                    self.findings.add(
                        f"{taking.host} took {what} at {taking.at:.0f}, and nobody wrote that down"
                        f" ({life.end or 'waiting'})"
                    )
            if life.end in ("sent", "relayed") and not mine:
                self.findings.add(f"{what} is said to be sent, and nobody has it")
            if len(confirmed) > 1:
                places = [(taking.host, round(taking.at)) for taking in confirmed]
                self.findings.add(f"{what} was sent {len(confirmed)} times: {places}")
            if life.end == "failed" and confirmed:
                self.findings.add(f"{what} was sent, and failed")

    def _is_excused(self, taking: Taking) -> bool:
        """Whether our side may not know that it was taken."""
        habits = taking.message.habits
        assert habits is not None
        settings = self._sim.settings
        if habits.drop_at == "TAKEN" or habits.stall_at == "TAKEN" or habits.reset_at == "TAKEN":
            return True
        slow = habits.slow_seconds + 1.0
        if slow >= min(settings.data_seconds, settings.reply_seconds) - 1.0:
            return True
        if any(isinstance(reply, bytes) for reply in habits.replies.values()):
            # A reply nobody has the patience for; what was pipelined behind it was taken all the same.
            return True
        if taking.link.cut_at <= taking.at + slow:
            return True
        # It died before it could write it down; a full disk makes that long.
        process = taking.link.process
        return process.is_dead and self._sim.was_sudden(process)

    # Reports

    def _reports(self, lives: dict[Key, Life]) -> list[tuple[Commit, Settling, str, Told]]:
        """Every recipient that any report of the journal tells of, with where the report goes."""
        found = []
        for commit in self._sim.journal.commits:
            for settling in commit.settlings:
                for report in settling.reports:
                    if isinstance(report, NewQueued):
                        to, header, body = report.recipients[0].address, report.header, report.body
                        if report.reverse_path or report.kind is not QueueKind.REPORT:
                            self.findings.add(f"a report to {to} has a reverse-path")
                    else:
                        to, header, body = f"account {report[0]}", report[2].header, report[2].body
                    assert isinstance(body, InlineBody)
                    found += [(commit, settling, to, told) for told in read_report(header + body.octets)]
        return found

    def _judge_reports(
        self, lives: dict[Key, Life], reports: list[tuple[Commit, Settling, str, Told]]
    ) -> None:
        """Senders hear of what failed, once, in the same write, and of nothing they did not ask for."""
        told: dict[tuple[str, str, str], list[tuple[Commit, str]]] = defaultdict(list)
        for commit, _, to, one in reports:
            if one.about_report:
                self.findings.add(f"a report about a report went to {to}")
            told[one.about, one.address, one.action].append((commit, to))
        expected: Counter[tuple[str, str, str]] = Counter()
        for life in lives.values():
            address = life.row.address
            tellable = life.message.kind != QueueKind.REPORT and life.message.reverse_path != ""
            notify = Notify(life.row.notify)
            what = f"{life.name} for {address}"
            if life.end == "failed" and tellable and (not notify or notify & Notify.FAILURE):
                expected[life.name, address, "failed"] += 1
                here = [to for commit, to in told[life.name, address, "failed"] if commit is life.ended]
                if len(here) != 1:
                    self.findings.add(
                        f"{what} failed, and its sender was told {len(here)} times in that write"
                    )
            if life.end == "dropped" and life.ended is not None and life.ended.settlings and tellable:
                expected[life.name, address, "failed"] += not notify or bool(notify & Notify.FAILURE)
            if life.end == "relayed" and tellable:
                expected[life.name, address, "relayed"] += 1
            mail = self._sim.mail_named(life.name)
            most_late = 0 if notify and not notify & Notify.DELAY else 1
            if mail is not None and mail.notifies_late:
                # RFC 2852 §4.1.4.2
                most_late = 2 if not notify & Notify.NEVER else 0
            late = told.get((life.name, address, "delayed"), [])
            earliest = life.message.created_at + int(self._sim.settings.delay_notice_seconds)
            if mail is not None and mail.notifies_late:
                earliest = min(earliest, int(mail.by_at))
            for commit, _ in late:
                if self._sim.wall(commit.at) < earliest - 2:
                    self.findings.add(
                        f"the sender of {what} was told at {commit.at:.0f} already that it is late"
                    )
            if len(late) > most_late:
                self.findings.add(f"the sender of {what} was told {len(late)} times that it is late")
        for key, those in told.items():
            if key[2] in ("failed", "relayed") and len(those) != expected[key]:
                self.findings.add(f"{len(those)} reports of {key}, where {expected[key]} were due")

    def _judge_inboxes(self, lives: dict[Key, Life]) -> None:
        """What is in the INBOXes is what was delivered there, each once."""
        sim = self._sim
        journal: Counter[tuple[str, str, str]] = Counter()
        for commit in sim.journal.commits:
            for settling in commit.settlings:
                for report in settling.reports:
                    if not isinstance(report, NewQueued):
                        body = report[2].body
                        assert isinstance(body, InlineBody)
                        for told in read_report(report[2].header + body.octets):
                            journal[told.about, told.address, told.action] += 1
        seen: Counter[tuple[str, str, str]] = Counter()
        mails: Counter[tuple[str, str]] = Counter()
        answers: Counter[str] = Counter()
        for user, octets in sim.inboxes():
            if is_report(octets):
                for told in read_report(octets):
                    if told.action in ("failed", "delayed", "relayed"):
                        seen[told.about, told.address, told.action] += 1
            elif _ANSWER in octets:
                answers[user] += 1
            else:
                mails[message_id(octets).removesuffix("@sim"), user] += 1
        if seen != journal:
            self.findings.add(
                f"INBOXes have other reports than were written: {seen - journal} {journal - seen}"
            )
        for user, count in answers.items():
            if count > 1:
                self.findings.add(f"{user} got {count} answers of one who is away")
        crashed = any(sim.was_sudden(process) for process in sim.processes)
        expected: dict[tuple[str, str], list[tuple[Mail, bool]]] = defaultdict(list)
        for mail in sim.people.mails:
            for one in mail.recipients:
                for user in users_of(one):
                    expected[mail.name, user].append((mail, one.is_taken))
        for key in mails:
            if key not in expected:
                self.findings.add(f"{key[1]} has {key[0]}, which was not for them")
        for key, those in expected.items():
            mail = those[0][0]
            due = any(is_taken for _, is_taken in those) and mail.is_accepted
            count = mails[key]
            held = [
                life
                for life in lives.values()
                if life.name == f"{mail.name}@sim" and life.row.domain == DOMAIN
            ]
            if due and not count and not any(life.end != "sent" for life in held):
                self.findings.add(f"{key[1]} never got {mail.name}")
            if count > 1 and not (held and (crashed or len(held) >= count)):
                self.findings.add(f"{key[1]} has {mail.name} {count} times")
            if count and not (mail.is_accepted or mail.is_unknown):
                self.findings.add(f"{key[1]} has {mail.name}, which was refused: {mail.answer}")

    def _judge_answers(self, lives: dict[Key, Life]) -> None:
        """A script that says it is away says so to each once in its days."""
        answered: dict[str, float] = {}
        for life in lives.values():
            if _ANSWER not in life.message.header:
                continue
            before = answered.get(life.row.address)
            if before is not None and life.born.at - before < AWAY_DAYS * 24 * HOUR:
                self.findings.add(f"{life.row.address} was told twice that somebody is away")
            answered[life.row.address] = life.born.at
            if life.message.reverse_path:
                self.findings.add(f"the answer to {life.row.address} has a reverse-path")

    # People

    def _judge_mails(self, lives: dict[Key, Life], takings: dict[tuple[str, str], list[Taking]]) -> None:
        """What was answered with 250 is ours; what was refused is not."""
        by_name: dict[tuple[str, str], list[Life]] = defaultdict(list)
        for life in lives.values():
            by_name[life.name, life.row.address].append(life)
        for mail in self._sim.people.mails:
            name = f"{mail.name}@sim"
            for one, address in self._going(mail):
                there = by_name.get((name, address), [])
                taken = takings.get((name, address), [])
                what = f"{mail.name} for {address}"
                if mail.is_accepted and one.is_taken:
                    if not there and not taken and not self._is_held_here(mail, one, by_name):
                        self.findings.add(f"{what} was accepted ({mail.answer}) and is nowhere")
                elif not mail.is_unknown and one.address.endswith(DOMAIN) is False and (there or taken):
                    self.findings.add(f"{what} was not accepted ({mail.answer}), and went")
                if len(there) > 1 and not one.address.endswith(DOMAIN):
                    self.findings.add(f"{what} is {len(there)} times in the queue")

    def _is_held_here(self, mail: Mail, one: Wanted, by_name: dict[tuple[str, str], list[Life]]) -> bool:
        """Mail to be sent later waits under the address here, and goes on from there when its time has come."""
        lives = by_name.get((f"{mail.name}@sim", one.address), [])
        return bool(lives) and any(life.end in ("dropped", "failed", "") for life in lives)

    def _going(self, mail: Mail) -> Iterator[tuple[Wanted, str]]:
        """The addresses elsewhere it is for, with who asked."""
        for one in mail.recipients:
            local, _, domain = one.address.rpartition("@")
            if domain != DOMAIN:
                yield one, one.address
                continue
            for address in self._sim.forwards.get(local, ()):
                yield one, address

    # The schedule

    def _judge_schedule(self) -> None:
        """Each attempt in its time."""
        sim = self._sim
        messages = {
            message.queue_id: message for commit in sim.journal.commits for message in commit.messages
        }
        due: dict[Key, tuple[int, float]] = {}
        for commit in sim.journal.commits:
            found = {
                (outcome.queue_id, outcome.number): outcome
                for settling in commit.settlings
                for outcome in settling.outcomes
            }
            for row in commit.rows:
                key = (row.queue_id, row.number)
                outcome = found.get(key)
                if row.op == "up" and row.lease and row.lease != row.old_lease:
                    due[key] = (row.old_next_at, commit.at)
                if outcome is None or not outcome.counts:
                    continue
                what = f"{key}, attempt {row.old_attempts + 1}"
                was_due, leased_at = due.pop(key, (0, 0.0))
                is_attempt = outcome.result is not Result.FAILED or outcome.status not in (EXPIRED, LATE)
                if is_attempt and was_due > sim.wall(leased_at) + 1:
                    self.findings.add(f"{what} was made at {leased_at:.0f}, {was_due} was due")
                message = messages[key[0]]
                if outcome.result is Result.FAILED and outcome.status == EXPIRED:  # noqa: SIM102
                    if sim.wall(commit.at) < message.expires_at - 1:
                        self.findings.add(f"{what}: given up at {commit.at:.0f}, before its time")
                if outcome.result is Result.DEFERRED and row.op == "up":
                    self._judge_wait(what, row, outcome.next_at, commit, message)

    def _judge_wait(
        self, what: str, row: RowChange, next_at: int, commit: Commit, message: NewMessage
    ) -> None:
        """How long a recipient waits for the attempt after this one."""
        sim, settings = self._sim, self._sim.settings

        def base(attempts: int) -> float:
            return min(settings.retry_seconds * 2.0**attempts, settings.longest_retry_seconds)

        tried = row.old_attempts
        # Greylisting is come back for soon, and counts as no attempt in what follows.
        shortest = base(tried - 1) if tried else min(base(0), GREYLISTED_SECONDS)
        least = shortest * (1 - SPREAD) - 2
        most = max(base(tried), LONGEST_CLOSED_SECONDS) * (1 + SPREAD) + 2
        wait = next_at - sim.wall(commit.at)
        is_last = next_at in (message.expires_at, self._deadline(message))
        # An outcome may have waited for the disk.
        if wait > most or (wait < least - sim.longest_full - 10 and not is_last):
            self.findings.add(f"{what} is followed in {wait} s, and {least:.0f} to {most:.0f} are said")

    def _deadline(self, message: NewMessage) -> int:
        mail = self._sim.mail_named(message_id(message.header))
        return int(mail.deliver_by) if mail is not None else 0


def users_of(one: Wanted) -> list[str]:
    """Which users of ours get what is sent to this address."""
    local, _, domain = one.address.rpartition("@")
    if domain != DOMAIN:
        return []
    if local in USERS:
        return [local]
    if local == SCRIPTED:
        return [local]
    return ["bob"] if local in FORWARDS and FORWARDS[local][0] else []


def _quality(habits: Any, host: str) -> str:
    """Of the certificate a server shows."""
    from tests.sim.places import tls_context

    for quality in ("good", "wrong", "expired", "own"):
        if habits.tls is not None and tls_context(host, quality) is habits.tls:
            return quality
    return ""


STAYS = (RecipientState.HELD, RecipientState.PARKED)
