"""Access control lists: who besides its owner may do what in a mailbox.

RFC: 4314 §2 (identifiers, negative rights), §3.1 (SETACL), §3.2 (DELETEACL), §4 (what CREATE inherits).
Invariants: an account may do all in its own mailboxes and has no entry there; no entry is empty; entries
    name accounts that exist, or anyone. Rights are the union of what a login and anyone are given, less
    what either is denied.
Not here: finding a mailbox by the name a viewer has for it (access.py), the commands
    (servers/imap/mailboxes/acl.py).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from postino.core.errors import NotPermitted, TooManyMessages
from postino.core.ids import EVERYBODY, NAMES, AccountId, MailboxId, ModSeq
from postino.core.limits import Limits
from postino.core.ports import MailboxChange
from postino.core.rights import NO_RIGHTS, AclMode, Rights, parse_rights
from postino.store.counters import next_mod_seq
from postino.store.tx import Tx

ANYONE: Final = "anyone"
_DENIED: Final = "-"
_DEFAULT_LIMITS: Final = Limits()
VIEWER_IDENTIFIERS: Final = f"('{ANYONE}', '{_DENIED}{ANYONE}', v.login, '{_DENIED}' || v.login)"
"""SQL: the identifiers that say something of the account `v`."""


@dataclass(frozen=True, slots=True)
class AclEntry:
    """An identifier and its rights; after a dash those it is denied."""

    identifier: str
    rights: Rights


def combined(entries: Iterable[tuple[str, str]]) -> Rights:
    """The rights that (identifier, letters) rows, all of them about one viewer, come to."""
    given = denied = NO_RIGHTS
    for identifier, letters in entries:
        if identifier.startswith(_DENIED):
            denied |= parse_rights(letters)
        else:
            given |= parse_rights(letters)
    return given & ~denied


def rights_of(tx: Tx, viewer: AccountId, account_id: AccountId, mailbox_id: MailboxId) -> Rights:
    """What `viewer` may do in another account's mailbox."""
    return combined(
        tx.all(
            "SELECT a.identifier, a.rights FROM account v CROSS JOIN acl a"
            f" ON a.account_id=? AND a.mailbox_id=? AND a.identifier IN {VIEWER_IDENTIFIERS} WHERE v.id=?",
            (account_id, mailbox_id, viewer),
        )
    )


def list_acl(tx: Tx, account_id: AccountId, mailbox_id: MailboxId) -> list[AclEntry]:
    """The entries of a mailbox, by identifier; its owner is not among them."""
    rows = tx.all(
        "SELECT identifier, rights FROM acl WHERE account_id=? AND mailbox_id=? ORDER BY identifier",
        (account_id, mailbox_id),
    )
    return [AclEntry(identifier, parse_rights(letters)) for identifier, letters in rows]


def login_of(tx: Tx, account_id: AccountId) -> str:
    """The login of an account that is known to exist."""
    row = tx.one("SELECT login FROM account WHERE id=?", (account_id,))
    assert row is not None
    return str(row[0])


def known_identifier(tx: Tx, identifier: str) -> str:
    """An identifier as the list keeps it, from one that may be in another case. Raises NotPermitted."""
    sign = _DENIED if identifier.startswith(_DENIED) else ""
    named = identifier.removeprefix(_DENIED).casefold()
    if named != ANYONE and tx.one("SELECT 1 FROM account WHERE login=?", (named,)) is None:
        raise NotPermitted("There is no such account here; name an account's login, or anyone")
    return sign + named


def shared_with_anyone(tx: Tx, account_id: AccountId, *, but: MailboxId) -> int:
    """How many of the account's mailboxes, not counting `but`, give rights to anyone."""
    row = tx.one(
        "SELECT count(*) FROM acl WHERE account_id=? AND identifier=? AND mailbox_id<>?",
        (account_id, ANYONE, but),
    )
    assert row is not None
    return int(row[0])


def set_acl(
    tx: Tx,
    account_id: AccountId,
    mailbox_id: MailboxId,
    identifier: str,
    rights: Rights,
    mode: AclMode = AclMode.REPLACE,
    limits: Limits = _DEFAULT_LIMITS,
) -> Rights:
    """Change what an identifier may do in a mailbox that exists; give the rights it has there now.

    Raises NotPermitted for an unknown identifier and for the owner, TooManyMessages (a limit).
    """
    identifier = known_identifier(tx, identifier)
    if identifier.removeprefix(_DENIED) == login_of(tx, account_id):
        raise NotPermitted("The owner of a mailbox may always do everything in it")
    key = (account_id, mailbox_id, identifier)
    row = tx.one("SELECT rights FROM acl WHERE account_id=? AND mailbox_id=? AND identifier=?", key)
    before = parse_rights(row[0]) if row is not None else NO_RIGHTS
    match mode:
        case AclMode.REPLACE:
            after = rights
        case AclMode.ADD:
            after = before | rights
        case AclMode.REMOVE:
            after = before & ~rights
        case _:
            assert_never(mode)
    if after == before:
        return after
    if not after:
        tx.run("DELETE FROM acl WHERE account_id=? AND mailbox_id=? AND identifier=?", key)
    else:
        if row is None:
            _require_room(tx, account_id, mailbox_id, limits)
        tx.run(
            "INSERT INTO acl (account_id, mailbox_id, identifier, rights) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (account_id, mailbox_id, identifier) DO UPDATE SET rights=excluded.rights",
            (*key, after.letters),
        )
    # Sessions that have it selected look at their rights again; those that list mailboxes, list again.
    tx.note_change(MailboxChange(account_id, mailbox_id, note_names(tx, account_id)))
    note_viewers(tx, [identifier])
    return after


def delete_acl(tx: Tx, account_id: AccountId, mailbox_id: MailboxId, identifier: str) -> None:
    """Take an identifier off the list, if it is there. Raises NotPermitted as set_acl()."""
    set_acl(tx, account_id, mailbox_id, identifier, NO_RIGHTS)


def _require_room(tx: Tx, account_id: AccountId, mailbox_id: MailboxId, limits: Limits) -> None:
    count = tx.one("SELECT count(*) FROM acl WHERE account_id=? AND mailbox_id=?", (account_id, mailbox_id))
    assert count is not None
    if count[0] >= limits.acl_entries:
        raise TooManyMessages(
            f"An access control list has at most {limits.acl_entries} entries; delete some first"
        )


def inherit_acl(tx: Tx, account_id: AccountId, parent_id: MailboxId, mailbox_id: MailboxId) -> None:
    """Give a new mailbox the list of the one above it (RFC 4314 §4, CREATE)."""
    tx.run(
        "INSERT INTO acl (account_id, mailbox_id, identifier, rights)"
        " SELECT account_id, ?, identifier, rights FROM acl WHERE account_id=? AND mailbox_id=?",
        (mailbox_id, account_id, parent_id),
    )


def drop_acl(tx: Tx, account_id: AccountId, mailbox_id: MailboxId) -> None:
    """Forget the list of a mailbox that goes."""
    tx.run("DELETE FROM acl WHERE account_id=? AND mailbox_id=?", (account_id, mailbox_id))


def drop_identifier(tx: Tx, login: str) -> None:
    """Take an account that goes off every list: another may come to have its login."""
    # What looks like the login of such an account denies another one its rights.
    given = "" if login.startswith(_DENIED) else login
    tx.run("DELETE FROM acl WHERE identifier IN (?, ?)", (given, _DENIED + login))


# Telling who lists mailboxes


def note_names(tx: Tx, account_id: AccountId) -> ModSeq:
    """Hint that the account's list of mailboxes is another now; give the change number taken for that."""
    mod_seq = next_mod_seq(tx, account_id)
    tx.note_change(MailboxChange(account_id, NAMES, mod_seq))
    return mod_seq


def note_viewers_of(tx: Tx, account_id: AccountId, mailbox_ids: Sequence[MailboxId]) -> None:
    """Hint the same to everybody who shares one of these mailboxes."""
    note_viewers(
        tx,
        {
            identifier
            for mailbox_id in mailbox_ids
            for (identifier,) in tx.all(
                "SELECT identifier FROM acl WHERE account_id=? AND mailbox_id=?", (account_id, mailbox_id)
            )
        },
    )


def note_viewers(tx: Tx, identifiers: Iterable[str]) -> None:
    """Hint to the accounts these identifiers mean that what they may see is another now."""
    for named in sorted({identifier.removeprefix(_DENIED) for identifier in identifiers}):
        if named == ANYONE:
            tx.note_change(MailboxChange(EVERYBODY, NAMES, ModSeq(0)))
            continue
        row = tx.one("SELECT id FROM account WHERE login=?", (named,))
        if row is not None:
            note_names(tx, AccountId(row[0]))
