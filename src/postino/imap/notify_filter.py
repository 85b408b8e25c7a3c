"""Which events a client wants to hear of in one mailbox, from the groups of its NOTIFY.

RFC: 5465 §3.1 and §6.
Invariants: the selected mailbox's messages are watched by its own group alone; a name is compared when
    something happens, so mailboxes made later belong to the groups that name them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

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


class NotifyFilter:
    """The groups of one NOTIFY, ready to be asked."""

    __slots__ = ("_groups", "all_events", "selected")

    def __init__(self, groups: Iterable[EventGroup]) -> None:
        self._groups = [group for group in groups if group.where not in SELECTED]
        self.selected = next(
            (
                SelectedWatch(group.events, group.items, group.where is Where.SELECTED_DELAYED)
                for group in groups
                if group.where in SELECTED
            ),
            SelectedWatch(),
        )
        self.all_events = frozenset().union(*(group.events for group in self._groups))
        """Every event that is wanted of some mailbox other than as the selected one."""

    def events(self, name: str, *, subscribed: bool, is_selected: bool = False) -> frozenset[Event]:
        """What is wanted of the mailbox the client calls `name`."""
        wanted: frozenset[Event] = frozenset()
        for group in self._groups:
            if not group.events <= wanted and _means(group, name, subscribed):
                wanted |= group.events
        return wanted - MESSAGE_EVENTS if is_selected else wanted


def _means(group: EventGroup, name: str, subscribed: bool) -> bool:
    match group.where:
        case Where.PERSONAL | Where.INBOXES:
            # §6.3: mail may be delivered to every personal mailbox.
            return not is_shared(name)
        case Where.SUBSCRIBED:
            return subscribed
        case Where.MAILBOXES:
            return name in group.names
        case Where.SUBTREE:
            return any(name == top or name.startswith(top + SEPARATOR) for top in group.names)
        case _:
            return False
