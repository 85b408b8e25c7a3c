"""One connection's life: it takes work of its destination, opens itself when there is some, and carries one
message after the other until there is no more, or it has carried enough.

RFC: 5321 §5.1 (hosts in order), §4.3.2 (421), §4.5.4.2 (a connection for many messages); 8689 §4.2.1 (the
    next host where one cannot take a message as it must go).
Exposure: far servers decide what is answered and how slowly, within the session's time-outs.
Invariants: work once taken is settled, or given back to its lane, or (when the worker ends) leased until
    somebody takes it over; a fault with one message ends that attempt alone.
Not here: SMTP (session.py), what replies mean (attempt.py), when connections are opened (dispatcher.py).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from postino.core.errors import TemporarilyUnavailable
from postino.core.ids import Instant
from postino.core.ports import Clock
from postino.mime.downgrade import CannotDowngrade
from postino.net.connection import ConnectionLost
from postino.outbound.client.outgoing import Outgoing, RecipientReply
from postino.outbound.client.secure import TlsReached
from postino.outbound.dispatch.attempt import (
    TOO_OPEN,
    Judge,
    Lack,
    is_confirmed,
    is_crowded,
    is_tls_optional,
    lacking,
    needs_utf8,
    options_for,
    recipient_options,
)
from postino.outbound.dispatch.destinations import BadHosts, Lane
from postino.outbound.dispatch.preparation import Preparation
from postino.outbound.dispatch.retry import Retry
from postino.outbound.dispatch.settling import Done, Settler
from postino.outbound.dispatch.work import NOBODY, Reached, Trouble, Work
from postino.outbound.settings import OutboundSettings
from postino.outbound.targeting.routes import Destination
from postino.outbound.targeting.target import (
    OPPORTUNISTIC,
    Host,
    NotNow,
    Target,
    TlsForbids,
    TlsLevel,
    TlsOrigin,
    Undeliverable,
)
from postino.outbound.targeting.targets import stricter
from postino.smtp.client.extensions import Extensions
from postino.smtp.client.transaction import Phase
from postino.store.queue.rows import NotInQueue
from postino.store.queue.settle import Report
from postino.store.queue.values import Octets, Outcome, QueuedMessage, QueuedRecipient

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class Session(Protocol):
    """An open connection to another server, as session.ClientSession is one."""

    @property
    def extensions(self) -> Extensions:
        """What the server offers."""
        ...

    @property
    def remote(self) -> str:
        """`mx1.example.net (192.0.2.1)`"""
        ...

    @property
    def tls(self) -> TlsReached:
        """What TLS with it came to."""
        ...

    @property
    def usable(self) -> bool:
        """Whether another message can be sent over it."""
        ...

    async def send(self, outgoing: Outgoing) -> Sequence[RecipientReply]:
        """A transaction; a reply for each recipient. Raises ConnectionLost when nothing was answered."""
        ...

    async def quit(self) -> None:
        """Say goodbye and close."""
        ...

    def close(self) -> None:
        """Close at once."""
        ...


OpenSession = Callable[[Host, Target], Awaitable[Session]]
"""Raises NotNow."""
FindTarget = Callable[[Destination], Awaitable[Target]]
"""Raises Undeliverable, NotNow."""
MakeReports = Callable[[QueuedMessage, Sequence[Outcome], Octets], Awaitable[Sequence[Report]]]
"""What has to be told about these outcomes."""
DeliverHere = Callable[[Work, Octets], Awaitable[Sequence[tuple[Outcome, bool]] | None]]
"""Deliver to accounts of this server; what came of it, and whether that is written already. None when the
domain is not ours."""


@dataclass(slots=True)
class Means:
    """What every courier of a worker uses."""

    settings: Callable[[], OutboundSettings]
    clock: Clock
    log: "FilteringBoundLogger"
    retry: Retry
    judge: Judge
    settler: Settler
    preparation: Preparation
    find_target: FindTarget
    open_session: OpenSession
    make_reports: MakeReports
    deliver_here: DeliverHere
    bad_hosts: BadHosts
    is_here: Callable[[str], bool] = lambda domain: False
    """Whether a domain is ours."""


class _NoWay(Exception):
    """No host of the destination could be used for this message."""

    def __init__(self, status: str, sentence: str, remote: str, *, is_final: bool, answered: bool) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.remote = remote
        self.is_final = is_final
        """It never will be otherwise."""
        self.answered = answered
        """A host did answer: the destination is there."""


class _TooSlow(NotNow):
    """The connection is wanted for other mail."""


class Courier:
    """One of a lane's connections. Ends when run() does."""

    __slots__ = (
        "_carried",
        "_is_for_one",
        "_is_proved",
        "_lane",
        "_means",
        "_opening",
        "_opening_since",
        "_session",
        "_waker",
        "_when_grown",
        "idle_since",
        "is_dismissed",
    )

    def __init__(self, lane: Lane, means: Means, when_grown: Callable[[Lane], None]) -> None:
        """`when_grown` is told when the lane may have more connections."""
        self._lane = lane
        self._means = means
        self._when_grown = when_grown
        self._session: Session | None = None
        self._carried = 0
        """Messages over the present connection."""
        self._is_for_one = False
        """The present connection may carry nothing else."""
        self._is_proved = False
        """The present connection may carry what asks for TLS all the way."""
        self._opening: asyncio.Timeout | None = None
        self._opening_since = 0.0
        self._waker: asyncio.Future[None] | None = None
        self.idle_since = 0.0
        self.is_dismissed = False
        """No more work is to be taken."""

    @property
    def lane(self) -> Lane:
        """Whose it is."""
        return self._lane

    @property
    def is_idle(self) -> bool:
        """Whether it waits for work."""
        return self._waker is not None and not self._waker.done()

    def wake(self) -> None:
        """Have an idle courier look for work, or go when it was dismissed."""
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)

    def dismiss(self) -> None:
        """Have it end after what it is carrying."""
        self.is_dismissed = True
        self.wake()

    def hurry(self, seconds: float) -> None:
        """Give up a host that has not been ready for a message within that time: others wait for us."""
        opening = self._opening
        if opening is not None and not opening.expired():
            now = asyncio.get_running_loop().time()
            if now - self._opening_since > seconds:
                opening.reschedule(now)

    async def run(self, when_idle: Callable[["Courier"], None]) -> None:
        """Carry work until there is none for long, or this connection has done its part."""
        try:
            while (work := await self._next(when_idle)) is not None:
                await self._means.settler.wait_for_room()
                if not await self._carry_safely(work):
                    break
            await self._leave()
        finally:
            self._drop()

    async def _next(self, when_idle: Callable[["Courier"], None]) -> Work | None:
        lane = self._lane
        session = self._session
        if session is not None and (
            self._is_for_one
            or not session.usable
            or self._carried >= self._means.settings().messages_per_connection
        ):
            # The lane opens another when there is more work.
            return None
        while not self.is_dismissed:
            work = lane.pop()
            if work is not None:
                return work
            if self._session is None:
                return None
            loop = asyncio.get_running_loop()
            self._waker = loop.create_future()
            self.idle_since = loop.time()
            lane.idle.append(self)
            when_idle(self)
            try:
                await self._waker
            finally:
                self._waker = None
                if self in lane.idle:
                    lane.idle.remove(self)
        return None

    async def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.quit()

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    # One message

    async def _carry_safely(self, work: Work) -> bool:
        """Whether this courier goes on."""
        try:
            return await self._carry(work)
        except Exception as error:
            means = self._means
            held = work.held
            means.log.error("delivery.fault", queue_id=held.message.queue_id, exc_info=error)
            self._drop()
            outcomes = self._deferred(
                work, "4.3.0", "Sending it failed by a fault of this server", NOBODY, means.clock.now()
            )
            means.settler.add(Done(held, work.recipients, outcomes))
            return False

    async def _carry(self, work: Work) -> bool:
        means, held = self._means, work.held
        now = means.clock.now()
        if held.lost:
            self._give_back(work, now)
        if self._lane.is_closed(now) and self._session is None:
            put_off(means, self._lane, work, now)
            return True
        try:
            octets = held.octets or means.preparation.read(held)
        except NotInQueue:
            work.recipients = ()
        except TemporarilyUnavailable as error:
            outcomes = self._deferred(work, "4.3.1", str(error), NOBODY, now)
            means.settler.add(Done(held, work.recipients, outcomes))
            return True
        if not work.recipients:
            means.settler.add(Done(held, (), ()))
            return True
        if self._session is None:
            delivered = await means.deliver_here(work, octets)
            if delivered is not None:
                await self._settle_here(work, delivered, octets)
                return True
        try:
            session = await self._session_for(work, octets)
        except _NoWay as no:
            return await self._no_way(work, no, octets)
        return await self._send(session, work, octets)

    def _give_back(self, work: Work, now: Instant) -> None:
        """Keep only what is still ours to send; of the others, those held or parked are leased no longer."""
        means, held = self._means, work.held
        back = [one for one in work.recipients if one.number in held.lost]
        work.recipients = [one for one in work.recipients if one.number not in held.lost]
        outcomes = [means.judge.put_off(held.message, one, now) for one in back]
        means.settler.add(Done(held, back, outcomes, finishes=False))

    async def _send(self, session: Session, work: Work, octets: Octets) -> bool:
        means, message = self._means, work.held.message
        extensions = session.extensions
        reached = Reached(session.remote, session.tls.version)
        try:
            ready = await means.preparation.ready(work.held, octets, extensions)
        except CannotDowngrade as error:
            outcomes = [
                means.judge.failed(message, recipient, "5.6.3", str(error), reached)
                for recipient in work.recipients
            ]
            await self._settle(work, work.recipients, outcomes, reached, octets)
            return True
        options = options_for(message, ready.body_type)
        outgoing = Outgoing(
            reverse_path=message.reverse_path,
            options=options,
            recipients=[
                (recipient.address, recipient_options(message, recipient, extensions))
                for recipient in work.recipients
            ],
            header=ready.header,
            body=ready.body,
            by_seconds=options.deliver_by - means.clock.now() if options.by_mode is not None else 0,
        )
        used, self._carried = self._carried > 0, self._carried + 1
        try:
            replies = await session.send(outgoing)
            is_untouched = all(reply.code == 421 and reply.phase is Phase.MAIL for reply in replies)
        except ConnectionLost as error:
            is_untouched = True
            lost = RecipientReply(
                421, "4.4.2", f"The connection was lost: {error}", session.remote, Phase.LOST
            )
            replies = [lost] * len(work.recipients)
        if used and not work.is_second_try and not session.usable and is_untouched:
            # The server had enough of this connection, or of waiting: that is nothing about the message.
            work.is_second_try = True
            self._lane.push_first(work)
            return False
        self._note(replies)
        now = means.clock.now()
        confirmed = is_confirmed(message, extensions)
        outcomes, again = means.judge.read(work, replies, reached, confirmed=confirmed, now=now)
        if again:
            numbers = {recipient.number for recipient in again}
            settled = [recipient for recipient in work.recipients if recipient.number not in numbers]
            work.recipients = again
            await self._settle(work, settled, outcomes, reached, octets, finishes=False)
            self._lane.push_first(work)
        else:
            await self._settle(work, work.recipients, outcomes, reached, octets)
        return session.usable

    def _note(self, replies: Sequence[RecipientReply]) -> None:
        """Learn from the replies how many connections the destination likes."""
        if any(reply.code < 300 for reply in replies):
            if self._lane.went_well() and self._lane.waiting:
                self._when_grown(self._lane)
        elif any(
            reply.phase in (Phase.MAIL, Phase.LOST) and is_crowded(reply.code, reply.text)
            for reply in replies
        ):
            self._lane.too_many()

    # Reaching a host

    async def _session_for(self, work: Work, octets: Octets) -> Session:
        """A session with a host that can take this message as it must go. Raises _NoWay."""
        utf8 = needs_utf8(work.held.message, octets)
        session = self._session
        if session is not None:
            is_trusted = self._is_proved or not _asks_for_tls(work.held.message)
            # A server that had enough of one connection may have enough of others as old.
            is_fresh = not (work.is_second_try and self._carried)
            if is_trusted and is_fresh and self._lack(session, work, utf8=utf8) is None:
                return session
            await self._leave()
        means, lane = self._means, self._lane
        optional = is_tls_optional(work.held.message, octets.header)
        is_forbidden = False
        try:
            target = await means.find_target(lane.destination)
        except Undeliverable as error:
            raise _NoWay(error.status, str(error), "", is_final=True, answered=True) from error
        except NotNow as error:
            if not (optional and isinstance(error, TlsForbids)):
                raise _NoWay(
                    error.status, str(error), error.remote, is_final=False, answered=False
                ) from error
            is_forbidden, target = True, error.target
        now = means.clock.now()
        lack: tuple[Lack, str] | None = None
        refusal: NotNow | None = None
        for host in sorted(target.hosts, key=lambda host: means.bad_hosts.has(host.name, now)):
            is_lenient = optional and host.tls.origin in (TlsOrigin.DANE, TlsOrigin.MTA_STS)
            lenient = _without_policy(host, lane.destination) if is_lenient else host
            is_proved = _can_be_proved(host, target)
            if not is_proved and _asks_for_tls(work.held.message):
                lack = lack or (TOO_OPEN, "")
                continue
            try:
                session = await self._open(lenient, target)
            except NotNow as error:
                means.bad_hosts.note(host.name, now)
                refusal = error
                if isinstance(error, _TooSlow):
                    # The other hosts go first the next time.
                    break
                continue
            missing = self._lack(session, work, utf8=utf8)
            if missing is None:
                self._session = session
                # SECURITY: what TLS was not asked of is not for other messages.
                self._is_for_one = is_lenient or is_forbidden
                self._is_proved = is_proved
                self._carried = 0
                return session
            lack = (missing, session.remote)
            await session.quit()
        answered = lack is not None and bool(lack[1])
        if refusal is not None:
            raise _NoWay(
                refusal.status, str(refusal), refusal.remote, is_final=False, answered=answered
            ) from refusal
        if lack is None:
            raise _NoWay("4.4.4", "The destination has no host to try", "", is_final=False, answered=False)
        raise _NoWay(lack[0].status, lack[0].sentence, lack[1], is_final=True, answered=True)

    async def _open(self, host: Host, target: Target) -> Session:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as self._opening:
                self._opening_since = loop.time()
                return await self._means.open_session(host, target)
        except TimeoutError:
            raise _TooSlow(
                f"{host.name} was not ready for a message in time, and other mail waited", "4.4.2"
            ) from None
        finally:
            self._opening = None

    def _lack(self, session: Session, work: Work, *, utf8: bool) -> Lack | None:
        return lacking(
            work.held.message,
            session.extensions,
            is_verified=session.tls.is_verified,
            size=work.held.message.size,
            utf8=utf8,
            now=self._means.clock.now(),
        )

    async def _no_way(self, work: Work, no: _NoWay, octets: Octets) -> bool:
        means, lane = self._means, self._lane
        reached = Reached(no.remote)
        now = means.clock.now()
        if no.is_final:
            outcomes = [
                means.judge.failed(work.held.message, recipient, no.status, no.sentence, reached)
                for recipient in work.recipients
            ]
            await self._settle(work, work.recipients, outcomes, reached, octets)
            return True
        if no.answered:
            outcomes = self._deferred(work, no.status, no.sentence, reached, now)
            await self._settle(work, work.recipients, outcomes, reached, octets)
            return True
        if lane.connections > 1:
            # It may answer others of ours, so that we are too many; if not, the last of us finds out.
            lane.too_many()
            lane.push_first(work)
            return False
        if not lane.is_closed(now):
            opens_at = lane.close(now, means.retry, Trouble(no.status, no.sentence, no.remote))
            route = lane.destination.route
            # What the operator chose is the operator's to mend, and all mail may wait for it.
            tell = means.log.info if route is None or route.is_by_mx else means.log.warning
            tell(
                "destination.closed",
                destination=lane.destination.key,
                seconds=opens_at - now,
                failures=lane.failures,
                reason=no.sentence,
                remote=no.remote,
            )
            outcomes = self._deferred(work, no.status, no.sentence, reached, now)
            await self._settle(work, work.recipients, outcomes, reached, octets)
            for waiting in lane.drain():
                put_off(means, lane, waiting, now)
        else:
            put_off(means, lane, work, now)
        return False

    # What came of it

    async def _settle(
        self,
        work: Work,
        recipients: Sequence[QueuedRecipient],
        outcomes: Sequence[Outcome],
        reached: Reached,
        octets: Octets,
        *,
        finishes: bool = True,
    ) -> None:
        means = self._means
        reports = await means.make_reports(work.held.message, outcomes, octets)
        means.settler.add(Done(work.held, recipients, outcomes, reports, reached, finishes))

    async def _settle_here(
        self, work: Work, delivered: Sequence[tuple[Outcome, bool]], octets: Octets
    ) -> None:
        """What was delivered here is out of the queue already, by the same write."""
        both = list(zip(work.recipients, delivered, strict=True))
        left = [(recipient, outcome) for recipient, (outcome, is_written) in both if not is_written]
        written = [(recipient, outcome) for recipient, (outcome, is_written) in both if is_written]
        if written:
            recipients, outcomes = zip(*written, strict=True)
            self._means.settler.add(Done(work.held, recipients, outcomes, finishes=not left, is_written=True))
        if left:
            recipients, outcomes = zip(*left, strict=True)
            await self._settle(work, recipients, outcomes, NOBODY, octets)

    def _deferred(self, work: Work, status: str, reply: str, reached: Reached, now: Instant) -> list[Outcome]:
        lane, judge, message = self._lane, self._means.judge, work.held.message
        return [
            judge.deferred(message, recipient, status, reply, reached, now=now, not_before=lane.opens_at)
            for recipient in work.recipients
        ]


def put_off(means: Means, lane: Lane, work: Work, now: Instant) -> None:
    """The lane is closed: the work waits in the queue until it may be open, which is no attempt."""
    until = means.retry.after_opening(lane.opens_at, now)
    message = work.held.message
    outcomes = [means.judge.put_off(message, recipient, until, lane.trouble) for recipient in work.recipients]
    means.settler.add(Done(work.held, work.recipients, outcomes))


def _without_policy(host: Host, destination: Destination) -> Host:
    """The host without what DANE or MTA-STS ask for; what the operator set for a route holds all the same."""
    route, free = destination.route, replace(host, tls=OPPORTUNISTIC)
    return free if route is None else replace(free, tls=stricter(free, route.tls))


def _asks_for_tls(message: QueuedMessage) -> bool:
    # RFC 8689 §5: a report must rather go without than be lost.
    return message.options.require_tls and message.reverse_path != ""


def _can_be_proved(host: Host, target: Target) -> bool:
    """Whether a connection to this host, once open, goes where it should (RFC 8689 §4.2.1)."""
    # A route that only asks mail exchangers to prove their names leaves it to the DNS which names those are.
    is_named_by_anybody = host.tls.origin is TlsOrigin.ROUTE and target.domain != ""
    return host.tls.level is TlsLevel.VERIFIED and not host.tls.testing and not is_named_by_anybody
