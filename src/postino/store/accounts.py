"""Domains and accounts: who has mail here, and with which password and quota.

Invariants: a login is the folded form of the account's first address; account ids are never reused.
Not here: aliases and where mail for an address goes (store/addresses.py, named here too), checking a
    password (directory/, servers/authentication.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from postino.core.address import Address, parse_domain
from postino.core.errors import AlreadyExists, NoSuchAccount, NotPermitted, StoreError
from postino.core.ids import AccountId, DomainId, Instant
from postino.store.acl import drop_identifier
from postino.store.addresses import (
    ACCOUNT_ADDRESS,
    AliasRow,
    Forward,
    Resolved,
    ResolvedRecipient,
    add_alias,
    domain_id,
    is_local_domain,
    is_taken,
    list_aliases,
    local_key,
    oldest_account,
    remove_alias,
    resolve,
)
from postino.store.bodies import Codec
from postino.store.forwards import drop_forwarding
from postino.store.mailboxes import create_mailbox
from postino.store.scripts import drop_domain_scripts, drop_scripts
from postino.store.tx import Row, Tx

__all__ = [
    "AccountRow",
    "AliasRow",
    "DomainRow",
    "Forward",
    "Resolved",
    "ResolvedRecipient",
    "account_by_id",
    "account_by_login",
    "add_alias",
    "create_account",
    "create_domain",
    "is_admin",
    "is_local_domain",
    "is_taken",
    "list_accounts",
    "list_aliases",
    "list_domains",
    "oldest_account",
    "password_hashes",
    "remove_account",
    "remove_alias",
    "remove_domain",
    "resolve",
    "set_admin",
    "set_password",
    "set_scram_sha1",
]

DEFAULT_MAILBOXES: Final = (
    ("INBOX", ""),
    ("Archive", "\\Archive"),
    ("Drafts", "\\Drafts"),
    ("Junk", "\\Junk"),
    ("Sent", "\\Sent"),
    ("Trash", "\\Trash"),
)
_COLUMNS: Final = (
    "id, login, password_hash, scram_sha256, quota_octets, used_octets, used_messages, mod_seq, created_at,"
    " is_admin, quota_messages, quota_mailboxes, scram_sha1"
)
_IS_ADMIN: Final = _COLUMNS.split(", ").index("is_admin")


@dataclass(frozen=True, slots=True)
class DomainRow:
    """A domain mail is taken for."""

    id: DomainId
    name: str
    accounts: int
    created_at: Instant


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account as of one transaction. The hashes are secrets: never log one."""

    id: AccountId
    login: str
    password_hash: str
    scram: str
    quota_octets: int
    used_octets: int
    used_messages: int
    mod_seq: int
    created_at: Instant
    is_admin: bool
    """Whether it may set quotas and the server's annotations by IMAP."""
    quota_messages: int
    quota_mailboxes: int
    scram_sha1: str
    """Empty for a password that was set while SCRAM-SHA-1 was not wanted."""

    def __repr__(self) -> str:
        # SECURITY: an error report that shows its values must not show hashes.
        return f"AccountRow({self.id}, {self.login!r})"


def create_domain(tx: Tx, name: str, now: Instant) -> DomainId:
    """Take mail for a domain from now on. Raises AlreadyExists, BadAddress."""
    name = parse_domain(name)
    if domain_id(tx, name) is not None:
        raise AlreadyExists(f"The domain {name} is there already")
    row = tx.one("INSERT INTO domain (name, created_at) VALUES (?, ?) RETURNING id", (name, now))
    assert row is not None
    return DomainId(row[0])


def remove_domain(tx: Tx, name: str) -> None:
    """Stop taking mail for a domain. Raises NotPermitted while it has addresses, StoreError if unknown."""
    name = parse_domain(name)
    found = domain_id(tx, name)
    if found is None:
        raise StoreError(f"There is no domain {name}; `postino domain list` shows those there are")
    if tx.one(
        "SELECT 1 FROM address WHERE domain_id=? UNION ALL SELECT 1 FROM forward WHERE domain_id=?",
        (found, found),
    ):
        raise NotPermitted(f"The domain {name} has accounts or aliases; remove those first")
    tx.run("DELETE FROM dkim_key WHERE domain_id=?", (found,))
    drop_domain_scripts(tx, name)
    tx.run("DELETE FROM domain WHERE id=?", (found,))


def list_domains(tx: Tx) -> list[DomainRow]:
    """Every domain, by name."""
    rows = tx.all(
        "SELECT d.id, d.name, (SELECT count(*) FROM address p WHERE p.domain_id=d.id AND p.kind=?),"
        " d.created_at"
        " FROM domain d ORDER BY d.name",
        (ACCOUNT_ADDRESS,),
    )
    return [DomainRow(*row) for row in rows]


def create_account(
    tx: Tx, address: Address, password_hash: str, scram: str, quota_octets: int, now: Instant
) -> AccountId:
    """Make an account with the mailboxes every mail program expects.

    Raises AlreadyExists for an address in use, StoreError for a domain that is not ours.
    """
    domain = domain_id(tx, address.domain)
    if domain is None:
        raise StoreError(
            f"There is no domain {address.domain}; add it first with `postino domain add {address.domain}`"
        )
    local = local_key(address)
    if not local:
        raise NotPermitted("An account needs a name before the @")
    if is_taken(tx, domain, local):
        raise AlreadyExists(f"The address {address} is in use already; choose another")
    row = tx.one(
        "INSERT INTO account (login, password_hash, scram_sha256, quota_octets, created_at)"
        " VALUES (?, ?, ?, ?, ?) RETURNING id",
        (address.key, password_hash, scram, quota_octets, now),
    )
    assert row is not None
    account_id = AccountId(row[0])
    tx.run(
        "INSERT INTO address (domain_id, local_part, account_id, kind) VALUES (?, ?, ?, ?)",
        (domain, local, account_id, ACCOUNT_ADDRESS),
    )
    for name, special_use in DEFAULT_MAILBOXES:
        create_mailbox(tx, account_id, name, special_use=special_use, now=now)
    return account_id


def _account(row: Row) -> AccountRow:
    values = [*row]
    values[_IS_ADMIN] = bool(values[_IS_ADMIN])
    return AccountRow(*values)


def account_by_login(tx: Tx, login_key: str) -> AccountRow | None:
    """The account whose login is `login_key` (an Address.key)."""
    row = tx.one(f"SELECT {_COLUMNS} FROM account WHERE login=?", (login_key,))
    return _account(row) if row else None


def account_by_id(tx: Tx, account_id: AccountId) -> AccountRow:
    """Raises NoSuchAccount."""
    row = tx.one(f"SELECT {_COLUMNS} FROM account WHERE id=?", (account_id,))
    if row is None:
        raise NoSuchAccount("The account does not exist any more")
    return _account(row)


def list_accounts(tx: Tx) -> list[AccountRow]:
    """Every account, by login."""
    return [_account(row) for row in tx.all(f"SELECT {_COLUMNS} FROM account ORDER BY login")]


def password_hashes(tx: Tx, account_ids: Iterable[AccountId]) -> dict[AccountId, str]:
    """The hash of each of these accounts that is still there. Secrets: for comparing only."""
    ids = list(account_ids)
    marks = ",".join("?" * len(ids))
    return dict(tx.all(f"SELECT id, password_hash FROM account WHERE id IN ({marks})", tuple(ids)))


def set_password(tx: Tx, account_id: AccountId, password_hash: str, scram: str) -> None:
    """Also forgets the SHA-1 keys of the password before. Raises NoSuchAccount."""
    changed = tx.run(
        "UPDATE account SET password_hash=?, scram_sha256=?, scram_sha1='' WHERE id=?",
        (password_hash, scram, account_id),
    )
    if not changed:
        raise NoSuchAccount("The account does not exist any more")


def set_scram_sha1(tx: Tx, account_id: AccountId, scram: str) -> None:
    """Keep SCRAM-SHA-1 keys of the password too, until the next is set. Raises NoSuchAccount."""
    if not tx.run("UPDATE account SET scram_sha1=? WHERE id=?", (scram, account_id)):
        raise NoSuchAccount("The account does not exist any more")


def set_admin(tx: Tx, account_id: AccountId, is_admin: bool) -> None:
    """Let the account set quotas and the server's annotations by IMAP, or no longer. Raises NoSuchAccount."""
    if not tx.run("UPDATE account SET is_admin=? WHERE id=?", (int(is_admin), account_id)):
        raise NoSuchAccount("The account does not exist any more")


def is_admin(tx: Tx, account_id: AccountId) -> bool:
    """Whether the account may set quotas and the server's annotations. Raises NoSuchAccount."""
    return account_by_id(tx, account_id).is_admin


def remove_account(tx: Tx, account_id: AccountId) -> list[str]:
    """Remove an account with its addresses and all its mail, for good. What it submitted is still sent.

    Gives the blobs that nobody names any more; delete their files once this has committed.
    Raises NoSuchAccount.
    """
    account = tx.one("SELECT login FROM account WHERE id=?", (account_id,))
    if account is None:
        raise NoSuchAccount("The account does not exist any more")
    drop_identifier(tx, account[0])
    drop_forwarding(tx, account_id)
    drop_scripts(tx, account_id)
    named = tx.all(
        "SELECT DISTINCT codec, blob_id FROM octets WHERE account_id=? AND blob_id IS NOT NULL", (account_id,)
    )
    tables = (
        "message",
        "expunged",
        "expunge",
        "content",
        "copied_content",
        "octets",
        "flag_change",
        "thread_of_id",
        "acl",
        "annotation",
        "mailbox",
        "lone_subscription",
        "address",
        "identity",
        "sending",
        "correspondent",
    )
    for table in tables:
        tx.run(f"DELETE FROM {table} WHERE account_id=?", (account_id,))
    tx.run(
        "DELETE FROM annotation WHERE viewer_id=? AND viewer_id<>0 AND viewer_id<>account_id", (account_id,)
    )
    # What was accepted is still sent; the operator may drop it.
    tx.run("UPDATE queue_message SET account_id=0 WHERE account_id=?", (account_id,))
    tx.run("DELETE FROM account WHERE id=?", (account_id,))
    return drop_unnamed(tx, named)


def drop_unnamed(tx: Tx, named: list[Row]) -> list[str]:
    """Of (codec, blob_id) pairs, remove the shared bodies no mail names, queued or not; give such blobs."""
    blobs: list[str] = []
    for codec, blob_id in named:
        if tx.one(
            "SELECT 1 FROM octets WHERE blob_id=? UNION ALL SELECT 1 FROM queue_octets WHERE blob_id=?",
            (blob_id, blob_id),
        ):
            continue
        if codec == Codec.SHARED:
            tx.run("DELETE FROM shared_body WHERE id=?", (blob_id,))
        else:
            blobs.append(blob_id)
    return blobs
