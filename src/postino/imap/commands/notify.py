"""NOTIFY: which events, in which mailboxes, does the client want to hear of unasked?

RFC: 5465 §3.1, §5 (events), §6 (mailboxes), §8.
Invariants: MessageNew and MessageExpunge come together, and FlagChange never without them; the selected
    mailbox is watched for messages only, by one group.
Not here: which mailboxes a group means (notify_filter.py).
"""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final

from postino.imap.bad_command import BadCommand
from postino.imap.fetch_grammar import fetch_items
from postino.imap.fetch_item import FetchItem
from postino.imap.scanner import Scanner


class Event(Enum):
    """What can be told."""

    MESSAGE_NEW = "MessageNew"
    MESSAGE_EXPUNGE = "MessageExpunge"
    FLAG_CHANGE = "FlagChange"
    MAILBOX_NAME = "MailboxName"
    SUBSCRIPTION_CHANGE = "SubscriptionChange"
    MAILBOX_METADATA_CHANGE = "MailboxMetadataChange"
    SERVER_METADATA_CHANGE = "ServerMetadataChange"


MESSAGE_EVENTS: Final = frozenset({Event.MESSAGE_NEW, Event.MESSAGE_EXPUNGE, Event.FLAG_CHANGE})


class Where(Enum):
    """Which mailboxes are meant (RFC 5465 §6)."""

    SELECTED = "SELECTED"
    SELECTED_DELAYED = "SELECTED-DELAYED"
    INBOXES = "INBOXES"
    PERSONAL = "PERSONAL"
    SUBSCRIBED = "SUBSCRIBED"
    SUBTREE = "SUBTREE"
    MAILBOXES = "MAILBOXES"


SELECTED: Final = frozenset({Where.SELECTED, Where.SELECTED_DELAYED})


@dataclass(frozen=True, slots=True)
class EventGroup:
    """Events in some mailboxes; `names` are those of SUBTREE and MAILBOXES."""

    where: Where
    names: tuple[str, ...]
    events: frozenset[Event]
    items: tuple[FetchItem, ...] = ()
    """What is told of each new message in the selected mailbox."""


@dataclass(frozen=True, slots=True)
class Notify:
    """No groups is NOTIFY NONE: nothing shall be told."""

    name: ClassVar[str] = "NOTIFY"
    tag: bytes
    groups: tuple[EventGroup, ...]
    status: bool = False
    """Whether the counters of each mailbox watched are wanted first."""


USAGE: Final = "NOTIFY takes NONE, or SET and event groups such as (personal (MessageNew MessageExpunge))"
MAX_GROUPS: Final = 50
MAX_NAMES: Final = 1000
_OPEN: Final = 0x28
_EVENTS: Final = {event.value.upper().encode("ascii"): event for event in Event}
_WHERE: Final = {where.value.encode("ascii"): where for where in Where}
_BAD_EVENT: Final = ("BADEVENT (" + " ".join(event.value for event in Event) + ")").encode("ascii")


def parse(tag: bytes, scan: Scanner) -> Notify:
    """`SP ("NONE" / "SET" [SP "STATUS"] 1*(SP event-group))`."""
    scan.space()
    word = scan.keyword()
    if word == b"NONE":
        scan.end()
        return Notify(tag, ())
    if word != b"SET":
        scan.fail()
    scan.space()
    status = scan.peek() != _OPEN
    if status:
        if scan.keyword() != b"STATUS":
            scan.fail()
        scan.space()
    groups = [_group(scan)]
    while not scan.at_end():
        scan.space()
        if scan.at_end():
            break
        groups.append(_group(scan))
        if len(groups) > MAX_GROUPS:
            scan.fail(f"NOTIFY takes at most {MAX_GROUPS} event groups")
    if sum(group.where in SELECTED for group in groups) > 1:
        scan.fail("NOTIFY takes SELECTED or SELECTED-DELAYED, and only once")
    if sum(len(group.names) for group in groups) > MAX_NAMES:
        scan.fail(f"NOTIFY takes at most {MAX_NAMES} mailboxes by name")
    return Notify(tag, tuple(groups), status)


def _group(scan: Scanner) -> EventGroup:
    scan.require(b"(")
    where = _WHERE.get(scan.keyword())
    if where is None:
        scan.fail(
            "NOTIFY watches SELECTED, SELECTED-DELAYED, INBOXES, PERSONAL, SUBSCRIBED, SUBTREE and MAILBOXES"
        )
    scan.space()
    names: tuple[str, ...] = ()
    if where in (Where.SUBTREE, Where.MAILBOXES):
        names = _names(scan)
        scan.space()
    if scan.peek() == _OPEN:
        scan.require(b"(")
        events, items = _events(scan, where)
        scan.require(b")")
    else:
        # "NONE" takes no parentheses; RFC 5465 §3.1's own examples leave them out around events too.
        events, items = _events(scan, where)
    _require_sense(scan, where, events)
    return EventGroup(where, names, events, items)


def _names(scan: Scanner) -> tuple[str, ...]:
    if not scan.accept(b"("):
        return (scan.mailbox(),)
    names = {scan.mailbox(): None}
    while not scan.accept(b")"):
        scan.space()
        names[scan.mailbox()] = None
    return tuple(names)


def _events(scan: Scanner, where: Where) -> tuple[frozenset[Event], tuple[FetchItem, ...]]:
    """Events up to a closing parenthesis, which is consumed."""
    events: set[Event] = set()
    items: tuple[FetchItem, ...] = ()
    word = scan.keyword()
    if word == b"NONE":
        scan.require(b")")
        return frozenset(), ()
    while True:
        event = _EVENTS.get(word)
        if event is None:
            raise BadCommand("Not all of these events can be told here", status="NO", code=_BAD_EVENT)
        events.add(event)
        if scan.accept(b")"):
            return frozenset(events), items
        scan.space()
        if event is Event.MESSAGE_NEW and scan.peek() == _OPEN:
            if where not in SELECTED:
                scan.fail("NOTIFY tells items of new messages in the selected mailbox only")
            items = fetch_items(scan)
            if scan.accept(b")"):
                return frozenset(events), items
            scan.space()
        word = scan.keyword()


def _require_sense(scan: Scanner, where: Where, events: frozenset[Event]) -> None:
    if where in SELECTED and events - MESSAGE_EVENTS:
        scan.fail("NOTIFY watches the selected mailbox for MessageNew, MessageExpunge and FlagChange only")
    if (Event.MESSAGE_NEW in events) is not (Event.MESSAGE_EXPUNGE in events):
        scan.fail("NOTIFY tells MessageNew and MessageExpunge together only")
    if Event.FLAG_CHANGE in events and Event.MESSAGE_NEW not in events:
        scan.fail("NOTIFY tells FlagChange with MessageNew and MessageExpunge only")
