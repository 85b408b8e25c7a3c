"""Empty the queue: bring what is due to its destinations' lanes, and give lanes connections.

Accepted messages come by take(), leased already and with their octets; all others are leased from the store
in batches when they are due. The store is asked when somebody says that there is something (QUEUE on the
bus), when the next recipient falls due, and, for what others did without a word, when anything was
committed at all.
RFC: 5321 §4.5.4.1 (sending strategy), §4.5.4.2 (connections for many messages).
Invariants: nothing is remembered of mail that waits in the store; what is under way is leased, and stays so
    until its outcome is written; no more messages are under way than MOST_HELD (by a batch at most), no more
    octets held than HELD_OCTETS (by a message at most).
Not here: one connection's life (courier.py), how many a lane gets (destinations.py), outcomes (settling.py).
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

import msgspec

from postino.core.errors import PostinoError
from postino.core.ids import EVERYBODY, QUEUE, Instant
from postino.core.ports import Bus, MailboxChange
from postino.outbound.dispatch.courier import Courier, Means, put_off
from postino.outbound.dispatch.destinations import LANE_ROOM, Lane, Lanes
from postino.outbound.dispatch.overdue import tell_overdue
from postino.outbound.dispatch.settling import Done, OutboundMetrics
from postino.outbound.dispatch.work import Held, OctetsBudget, Work
from postino.outbound.reports import Reporter
from postino.outbound.targeting.routes import Destination, Routes
from postino.store.queue import lease
from postino.store.queue.destinations import operator_routes
from postino.store.queue.stats import waiting_recipients
from postino.store.queue.values import LeaseToken, Octets, QueuedMessage, QueuedRecipient, QueueId
from postino.store.store import Store

LEASE_SECONDS: Final = 600
LOOK_SECONDS: Final = 3.0
"""Time between two looks whether anything was committed that nobody told us of."""
RENEW_SECONDS: Final = 60.0
LEARN_SECONDS: Final = 1.0
"""Time between two looks what of the work that waits here somebody held, dropped or parked."""
_NEVER: Final = Instant(1 << 62)
BATCH_RECIPIENTS: Final = 200
MOST_HELD: Final = 2_000
"""Messages under way in one worker."""
HELD_OCTETS: Final = 64 * 1024 * 1024
PATIENCE_SECONDS: Final = 0.2
"""Work that waits longer for one of its lane's connections is given another."""
BUSY_SECONDS: Final = 5
"""What a full lane could not take is offered to it again after this time."""
_FULL_SECONDS: Final = 1.0
HURRY_SECONDS: Final = 60.0
"""How long a host may take to get ready for a message while mail waits for want of connections. Else it has
the minutes of RFC 5321 §4.5.3.2 for each of its replies, and a hundred slow ones would hold up all others."""
_HURRY_AGAIN_SECONDS: Final = 1.0
MOST_BUSY_DOMAINS: Final = 500
_TIDY_SECONDS: Final = 1.0
_FAILED_LOOK_SECONDS: Final = 5.0


class Dispatcher:
    """One for each worker. start() it in the event loop, close() it before the store."""

    def __init__(
        self,
        means: Means,
        *,
        store: Store,
        bus: Bus,
        token: LeaseToken,
        routes: Callable[[], Routes],
        reporter: Reporter,
        metrics: OutboundMetrics,
        worker: int,
        connections_per_destination: Callable[[], int],
    ) -> None:
        self.token = token
        self._worker = worker
        self._means = means
        self._store = store
        self._bus = bus
        self._routes = routes
        self._reporter = reporter
        self._metrics = metrics
        self._lanes = Lanes(connections_per_destination)
        self._held: dict[QueueId, list[Held]] = {}
        self._held_count = 0
        self._budget = OctetsBudget(HELD_OCTETS)
        self._busy: dict[str, str] = {}
        """Domains whose lane was full -> the lane's key."""
        self._full: set[Lane] = set()
        self._rests_until = 0.0
        """By the event loop's clock."""
        self._couriers: dict[asyncio.Task[None], Courier] = {}
        self._idle: dict[Courier, None] = {}
        """Those that wait for work, the longest first; some may have got some since."""
        self._hungry: dict[str, None] = {}
        """Lanes that could have another connection but for the limit on all."""
        self._hurried_at = 0.0
        self._woken = asyncio.Event()
        self._tidying: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closing = False
        self._looked_at = b""
        self._learned_at = 0.0
        """By the event loop's clock."""
        self._learned_mark = b""
        self._due_at = Instant(0)
        self._routed: tuple[Routes, dict[str, str]] | None = None
        """The routes, and what the operator set meanwhile, that hold now."""

    # From the sessions

    def may_take(self) -> bool:
        """Whether a message may be born leased to us and brought by take()."""
        return not self._is_closing and self._held_count < MOST_HELD and self._budget.has_room

    @property
    def lease_seconds(self) -> int:
        """How long what comes by take() is to be leased at first."""
        return LEASE_SECONDS

    def take(self, message: QueuedMessage, octets: Octets) -> None:
        """Send a message that was just put into the queue, leased to `token`."""
        if self._is_closing or not message.recipients:
            return
        now = self._means.clock.now()
        self._distribute(message, octets, now)

    def wake(self) -> None:
        """Look into the queue soon."""
        self._woken.set()

    # Beginning and end

    def start(self) -> None:
        """Begin to send."""
        self._loop = asyncio.get_running_loop()
        self._bus.subscribe(EVERYBODY, QUEUE, self._hint)
        self._tasks = [
            asyncio.create_task(self._feed()),
            asyncio.create_task(self._keep_leases()),
        ]

    async def close(self, seconds: float) -> None:
        """Finish what is being sent, within that time; what has not begun goes back into the queue."""
        self._is_closing = True
        self._bus.unsubscribe(EVERYBODY, QUEUE, self._hint)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for courier in self._couriers.values():
            courier.dismiss()
        if self._couriers:
            _, late = await asyncio.wait(tuple(self._couriers), timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        if self._tidying is not None:
            self._tidying.cancel()
        try:
            async with asyncio.timeout(max(1.0, seconds)):
                await self._means.settler.finish()
        except TimeoutError:
            self._means.log.error("queue.unwritten", reason="The store did not take every outcome in time")
        await self._give_back()

    async def _give_back(self) -> None:
        try:
            await self._store.write(lambda tx: lease.give_back(tx, self.token), durable=False)
        except PostinoError as error:
            # The next start finds them.
            self._means.log.warning("queue.leases-kept", reason=str(error))

    def _hint(self, change: MailboxChange) -> None:
        self._woken.set()

    # From the store

    async def _feed(self) -> None:
        try:
            # What an earlier run of this worker died over.
            await self._store.write(
                lambda tx: lease.release_leases(tx, [self.token], worker=self._worker), durable=False
            )
        except PostinoError as error:
            self._means.log.warning("queue.unread", reason=str(error))
        while True:
            self._woken.clear()
            try:
                pause = min(await self._learn(), await self._look())
            except PostinoError as error:
                self._means.log.warning("queue.unread", reason=str(error))
                pause = _FAILED_LOOK_SECONDS
            except Exception as error:
                # Whatever is wrong with one message, all others would wait for ever.
                self._means.log.error("queue.fault", exc_info=error)
                pause = _FAILED_LOOK_SECONDS
            self._metrics.outbound_gauges(len(self._couriers), len(self._lanes), self._held_count)
            if pause:
                await self._wait(pause)

    async def _wait(self, seconds: float) -> None:
        """Until then, or until somebody wakes us."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _look(self) -> float:
        """Bring what is due to its lanes; says how long nothing need be done unless somebody wakes us."""
        mark = self._store.mark()
        now = self._means.clock.now()
        if mark and mark == self._looked_at and now < self._due_at:
            return min(LOOK_SECONDS, self._due_at - now)
        rest = self._rests_until - self._loop.time()
        if rest > 0.0:
            return rest
        if self._held_count > MOST_HELD - BATCH_RECIPIENTS:
            # Who finishes wakes us.
            return LOOK_SECONDS
        self._looked_at = mark
        busy = self._busy_domains()
        due_at, overrides = self._store.read_now(lambda tx: (lease.next_due(tx, busy), operator_routes(tx)))
        routes = self._routes()
        if (routes, overrides) != self._routed:
            self._routed = (routes, overrides)
            routes.set_overrides(overrides)
        self._due_at = _NEVER if due_at is None else due_at
        if self._due_at > now:
            return min(LOOK_SECONDS, self._due_at - now)
        until = Instant(now + LEASE_SECONDS)
        taken = await self._store.write(
            lambda tx: lease.take_due(
                tx, self.token, now=now, until=until, most=BATCH_RECIPIENTS, exclude=busy
            ),
            durable=False,
        )
        full = 0
        for message in taken:
            fresh = self._not_under_way(message)
            if fresh is not None:
                full += self._distribute(fresh, None, now)
        if full * 2 < len(taken):
            return 0.0
        # Most was for lanes that are full, and more would only be put back; who empties one wakes us.
        self._rests_until = self._loop.time() + _FULL_SECONDS
        return _FULL_SECONDS

    async def _learn(self) -> float:
        """Learn what the operator did to work that waits here; says when to look again at the latest."""
        if not any(lane.waiting for lane in self._lanes):
            return LOOK_SECONDS
        mark = self._store.mark()
        if mark and mark == self._learned_mark:
            return LOOK_SECONDS
        rest = self._learned_at + LEARN_SECONDS - self._loop.time()
        if rest > 0.0:
            return rest
        self._learned_at, self._learned_mark = self._loop.time(), mark
        every = [held for those in self._held.values() for held in those]
        ids = list(self._held)
        self._note_lost(every, await self._store.read(lambda tx: lease.of_ours(tx, self.token, ids)))
        return LEARN_SECONDS

    def _not_under_way(self, message: QueuedMessage) -> QueuedMessage | None:
        """The message with the recipients we are not at already.

        A lease ends when it cannot be renewed for long: the disk was full, the machine slept. It is ours
        again then, and what we were at goes on.
        """
        held_here = self._held.get(message.queue_id)
        if held_here is None:
            return message
        recipients = [
            recipient
            for recipient in message.recipients
            if not any(held.is_under_way(recipient.number) for held in held_here)
        ]
        return msgspec.structs.replace(message, recipients=recipients) if recipients else None

    def _busy_domains(self) -> list[str]:
        """Domains of lanes that have enough to do."""
        busy = self._busy
        for domain, key in tuple(busy.items()):
            lane = self._lanes.find(key)
            if lane is None or lane not in self._full:
                del busy[domain]
        return list(busy)

    def _distribute(self, message: QueuedMessage, octets: Octets | None, now: Instant) -> bool:
        """Put a leased message into its lanes; whether one of them is full."""
        means = self._means
        held = self._adopt(message, Instant(now + LEASE_SECONDS))
        if octets is not None:
            held.keep(octets)
        most = means.settings().recipients_per_message
        full = False
        parts = [
            (lane, Work(held, recipients[at : at + most]))
            for lane, recipients in self._by_lane(message)
            for at in range(0, len(recipients), most)
        ]
        held.works = len(parts)
        for lane, work in parts:
            if any(not recipient.next_at for recipient in work.recipients):
                # The operator asks for it, or a worker died over it: now, whatever stood in the way.
                lane.opens_at = now
            if lane.is_closed(now):
                put_off(means, lane, work, now)
                continue
            if lane.waiting < LANE_ROOM or octets is not None:
                lane.push(work)
                self._serve(lane)
                continue
            full = True
            self._full.add(lane)
            if len(self._busy) < MOST_BUSY_DOMAINS:
                self._busy[work.recipients[0].domain] = lane.destination.key
            if lane.waiting < LANE_ROOM + BATCH_RECIPIENTS:
                lane.push(work)
            else:
                self._put_back(work, now)
        return full

    def _by_lane(self, message: QueuedMessage) -> "Iterable[tuple[Lane, Sequence[QueuedRecipient]]]":
        routes, recipients = self._routes(), message.recipients
        first = self._destination(routes, message, recipients[0].domain)
        if len(recipients) == 1:
            return [(self._lanes.lane(first), recipients)]
        lanes: dict[str, tuple[Lane, list[QueuedRecipient]]] = {}
        for recipient in recipients:
            destination = self._destination(routes, message, recipient.domain)
            if destination.key not in lanes:
                lanes[destination.key] = (self._lanes.lane(destination), [])
            lanes[destination.key][1].append(recipient)
        return lanes.values()

    def _destination(self, routes: Routes, message: QueuedMessage, domain: str) -> Destination:
        """Where it goes. Mail for here shares no lane with mail for elsewhere, as by a route for all."""
        if self._means.is_here(domain):
            return Destination(f"here {domain}", None, domain)
        return routes.destination(message.reverse_path, domain)

    def _put_back(self, work: Work, now: Instant) -> None:
        """Let the queue keep what a full lane cannot take."""
        outcomes = [
            self._means.judge.put_off(work.held.message, recipient, Instant(now + BUSY_SECONDS))
            for recipient in work.recipients
        ]
        self._means.settler.add(Done(work.held, work.recipients, outcomes))

    def settled(self, done: Done) -> None:
        """An attempt's outcome is in the store: forget the message with its last."""
        held = done.held
        if not done.finishes or held.works > 1:
            held.settled |= {recipient.number for recipient in done.recipients}
        if not done.finishes:
            return
        if self._full:
            empty = {lane for lane in self._full if lane.waiting <= LANE_ROOM // 2}
            if empty:
                self._full -= empty
                self._rests_until = 0.0
                self._woken.set()
        held.works -= 1
        if held.works > 0:
            return
        held.let_go()
        queue_id = held.message.queue_id
        others = [one for one in self._held.get(queue_id, ()) if one is not held]
        if others:
            self._held[queue_id] = others
        else:
            self._held.pop(queue_id, None)
        self._held_count -= 1
        if self._held_count == MOST_HELD - BATCH_RECIPIENTS:
            self._woken.set()

    # Connections

    def _serve(self, lane: Lane) -> None:
        """See to it that somebody carries what waits in a lane."""
        for _ in range(min(len(lane.idle), lane.waiting)):
            lane.idle.pop().wake()
        for _ in range(lane.wanted()):
            if not self._open(lane):
                break
        self._be_patient(lane)

    def _be_patient(self, lane: Lane) -> None:
        """Look soon whether what waits in a lane needs another connection, if it may have one.

        If not, it is looked at when it may, or when one of its connections ends.
        """
        if not lane.is_patient and lane.wanted(impatient=True):
            lane.is_patient = True
            self._loop.call_later(PATIENCE_SECONDS, self._check_patience, lane)

    def _check_patience(self, lane: Lane) -> None:
        lane.is_patient = False
        oldest = lane.oldest()
        if oldest is None or self._is_closing:
            return
        if oldest.held.taken_at + PATIENCE_SECONDS <= self._loop.time() and lane.wanted(impatient=True):
            self._open(lane)
        self._serve(lane)

    def _open(self, lane: Lane) -> bool:
        """Give a lane one more connection; False when there are too many in all."""
        if self._is_closing:
            return False
        if len(self._couriers) >= self._means.settings().connections:
            self._hungry[lane.destination.key] = None
            for courier in self._idle:
                if courier.is_idle:
                    courier.dismiss()
                    break
            else:
                self._hurry()
            return False
        courier = Courier(lane, self._means, self._be_patient)
        lane.connections += 1
        task = asyncio.create_task(courier.run(self._is_idle))
        self._couriers[task] = courier
        task.add_done_callback(self._ended)
        return True

    def _hurry(self) -> None:
        """All connections are taken: those whose host only lets them wait are wanted for others."""
        now = self._loop.time()
        if now < self._hurried_at + _HURRY_AGAIN_SECONDS:
            return
        self._hurried_at = now
        for courier in self._couriers.values():
            courier.hurry(HURRY_SECONDS)

    def _ended(self, task: asyncio.Task[None]) -> None:
        courier = self._couriers.pop(task)
        self._idle.pop(courier, None)
        lane = courier.lane
        lane.connections -= 1
        if not task.cancelled() and task.exception() is not None:
            self._means.log.error("delivery.fault", exc_info=task.exception())
        if self._is_closing:
            return
        if self._hungry:
            key = next(iter(self._hungry))
            del self._hungry[key]
            hungry = self._lanes.find(key)
            if hungry is not None:
                self._serve(hungry)
        self._serve(lane)
        self._lanes.tidy(lane)

    def _is_idle(self, courier: Courier) -> None:
        """A connection has no work just now."""
        self._idle.pop(courier, None)
        self._idle[courier] = None
        if self._hungry:
            courier.dismiss()
        elif self._tidying is None:
            self._tidying = self._loop.call_later(_TIDY_SECONDS, self._tidy)

    def _tidy(self) -> None:
        """Close connections that have had nothing to do for long."""
        self._tidying = None
        before = self._loop.time() - self._means.settings().idle_connection_seconds
        for courier in tuple(self._idle):
            if not courier.is_idle:
                del self._idle[courier]
            elif courier.idle_since <= before:
                del self._idle[courier]
                courier.dismiss()
        if self._idle:
            self._tidying = self._loop.call_later(_TIDY_SECONDS, self._tidy)

    # Leases and deadlines

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await self._renew()
                await self._tell_overdue()
                if self._worker == 0:
                    self._metrics.queue_measured(await self._store.read(waiting_recipients))
            except PostinoError as error:
                self._means.log.warning("queue.unread", reason=str(error))
            except Exception as error:
                # Leases must be kept: what is under way would be sent by others too.
                self._means.log.error("queue.fault", exc_info=error)

    async def _tell_overdue(self) -> None:
        now = self._means.clock.now()
        await tell_overdue(
            self._store,
            self.token,
            reporter=self._reporter,
            settler=self._means.settler,
            adopt=self._adopt,
            now=now,
            until=Instant(now + LEASE_SECONDS),
            delay_notice_seconds=int(self._means.settings().delay_notice_seconds),
            log=self._means.log,
        )

    def _adopt(self, message: QueuedMessage, leased_until: Instant) -> Held:
        """Have a leased message count as under way."""
        held = Held(message, self._budget, taken_at=self._loop.time(), leased_until=leased_until)
        held.works = 1
        self._held.setdefault(message.queue_id, []).append(held)
        self._held_count += 1
        return held

    async def _renew(self) -> None:
        """Keep what takes long, and learn what of it somebody held, dropped or took over."""
        before = self._loop.time() - RENEW_SECONDS
        old = [held for those in self._held.values() for held in those if held.taken_at <= before]
        if not old:
            return
        until = Instant(self._means.clock.now() + LEASE_SECONDS)
        ids = list({held.message.queue_id for held in old})
        ours = await self._store.write(lambda tx: lease.renew(tx, self.token, ids, until), durable=False)
        self._note_lost(old, ours)

    def _note_lost(self, those: Iterable[Held], ours: Collection[tuple[QueueId, int]]) -> None:
        for held in those:
            queue_id = held.message.queue_id
            held.lost = frozenset(
                recipient.number
                for recipient in held.message.recipients
                if (queue_id, recipient.number) not in ours
            )
