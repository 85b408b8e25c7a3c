"""Complete APPENDs of one session on their way to the disk: stored in groups, answered in order.

RFC: 9051 §6.3.12, 3502 (several messages, all or none), 7888 (pipelined literals), 4315 §3 (APPENDUID).
Invariants: an OK means on disk; UIDs and answers keep the order of the commands; what one client has in
    flight is bounded.
Not here: taking the commands (append.py), the rows (store/messages.py).
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from postino.core.errors import PostinoError, StoreError
from postino.core.ids import AccountId, MailboxId
from postino.core.numset import NumberSet
from postino.delivery.filters.events import Cause
from postino.imap.responses.status import SERVER_BUG, append_uid, tagged
from postino.servers.imap.completion import Completion, no, ok, refusal_of_target
from postino.servers.imap.events import messages_came
from postino.store.content import Appended, NewEmail
from postino.store.messages import append_many
from postino.store.sent_copy import append_own
from postino.store.unstored import forget_unstored

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession

# PERF: the event loop runs a group's statements itself (docs/adr/0006), half a millisecond for this many,
# and reads the next group while the disk takes this one (bench: imap.append.pipelined).
GROUP_MESSAGES: Final = 32
GROUP_OCTETS: Final = 512 * 1024
"""A group goes to the store when it has this much, or when the client has nothing more at hand."""
GROUPS_WAITING: Final = 3


@dataclass(frozen=True, slots=True)
class Job:
    """One complete APPEND command."""

    tag: bytes
    account_id: AccountId
    """Whose mailbox it is."""
    mailbox_id: MailboxId
    messages: tuple[NewEmail, ...]
    octets: int
    tells_uids: bool
    """Whether the client may know the UIDs: SECURITY: not who may not read (RFC 4315 §4)."""
    is_sent: bool = False
    """The mailbox is where the client files what it sends, and perhaps the server did so already."""


Outcome = list[Appended] | PostinoError


class AppendGroups:
    """The APPENDs that are complete and not answered yet."""

    __slots__ = ("_octets", "_ready", "_runner", "_session", "_waiting")

    def __init__(self, session: "ImapSession") -> None:
        self._session = session
        self._ready: list[Job] = []
        self._octets = 0
        self._waiting: deque[list[Job]] = deque()
        self._runner: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether some complete APPEND is not answered yet."""
        return bool(self._ready) or (self._runner is not None and not self._runner.done())

    async def add(self, job: Job) -> None:
        """Store it with the next group; wait while the disk is too far behind."""
        self._ready.append(job)
        self._octets += job.octets
        if len(self._ready) >= GROUP_MESSAGES or self._octets >= GROUP_OCTETS:
            self.submit()
            if len(self._waiting) >= GROUPS_WAITING:
                await self._until_done()

    def submit(self) -> None:
        """Send what is ready to the store; the answers come when it is durable."""
        if not self._ready:
            return
        self._waiting.append(self._ready)
        self._ready, self._octets = [], 0
        if self._runner is None or self._runner.done():
            self._runner = asyncio.get_running_loop().create_task(self._run())

    async def settle(self) -> None:
        """Return when every complete APPEND is answered."""
        self.submit()
        await self._until_done()

    async def _until_done(self) -> None:
        runner = self._runner
        if runner is not None:
            # Not `await runner`: a session that is cancelled still has stored what it was sent.
            await asyncio.wait([runner])
            self._runner = None
            runner.result()

    async def _run(self) -> None:
        while self._waiting:
            jobs = self._waiting.popleft()
            outcomes = await self._store(jobs)
            await self._answer(jobs, outcomes)

    async def _store(self, jobs: list[Job]) -> list[Outcome]:
        """Store the jobs in their order; those of one message each for one mailbox together."""
        outcomes: list[Outcome] = []
        together: list[Job] = []
        for job in jobs:
            if together and (
                len(job.messages) > 1
                or len(together[-1].messages) > 1
                or job.mailbox_id != together[-1].mailbox_id
                or job.account_id != together[-1].account_id
            ):
                outcomes += await self._store_together(together)
                together = []
            together.append(job)
        return outcomes + await self._store_together(together)

    async def _store_together(self, jobs: list[Job]) -> list[Outcome]:
        """Store jobs for one mailbox; when they do not all fit, those that do (a job is never parted)."""
        session, (first, *others) = self._session, jobs
        now = session.context.clock.now()
        news = [new for job in jobs for new in job.messages]
        try:
            store = append_own if first.is_sent else append_many
            appended = await session.context.store.write(
                lambda tx: store(tx, first.account_id, first.mailbox_id, news, now=now),
                short=len(news) <= GROUP_MESSAGES,
            )
        except Exception as error:
            if not others or not isinstance(error, StoreError):
                forget_unstored(session.context.store, [new.body for new in news])
                refused = self._refused(error)
                return [refused] * len(jobs)
            return [outcome for job in jobs for outcome in await self._store_together([job])]
        uids = (each.uid for each in appended)
        messages_came(session, Cause.APPEND, first.account_id, first.mailbox_id, uids)
        return [appended] if not others else [[each] for each in appended]

    def _refused(self, error: Exception) -> PostinoError:
        if isinstance(error, PostinoError):
            self._session.log.warning("append.failed", error=str(error))
            return error
        self._session.log.error("append.fault", exc_info=error)
        return _Fault("The message could not be stored")

    async def _answer(self, jobs: list[Job], outcomes: list[Outcome]) -> None:
        session, notifier = self._session, self._session.notifier
        if session.selected is not None:
            try:
                await session.selected.sync()
                if notifier is None or notifier.wanted.selected.events:
                    await session.tell_news(may_expunge=True)
            except PostinoError as error:
                # The next command finds out too, and says it; these messages are stored all the same.
                session.log.info("append.no_news", error=str(error))
        if notifier is not None:
            await notifier.after_append(
                [each for stored in outcomes if isinstance(stored, list) for each in stored]
            )
        for job, outcome in zip(jobs, outcomes, strict=True):
            completion = _completion(outcome, tells_uids=job.tells_uids)
            session.say(tagged(job.tag, completion.status, completion.text, completion.code))
            if isinstance(outcome, list):
                session.context.metrics.message_accepted(job.octets, 1)
        session.send_now()


class _Fault(PostinoError):
    """A fault of the server's own."""


def _completion(outcome: Outcome, *, tells_uids: bool) -> Completion:
    if isinstance(outcome, _Fault):
        return no(str(outcome), SERVER_BUG)
    if isinstance(outcome, PostinoError):
        return refusal_of_target(outcome)
    if not tells_uids:
        return ok("Stored")
    first, *others = outcome
    uids = NumberSet.of(appended.uid for appended in outcome) if others else first.uid
    return ok("Stored", append_uid(first.uid_validity, uids))
