"""What a session that used NOTIFY tells of its own accord: of the selected mailbox, of others, of names.

RFC: 5465 §3.1, §4 (IDLE), §5, §6; 5464 §4.4.2 (METADATA without values).
Exposure: what is remembered is bounded by limits.imap_notify_mailboxes; changes that come faster than the
    client reads are folded into one answer each, of the state at last.
Invariants: the bus only says where to look; what is told is the difference to what was known, read from the
    store. Once the client takes input away by sending a command, nothing is told before that is answered.
Not here: when the client is waited for (news.py), the differences (watched.py), the command (notify.py).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from postino.core.errors import NoSuchMailbox
from postino.core.ids import NAMES, AccountId, MailboxId, ModSeq
from postino.core.mailbox_name import SEPARATOR
from postino.core.numset import MAX_NUMBER, NumberSet, parse_sequence_set
from postino.core.ports import MailboxChange
from postino.imap.commands import (
    Create,
    Delete,
    Expunge,
    Move,
    Rename,
    Subscribe,
    UidExpunge,
    Unsubscribe,
)
from postino.imap.commands.notify import Event
from postino.imap.notify_filter import NotifyFilter
from postino.imap.responses.metadata import metadata_changed_response
from postino.imap.responses.status import NOTIFICATION_OVERFLOW, untagged_status
from postino.imap.states import AnyCommand
from postino.servers.imap.completion import Completion
from postino.servers.imap.mailboxes.metadata import may_annotate
from postino.servers.imap.messages.fetch import say_items
from postino.servers.imap.updates.watched import Key, Watched, message_news, name_news, read_watched
from postino.store.access import Reached
from postino.store.acl import rights_of
from postino.store.annotations import SERVER, annotated_since
from postino.store.mailboxes import mailbox_by_id
from postino.store.messages import Appended
from postino.store.tx import Tx

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession
    from postino.servers.imap.updates.selected import SelectedMailbox

READ_IN_PLACE: Final = 500
"""Reading a mailbox's row takes a few microseconds; of more, other sessions of the worker would notice."""
_FEW: Final = 100
_LINES_AT_ONCE: Final = 500
_NO_UIDS: Final = NumberSet()
_NOTHING: Final = NotifyFilter(())
_METADATA_EVENTS: Final = frozenset({Event.MAILBOX_METADATA_CHANGE, Event.SERVER_METADATA_CHANGE})
AnnotationRow = tuple[Key, str, ModSeq]
"""Where an annotation changed, which, and when."""
OwnMessages = dict[int, NumberSet]
"""What the client itself just put into mailboxes: UIDs by UIDVALIDITY, which no two mailboxes share."""


class Notifier:
    """From the first NOTIFY to the end of the session. Must be closed, or the bus keeps calling."""

    __slots__ = (
        "_annotated",
        "_doubts",
        "_fetched",
        "_hints",
        "_is_reading",
        "_own_annotations",
        "_session",
        "_watched",
        "on_news",
        "wanted",
    )

    def __init__(self, session: "ImapSession") -> None:
        self._session = session
        self.wanted = _NOTHING
        self.on_news: Callable[[], None] | None = None
        """Called when there may be something to tell; set while the client is waited for."""
        self._watched = Watched({}, frozenset(), {})
        self._hints: set[Key] = set()
        self._is_reading = False
        self._doubts = False
        """Hints may have been lost: compare everything."""
        self._annotated: dict[Key, ModSeq] = {}
        self._own_annotations: set[tuple[AccountId, ModSeq]] = set()
        self._fetched = 0
        """The last UID of the selected mailbox that needs no telling of its items any more."""

    async def watch(self, wanted: NotifyFilter) -> bool:
        """Tell of this from now on; False, and as before, when there are too many mailboxes."""
        watched = Watched({}, frozenset(), {})
        if wanted.all_events:
            watched = await self._session.context.store.read(
                lambda tx: read_watched(tx, self._session.account_id)
            )
            if len(watched.mailboxes) > self._session.limits.imap_notify_mailboxes:
                return False
        self._hints.clear()
        self._doubts = False
        self._take(watched)
        self.wanted = wanted
        if self._session.selected is not None:
            self.selected(self._session.selected)
        return True

    def close(self) -> None:
        """Stop listening."""
        self._listen(())
        self.on_news = None

    @property
    def watched(self) -> Watched:
        """What the client can know of."""
        return self._watched

    @property
    def has_news(self) -> bool:
        """Whether there may be something to tell."""
        selected = self._session.selected
        if self._hints or self._doubts:
            return True
        return selected is not None and selected.view.has_news and bool(self.wanted.selected.events)

    @property
    def tells_flags(self) -> bool:
        """Whether changed flags in the selected mailbox are told."""
        return Event.FLAG_CHANGE in self.wanted.selected.events

    def doubt(self) -> None:
        """Hints may have been lost: look at everything next time."""
        self._doubts = bool(self.wanted.all_events)

    def selected(self, selected: "SelectedMailbox") -> None:
        """Another mailbox was selected: what is in it now is the client's to ask for."""
        self._fetched = selected.view.uid_next - 1

    def own_annotations(self, changes: Iterable[MailboxChange]) -> None:
        """The client itself made these changes, which it need not be told (RFC 5464 §4.4)."""
        if self.wanted.all_events & _METADATA_EVENTS:
            self._own_annotations.update((change.account_id, change.mod_seq) for change in changes)
            if len(self._own_annotations) > _FEW:
                # Of mailboxes that are not watched: look once, and forget them.
                self.doubt()

    # What is heard

    def _listen(self, accounts: Iterable[AccountId]) -> None:
        bus, wanted = self._session.context.bus, set(accounts)
        for account_id in self._watched.counters.keys() - wanted:
            bus.unsubscribe_account(account_id, self._hear)
        for account_id in wanted - self._watched.counters.keys():
            bus.subscribe_account(account_id, self._hear)

    def _hear(self, change: MailboxChange) -> None:
        key = (change.account_id, change.mailbox_id)
        if change.mailbox_id != NAMES and key not in self._watched.mailboxes and not self._is_reading:
            return
        if len(self._hints) < _FEW:
            self._hints.add(key)
        elif key not in self._hints:
            self._doubts = True
        if self.on_news is not None:
            self.on_news()

    # What is told

    async def tell(self, *, may_expunge: bool) -> None:
        """Say everything new, while no command runs. The selected mailbox is in step with the store."""
        selected = self._session.selected
        if selected is not None and self.wanted.selected.events:
            await self._session.tell_news(may_expunge=may_expunge)
            await self._tell_items(selected, _NO_UIDS)
        await self._tell_others(None, {})

    def tells_selected(self, command: AnyCommand) -> bool:
        """Whether what is new in the selected mailbox is told after `command`."""
        # DEVIATION: RFC 5465 §3.1: who did not ask for SELECTED hears nothing of others' changes. Numbers
        # go by what all sessions removed, so after removing messages itself it hears of them too.
        return bool(self.wanted.selected.events) or isinstance(command, (Expunge, UidExpunge, Move))

    async def after(self, command: AnyCommand, completion: Completion) -> None:
        """Say what else is new before a command is answered, but for what it did itself (§5)."""
        await self._tell_rest(command, _own_messages(completion.code))

    async def after_append(self, stored: Iterable[Appended]) -> None:
        """The same after APPEND, which is answered in groups."""
        own: OwnMessages = {}
        for each in stored:
            uid = NumberSet([(each.uid, each.uid)])
            own[each.uid_validity] = own.get(each.uid_validity, _NO_UIDS).union(uid)
        await self._tell_rest(None, own)

    async def _tell_rest(self, command: AnyCommand | None, own: OwnMessages) -> None:
        selected = self._session.selected
        if selected is not None and self.wanted.selected.events:
            await self._tell_items(selected, own.get(selected.uid_validity, _NO_UIDS))
        await self._tell_others(command, own)

    async def _tell_items(self, selected: "SelectedMailbox", own: NumberSet) -> None:
        """After EXISTS, the items asked for of each message that is new and not the client's own (§5.2)."""
        first, self._fetched = self._fetched + 1, selected.view.uid_next - 1
        items = self.wanted.selected.items
        if not items or first > self._fetched:
            return
        new = NumberSet([(first, self._fetched)]).difference(own)
        if new:
            await say_items(self._session, new, items)

    async def _tell_others(self, command: AnyCommand | None, own: OwnMessages) -> None:
        hints, doubts = self._hints, self._doubts
        if not hints and not doubts:
            return
        self._hints, self._doubts = set(), False
        if not self.wanted.all_events:
            return
        known, store, old = self._watched.mailboxes, self._session.context.store, self._watched
        if not doubts and all(mailbox_id != NAMES for _, mailbox_id in hints):
            some = store.read_now(lambda tx: self._read_some(tx, hints & known.keys()))
            if some is not None:
                found, rows = some
                before = {key: known[key] for key in found}
                known.update(found)
                await self.say_all(self._lines(before, found, self._news_of_annotations(rows), own))
                return
        new, rows = await self._read_everything()
        if len(new.mailboxes) > self._session.limits.imap_notify_mailboxes:
            self._overflow()
            return
        told = self._news_of_annotations(rows)
        self._take(new)
        names = _own_names(command, old) if command is not None else frozenset()
        await self.say_all(name_news(old, new, self.wanted, names, utf8=self._session.options.utf8))
        await self.say_all(self._lines(known, new.mailboxes, told, own))
        if self._doubts and self.on_news is not None:
            self.on_news()

    async def say_all(self, lines: Iterable[bytes]) -> None:
        """Say them, however many, without holding more than some for a client that does not read."""
        for number, line in enumerate(lines, 1):
            self._session.say(line)
            if number % _LINES_AT_ONCE == 0:
                await self._session.flush()

    async def _read_everything(self) -> tuple[Watched, list[AnnotationRow]]:
        store = self._session.context.store
        if len(self._watched.mailboxes) <= READ_IN_PLACE:
            return store.read_now(self._read_all)
        self._is_reading = True
        try:
            return await store.read(self._read_all)
        finally:
            self._is_reading = False

    def _take(self, new: Watched) -> None:
        """Go on from what is known now."""
        if new.counters.keys() - self._watched.counters.keys():
            # What another account's mailboxes did since they were read was not heard.
            self._doubts = True
        self._listen(new.counters)
        self._watched = new
        self._annotated.clear()
        self._own_annotations.clear()

    def _lines(
        self,
        before: Mapping[Key, Reached],
        after: Mapping[Key, Reached],
        annotated: Mapping[Key, list[str]],
        own: OwnMessages,
    ) -> Iterator[bytes]:
        """STATUS and METADATA responses for what differs."""
        session, selected = self._session, self._session.selected
        utf8, condstore = session.options.utf8, session.condstore
        selected_key = (selected.account_id, selected.id) if selected is not None else None
        for key, now in after.items():
            was, mailbox = before.get(key), now.mailbox
            if was is not None and was.mailbox == mailbox and key not in annotated:
                continue
            events = self.wanted.events(
                now.name, subscribed=mailbox.subscribed, is_selected=key == selected_key
            )
            mine = len(own.get(mailbox.uid_validity, _NO_UIDS))
            yield message_news(was, now, events, mine, utf8=utf8, condstore=condstore)
            if Event.MAILBOX_METADATA_CHANGE in events and key in annotated and may_annotate(now.rights):
                yield metadata_changed_response(now.name, annotated[key], utf8=utf8)
        if Event.SERVER_METADATA_CHANGE in self.wanted.all_events:
            server = (SERVER, session.account_id)
            entries = [entry for account_id in server for entry in annotated.get((account_id, NAMES), ())]
            if entries:
                yield metadata_changed_response("", entries, utf8=utf8)

    def _overflow(self) -> None:
        """Give up, as after NOTIFY NONE (§5.8)."""
        self._listen(())
        self._watched = Watched({}, frozenset(), {})
        self.wanted = _NOTHING
        self._session.say(
            untagged_status("OK", "Too many mailboxes to watch; watch fewer by name", NOTIFICATION_OVERFLOW)
        )

    def _news_of_annotations(self, rows: Iterable[AnnotationRow]) -> dict[Key, list[str]]:
        """By mailbox, the names of those that others changed since they were last told."""
        told: dict[Key, list[str]] = {}
        latest: dict[Key, ModSeq] = {}
        own: set[tuple[AccountId, ModSeq]] = set()
        for key, entry, mod_seq in rows:
            if mod_seq <= self._annotated.get(key, 0):
                continue
            latest[key] = max(mod_seq, latest.get(key, mod_seq))
            change = (key[0], mod_seq)
            if change in self._own_annotations:
                own.add(change)
            else:
                told.setdefault(key, []).append(entry)
        self._annotated.update(latest)
        self._own_annotations -= own
        return told

    # In a transaction

    def _read_some(
        self, tx: Tx, keys: Iterable[Key]
    ) -> tuple[dict[Key, Reached], list[AnnotationRow]] | None:
        """These mailboxes as they are now; None when not only messages or annotations changed."""
        found: dict[Key, Reached] = {}
        rows: list[AnnotationRow] = []
        for key in keys:
            known = self._watched.mailboxes[key]
            try:
                mailbox = mailbox_by_id(tx, *key)
            except NoSuchMailbox:
                return None
            if not known.is_own:
                # SECURITY: who lost the right to read hears nothing more, whatever became of the hint.
                if rights_of(tx, known.viewer, *key) != known.rights:
                    return None
                mailbox = mailbox.seen_by_another(subscribed=known.mailbox.subscribed)
            if mailbox.name != known.mailbox.name:
                return None
            found[key] = Reached(known.account_id, mailbox, known.name, known.rights, known.viewer)
            rows += self._read_annotations(tx, *key)
        return found, rows

    def _read_all(self, tx: Tx) -> tuple[Watched, list[AnnotationRow]]:
        rows = [
            row
            for account_id in self._watched.counters
            for row in self._read_annotations(tx, account_id, None)
        ]
        return read_watched(tx, self._session.account_id), rows

    def _read_annotations(
        self, tx: Tx, account_id: AccountId, mailbox_id: MailboxId | None
    ) -> list[AnnotationRow]:
        if not self.wanted.all_events & _METADATA_EVENTS:
            return []
        since, viewer = self._watched.counters.get(account_id, ModSeq(0)), self._session.account_id
        return [
            ((account_id, where), entry, mod_seq)
            for where, entry, mod_seq in annotated_since(tx, account_id, mailbox_id, viewer, since)
        ]


def _own_messages(code: bytes | None) -> OwnMessages:
    """From the code APPENDUID or COPYUID: where a command put messages."""
    if code is None or not code.startswith((b"APPENDUID ", b"COPYUID ")):
        return {}
    words = code.split()
    return {int(words[1]): parse_sequence_set(words[-1], max_parts=MAX_NUMBER).resolve(MAX_NUMBER)}


def _own_names(command: AnyCommand, known: Watched) -> frozenset[str]:
    """The names a command touched, and those above them, which it may have made."""
    match command:
        case Create() | Delete() | Subscribe() | Unsubscribe():
            names = [command.mailbox]
        case Rename():
            below, cut = command.source + SEPARATOR, len(command.source)
            moved = [name for name in known.names if name.startswith(below)]
            names = [command.source, command.target, *moved, *(command.target + name[cut:] for name in moved)]
        case _:
            return frozenset()
    found = set(names)
    for name in names:
        end = name.rfind(SEPARATOR)
        while end > 0 and name[:end] not in found:
            found.add(name[:end])
            end = name.rfind(SEPARATOR, 0, end)
    return frozenset(found)
