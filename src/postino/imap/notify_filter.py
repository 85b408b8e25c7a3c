"""Which events a client wants to hear of in one mailbox, from the groups of its NOTIFY.

RFC: 5465 §3.1 and §6.
Exposure: groups and names are the client's; to ask about a mailbox takes a step for each level of its name,
    however many there are.
Invariants: the selected mailbox's messages are watched by its own group alone; a name is compared when
    something happens, so mailboxes made later belong to the groups that name them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, assert_never

from postino.core.mailbox_name import SEPARATOR, is_shared
from postino.imap.commands.notify import MESSAGE_EVENTS, SELECTED, Event, EventGroup, Where
from postino.imap.fetch_item import FetchItem


@dataclass(frozen=True, slots=True)
class SelectedWatch:
    """What is told of the selected mailbox's messages."""

    events: frozenset[Event] = frozenset()
    items: tuple[FetchItem, ...] = ()
    """What is told of each new message."""
    delays_expunges: bool = False
    """EXPUNGE comes only where the client's commands allow it."""


_NOTHING: Final[frozenset[Event]] = frozenset()


class NotifyFilter:
    """The groups of one NOTIFY, ready to be asked."""

    __slots__ = ("_named", "_personal", "_subscribed", "_subtrees", "all_events", "selected")

    def __init__(self, groups: Iterable[EventGroup]) -> None:
        self.selected = SelectedWatch()
        self.all_events = _NOTHING
        """Every event that is wanted of some mailbox other than as the selected one."""
        self._personal = self._subscribed = _NOTHING
        self._named: dict[str, frozenset[Event]] = {}
        self._subtrees: dict[str, frozenset[Event]] = {}
        for group in groups:
            self._add(group)
            if group.where not in SELECTED:
                self.all_events |= group.events

    def _add(self, group: EventGroup) -> None:
        match group.where:
            case Where.SELECTED | Where.SELECTED_DELAYED:
                delays_expunges = group.where is Where.SELECTED_DELAYED
                self.selected = SelectedWatch(group.events, group.items, delays_expunges)
            case Where.PERSONAL | Where.INBOXES:
                # §6.3: mail may be delivered to every personal mailbox.
                self._personal |= group.events
            case Where.SUBSCRIBED:
                self._subscribed |= group.events
            case Where.MAILBOXES:
                _add_names(self._named, group)
            case Where.SUBTREE:
                _add_names(self._subtrees, group)
            case _:
                assert_never(group.where)

    def events(self, name: str, *, subscribed: bool, is_selected: bool = False) -> frozenset[Event]:
        """What is wanted of the mailbox the client calls `name`."""
        wanted = self._named.get(name, _NOTHING)
        if self._personal and not is_shared(name):
            wanted |= self._personal
        if subscribed:
            wanted |= self._subscribed
        end = len(name) if self._subtrees else 0
        while end > 0:
            wanted |= self._subtrees.get(name[:end], _NOTHING)
            end = name.rfind(SEPARATOR, 0, end)
        return wanted - MESSAGE_EVENTS if is_selected else wanted


def _add_names(by_name: dict[str, frozenset[Event]], group: EventGroup) -> None:
    for name in group.names:
        by_name[name] = by_name.get(name, _NOTHING) | group.events
