"""Write down what came of attempts: many together, again and again until it is written.

A connection goes on with its next message while the outcome of the last is being written. What is lost
between the far server's 250 and this write is sent twice (docs/states/queue.md).
Invariants: an outcome once given is kept until the store has it, its message leased meanwhile; one that the
    store cannot take holds up no other; nothing is logged or counted before it is written.
Not here: the rows (store/queue/settle.py), what came of an attempt (attempt.py).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from postino.core.errors import TemporarilyUnavailable
from postino.core.ids import BlobId
from postino.core.ports import Clock
from postino.outbound.dispatch.work import NOBODY, Held, Reached
from postino.store.queue.settle import Report, Settled, settle
from postino.store.queue.values import LeaseToken, Outcome, QueuedRecipient, Result
from postino.store.store import Store

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


BATCH_OUTCOMES: Final = 500
_FEW_OUTCOMES: Final = 30
"""Writing more of them would hold up sessions, so the writing thread does it."""
PATIENCE_SECONDS: Final = 0.005
"""How long an outcome waits for mail that comes in, to share its sync."""
MOST_UNSETTLED: Final = 1_000
"""Transactions that wait for the store before connections wait for it too."""
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
STUCK_SECONDS: Final = 60.0
_EVENTS: Final = {
    Result.SENT: "message.sent",
    Result.RELAYED: "message.sent",
    Result.DEFERRED: "message.deferred",
    Result.FAILED: "message.failed",
}
_NOTHING: Final = Settled(lost=(), finished=(), reports=(), blobs=())
_NAMES: Final = {result: result.name.lower() for result in Result}


class OutboundMetrics(Protocol):
    """What sending counts."""

    def recipient_settled(self, result: str, seconds: int) -> None:
        """An attempt for a recipient ended so, that long after its message entered the queue."""
        ...

    def outbound_gauges(self, connections: int, destinations: int, messages: int) -> None:
        """What is under way now."""
        ...

    def queue_measured(self, recipients: int) -> None:
        """How many recipients wait in the whole queue."""
        ...


@dataclass(frozen=True, slots=True)
class Done:
    """What came of one transaction."""

    held: Held
    recipients: Sequence[QueuedRecipient]
    outcomes: Sequence[Outcome]
    """For each of `recipients`, in their order."""
    reports: Sequence[Report] = ()
    reached: Reached = NOBODY
    finishes: bool = True
    """Whether the transaction is over with this."""
    is_written: bool = False
    """The store has it already; it is to be told of only."""


class Settler:
    """One for each dispatcher."""

    def __init__(
        self,
        store: Store,
        token: LeaseToken,
        *,
        clock: Clock,
        log: "FilteringBoundLogger",
        metrics: OutboundMetrics,
        delay_notice_seconds: Callable[[], int],
        when_settled: Callable[[Done], None],
    ) -> None:
        self._store = store
        self._token = token
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._delay_notice_seconds = delay_notice_seconds
        self._when_settled = when_settled
        self._waiting: list[Done] = []
        self._task: asyncio.Task[None] | None = None
        self._stuck: set[asyncio.TimerHandle] = set()
        self._room = asyncio.Event()
        self._room.set()

    def add(self, done: Done) -> None:
        """Have this written with the next group."""
        self._waiting.append(done)
        if len(self._waiting) >= MOST_UNSETTLED:
            self._room.clear()
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def wait_for_room(self) -> None:
        """Return when the store keeps up with us."""
        await self._room.wait()

    async def finish(self) -> None:
        """Return when everything is written, but for what the store cannot take."""
        while self._task is not None:
            await asyncio.wait({self._task})
        for timer in self._stuck:
            timer.cancel()

    async def _run(self) -> None:
        try:
            while self._waiting:
                # PERF: what comes while this is written makes the next group.
                await self._write(self._take())
        finally:
            self._task = None

    def _take(self) -> list[Done]:
        waiting = self._waiting
        outcomes = 0
        for number, done in enumerate(waiting):
            outcomes += len(done.outcomes)
            if outcomes > BATCH_OUTCOMES and number:
                self._waiting = waiting[number:]
                return waiting[:number]
        self._waiting = []
        self._room.set()
        return waiting

    async def _write(self, group: list[Done]) -> None:
        pause = 0.0
        while True:
            try:
                settled = await self._settle(group)
            except TemporarilyUnavailable as error:
                if not pause:
                    self._log.error("queue.unwritten", reason=str(error))
                pause = min(LONGEST_PAUSE, pause * 2 or FIRST_PAUSE)
                await asyncio.sleep(pause)
            except Exception as error:
                if len(group) > 1:
                    for done in group:
                        await self._write([done])
                else:
                    self._keep(group[0], error)
                return
            else:
                break
        lost = frozenset(settled.lost)
        for done in group:
            self._tell(done, lost)
            self._when_settled(done)
        if settled.blobs:
            await asyncio.to_thread(self._delete, settled.blobs)

    async def _settle(self, group: list[Done]) -> Settled:
        outcomes = [outcome for done in group if not done.is_written for outcome in done.outcomes]
        reports = [report for done in group for report in done.reports]
        if not outcomes and not reports:
            return _NOTHING
        durable = bool(reports) or any(outcome.result is not Result.DEFERRED for outcome in outcomes)
        now = self._clock.now()
        notice = self._delay_notice_seconds()
        return await self._store.write(
            lambda tx: settle(tx, self._token, outcomes, reports, now, delay_notice_seconds=notice),
            durable=durable,
            short=len(outcomes) <= _FEW_OUTCOMES and len(reports) <= 1,
            patience=PATIENCE_SECONDS,
        )

    def _keep(self, done: Done, error: Exception) -> None:
        """The store cannot take this one. Its message stays leased, so that it is not sent once more."""
        self._log.error("queue.fault", queue_id=done.held.message.queue_id, exc_info=error)

        def again() -> None:
            self._stuck.discard(timer)
            self.add(done)

        timer = asyncio.get_running_loop().call_later(STUCK_SECONDS, again)
        self._stuck.add(timer)

    def _delete(self, blobs: Sequence[BlobId]) -> None:
        for blob_id in blobs:
            try:
                self._store.blobs.delete(blob_id)
            except OSError:
                # The sweep finds it again.
                pass

    def _tell(self, done: Done, lost: frozenset[tuple[int, int]]) -> None:
        message = done.held.message
        now = self._clock.now()
        delay = now - message.created_at
        count = self._metrics.recipient_settled
        for recipient, outcome in zip(done.recipients, done.outcomes, strict=True):
            if not outcome.counts:
                continue
            if lost and (message.queue_id, outcome.number) in lost:
                self._log.info("message.taken-over", queue_id=message.queue_id, to=recipient.address)
                continue
            count(_NAMES[outcome.result], delay)
            tell = self._log.warning if outcome.result is Result.FAILED else self._log.info
            fields: dict[str, object] = {}
            if outcome.result is Result.DEFERRED:
                fields["next_seconds"] = outcome.next_at - now
            tell(
                _EVENTS[outcome.result],
                message=message.message_id,
                queue_id=message.queue_id,
                to=recipient.address,
                status=outcome.status,
                reply=outcome.reply,
                remote=outcome.remote,
                tls=done.reached.tls,
                delay=delay,
                **fields,
            )
