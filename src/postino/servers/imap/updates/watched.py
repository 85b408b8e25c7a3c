r"""What a session that used NOTIFY last knew of the mailboxes it may see, and what differs now.

RFC: 5465 §5.1-5.5 (responses), §5.9 (rights), 5258 (attributes).
Invariants: what is told is the state of one moment, compared with that of an earlier one; of a mailbox that
    may not be read nothing is told but its name.
Not here: when to look and whom to tell (notifier.py), which events are wanted (postino.imap.notify_filter).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from postino.core.ids import AccountId, MailboxId, ModSeq
from postino.core.mailbox_name import SEPARATOR
from postino.imap.commands.notify import MESSAGE_EVENTS, Event
from postino.imap.list_selection import ListedMailbox, attributes_of
from postino.imap.notify_filter import NotifyFilter
from postino.imap.responses.mailbox import list_response, status_response
from postino.store.access import Reached, list_reachable
from postino.store.annotations import SERVER, annotations_mod_seq
from postino.store.tx import Tx

Key = tuple[AccountId, MailboxId]
_STATUS_EVENTS: Final = ("UIDVALIDITY", "UIDNEXT", "MESSAGES")


@dataclass(slots=True)
class Watched:
    """Everything the viewer could see at one moment; single mailboxes may be of a later one."""

    mailboxes: dict[Key, Reached]
    lone: frozenset[str]
    """Subscriptions without a mailbox."""
    counters: dict[AccountId, ModSeq]
    """Of each account with one of these mailboxes, the viewer's and the server."""
    names: dict[str, Reached] = field(init=False)

    def __post_init__(self) -> None:
        self.names = {reached.name: reached for reached in self.mailboxes.values()}


def read_watched(tx: Tx, viewer: AccountId) -> Watched:
    """As it is now."""
    found = list_reachable(tx, viewer)
    mailboxes = {(each.account_id, each.mailbox.id): each for each in (*found.own, *found.shared)}
    owners = dict.fromkeys([viewer, SERVER, *(each.account_id for each in found.shared)])
    counters = {owner: annotations_mod_seq(tx, owner) for owner in owners}
    return Watched(mailboxes, frozenset(found.lone), counters)


# Names and subscriptions


def name_news(
    old: Watched, new: Watched, wanted: NotifyFilter, own: frozenset[str], *, utf8: bool
) -> list[bytes]:
    """LIST responses for what was made, deleted, renamed, subscribed to, or may be read now or no longer.

    `own` are the names the client's own command touched: it knows (§5).
    """
    if not wanted.all_events:
        return []
    gone = [each for key, each in old.mailboxes.items() if key not in new.mailboxes]
    made = [each for key, each in new.mailboxes.items() if key not in old.mailboxes]
    kept = [(old.mailboxes[key], each) for key, each in new.mailboxes.items() if key in old.mailboxes]
    affected: dict[str, str | None] = {}
    """By name, the earlier one of a mailbox that was renamed."""

    def is_wanted(event: Event, name: str, *, subscribed: bool) -> bool:
        return name not in own and event in wanted.events(name, subscribed=subscribed)

    for each in (*gone, *made):
        if is_wanted(Event.MAILBOX_NAME, each.name, subscribed=each.mailbox.subscribed):
            affected[each.name] = None
        above = each.name.rpartition(SEPARATOR)[0]
        if above and is_wanted(Event.MAILBOX_NAME, above, subscribed=_is_subscribed(new, above)):
            affected[above] = None
    for before, after in _renamed(kept):
        if before.name not in own and (
            is_wanted(Event.MAILBOX_NAME, after.name, subscribed=after.mailbox.subscribed)
            or is_wanted(Event.MAILBOX_NAME, before.name, subscribed=before.mailbox.subscribed)
        ):
            affected[after.name] = before.name
    # A subscription goes with its mailbox, which a client learns with the new name.
    moved = {each.name for pair in kept if pair[0].name != pair[1].name for each in pair}
    for name in sorted(_subscriptions(old) ^ _subscriptions(new)):
        is_told = name in moved and is_wanted(Event.MAILBOX_NAME, name, subscribed=True)
        if not is_told and is_wanted(Event.SUBSCRIPTION_CHANGE, name, subscribed=True):
            affected.setdefault(name, None)
    barred = set()
    for before, after in kept:
        if before.may_read != after.may_read and wanted.events(
            after.name, subscribed=after.mailbox.subscribed
        ):
            if after.may_read:
                affected.setdefault(after.name, None)
            else:
                barred.add(after.name)
    parents = {name.rpartition(SEPARATOR)[0] for name in new.names}
    lines = [no_access_response(name, utf8=utf8) for name in sorted(barred)]
    return lines + [
        list_response(name, _attributes(new, name, parents), utf8=utf8, old_name=old_name)
        for name, old_name in affected.items()
    ]


def no_access_response(name: str, *, utf8: bool) -> bytes:
    """The answer for a mailbox that can be listed but not watched (§3.1)."""
    return list_response(name, ("\\NoAccess",), utf8=utf8)


def _renamed(kept: Iterable[tuple[Reached, Reached]]) -> list[tuple[Reached, Reached]]:
    """Those with another name, but for the mailboxes below one that was renamed (§5.4)."""
    renamed = [(before, after) for before, after in kept if before.name != after.name]
    names = {before.name: after.name for before, after in renamed}
    found = []
    for before, after in renamed:
        end = before.name.rfind(SEPARATOR)
        while end > 0 and names.get(before.name[:end], "") + before.name[end:] != after.name:
            end = before.name.rfind(SEPARATOR, 0, end)
        if end <= 0:
            found.append((before, after))
    return found


def _subscriptions(of: Watched) -> set[str]:
    return {each.name for each in of.mailboxes.values() if each.mailbox.subscribed} | of.lone


def _is_subscribed(of: Watched, name: str) -> bool:
    found = of.names.get(name)
    return found.mailbox.subscribed if found is not None else name in of.lone


def _attributes(of: Watched, name: str, parents: set[str]) -> tuple[str, ...]:
    found = of.names.get(name)
    if found is None:
        listed = ListedMailbox(name, subscribed=name in of.lone, exists=False)
    else:
        mailbox = found.mailbox
        listed = ListedMailbox(name, mailbox.subscribed, mailbox.special_use, may_read=found.may_read)
    return attributes_of(listed, name in parents)


# Messages


def first_status(reached: Reached, events: frozenset[Event], *, utf8: bool) -> bytes:
    """What NOTIFY SET STATUS tells of a mailbox: where the client starts from (§3.1)."""
    if not events & MESSAGE_EVENTS or not reached.may_read:
        return b""
    items = list(_STATUS_EVENTS)
    if Event.FLAG_CHANGE in events:
        items += ["UNSEEN", "HIGHESTMODSEQ"]
    return _status(reached, items, utf8=utf8)


def message_news(
    old: Reached | None,
    new: Reached,
    events: frozenset[Event],
    own_messages: int,
    *,
    utf8: bool,
    condstore: bool,
) -> bytes:
    """The STATUS response for what happened in a mailbox that is not selected; empty when nothing wanted did.

    `own_messages` is how many the client itself put there just now: alone they are no news to it.
    """
    if not events & MESSAGE_EVENTS or not new.may_read:
        return b""
    after = new.mailbox
    if old is None:
        # §5.1: one of this name may have been deleted, and then its UIDVALIDITY is another now.
        is_new = after.messages > 0 or Event.FLAG_CHANGE in events
        return _status(new, list(_STATUS_EVENTS), utf8=utf8) if is_new else b""
    before = old.mailbox
    came = after.uid_next - before.uid_next
    if came != own_messages or after.messages - before.messages != own_messages:
        items = list(_STATUS_EVENTS)
        if Event.FLAG_CHANGE in events:
            items.append("UNSEEN")
        if condstore:
            items.append("HIGHESTMODSEQ")
        return _status(new, items, utf8=utf8)
    if own_messages or Event.FLAG_CHANGE not in events or after.highest_mod_seq == before.highest_mod_seq:
        return b""
    # §5.1: without mod-sequences only a change of UNSEEN can be told.
    items = ["UNSEEN"] if after.unseen != before.unseen else []
    if condstore:
        items.append("HIGHESTMODSEQ")
    return _status(new, ["UIDVALIDITY", *items], utf8=utf8) if items else b""


def _status(reached: Reached, items: Iterable[str], *, utf8: bool) -> bytes:
    mailbox = reached.mailbox
    values = {
        "UIDVALIDITY": mailbox.uid_validity,
        "UIDNEXT": mailbox.uid_next,
        "MESSAGES": mailbox.messages,
        "UNSEEN": mailbox.unseen,
        "HIGHESTMODSEQ": mailbox.highest_mod_seq,
    }
    return status_response(reached.name, [(item, values[item]) for item in items], utf8=utf8)
