"""Find the mailbox a name means to one account, its own or another's, and what it may do there.

RFC: 4314 §4 (which command needs which right), §6 (what may not be seen does not exist), 2342 §5 (names).
Invariants: every command that takes a mailbox's name comes through here; an owner may do everything; an
    answer about another's mailbox that a viewer may not look up is the one a missing mailbox gets. To list
    what is shared costs as much as there is shared with the viewer, not as there are accounts.
Not here: the lists themselves (acl.py), the rules of names and what happens to mailboxes (mailboxes.py).
"""

from dataclasses import dataclass

import msgspec

from postino.core.errors import NoPermission, NoSuchMailbox, NotPermitted
from postino.core.ids import AccountId
from postino.core.mailbox_name import (
    INBOX,
    SEPARATOR,
    SHARED,
    canonical_name,
    is_shared,
    shared_name,
    split_shared,
)
from postino.core.rights import ALL_RIGHTS, NO_RIGHTS, Rights
from postino.store.acl import VIEWER_IDENTIFIERS, combined, login_of, rights_of
from postino.store.mailboxes import (
    COLUMNS,
    MailboxRow,
    has_children,
    list_mailboxes,
    lone_subscriptions,
    mailbox_by_name,
    mailbox_row,
    no_mailbox_called,
)
from postino.store.tx import Row, Tx

_VISIBLE = (
    Rights.LOOKUP | Rights.READ | Rights.INSERT | Rights.CREATE | Rights.DELETE_MAILBOX | Rights.ADMINISTER
)
"""Any of these lets MYRIGHTS answer (RFC 4314 §4)."""
# The columns of mailbox under the names the query below gives them.
_SHARED_COLUMNS = ", ".join(f"m.{column}" for column in COLUMNS.split(", "))


class Reached(msgspec.Struct, frozen=True, gc=False):
    """A mailbox as one viewer reaches it."""

    account_id: AccountId
    """Whose it is."""
    mailbox: MailboxRow
    """Of another's mailbox, `subscribed` is the viewer's and there is no special use: that is the owner's."""
    name: str
    """As the viewer calls it; `mailbox.name` is what its owner calls it."""
    rights: Rights
    viewer: AccountId

    @property
    def is_own(self) -> bool:
        """Whether it is the viewer's."""
        return self.account_id == self.viewer

    @property
    def may_read(self) -> bool:
        """Whether the viewer may select it."""
        # PERF: asking an IntFlag takes longer than all else LIST does with a mailbox.
        return self.rights is ALL_RIGHTS or Rights.READ in self.rights

    def require(self, needs: Rights) -> None:
        """Raise unless the viewer has every right of `needs`: NoPermission, or NoSuchMailbox when unseen."""
        missing = needs & ~self.rights
        if not missing:
            return
        if Rights.LOOKUP not in self.rights:
            # SECURITY: as if it did not exist, in the same words (RFC 4314 §6).
            raise no_mailbox_called(self.name)
        raise NoPermission(f"You lack the right {missing.letters!r} in {self.name!r}; ask its owner for it")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mailbox may be made: whose it will be, and what its owner will call it."""

    account_id: AccountId
    name: str


@dataclass(frozen=True, slots=True)
class Reachable:
    """All that LIST can name."""

    own: list[Reached]
    """By name."""
    shared: list[Reached]
    """Others' mailboxes with the right to look them up, by name."""
    lone: list[str]
    """Names subscribed to that are in neither, by name."""


def reach_mailbox(tx: Tx, viewer: AccountId, name: str, needs: Rights = NO_RIGHTS) -> Reached:
    """The mailbox `viewer` calls `name`. Raises NoSuchMailbox, NoPermission when a right of `needs` lacks."""
    if name.startswith(SHARED):
        name = canonical_name(name)
        if is_shared(name):
            reached = _reach_shared(tx, viewer, name)
            reached.require(needs)
            return reached
    mailbox = mailbox_by_name(tx, viewer, name)
    return Reached(viewer, mailbox, mailbox.name, ALL_RIGHTS, viewer)


def reach_known(tx: Tx, viewer: AccountId, name: str) -> Reached:
    """As reach_mailbox(), for MYRIGHTS: any right will do that lets the viewer do something by name."""
    reached = reach_mailbox(tx, viewer, name)
    if not reached.rights & _VISIBLE:
        raise no_mailbox_called(reached.name)
    return reached


def reach_place(tx: Tx, viewer: AccountId, name: str) -> Place:
    """Where `viewer` may make a mailbox called `name`.

    Raises NoPermission unless the nearest mailbox above it that exists has the right k (RFC 4314 §4).
    """
    name = canonical_name(name).removesuffix(SEPARATOR)
    if not is_shared(name) or name == SHARED:
        return Place(viewer, name)
    owner = _owner(tx, viewer, name)
    if owner is not None:
        account_id, _, own_name = owner
        above = own_name.rpartition(SEPARATOR)[0]
        while above:
            try:
                parent = mailbox_by_name(tx, account_id, above)
            except NoSuchMailbox:
                above = above.rpartition(SEPARATOR)[0]
                continue
            # SECURITY: the nearest decides, seen or not: rights above it say nothing of what is below it.
            if Rights.CREATE in rights_of(tx, viewer, account_id, parent.id):
                return Place(account_id, own_name)
            break
    # SECURITY: the same for an owner there is not and for a mailbox that may not be seen.
    raise NoPermission(
        f"You may not make {name!r}; below {SHARED}/ that takes the right 'k' in the mailbox above it"
    )


def reach_new(tx: Tx, viewer: AccountId, account_id: AccountId, mailbox: MailboxRow) -> Reached:
    """A mailbox that was just made or renamed, as `viewer` sees it."""
    if account_id == viewer:
        return Reached(viewer, mailbox, mailbox.name, ALL_RIGHTS, viewer)
    return _seen(tx, viewer, account_id, shared_name(login_of(tx, account_id), mailbox.name), mailbox)


def rename_place(tx: Tx, source: Reached, name: str) -> str:
    """What the owner of `source` will call it when `viewer` renames it to `name`.

    Raises NoPermission, NotPermitted where it would leave its owner, or be another's INBOX.
    """
    place = reach_place(tx, source.viewer, name)
    if place.account_id != source.account_id:
        raise NotPermitted(
            "A mailbox cannot be renamed into another account; make one there and move the messages"
        )
    if not source.is_own and source.mailbox.name == INBOX:
        raise NotPermitted("Only its owner can rename INBOX")
    return place.name


def list_reachable(tx: Tx, viewer: AccountId) -> Reachable:
    """Every mailbox `viewer` may see, and the names subscribed to besides."""
    lone = lone_subscriptions(tx, viewer)
    shared = list_shared(tx, viewer, frozenset(lone))
    if shared and lone:
        visible = {reached.name for reached in shared}
        lone = [name for name in lone if name not in visible]
    own = [Reached(viewer, row, row.name, ALL_RIGHTS, viewer) for row in list_mailboxes(tx, viewer)]
    return Reachable(own, shared, lone)


def lists_more_than(tx: Tx, viewer: AccountId, number: int) -> bool:
    """Whether list_reachable() would read more than `number` mailboxes of one kind."""
    return (
        tx.one("SELECT 1 FROM mailbox WHERE account_id=? LIMIT 1 OFFSET ?", (viewer, number)) is not None
        or tx.one(
            f"SELECT 1 FROM account v CROSS JOIN acl a ON a.identifier IN {VIEWER_IDENTIFIERS}"
            " WHERE v.id=? LIMIT 1 OFFSET ?",
            (viewer, number),
        )
        is not None
        or tx.one("SELECT 1 FROM lone_subscription WHERE account_id=? LIMIT 1 OFFSET ?", (viewer, number))
        is not None
    )


def has_visible_children(tx: Tx, reached: Reached) -> bool:
    """Whether there are mailboxes below this one that the viewer may see."""
    if reached.is_own:
        return has_children(tx, reached.viewer, reached.mailbox.name)
    below = reached.name + SEPARATOR
    return any(each.name.startswith(below) for each in list_shared(tx, reached.viewer))


def list_shared(tx: Tx, viewer: AccountId, subscribed: frozenset[str] = frozenset()) -> list[Reached]:
    """Others' mailboxes that `viewer` may look up, by name; `subscribed` holds names."""
    rows = tx.all(
        f"SELECT a.account_id, o.login, a.identifier, a.rights, {_SHARED_COLUMNS} FROM account v"
        f" CROSS JOIN acl a ON a.identifier IN {VIEWER_IDENTIFIERS} AND a.account_id<>v.id"
        " CROSS JOIN account o ON o.id=a.account_id"
        " CROSS JOIN mailbox m ON m.account_id=a.account_id AND m.id=a.mailbox_id WHERE v.id=?",
        (viewer,),
    )
    entries: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        entries.setdefault((row[0], row[4]), []).append(row)
    found: list[Reached] = []
    for about in entries.values():
        rights = combined([(row[2], row[3]) for row in about])
        if Rights.LOOKUP not in rights:
            continue
        account_id, login, _, _, *columns = about[0]
        mailbox = mailbox_row(columns)
        name = shared_name(login, mailbox.name)
        mailbox = mailbox.seen_by_another(subscribed=name in subscribed)
        found.append(Reached(AccountId(account_id), mailbox, name, rights, viewer))
    found.sort(key=lambda reached: reached.name)
    return found


def _owner(tx: Tx, viewer: AccountId, name: str) -> tuple[AccountId, str, str] | None:
    """Whose mailbox a shared name means: the account, its login, its own name for it."""
    parts = split_shared(name)
    if parts is None:
        return None
    row = tx.one("SELECT id FROM account WHERE login=?", (parts[0],))
    if row is None or row[0] == viewer:
        return None
    return AccountId(row[0]), *parts


def _reach_shared(tx: Tx, viewer: AccountId, name: str) -> Reached:
    owner = _owner(tx, viewer, name)
    if owner is None:
        raise no_mailbox_called(name)
    account_id, _, own_name = owner
    try:
        mailbox = mailbox_by_name(tx, account_id, own_name)
    except NoSuchMailbox:
        raise no_mailbox_called(name) from None
    reached = _seen(tx, viewer, account_id, name, mailbox)
    if not reached.rights:
        raise no_mailbox_called(name)
    return reached


def _seen(tx: Tx, viewer: AccountId, account_id: AccountId, name: str, mailbox: MailboxRow) -> Reached:
    rights = rights_of(tx, viewer, account_id, mailbox.id)
    subscribed = tx.one("SELECT 1 FROM lone_subscription WHERE account_id=? AND name=?", (viewer, name))
    mailbox = mailbox.seen_by_another(subscribed=subscribed is not None)
    return Reached(account_id, mailbox, name, rights, viewer)
