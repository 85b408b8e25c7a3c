"""APPEND and REPLACE: messages stream in, literal by literal and URL by URL, until the command is whole.

RFC: 9051 §6.3.12, 3502 (several messages, all or none), 4469 §3 (CATENATE), 8508 §3 (REPLACE), 6855 §4
    (UTF-8 headers), 3516 §4.4 (NUL only in a literal8), 7889 §4 (TOOBIG), 4314 §4 (rights).
Invariants: an APPEND is refused before its octets come, where they can be known to be in vain; any other
    command waits until every APPEND before it is answered; one command is held in memory up to
    HELD_OCTETS of bodies and HEADS_OCTETS of what was found out about them.
DEVIATION: RFC 6855 §4 wants UTF-8 headers refused unless ENABLE UTF8=ACCEPT was said. Old mail is full of
    8-bit headers, and people move theirs here: it is taken as it is, as by SMTP, and served as it is.
Not here: cutting the stream (postino.imap.framer), indexing messages (delivery/incoming.py), storing
    (append_groups.py), reading URLs (catenate.py).
"""

from typing import TYPE_CHECKING, Final, assert_never

from postino.core.errors import OverQuota, PostinoError, ProtocolViolation
from postino.core.ids import AccountId, MailboxId
from postino.core.rights import NO_RIGHTS, Rights, permitted_flags
from postino.delivery.filters.events import Cause
from postino.delivery.incoming import Fault, IncomingMessage
from postino.imap.bad_command import BadCommand
from postino.imap.commands import (
    AppendReader,
    AppendUrls,
    LiteralKind,
    LiteralPart,
    NewMessage,
    ReplaceHead,
    UrlPart,
)
from postino.imap.framer import AppendStarted
from postino.imap.responses.status import (
    CANNOT,
    EXPUNGE_ISSUED,
    LIMIT,
    NO_PERMISSION,
    NONEXISTENT,
    TOO_BIG,
    UNAVAILABLE,
    UNKNOWN_CTE,
    append_uid,
    continuation,
    tagged,
    untagged_status,
)
from postino.imap.states import require_state, require_uids
from postino.servers.imap.completion import Completion, no, ok, refusal, refusal_of_target
from postino.servers.imap.events import messages_came
from postino.servers.imap.messages.append_groups import AppendGroups, Job
from postino.servers.imap.messages.catenate import MAX_URL_OCTETS, add_url
from postino.store.access import reach_mailbox
from postino.store.accounts import account_by_id
from postino.store.content import NewEmail
from postino.store.replace import Place, replace
from postino.store.sent_copy import is_sent
from postino.store.tx import Tx
from postino.store.unstored import forget_unstored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postino.imap.commands.append import Item
    from postino.servers.imap.session import ImapSession

HELD_OCTETS: Final = 8 * 1024 * 1024
"""Bodies of one command held in memory; those beyond go to files at once."""
HEADS_OCTETS: Final = 32 * 1024 * 1024
_HEAD_OCTETS: Final = 2_000
"""About what a message's facts take besides its header, which they repeat in part."""


class _Target:
    """The mailbox a command appends to, as it was found when the command began."""

    __slots__ = ("account_id", "is_sent", "mailbox_id", "name", "rights", "tells_uids")

    def __init__(self) -> None:
        self.name = ""
        self.account_id = AccountId(0)
        self.mailbox_id = MailboxId(0)
        self.rights = NO_RIGHTS
        self.tells_uids = False
        self.is_sent = False


class Appending:
    """The APPENDs of one session: the one coming in here, those that are complete in `groups`."""

    __slots__ = (
        "_heads_octets",
        "_held_octets",
        "_kind",
        "_message",
        "_messages",
        "_new",
        "_octets",
        "_old",
        "_parts",
        "_reader",
        "_room",
        "_session",
        "_target",
        "_url",
        "groups",
    )

    def __init__(self, session: "ImapSession") -> None:
        self._session = session
        self.groups = AppendGroups(session)
        self._target = _Target()
        self._message: IncomingMessage | None = None
        self._forget()

    @property
    def is_busy(self) -> bool:
        """Whether some complete APPEND is not answered yet."""
        return self.groups.is_busy

    def submit(self) -> None:
        """The client has nothing more at hand: have what is complete stored."""
        self.groups.submit()

    async def settle(self) -> None:
        """Return when every complete APPEND is answered."""
        if self.groups.is_busy:
            await self.groups.settle()

    def discard(self) -> None:
        """Forget the command coming in; those that are complete stay."""
        if self._message is not None:
            self._message.discard()
        if self._messages:
            # SECURITY: messages of a command that was refused, taken back or cut off.
            forget_unstored(self._session.context.store, [new.body for new in self._messages])
        self._forget()

    def _forget(self) -> None:
        self._message = None
        self._reader: AppendReader | None = None
        self._new: NewMessage | None = None
        self._old: Place | None = None
        self._messages: list[NewEmail] = []
        self._kind = LiteralKind.MESSAGE
        self._url = b""
        self._octets = self._held_octets = self._heads_octets = self._parts = 0
        self._room: int | None = None
        """What the quota leaves for this command, as it was found; None where only the store can tell."""

    # As the framer hands it out

    async def start(self, started: AppendStarted) -> None:
        """A literal is announced: take it, or refuse the command before its octets come."""
        session = self._session
        try:
            refused = await self._read(started)
        except BadCommand:
            session.framer.discard_stream()
            self.discard()
            raise
        if not started.non_sync or refused is not None:
            # The client waits for this answer: it comes after those it is owed already.
            await self.settle()
        if refused is not None:
            assert self._reader is not None
            tag = self._reader.head.tag
            self.discard()
            session.say(tagged(tag, refused.status, refused.text, refused.code))
            session.framer.discard_stream()
            return
        session.framer.accept_stream()
        if not started.non_sync:
            session.say(continuation(b"Send the message"))

    async def _read(self, started: AppendStarted) -> Completion | None:
        """Read the text up to the literal; the refusal when the literal is not wanted."""
        if started.is_first or self._reader is None:
            self.discard()
            reader = self._reader = AppendReader(self._session.options)
            items = reader.first(started.head)
            refused = await self._begin(reader, started.size)
        else:
            items = self._reader.next(started.head.parts[-1])
            refused = await self._end_literal()
        return refused or await self._take(items) or self._examine(started.size)

    def add(self, octets: bytes) -> None:
        """The next octets of the literal."""
        if self._kind is LiteralKind.URL:
            self._url += octets
            return
        assert self._message is not None
        if self._kind is LiteralKind.MESSAGE and b"\0" in octets:
            self._message.fail(Fault.NUL)
        self._message.add(octets)

    async def _end_literal(self) -> Completion | None:
        """The literal before is whole; the refusal when it was the URL of something that cannot be had."""
        if self._kind is not LiteralKind.URL:
            return None
        assert self._message is not None
        url, self._url, self._kind = self._url, b"", LiteralKind.MESSAGE
        return await add_url(self._session, url, self._message)

    async def finish(self, line: bytes) -> None:
        """The command is complete: store it with the next group."""
        reader = self._reader
        assert reader is not None
        try:
            items = reader.next(line)
            refused = await self._end_literal() or await self._take(items) or await self._end_message()
            await self._complete(reader, refused)
        finally:
            self.discard()

    async def run_urls(self, command: AppendUrls) -> None:
        """Carry out a command that came whole, without a literal."""
        self.discard()
        reader = self._reader = AppendReader(self._session.options)
        reader.head = command.head
        try:
            refused = await self._begin(reader, 1) or await self._take(command.items)
            await self._complete(reader, refused or await self._end_message())
            await self.settle()
        finally:
            self.discard()

    # The command

    async def _begin(self, reader: AppendReader, size: int) -> Completion | None:
        """Find the mailbox, and the message to be replaced."""
        session, head = self._session, reader.head
        require_state(head, session.state)
        session.context.metrics.command("imap", head.name)
        if isinstance(head, ReplaceHead):
            # Its number means what the client has been told when this command's turn has come.
            await self.settle()
            if session.uid_only:
                require_uids(head)
            refused = await self._find_old(head)
            if refused is not None:
                return refused
        elif self._target.name == head.mailbox and self.is_busy:
            # PERF: the store finds out when the mailbox or the room has gone since the last of the group;
            # looking each time is a tenth of a pipelined APPEND (bench: imap append).
            return None
        return self._find_target(head.mailbox, size)

    def _find_target(self, name: str, size: int) -> Completion | None:
        session, target = self._session, self._target

        def look(tx: Tx) -> int | None:
            reached = reach_mailbox(tx, session.account_id, name, Rights.INSERT)
            account = account_by_id(tx, reached.account_id)
            target.name = name
            target.account_id, target.mailbox_id = reached.account_id, reached.mailbox.id
            target.rights, target.tells_uids = reached.rights, reached.may_read
            target.is_sent = is_sent(reached.mailbox)
            return account.quota_octets - account.used_octets if account.quota_octets else None

        try:
            room = session.context.store.read_now(look)
        except PostinoError as error:
            target.name = ""
            return refusal_of_target(error)
        if self._old is None:
            self._room = room
        return self._refused_room(size)

    def _refused_room(self, more: int) -> Completion | None:
        """The refusal when the quota has no room for what came so far and `more` octets."""
        if self._room is None or self._octets + more <= self._room:
            return None
        return refusal_of_target(OverQuota("The mailbox is full; delete messages first"))

    async def _find_old(self, head: ReplaceHead) -> Completion | None:
        """The message REPLACE is to remove: it takes the rights of STORE Deleted and of EXPUNGE."""
        selected = self._session.selected
        assert selected is not None
        if selected.read_only:
            return no("The mailbox is open for reading only; SELECT it to replace messages", CANNOT)
        if Rights.DELETE_MESSAGES | Rights.EXPUNGE not in selected.rights:
            return no("You may not remove messages here; ask the mailbox's owner for t and e", NO_PERMISSION)
        try:
            await selected.load()
            await selected.sync()
            spans = selected.resolve(head.number, by_uid=head.by_uid)
        except ProtocolViolation as error:
            raise BadCommand(str(error), tag=head.tag) from None
        except PostinoError as error:
            return refusal(error)
        if not spans:
            return no("There is no message with this UID to replace", NONEXISTENT)
        uid = selected.view.uids(spans[0])[0]
        if uid in selected.view.gone(spans):
            return no("The message to replace is gone", EXPUNGE_ISSUED)
        self._old = Place(selected.account_id, selected.id, uid)
        return None

    async def _take(self, items: "Sequence[Item]") -> Completion | None:
        """Go on with what one text said; the first refusal ends it."""
        for item in items:
            refused = None
            match item:
                case NewMessage():
                    refused = await self._end_message()
                    self._new = item
                    self._message = IncomingMessage(self._session.context.store, self._session.limits)
                case UrlPart(url):
                    assert self._message is not None
                    refused = await add_url(self._session, url, self._message)
                case LiteralPart(kind):
                    self._kind = kind
                case _:
                    assert_never(item)
            self._parts += 1
            if refused is not None:
                return refused
        if self._parts > self._session.limits.imap_append_parts:
            most = self._session.limits.imap_append_parts
            return no(f"One command takes at most {most} messages and parts; send the rest in another", LIMIT)
        return None

    def _examine(self, size: int) -> Completion | None:
        """Whether a literal of this size is wanted."""
        assert self._message is not None
        assert self._new is not None
        if self._kind is LiteralKind.URL:
            return no("The URL is too long", LIMIT) if size > MAX_URL_OCTETS else None
        limit = self._session.limits.message_octets
        if self._message.octets + size > limit:
            return no(f"A message may have at most {limit} octets", TOO_BIG)
        if not size and not self._new.is_catenated:
            # RFC 3502: this is how a client takes back an APPEND of several messages.
            return no("A message has at least one octet; nothing was stored")
        # What the quota will refuse in the end need not be held on disk until then.
        return self._refused_room(self._message.octets + size)

    async def _end_message(self) -> Completion | None:
        """The message is whole: find out about it what lists will ask."""
        message, new = self._message, self._new
        self._message = None
        if message is None:
            return None
        assert new is not None
        if message.fault is not None:
            return self._refused(message.fault)
        if not message.octets:
            return no("A message has at least one octet; nothing was stored")
        refused = self._refused_room(message.octets)
        if refused is not None:
            message.discard()
            return refused
        try:
            content = await message.finish(spare_memory=self._held_octets > HELD_OCTETS)
        except (OSError, PostinoError) as error:
            self._session.log.warning("append.failed", error=str(error))
            return no("The message cannot be stored now; try again later", UNAVAILABLE)
        internal_date = new.internal_date
        if internal_date is None:
            internal_date = self._session.context.clock.now()
        flags = permitted_flags(self._target.rights, new.flags)
        self._messages.append(NewEmail(content.header, content.body, content.facts, internal_date, flags))
        self._octets += content.facts.size
        self._held_octets += content.facts.size
        self._heads_octets += 2 * len(content.header) + _HEAD_OCTETS
        if self._heads_octets > HEADS_OCTETS:
            return no("These are too many messages for one command; send the rest in another", LIMIT)
        return None

    def _refused(self, fault: Fault) -> Completion:
        match fault:
            case Fault.NO_ROOM:
                self._session.log.warning("append.failed", error="there is no room for the spool file")
                return no("There is no room for the message now; try again later", UNAVAILABLE)
            case Fault.NUL:
                return no("A message with the octet NUL must come as a literal8, such as ~{310}", UNKNOWN_CTE)
            case Fault.TOO_LARGE | Fault.HEADER_TOO_LARGE:
                return no(f"The message cannot be taken: {fault.value}", LIMIT)
            case _:
                assert_never(fault)

    async def _complete(self, reader: AppendReader, refused: Completion | None) -> None:
        """The last word on a command: its refusal, or its messages on their way to the disk."""
        session, head, target = self._session, reader.head, self._target
        if refused is None and isinstance(head, ReplaceHead):
            refused = await self._replace()
            await session.complete(head, refused)
        elif refused is not None:
            await self.settle()
            session.say(tagged(head.tag, refused.status, refused.text, refused.code))
        else:
            job = Job(
                head.tag,
                target.account_id,
                target.mailbox_id,
                tuple(self._messages),
                self._octets,
                target.tells_uids,
                target.is_sent,
            )
            self._messages = []
            await self.groups.add(job)

    async def _replace(self) -> Completion:
        session, target, old = self._session, self._target, self._old
        assert old is not None
        (new,) = self._messages
        # A session that ends now does not know what of it is written.
        self._messages = []
        now = session.context.clock.now()
        try:
            appended = await session.context.store.write(
                lambda tx: replace(
                    tx, old, target.account_id, target.mailbox_id, new, now=now, is_sent=target.is_sent
                )
            )
        except PostinoError as error:
            forget_unstored(session.context.store, [new.body])
            return refusal_of_target(error)
        if appended is None:
            forget_unstored(session.context.store, [new.body])
            return no("The message to replace is gone", EXPUNGE_ISSUED)
        session.context.metrics.message_accepted(self._octets, 1)
        uids = (appended.uid,)
        messages_came(session, Cause.APPEND, target.account_id, target.mailbox_id, uids)
        if target.tells_uids:
            # RFC 8508 §4.3: before the EXPUNGE, so that the client knows what came instead.
            code = append_uid(appended.uid_validity, appended.uid)
            session.say(untagged_status("OK", "The replacement is there", code))
        return ok("Replaced")


async def run_append_urls(session: "ImapSession", command: AppendUrls) -> None:
    """APPEND or REPLACE whose messages are made of URLs alone."""
    await session.appending.run_urls(command)
