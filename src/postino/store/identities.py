"""Addresses an account may send as, beside those whose mail it receives.

RFC: 6409 §6.1 (submission rights).
Invariants: kept folded, as local parts are compared; an empty local part is every address of the domain.
Not here: whose mail it receives (addresses.py), asking at MAIL and From (servers/smtp/policy.py).
"""

from collections.abc import Collection
from typing import NamedTuple

from postino.core.address import Address, domain_key, parse_address, parse_domain
from postino.core.errors import AlreadyExists, NoSuchAccount, StoreError
from postino.core.ids import AccountId
from postino.store.addresses import local_key
from postino.store.tx import Tx


class Identity(NamedTuple):
    """One row."""

    local_part: str
    """Folded; empty for all of the domain."""
    domain: str

    def __str__(self) -> str:
        return str(Address(self.local_part, self.domain)) if self.local_part else f"@{self.domain}"


def identity(address: Address) -> Identity:
    """What is kept of an address; of one without a local part, its whole domain."""
    return Identity(local_key(address), domain_key(address.domain))


def parse_identity(text: str) -> Identity:
    """As an operator types it: an address, or @example.org. Raises BadAddress."""
    if text.startswith("@"):
        return Identity("", parse_domain(text[1:]))
    return identity(parse_address(text))


def covers(identities: Collection[Identity], address: Address, separator: str) -> bool:
    """Whether one of these is the address, the address without its detail, or its domain."""
    if not identities:
        return False
    domain = domain_key(address.domain)
    user = Address(address.detail(separator)[0], domain)
    return any(
        Identity(local_part, domain) in identities for local_part in (local_key(address), local_key(user), "")
    )


def identities_of(tx: Tx, account_id: AccountId) -> list[Identity]:
    """All of the account's, by domain."""
    rows = tx.all(
        "SELECT local_part, domain FROM identity WHERE account_id=? ORDER BY domain, local_part",
        (account_id,),
    )
    return [Identity(*row) for row in rows]


def add_identity(tx: Tx, account_id: AccountId, new: Identity) -> None:
    """Let the account send as it from now on. Raises AlreadyExists, NoSuchAccount."""
    if tx.one("SELECT 1 FROM account WHERE id=?", (account_id,)) is None:
        raise NoSuchAccount("The account does not exist any more")
    if not tx.run(
        "INSERT INTO identity (account_id, local_part, domain) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (account_id, *new),
    ):
        raise AlreadyExists(f"The account may send as {new} already")


def remove_identity(tx: Tx, account_id: AccountId, old: Identity) -> None:
    """Let it no longer. Raises StoreError when it was not granted."""
    if not tx.run(
        "DELETE FROM identity WHERE account_id=? AND local_part=? AND domain=?", (account_id, *old)
    ):
        raise StoreError(f"{old} was not granted; `postino account identity list` shows what was")
