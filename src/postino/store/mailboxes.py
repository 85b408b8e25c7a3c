"""Mailboxes: made, named, found, removed, and the counters STATUS asks for.

RFC: 9051 §5.1 (names), §6.3.4-6.3.11 (CREATE to STATUS), 6154 (special use), 3629 (UTF-8),
    4314 §4 (a new mailbox inherits the access control list above it).
Invariants: names are UTF-8 in NFC, levels joined by "/", INBOX in upper case; a uid_validity is
    given once and never again; whoever lists the mailboxes hears (core.ids.NAMES) that they changed.
Not here: how names travel (imap/), messages (store/messages.py), others' mailboxes (store/access.py): here
    an account deals with its own, by its own names.
"""

import unicodedata
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from postino.core.errors import (
    AlreadyExists,
    HasChildren,
    NoSuchMailbox,
    NotPermitted,
    TooManyMessages,
    UseTaken,
)
from postino.core.ids import NAMES, AccountId, Instant, MailboxId, ModSeq
from postino.core.limits import Limits
from postino.core.mailbox_name import INBOX, SEPARATOR, SHARED, canonical_name, is_shared
from postino.core.numset import MAX_NUMBER
from postino.core.ports import MailboxChange
from postino.store.acl import drop_acl, inherit_acl, note_names, note_viewers_of
from postino.store.annotations import copy_annotations, remove_annotations
from postino.store.counters import (
    next_mod_seq,
    next_uid_validity,
    no_such_mailbox,
    require_room_for_mailboxes,
)
from postino.store.transfer import expunge, move
from postino.store.tx import Tx

_DEFAULT_LIMITS: Final = Limits()
COLUMNS: Final = (
    "id, name, uid_validity, uid_next, highest_mod_seq, special_use, subscribed,"
    " messages, unseen, deleted, octets"
)
_SAFE_LAST: Final = "\U0010ffff"


class MailboxRow(msgspec.Struct, frozen=True, gc=False):
    """A mailbox and its counters, as of one transaction.

    PERF: msgspec's structs are made in a fifth of a frozen dataclass's time (bench: imap LIST-STATUS).
    """

    id: MailboxId
    name: str
    uid_validity: int
    uid_next: int
    highest_mod_seq: int
    special_use: str
    subscribed: bool
    messages: int
    unseen: int
    deleted: int
    octets: int

    def seen_by_another(self, *, subscribed: bool) -> "MailboxRow":
        """As an account sees it that is not its owner: subscriptions and uses are each account's own."""
        return msgspec.structs.replace(self, subscribed=subscribed, special_use="")


def mailbox_row(row: Sequence[Any]) -> MailboxRow:
    """From COLUMNS."""
    return MailboxRow(
        row[0], row[1], row[2], row[3], row[4], row[5], bool(row[6]), row[7], row[8], row[9], row[10]
    )


def mailbox_by_name(tx: Tx, account_id: AccountId, name: str) -> MailboxRow:
    """Find it. Raises NoSuchMailbox."""
    row = tx.one(
        f"SELECT {COLUMNS} FROM mailbox WHERE account_id=? AND name=?", (account_id, canonical_name(name))
    )
    if row is None:
        raise no_mailbox_called(name)
    return mailbox_row(row)


def no_mailbox_called(name: str) -> NoSuchMailbox:
    """The error for a name that has no mailbox, or none that may be seen."""
    return NoSuchMailbox(f"There is no mailbox {name!r}; LIST shows those there are")


def _name_in_use() -> AlreadyExists:
    # Without the name: other accounts call it otherwise.
    return AlreadyExists("There is a mailbox of this name already; choose another")


def mailbox_by_id(tx: Tx, account_id: AccountId, mailbox_id: MailboxId) -> MailboxRow:
    """Find it. Raises NoSuchMailbox."""
    row = tx.one(f"SELECT {COLUMNS} FROM mailbox WHERE account_id=? AND id=?", (account_id, mailbox_id))
    if row is None:
        raise no_such_mailbox()
    return mailbox_row(row)


def list_mailboxes(tx: Tx, account_id: AccountId, most: int = MAX_NUMBER) -> list[MailboxRow]:
    """Every mailbox of the account, sorted by name, INBOX among the others; of more than `most` the first."""
    return [
        mailbox_row(row)
        for row in tx.all(
            f"SELECT {COLUMNS} FROM mailbox WHERE account_id=? ORDER BY name LIMIT ?", (account_id, most)
        )
    ]


def lone_subscriptions(tx: Tx, account_id: AccountId) -> list[str]:
    """Subscribed names that have no mailbox (RFC 9051 §6.3.7), sorted."""
    rows = tx.all("SELECT name FROM lone_subscription WHERE account_id=? ORDER BY name", (account_id,))
    return [name for (name,) in rows]


def junk_mailbox(tx: Tx, account_id: AccountId) -> MailboxId | None:
    r"""The account's mailbox for junk (\Junk, RFC 6154 §2); None when it has none."""
    row = tx.one("SELECT id FROM mailbox WHERE account_id=? AND special_use=?", (account_id, "\\Junk"))
    return MailboxId(row[0]) if row is not None else None


def create_mailbox(
    tx: Tx,
    account_id: AccountId,
    name: str,
    limits: Limits = _DEFAULT_LIMITS,
    *,
    special_use: str = "",
    now: Instant,
) -> MailboxRow:
    """Make `name` and the levels above it that are missing; the new mailbox is subscribed.

    Raises AlreadyExists, NotPermitted (a name that cannot be one) or TooManyMessages (a limit).
    """
    name = _checked_name(name, limits)
    known = tx.one("SELECT 1 FROM mailbox WHERE account_id=? AND name=?", (account_id, name))
    if known:
        raise _name_in_use()
    if special_use:
        _require_free_use(tx, account_id, special_use)
    parent, missing = _levels_above(tx, account_id, name)
    count = tx.one("SELECT count(*) FROM mailbox WHERE account_id=?", (account_id,))
    assert count is not None
    if count[0] + len(missing) + 1 > limits.mailboxes:
        raise TooManyMessages(f"An account may have at most {limits.mailboxes} mailboxes; delete some first")
    require_room_for_mailboxes(tx, account_id, count[0] + len(missing) + 1)
    for above in missing:
        parent = _insert(tx, account_id, above, "", parent, now).id
    made = _insert(tx, account_id, name, special_use, parent, now)
    tx.note_change(MailboxChange(account_id, NAMES, ModSeq(made.highest_mod_seq)))
    if parent is not None:
        note_viewers_of(tx, account_id, [made.id])
    return made


def _levels_above(tx: Tx, account_id: AccountId, name: str) -> tuple[MailboxId | None, list[str]]:
    """The nearest mailbox above `name` that exists, and the levels between that do not, from the top."""
    missing: list[str] = []
    above = name.rpartition(SEPARATOR)[0]
    while above:
        found = tx.one("SELECT id FROM mailbox WHERE account_id=? AND name=?", (account_id, above))
        if found is not None:
            return MailboxId(found[0]), missing
        missing.insert(0, above)
        above = above.rpartition(SEPARATOR)[0]
    return None, missing


def _checked_name(name: str, limits: Limits) -> str:
    name = canonical_name(name).removesuffix(SEPARATOR)
    if is_shared(name):
        raise NotPermitted(f"Mailboxes of other accounts are called {SHARED}/...; choose another name")
    _require_name(name, limits)
    return name


def _require_name(name: str, limits: Limits) -> None:
    levels = name.split(SEPARATOR)
    if not all(levels):
        raise NotPermitted("A mailbox name has no empty levels; write one such as Work/Invoices")
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name):
        raise NotPermitted("A mailbox name has no control characters")
    if len(name.encode()) > limits.mailbox_name_octets:
        raise TooManyMessages(f"A mailbox name has at most {limits.mailbox_name_octets} octets")
    if len(levels) > limits.mailbox_depth:
        raise TooManyMessages(f"A mailbox name has at most {limits.mailbox_depth} levels")


def _require_free_use(tx: Tx, account_id: AccountId, special_use: str) -> None:
    # One \Sent is what clients expect; two would make them guess (RFC 6154 §2).
    taken = tx.one("SELECT name FROM mailbox WHERE account_id=? AND special_use=?", (account_id, special_use))
    if taken:
        raise UseTaken(f"The mailbox {taken[0]!r} has the use {special_use} already")


def _insert(
    tx: Tx, account_id: AccountId, name: str, special_use: str, parent: MailboxId | None, now: Instant
) -> MailboxRow:
    mod_seq = next_mod_seq(tx, account_id)
    tx.run(
        "INSERT INTO mailbox (account_id, id, name, uid_validity, highest_mod_seq, special_use)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (account_id, mod_seq, name, next_uid_validity(tx, now), mod_seq, special_use),
    )
    tx.run("DELETE FROM lone_subscription WHERE account_id=? AND name=?", (account_id, name))
    if parent is not None:
        inherit_acl(tx, account_id, parent, MailboxId(mod_seq))
    return mailbox_by_id(tx, account_id, MailboxId(mod_seq))


def rename_mailbox(
    tx: Tx,
    account_id: AccountId,
    old_name: str,
    new_name: str,
    limits: Limits = _DEFAULT_LIMITS,
    *,
    now: Instant,
) -> MailboxRow:
    """Give a mailbox and all below it a new name; INBOX stays and only its messages move.

    RFC: 9051 §6.3.6. Raises NoSuchMailbox, AlreadyExists, NotPermitted, TooManyMessages.
    """
    source = mailbox_by_name(tx, account_id, old_name)
    target = _checked_name(new_name, limits)
    if source.name == INBOX:
        made = create_mailbox(tx, account_id, target, limits, now=now)
        copy_annotations(tx, account_id, source.id, made.id, most_octets=limits.annotation_total_octets)
        if source.messages:
            move(tx, account_id, source.id, None, made.id, now=now)
        return mailbox_by_id(tx, account_id, made.id)
    if target == source.name or target.startswith(source.name + SEPARATOR):
        raise NotPermitted("A mailbox cannot be moved below itself; choose another name")
    if tx.one("SELECT 1 FROM mailbox WHERE account_id=? AND name=?", (account_id, target)):
        raise _name_in_use()
    below = _below(tx, account_id, source.name)
    renamed = [(source.id, target)] + [(m.id, target + m.name[len(source.name) :]) for m in below]
    for _, name in renamed:
        _checked_name(name, limits)
        if tx.one("SELECT 1 FROM mailbox WHERE account_id=? AND name=?", (account_id, name)):
            # SECURITY: without the name: whoever renames may not be allowed to see what is below.
            raise AlreadyExists("There is a mailbox already where one below it would go; choose another name")
    above = target.rpartition(SEPARATOR)[0]
    if above and tx.one("SELECT 1 FROM mailbox WHERE account_id=? AND name=?", (account_id, above)) is None:
        create_mailbox(tx, account_id, above, limits, now=now)
    for mailbox_id, name in renamed:
        tx.run("UPDATE mailbox SET name=? WHERE account_id=? AND id=?", (name, account_id, mailbox_id))
        tx.run("DELETE FROM lone_subscription WHERE account_id=? AND name=?", (account_id, name))
    note_names(tx, account_id)
    note_viewers_of(tx, account_id, [mailbox_id for mailbox_id, _ in renamed])
    return mailbox_by_id(tx, account_id, source.id)


def _below(tx: Tx, account_id: AccountId, name: str) -> list[MailboxRow]:
    prefix = name + SEPARATOR
    return [
        mailbox_row(row)
        for row in tx.all(
            f"SELECT {COLUMNS} FROM mailbox WHERE account_id=? AND name > ? AND name < ? ORDER BY name",
            (account_id, prefix, prefix + _SAFE_LAST),
        )
        if row[1].startswith(prefix)
    ]


def has_children(tx: Tx, account_id: AccountId, name: str) -> bool:
    """Whether there are mailboxes below this one."""
    prefix = name + SEPARATOR
    found = tx.one(
        "SELECT 1 FROM mailbox WHERE account_id=? AND name > ? AND name < ? LIMIT 1",
        (account_id, prefix, name + chr(ord(SEPARATOR) + 1)),
    )
    return found is not None


def delete_mailbox(tx: Tx, account_id: AccountId, name: str, *, now: Instant) -> MailboxRow:
    """Remove a mailbox and its messages; a subscription to the name stays (RFC 9051 §6.3.5, §6.3.8).

    Raises NoSuchMailbox, and NotPermitted for INBOX and for a mailbox with others below it.
    """
    mailbox = mailbox_by_name(tx, account_id, name)
    if mailbox.name == INBOX:
        raise NotPermitted("INBOX cannot be deleted")
    if has_children(tx, account_id, mailbox.name):
        raise HasChildren("There are mailboxes below it; delete those first")
    expunge(tx, account_id, mailbox.id, None, only_deleted=False, now=now)
    # What stays is for undelete; that the others were here need not be known any more.
    tx.run(
        "DELETE FROM expunged WHERE account_id=? AND mailbox_id=? AND content_id=0", (account_id, mailbox.id)
    )
    tx.run("DELETE FROM flag_change WHERE account_id=? AND mailbox_id=?", (account_id, mailbox.id))
    tx.run("DELETE FROM mailbox WHERE account_id=? AND id=?", (account_id, mailbox.id))
    if mailbox.subscribed:
        tx.run(
            "INSERT INTO lone_subscription (account_id, name) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (account_id, mailbox.name),
        )
    note_viewers_of(tx, account_id, [mailbox.id])
    drop_acl(tx, account_id, mailbox.id)
    remove_annotations(tx, account_id, mailbox.id)
    tx.note_change(MailboxChange(account_id, mailbox.id, note_names(tx, account_id)))
    return mailbox


def set_subscribed(
    tx: Tx, account_id: AccountId, name: str, subscribed: bool, limits: Limits = _DEFAULT_LIMITS
) -> None:
    """Subscribe to a name or stop; the name need not have a mailbox, and may be another account's (§6.3.7).

    Raises NotPermitted for a name no mailbox could have, TooManyMessages (a limit).
    """
    name = canonical_name(name)
    if subscribed:
        name = name.removesuffix(SEPARATOR)
        _require_name(name, limits)
    found = tx.run(
        "UPDATE mailbox SET subscribed=? WHERE account_id=? AND name=?", (int(subscribed), account_id, name)
    )
    if not found and subscribed:
        count = tx.one(
            "SELECT count(*) FROM lone_subscription WHERE account_id=? AND name<>?", (account_id, name)
        )
        assert count is not None
        if count[0] >= limits.mailboxes:
            raise TooManyMessages(f"An account may subscribe to at most {limits.mailboxes} missing mailboxes")
        tx.run(
            "INSERT INTO lone_subscription (account_id, name) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (account_id, name),
        )
    elif not found:
        tx.run("DELETE FROM lone_subscription WHERE account_id=? AND name=?", (account_id, name))
    note_names(tx, account_id)
