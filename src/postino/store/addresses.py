"""Which accounts receive the mail of an address: their own, aliases, and a domain's catch-all.

RFC: 5321 §2.3.11, 5233 §1 (subaddress).
Invariants: an address is one account's own or an alias, never both; a local part of "" in the
    database is the domain's catch-all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from postino.core.address import Address, parse_domain
from postino.core.errors import AlreadyExists, NoSuchAccount, StoreError
from postino.core.ids import AccountId, DomainId
from postino.store.tx import Tx

ACCOUNT_ADDRESS: Final = 0
ALIAS: Final = 1


@dataclass(frozen=True, slots=True)
class ResolvedRecipient:
    """One account that receives what is sent to an address."""

    account_id: AccountId
    login: str
    quota_octets: int
    used_octets: int
    quota_messages: int = 0
    used_messages: int = 0


@dataclass(frozen=True, slots=True)
class AliasRow:
    """An alias and the accounts behind it. A catch-all has an empty local part."""

    address: Address
    logins: tuple[str, ...]


def catch_all(domain: str) -> Address:
    """What add_alias and remove_alias take for every address of `domain` that nobody has."""
    return Address("", parse_domain(domain))


def local_key(address: Address) -> str:
    """The local part as the database compares it."""
    return address.key.rpartition("@")[0]


def domain_id(tx: Tx, name: str) -> DomainId | None:
    """The domain's id, None for one that is not ours. `name` is normalised already."""
    row = tx.one("SELECT id FROM domain WHERE name=?", (name,))
    return DomainId(row[0]) if row else None


def is_local_domain(tx: Tx, domain: str) -> bool:
    """Whether mail for `domain` (lower case) is taken here."""
    return domain_id(tx, domain) is not None


def resolve(tx: Tx, address: Address, separator: str) -> list[ResolvedRecipient]:
    """Who receives mail for `address`: that very address, else without its detail, else the catch-all.

    An empty list: nobody here.
    """
    exact = local_key(address)
    user = local_key(Address(address.detail(separator)[0], address.domain))
    rows = tx.all(
        "SELECT p.local_part, a.id, a.login, a.quota_octets, a.used_octets, a.quota_messages, a.used_messages"
        " FROM domain d JOIN address p ON p.domain_id=d.id JOIN account a ON a.id=p.account_id"
        " WHERE d.name=? AND p.local_part IN (?, ?, '') ORDER BY a.id",
        (address.domain, exact, user),
    )
    # The exact address may be empty only as the catch-all itself, which nobody writes to.
    for wanted in (exact, user, ""):
        found = [ResolvedRecipient(*row[1:]) for row in rows if row[0] == wanted]
        if found:
            return found
    return []


def oldest_account(tx: Tx) -> list[ResolvedRecipient]:
    """The account that was made first, as resolve() gives it; empty where there is none."""
    rows = tx.all(
        "SELECT id, login, quota_octets, used_octets, quota_messages, used_messages"
        " FROM account ORDER BY id LIMIT 1"
    )
    return [ResolvedRecipient(*row) for row in rows]


def add_alias(tx: Tx, address: Address, account_ids: Sequence[AccountId]) -> None:
    """Let these accounts receive the address's mail too, beside those that do.

    Raises AlreadyExists when it is an account's own address, StoreError for a domain that is not ours.
    """
    domain = domain_id(tx, address.domain)
    if domain is None:
        raise StoreError(
            f"There is no domain {address.domain}; add it first with `postino domain add {address.domain}`"
        )
    local = local_key(address)
    if tx.one(
        "SELECT 1 FROM address WHERE domain_id=? AND local_part=? AND kind=?",
        (domain, local, ACCOUNT_ADDRESS),
    ):
        raise AlreadyExists(f"{address} is an account's own address; choose another for the alias")
    for account_id in account_ids:
        if tx.one("SELECT 1 FROM account WHERE id=?", (account_id,)) is None:
            raise NoSuchAccount("The account does not exist any more")
        tx.run(
            "INSERT INTO address (domain_id, local_part, account_id, kind) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (domain, local, account_id, ALIAS),
        )


def remove_alias(tx: Tx, address: Address, account_ids: Sequence[AccountId] | None = None) -> None:
    """Remove an alias, or only these accounts from it. Raises StoreError when there is none."""
    removed = 0
    domain = domain_id(tx, address.domain)
    if domain is not None:
        key = (domain, local_key(address), ALIAS)
        where = "domain_id=? AND local_part=? AND kind=?"
        if account_ids is None:
            removed = tx.run(f"DELETE FROM address WHERE {where}", key)
        else:
            for account_id in account_ids:
                removed += tx.run(f"DELETE FROM address WHERE {where} AND account_id=?", (*key, account_id))
    if not removed:
        raise StoreError(f"There is no alias {address}; `postino alias list` shows those there are")


def list_aliases(tx: Tx) -> list[AliasRow]:
    """Every alias, by domain and local part."""
    rows = tx.all(
        "SELECT p.local_part, d.name, a.login FROM address p JOIN domain d ON d.id=p.domain_id"
        " JOIN account a ON a.id=p.account_id WHERE p.kind=? ORDER BY d.name, p.local_part, a.login",
        (ALIAS,),
    )
    found: dict[tuple[str, str], list[str]] = {}
    for local, domain, login in rows:
        found.setdefault((local, domain), []).append(login)
    return [AliasRow(Address(*key), tuple(logins)) for key, logins in found.items()]
