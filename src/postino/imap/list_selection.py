r"""Choose what LIST and LSUB answer, from all mailboxes of an account.

RFC: 9051 §6.3.9, 5258 §3 (selection, CHILDINFO, \NonExistent), §4 (CHILDREN), 6154 §2 (special use),
    3501 §6.3.9 (LSUB).
Invariants: at most one entry for each name; CHILDINFO only after RECURSIVEMATCH.
Not here: reading mailboxes (store/mailboxes.py), encoding (responses/mailbox.py).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from postino.core.mailbox_name import SEPARATOR, canonical_name
from postino.imap.commands.list import List, Lsub
from postino.imap.list_pattern import Matcher, compile_pattern


@dataclass(frozen=True, slots=True)
class ListedMailbox:
    """A mailbox, or (not `exists`) a name that is only subscribed."""

    name: str
    subscribed: bool = False
    special_use: str = ""
    r"""Such as `\Sent`; several are parted by spaces."""
    exists: bool = True


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One LIST or LSUB response. `exists` tells whether STATUS can follow."""

    name: str
    attributes: tuple[str, ...]
    child_info: tuple[str, ...] = ()
    exists: bool = True


def select_list(command: List, mailboxes: Sequence[ListedMailbox]) -> list[ListEntry]:
    """The answer to LIST, in the order of the names. `mailboxes` holds lone subscriptions too."""
    matches = _matcher(command.reference, command.patterns)
    known = {mailbox.name: mailbox for mailbox in mailboxes}
    with_children = _parents(mailbox.name for mailbox in mailboxes if mailbox.exists)
    is_chosen = _selection(command.selection)

    chosen = {name for name, mailbox in known.items() if is_chosen(mailbox)}
    answered = {name for name in chosen if matches(name)}
    # A name that is not chosen itself still stands for chosen names below it that go unanswered.
    stand_ins = {parent for parent in _parents(chosen - answered) - answered if matches(parent)}
    by_criteria = command.selection & {"SUBSCRIBED", "SPECIAL-USE"}
    child_info: tuple[str, ...] = ()
    below: set[str] = set()
    if "RECURSIVEMATCH" in command.selection:
        child_info = tuple(sorted(by_criteria))
        below = _parents(chosen)
    elif by_criteria:
        stand_ins = set()
    else:
        # Without criteria every mailbox is chosen, so these are levels that are no mailboxes.
        stand_ins = {name for name in stand_ins if name not in known or not known[name].exists}

    tells_subscribed = "SUBSCRIBED" in command.selection | command.returning
    return [
        ListEntry(
            name,
            attributes_of(known.get(name), name in with_children, tells_subscribed, command.extended),
            child_info if name in below else (),
            exists=name in known and known[name].exists,
        )
        for name in sorted(answered | stand_ins)
    ]


def select_lsub(command: Lsub, mailboxes: Sequence[ListedMailbox]) -> list[ListEntry]:
    r"""The answer to LSUB: with `%`, levels above subscribed names appear as \Noselect (§6.3.9)."""
    matches = _matcher(command.reference, (command.pattern,))
    known = {mailbox.name: mailbox for mailbox in mailboxes}
    subscribed = {name for name, mailbox in known.items() if mailbox.subscribed}
    answered = {name for name in subscribed if matches(name)}
    stand_ins = {parent for parent in _parents(subscribed - answered) - answered if matches(parent)}
    entries = [ListEntry(name, (), exists=known[name].exists) for name in answered]
    entries += [ListEntry(name, ("\\Noselect",), exists=False) for name in stand_ins]
    return sorted(entries, key=lambda entry: entry.name)


def _matcher(reference: str, patterns: Iterable[str]) -> Matcher:
    matchers = [compile_pattern(canonical_name(reference + pattern)) for pattern in patterns]
    if len(matchers) == 1:
        return matchers[0]
    return lambda name: any(matches(name) for matches in matchers)


def _parents(names: Iterable[str]) -> set[str]:
    """Every level above each of the names."""
    found: set[str] = set()
    for name in names:
        end = name.rfind(SEPARATOR)
        while end > 0 and name[:end] not in found:
            found.add(name[:end])
            end = name.rfind(SEPARATOR, 0, end)
    return found


def _selection(options: frozenset[str]) -> Callable[[ListedMailbox], bool]:
    subscribed, special = "SUBSCRIBED" in options, "SPECIAL-USE" in options
    if subscribed and special:
        return lambda mailbox: mailbox.subscribed and bool(mailbox.special_use)
    if subscribed:
        return lambda mailbox: mailbox.subscribed
    if special:
        return lambda mailbox: bool(mailbox.special_use)
    return lambda mailbox: mailbox.exists


def attributes_of(
    mailbox: ListedMailbox | None,
    has_children: bool,
    tells_subscribed: bool = True,
    extended: bool = True,
) -> tuple[str, ...]:
    """The attributes of a mailbox, or (None) of a level that is none; all there are unless told."""
    found: list[str] = []
    if mailbox is None or not mailbox.exists:
        # A client that wrote no RFC 5258 syntax may know only the older of the two.
        found.append("\\NonExistent" if extended else "\\Noselect")
    found.append("\\HasChildren" if has_children else "\\HasNoChildren")
    if mailbox is not None:
        if tells_subscribed and mailbox.subscribed:
            found.append("\\Subscribed")
        if mailbox.special_use:
            found += mailbox.special_use.split()
    return tuple(found)
