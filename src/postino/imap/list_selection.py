r"""Choose what LIST and LSUB answer, from all mailboxes an account can see.

RFC: 9051 §6.3.9, 5258 §3 (selection, CHILDINFO, \NonExistent), §4 (CHILDREN), 6154 §2 (special use),
    5819 §2 (\Noselect without the right to read), 3501 §6.3.9 (LSUB), 3348 (CHILDREN).
Invariants: at most one entry for each name; CHILDINFO only after RECURSIVEMATCH; what has children that may
    not be seen has none.
Not here: reading mailboxes (store/access.py), encoding (responses/mailbox.py).
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import msgspec

from postino.core.mailbox_name import SEPARATOR, canonical_pattern
from postino.imap.commands.list import List, Lsub
from postino.imap.list_pattern import Matcher, compile_patterns


class ListedMailbox(msgspec.Struct, frozen=True, gc=False):
    """A mailbox, or (not `exists`) a name that is only subscribed.

    PERF: as ListEntry no dataclass, which takes five times as long to make (bench: imap LIST).
    """

    name: str
    subscribed: bool = False
    special_use: str = ""
    r"""Such as `\Sent`; several are parted by spaces."""
    exists: bool = True
    may_read: bool = True
    """Whether it can be selected."""


class ListEntry(msgspec.Struct, frozen=True, gc=False):
    """One LIST or LSUB response."""

    name: str
    attributes: tuple[str, ...]
    child_info: tuple[str, ...] = ()
    is_chosen: bool = True
    """Whether this is a mailbox that meets the criteria itself: STATUS and the like can follow."""


def select_list(command: List, mailboxes: Sequence[ListedMailbox]) -> list[ListEntry]:
    """The answer to LIST, in the order of the names. `mailboxes` holds lone subscriptions too."""
    matches = _matcher(command)
    known = {mailbox.name: mailbox for mailbox in mailboxes}
    with_children = _parents([mailbox.name for mailbox in mailboxes if mailbox.exists])
    is_chosen = _selection(command.selection)

    chosen = {name for name, mailbox in known.items() if is_chosen(mailbox)}
    answered = set(filter(matches, chosen))
    # A name that is not chosen itself still stands for chosen names below it that go unanswered.
    unanswered = chosen - answered if len(answered) < len(chosen) else ()
    stand_ins = set(filter(matches, _parents(unanswered) - answered)) if unanswered else set()
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
    extended = command.extended
    return [
        ListEntry(
            name,
            attributes_of(known.get(name), name in with_children, tells_subscribed, extended),
            child_info if name in below else (),
            name in answered and known[name].exists,
        )
        for name in sorted(answered | stand_ins if stand_ins else answered)
    ]


def select_lsub(command: Lsub, mailboxes: Sequence[ListedMailbox]) -> list[ListEntry]:
    r"""The answer to LSUB: with `%`, levels above subscribed names appear as \Noselect (§6.3.9)."""
    matches = compile_patterns([canonical_pattern(command.reference + command.pattern)])
    subscribed = {mailbox.name: mailbox.exists for mailbox in mailboxes if mailbox.subscribed}
    answered = set(filter(matches, subscribed))
    entries = [ListEntry(name, (), is_chosen=subscribed[name]) for name in answered]
    if len(answered) < len(subscribed):
        stand_ins = filter(matches, _parents(subscribed.keys() - answered) - answered)
        entries += [ListEntry(name, ("\\Noselect",), is_chosen=False) for name in stand_ins]
    return sorted(entries, key=lambda entry: entry.name)


def _matcher(command: List) -> Matcher:
    patterns = command.patterns
    if command.extended:
        # RFC 5258 §3: the empty pattern asks for the separator only in a LIST of the old form.
        patterns = tuple(filter(None, patterns))
    return compile_patterns([canonical_pattern(command.reference + pattern) for pattern in patterns])


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
    if mailbox is None or not mailbox.exists:
        # A client that wrote no RFC 5258 syntax may know only the older of the two.
        missing = "\\NonExistent" if extended else "\\Noselect"
        is_subscribed = mailbox is not None and mailbox.subscribed and tells_subscribed
        return _attributes(missing, has_children, is_subscribed, "")
    return _attributes(
        "" if mailbox.may_read else "\\Noselect",
        has_children,
        mailbox.subscribed and tells_subscribed,
        mailbox.special_use,
    )


@lru_cache(maxsize=256)
def _attributes(first: str, has_children: bool, is_subscribed: bool, special_use: str) -> tuple[str, ...]:
    found = [first] if first else []
    found.append("\\HasChildren" if has_children else "\\HasNoChildren")
    if is_subscribed:
        found.append("\\Subscribed")
    return (*found, *special_use.split())
