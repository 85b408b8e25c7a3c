"""APPEND: messages stream in, are stored in groups, and are answered in order once durable.

RFC: 9051 §6.3.12, 3502 (several messages, all or none), 7888 (pipelined literals), 4315 §3 (APPENDUID).
Invariants: an OK means on disk; answers keep the order of the commands; any other command waits until
    every APPEND before it is answered; what one client has in flight is bounded.
Not here: cutting the stream (postino.imap.framer), indexing messages (delivery/incoming.py).
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from postino.core.errors import NoSuchMailbox, OverQuota, PostinoError, StoreError
from postino.core.ids import AccountId, Instant, MailboxId
from postino.core.numset import NumberSet
from postino.core.rights import Rights
from postino.delivery.incoming import Fault, IncomingMessage
from postino.imap.bad_command import BadCommand
from postino.imap.commands import (
    AppendHead,
    parse_append_head,
    parse_append_next,
    parse_append_rest,
)
from postino.imap.framer import AppendStarted
from postino.imap.responses.status import (
    LIMIT,
    SERVER_BUG,
    TOO_BIG,
    UNAVAILABLE,
    append_uid,
    continuation,
    tagged,
)
from postino.servers.imap.completion import Completion, no, ok, refusal_of_target
from postino.store.access import reach_mailbox
from postino.store.accounts import account_by_id
from postino.store.content import Appended, NewEmail
from postino.store.messages import append
from postino.store.tx import Tx

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession

GROUP_MESSAGES: Final = 64
GROUP_OCTETS: Final = 1024 * 1024
"""A group goes to the store when it has this much, or when the client has nothing more at hand."""
GROUPS_IN_FLIGHT: Final = 3


@dataclass(frozen=True, slots=True)
class _Job:
    """One complete APPEND command."""

    tag: bytes
    account_id: AccountId
    """Whose mailbox it is."""
    mailbox_id: MailboxId
    messages: tuple[NewEmail, ...]
    octets: int


_Outcome = list[Appended] | PostinoError


class Appending:
    """The APPENDs of one session: the one coming in, those ready, those on their way to the disk."""

    __slots__ = (
        "_account_id",
        "_fault",
        "_head",
        "_mailbox",
        "_mailbox_id",
        "_message",
        "_messages",
        "_octets",
        "_ready",
        "_ready_messages",
        "_ready_octets",
        "_running",
        "_session",
    )

    def __init__(self, session: "ImapSession") -> None:
        self._session = session
        self._head: AppendHead | None = None
        self._mailbox = ""
        self._account_id = AccountId(0)
        self._mailbox_id = MailboxId(0)
        self._message: IncomingMessage | None = None
        self._messages: list[NewEmail] = []
        self._octets = 0
        self._fault: Completion | None = None
        self._ready: list[_Job] = []
        self._ready_messages = 0
        self._ready_octets = 0
        self._running: deque[asyncio.Task[None]] = deque()

    # One command coming in

    async def start(self, started: AppendStarted) -> None:
        """A message is announced: take it, or refuse the command before its octets come."""
        session = self._session
        try:
            if started.is_first or self._head is None:
                self.discard()
                head = parse_append_head(started.head, session.options)
            else:
                head = parse_append_next(started.head, self._head, session.options)
            refused = self._fault or self._examine(head, started.size, is_first=started.is_first)
        except BadCommand:
            session.framer.discard_stream()
            self.discard()
            raise
        if not started.non_sync or refused is not None:
            # The client waits for this answer: it comes after those it is owed already.
            await self.settle()
        if refused is not None:
            self.discard()
            session.say(tagged(head.tag, refused.status, refused.text, refused.code))
            session.framer.discard_stream()
            return
        self._head = head
        self._message = IncomingMessage(session.context.store, session.limits)
        session.framer.accept_stream()
        if not started.non_sync:
            session.say(continuation(b"Send the message"))

    def _examine(self, head: AppendHead, size: int, *, is_first: bool) -> Completion | None:
        session = self._session
        limit = session.limits.message_octets
        if size > limit:
            return no(f"A message may have at most {limit} octets", TOO_BIG)
        if not size:
            return no("A message has at least one octet")
        if not is_first:
            return None
        session.context.metrics.command("imap", head.name)
        if self.is_busy and head.mailbox == self._mailbox:
            # PERF: the store finds out when the mailbox or the room has gone since the last of the group;
            # looking each time is a tenth of a pipelined APPEND (bench: imap append).
            return None

        def look(tx: Tx) -> tuple[AccountId, MailboxId, int]:
            reached = reach_mailbox(tx, session.account_id, head.mailbox, Rights.INSERT)
            account = account_by_id(tx, reached.account_id)
            room = account.quota_octets - account.used_octets if account.quota_octets else limit
            return reached.account_id, reached.mailbox.id, room

        try:
            self._account_id, self._mailbox_id, room = session.context.store.read_now(look)
        except PostinoError as error:
            return refusal_of_target(error)
        self._mailbox = head.mailbox
        if size > room:
            return refusal_of_target(OverQuota("The mailbox is full; delete messages first"))
        return None

    def add(self, octets: bytes) -> None:
        """The next octets of the message."""
        assert self._message is not None
        self._message.add(octets)

    async def end(self) -> None:
        """The message is whole: find out about it what lists will ask."""
        message, head = self._message, self._head
        assert message is not None
        assert head is not None
        self._message = None
        if message.fault is None:
            try:
                content = await message.finish()
            except (OSError, PostinoError) as error:
                self._session.log.warning("append.failed", error=str(error))
                self._fault = no("The message cannot be stored now; try again later", UNAVAILABLE)
                return
            internal_date = head.internal_date
            if internal_date is None:
                internal_date = self._session.context.clock.now()
            self._messages.append(
                NewEmail(content.header, content.body, content.facts, internal_date, head.flags)
            )
            self._octets += content.facts.size
        elif message.fault is Fault.NO_ROOM:
            self._session.log.warning("append.failed", error="there is no room for the spool file")
            self._fault = no("There is no room for the message now; try again later", UNAVAILABLE)
        else:
            self._fault = no(f"The message cannot be taken: {message.fault.value}", LIMIT)

    async def finish(self, line: bytes) -> None:
        """The command is complete: store it with the next group."""
        head, messages, fault, octets = self._head, tuple(self._messages), self._fault, self._octets
        assert head is not None
        self.discard()
        parse_append_rest(line, head)
        if fault is not None:
            await self.settle()
            self._session.say(tagged(head.tag, fault.status, fault.text, fault.code))
            return
        self._ready.append(_Job(head.tag, self._account_id, self._mailbox_id, messages, octets))
        self._ready_messages += len(messages)
        self._ready_octets += octets
        if self._ready_messages >= GROUP_MESSAGES or self._ready_octets >= GROUP_OCTETS:
            self.submit()
            while len(self._running) > GROUPS_IN_FLIGHT:
                await self._running[0]
                self._forget_done()

    def discard(self) -> None:
        """Forget the command coming in; those that are complete stay."""
        if self._message is not None:
            self._message.discard()
        self._message = self._head = self._fault = None
        self._messages = []
        self._octets = 0

    # Groups on their way to the disk

    @property
    def is_busy(self) -> bool:
        """Whether some complete APPEND is not answered yet."""
        self._forget_done()
        return bool(self._ready or self._running)

    def submit(self) -> None:
        """Send what is ready to the store; the answers come when it is durable."""
        self._forget_done()
        if not self._ready:
            return
        jobs, self._ready = self._ready, []
        self._ready_messages = self._ready_octets = 0
        previous = self._running[-1] if self._running else None
        self._running.append(asyncio.get_running_loop().create_task(self._store(jobs, previous)))

    async def settle(self) -> None:
        """Return when every complete APPEND is answered."""
        self.submit()
        while self._running:
            await self._running[0]
            self._forget_done()

    def _forget_done(self) -> None:
        while self._running and self._running[0].done():
            self._running.popleft().result()

    async def _store(self, jobs: list[_Job], previous: "asyncio.Task[None] | None") -> None:
        session = self._session
        now = session.context.clock.now()
        outcomes: list[_Outcome]
        try:
            if any(len(job.messages) > 1 for job in jobs):
                outcomes = await self._store_apart(jobs, now)
            else:
                outcomes = await session.context.store.write(
                    lambda tx: [_append_one(tx, job, now) for job in jobs]
                )
        except PostinoError as error:
            session.log.warning("append.failed", error=str(error))
            outcomes = [error] * len(jobs)
        except Exception:
            session.log.exception("append.fault")
            outcomes = [_Fault("The message could not be stored")] * len(jobs)
        if previous is not None:
            # Its answers go first, and only one task at a time may touch the view.
            await asyncio.wait([previous])
        await self._answer(jobs, outcomes)

    async def _store_apart(self, jobs: list[_Job], now: Instant) -> list[_Outcome]:
        """One transaction function for each command: several messages come in all or none (RFC 3502)."""
        write = self._session.context.store.write
        outcomes: list[_Outcome] = []
        for job in jobs:
            try:
                outcomes.append(await write(lambda tx, job=job: _append_all(tx, job, now)))  # type: ignore[misc]
            except StoreError as error:
                outcomes.append(error)
        return outcomes

    async def _answer(self, jobs: list[_Job], outcomes: list[_Outcome]) -> None:
        session = self._session
        if session.selected is not None:
            try:
                await session.selected.sync()
                session.say_news(may_expunge=True)
            except NoSuchMailbox:
                # The next command finds out too, and ends the session.
                pass
        for job, outcome in zip(jobs, outcomes, strict=True):
            completion = _completion(outcome)
            session.say(tagged(job.tag, completion.status, completion.text, completion.code))
            if isinstance(outcome, list):
                session.context.metrics.message_accepted(job.octets, 1)
        session.send_now()


class _Fault(PostinoError):
    """A fault of the server's own."""


def _append_one(tx: Tx, job: _Job, now: Instant) -> _Outcome:
    try:
        return _append_all(tx, job, now)
    except StoreError as error:
        # A single append raises before it writes anything, so the others of the group go on.
        return error


def _append_all(tx: Tx, job: _Job, now: Instant) -> list[Appended]:
    return [append(tx, job.account_id, job.mailbox_id, new, now=now) for new in job.messages]


def _completion(outcome: _Outcome) -> Completion:
    if isinstance(outcome, _Fault):
        return no(str(outcome), SERVER_BUG)
    if isinstance(outcome, PostinoError):
        return refusal_of_target(outcome)
    uids = NumberSet.of(appended.uid for appended in outcome)
    return ok("Stored", append_uid(outcome[0].uid_validity, uids))
