"""The operator of our server: pauses, holds, retries, drops, reroutes, as the commands of postino queue do it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from postino.core.ids import Instant
from postino.store.queue.choice import Choice
from postino.store.queue.destinations import end_reroute, pause, reroute, resume
from postino.store.queue.operate import Notice, chosen_messages, drop, hold, list_queue, release, retry
from postino.store.queue.rows import NotInQueue, read_octets
from postino.store.queue.values import Outcome, Result
from tests.sim.journal import Settling
from tests.support.world import DOMAIN

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

ACTS = ("pause", "resume", "hold", "release", "retry", "drop", "tell", "reroute")


class Operator:
    """Each act is a process of its own, which tells nobody what it has done."""

    def __init__(self, simulation: "Simulation") -> None:
        self._sim = simulation
        self._hand = simulation.hand

    async def act(self) -> None:
        """Do something."""
        hand = self._hand
        domain = hand.choice(self._sim.places.domains).name
        now = self._sim.time.now()
        what = hand.choice(ACTS)
        self._sim.trace("operator", what, domain)
        match what:
            case "pause":
                self._do("pause", lambda tx: pause(tx, domain, "so", now))
            case "resume":
                self._do("resume", lambda tx: resume(tx, domain, now))
            case "hold" | "release" | "retry":
                self._change(what, domain, now)
            case "drop" | "tell":
                if hand.random() < 0.4:
                    await self._drop(domain, now, tells=what == "tell")
            case _:
                if self._sim.reroutes:
                    self._reroute(domain, now)

    def let_all_go(self) -> None:
        """Nothing is to wait for a word of ours any more."""
        now = self._sim.time.now()
        for domain in [*(one.name for one in self._sim.places.domains), DOMAIN]:
            self._do("resume", lambda tx, domain=domain: resume(tx, domain, now))  # type: ignore[misc]
        everything = Choice()
        self._do("release", lambda tx: release(tx, chosen_messages(tx, everything), everything, now))

    def _do(self, act: str, change: Callable[[Any], Any]) -> None:
        self._sim.operator.write_now(change, act)

    def _change(self, what: str, domain: str, now: Instant) -> None:
        choice = Choice(domain=domain)

        def change(tx: Any) -> int:
            ids = chosen_messages(tx, choice)
            if what == "hold":
                return hold(tx, ids, choice)
            if what == "release":
                return release(tx, ids, choice, now)
            return retry(tx, ids, choice, now)

        self._do(what, change)

    def _reroute(self, domain: str, now: Instant) -> None:
        if self._hand.random() < 0.5:
            self._do("reroute", lambda tx: end_reroute(tx, domain, now))
            return
        self._sim.rerouted.add(domain)
        route = f"{self._hand.choice(list(self._sim.places.places))}:25"
        self._do("reroute", lambda tx: reroute(tx, domain, route, now))

    async def _drop(self, domain: str, now: Instant, *, tells: bool) -> None:
        choice = Choice(domain=domain)
        store = self._sim.operator.store
        ids = store.read_now(lambda tx: chosen_messages(tx, choice))[: self._hand.randint(1, 3)]
        notices = await self._notices(ids, choice, now) if tells else None

        def change(tx: Any) -> Any:
            dropped = drop(tx, ids, choice, now, notices=notices)
            kept = set(dropped.changed)
            reports = [
                report
                for queue_id, notice in (notices or {}).items()
                if queue_id not in kept
                for report in notice.reports
            ]
            if reports:
                self._sim.journal.settling.append(Settling("operator", (), reports, frozenset(), now))
            return dropped

        self._do("drop", change)

    async def _notices(self, ids: Any, choice: Choice, now: Instant) -> dict[Any, Notice]:
        """What their senders are told, as app/drop_reports.py has it."""
        store = self._sim.operator.store
        reporter = self._sim.alive()[0].reporter
        found = {}
        for listed in store.read_now(lambda tx: list_queue(tx, ids, choice, now)):
            message = listed.message
            numbers = [recipient.number for recipient in message.recipients]
            outcomes = [
                Outcome(
                    queue_id=message.queue_id,
                    number=number,
                    result=Result.FAILED,
                    status="5.7.1",
                    reply="Dropped",
                )
                for number in numbers
            ]
            try:
                octets = store.read_now(lambda tx, message=message: read_octets(tx, message.queue_id))  # type: ignore[misc]
            except NotInQueue:
                continue
            reports = await reporter.make_reports(message, outcomes, octets)
            found[message.queue_id] = Notice(frozenset(numbers), reports)
        return found
