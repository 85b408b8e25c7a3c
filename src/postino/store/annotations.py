"""Annotations: small values that clients keep with a mailbox or with the server, shared or for oneself.

RFC: 5464 §3 (data model), §4.2.2 (DEPTH), 6154 §4 (/private/specialuse).
Exposure: bounded in number for each mailbox and in size for each account; a mailbox's owner and each guest
    have their own bounds, so that nobody can use up another's.
Invariants: a private value is seen by its account alone; the names of what changed after a mod-sequence can
    be told, removed ones too, as long as no more than _REMOVED_KEPT were removed since and there is room.
Not here: rights and refusals in IMAP's words (servers/imap/mailboxes/metadata.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from postino.core.errors import NotPermitted, OverQuota, TooManyMessages, UseTaken
from postino.core.ids import NAMES, AccountId, MailboxId, ModSeq
from postino.core.ports import MailboxChange
from postino.store.counters import next_mod_seq
from postino.store.tx import Tx

SERVER: Final = AccountId(0)
"""Whose the shared annotations of the server itself are."""
PRIVATE: Final = "/private"
SPECIAL_USE: Final = "/private/specialuse"
_REMOVED_KEPT: Final = 100
_ROW_OCTETS: Final = 100
"""About what an annotation takes besides its name and value."""
_SHARED_VIEWER: Final = AccountId(0)


class TooManyAnnotations(TooManyMessages):
    """The mailbox, or the server, has as many annotations as it may."""


@dataclass(frozen=True, slots=True)
class Place:
    """What is annotated, and for whom: a mailbox, or the server for `viewer`."""

    account_id: AccountId
    """Whose the mailbox is; SERVER for the server."""
    mailbox_id: MailboxId
    viewer: AccountId

    def key(self, entry: str) -> tuple[int, int, int]:
        """Where a value of this name is kept: (account_id, mailbox_id, viewer_id)."""
        if not entry.startswith(PRIVATE):
            return self.account_id, self.mailbox_id, _SHARED_VIEWER
        if self.account_id == SERVER:
            # A table's rows belong to an account whenever they can.
            return self.viewer, self.mailbox_id, self.viewer
        return self.account_id, self.mailbox_id, self.viewer


@dataclass(frozen=True, slots=True)
class Found:
    """An annotation; `value` is None when it has more than the octets asked for, or none at all."""

    entry: str
    octets: int
    value: bytes | None


def annotations(
    tx: Tx, place: Place, entry: str, *, depth: int | None = 0, most_octets: int | None = None
) -> list[Found]:
    """The entry (lower case), when it has a value, and those at most `depth` levels below (None: all).

    Values of more than `most_octets` are left out, their sizes told.
    """
    # "0" follows "/" in ASCII: everything in between is below.
    below = (entry + "/", entry + "0") if depth != 0 else ()
    rows = tx.all(
        "SELECT entry, length(value), CASE WHEN length(value)<=? THEN value END FROM annotation"
        " WHERE account_id=? AND mailbox_id=? AND viewer_id=? AND value IS NOT NULL"
        + (" AND (entry=? OR entry>? AND entry<?) ORDER BY entry" if below else " AND entry=?"),
        (2**62 if most_octets is None else most_octets, *place.key(entry), entry, *below),
    )
    levels = entry.count("/")
    found = [
        Found(name, octets, None if value is None else bytes(value))
        for name, octets, value in rows
        if depth is None or name.count("/") - levels <= depth
    ]
    use = _special_use(tx, place)
    if use and (entry == SPECIAL_USE or (entry == PRIVATE and depth != 0)):
        too_long = most_octets is not None and len(use) > most_octets
        found.append(Found(SPECIAL_USE, len(use), None if too_long else use))
    return found


def set_annotations(
    tx: Tx, place: Place, values: Sequence[tuple[str, bytes | None]], *, most: int, most_octets: int
) -> list[MailboxChange]:
    """Give the entries (lower case) these values, None to remove; all of them or, when it raises, none.

    Gives what was told to the bus, so that a session knows its own changes.
    Raises TooManyAnnotations when more than `most` would have values, OverQuota when all of the account's
    would take more than `most_octets`, NotPermitted, NoSuchAccount.
    """
    mod_seqs: dict[AccountId, ModSeq] = {}
    touched: set[tuple[int, int, int]] = set()
    for entry, value in values:
        if entry == SPECIAL_USE and place.account_id != SERVER:
            _set_special_use(tx, place, value)
            continue
        key = place.key(entry)
        owner = AccountId(key[0])
        if owner not in mod_seqs:
            mod_seqs[owner] = _next_mod_seq(tx, owner)
        touched.add(key)
        if value is None:
            tx.run(
                "UPDATE annotation SET value=NULL, mod_seq=?"
                " WHERE account_id=? AND mailbox_id=? AND viewer_id=? AND entry=? AND value IS NOT NULL",
                (mod_seqs[owner], *key, entry),
            )
            continue
        tx.run(
            "INSERT INTO annotation (account_id, mailbox_id, viewer_id, entry, mod_seq, value)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (account_id, mailbox_id, viewer_id, entry)"
            " DO UPDATE SET mod_seq=excluded.mod_seq, value=excluded.value",
            (*key, entry, mod_seqs[owner], value),
        )
    for key in touched:
        _keep_bounded(tx, key, most)
    if any(value is not None for _, value in values):
        for account_id, _, viewer_id in touched:
            _require_room(tx, account_id, viewer_id, most_octets)
    changes = [MailboxChange(owner, place.mailbox_id, mod_seq) for owner, mod_seq in mod_seqs.items()]
    for change in changes:
        tx.note_change(change)
    return changes


def _keep_bounded(tx: Tx, key: tuple[int, int, int], most: int) -> None:
    where = "account_id=? AND mailbox_id=? AND viewer_id=?"
    row = tx.one(f"SELECT count(value), count(*) FROM annotation WHERE {where}", key)
    assert row is not None
    if row[0] > most:
        raise TooManyAnnotations(f"There may be at most {most} annotations here; remove some first")
    surplus = row[1] - row[0] - _REMOVED_KEPT
    if surplus > 0:
        tx.run(
            f"DELETE FROM annotation WHERE {where} AND entry IN (SELECT entry FROM annotation"
            f" WHERE {where} AND value IS NULL ORDER BY mod_seq LIMIT ?)",
            (*key, *key, surplus),
        )


def _require_room(tx: Tx, account_id: int, viewer_id: int, most_octets: int) -> None:
    """Forget the names of what was removed when there is too much; raise OverQuota when there still is."""
    key = (account_id, viewer_id)
    total = (
        f"SELECT coalesce(sum(length(entry)+coalesce(length(value), 0)+{_ROW_OCTETS}), 0) FROM annotation"
        " WHERE account_id=? AND viewer_id=?"
    )
    row = tx.one(total, key)
    if row is not None and row[0] > most_octets:
        tx.run("DELETE FROM annotation WHERE account_id=? AND viewer_id=? AND value IS NULL", key)
        row = tx.one(total, key)
    if row is not None and row[0] > most_octets:
        raise OverQuota("The annotations of this account's mailboxes take too much room; remove some first")


def _next_mod_seq(tx: Tx, owner: AccountId) -> ModSeq:
    if owner != SERVER:
        return next_mod_seq(tx, owner)
    row = tx.one(
        "INSERT INTO setting (name, value) VALUES ('annotation_mod_seq', '1') ON CONFLICT (name)"
        " DO UPDATE SET value=CAST(CAST(setting.value AS INTEGER) + 1 AS TEXT) RETURNING value"
    )
    assert row is not None
    return ModSeq(int(row[0]))


def annotations_mod_seq(tx: Tx, account_id: AccountId) -> ModSeq:
    """The counter from which the account's annotations, or the server's, have their mod-sequences."""
    if account_id == SERVER:
        row = tx.one("SELECT CAST(value AS INTEGER) FROM setting WHERE name='annotation_mod_seq'")
    else:
        row = tx.one("SELECT mod_seq FROM account WHERE id=?", (account_id,))
    return ModSeq(row[0] if row else 0)


def annotated_since(
    tx: Tx, account_id: AccountId, mailbox_id: MailboxId | None, viewer: AccountId, mod_seq: int
) -> list[tuple[MailboxId, str, ModSeq]]:
    """What `viewer` may see of what changed after `mod_seq`: (mailbox, entry, mod_seq); None: any mailbox."""
    rows = tx.all(
        "SELECT mailbox_id, entry, mod_seq FROM annotation WHERE account_id=?"
        + (" AND mailbox_id=?" if mailbox_id is not None else "")
        + " AND viewer_id IN (0, ?) AND mod_seq>? ORDER BY mailbox_id, entry",
        (account_id, *(() if mailbox_id is None else (mailbox_id,)), viewer, mod_seq),
    )
    return [(MailboxId(row[0]), row[1], ModSeq(row[2])) for row in rows]


def remove_annotations(tx: Tx, account_id: AccountId, mailbox_id: MailboxId) -> None:
    """Forget a deleted mailbox's annotations (RFC 5464 §4.1)."""
    tx.run("DELETE FROM annotation WHERE account_id=? AND mailbox_id=?", (account_id, mailbox_id))


def copy_annotations(
    tx: Tx, account_id: AccountId, source: MailboxId, target: MailboxId, *, most_octets: int
) -> None:
    """Give a new mailbox the annotations of another, which keeps them: INBOX renamed (RFC 5464 §4.1).

    Raises OverQuota as set_annotations().
    """
    tx.run(
        "INSERT INTO annotation (account_id, mailbox_id, viewer_id, entry, mod_seq, value)"
        " SELECT account_id, ?, viewer_id, entry, mod_seq, value FROM annotation"
        " WHERE account_id=? AND mailbox_id=? AND value IS NOT NULL",
        (target, account_id, source),
    )
    copied = tx.all(
        "SELECT DISTINCT viewer_id FROM annotation WHERE account_id=? AND mailbox_id=?", (account_id, target)
    )
    for (viewer_id,) in copied:
        _require_room(tx, account_id, viewer_id, most_octets)


def _special_use(tx: Tx, place: Place) -> bytes:
    if place.account_id != place.viewer:
        return b""
    row = tx.one(
        "SELECT special_use FROM mailbox WHERE account_id=? AND id=?", (place.account_id, place.mailbox_id)
    )
    return row[0].encode() if row else b""


def _set_special_use(tx: Tx, place: Place, value: bytes | None) -> None:
    if place.account_id != place.viewer:
        raise NotPermitted("Only a mailbox's owner may say what it is used for")
    use = (value or b"").decode("ascii", "replace")
    if use:
        taken = tx.one(
            "SELECT name FROM mailbox WHERE account_id=? AND special_use=? AND id<>?",
            (place.account_id, use, place.mailbox_id),
        )
        if taken:
            raise UseTaken(f"The mailbox {taken[0]!r} has the use {use} already")
    tx.run(
        "UPDATE mailbox SET special_use=? WHERE account_id=? AND id=?",
        (use, place.account_id, place.mailbox_id),
    )
    tx.note_change(MailboxChange(place.account_id, NAMES, next_mod_seq(tx, place.account_id)))
