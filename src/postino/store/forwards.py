"""Mail of an account that is sent on to addresses elsewhere.

Invariants: `account.forwards` says whether the account's own address has rows in `forward`, `domain.forwards`
    whether the domain may have some, so that a delivery need not look where nothing is forwarded.
Not here: aliases with members elsewhere, and what a delivery finds (addresses.py); the message that is sent
    on (delivery/forwarding.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from postino.core.address import Address, parse_address
from postino.core.errors import NoSuchAccount, StoreError
from postino.core.ids import AccountId, DomainId
from postino.store.addresses import ACCOUNT_ADDRESS, add_targets, is_local_domain
from postino.store.finding import Finding, Severity
from postino.store.tx import Tx

MOST_TARGETS: Final = 20


@dataclass(frozen=True, slots=True)
class Forwarding:
    """Where an account's mail is sent on to; nowhere without targets."""

    targets: tuple[Address, ...]
    keeps: bool
    """Whether the account gets it too."""


def forwarding_of(tx: Tx, account_id: AccountId) -> Forwarding:
    """What is forwarded for the account. Raises NoSuchAccount."""
    keeps = tx.one("SELECT forward_keeps FROM account WHERE id=?", (account_id,))
    if keeps is None:
        raise NoSuchAccount("The account does not exist any more")
    rows = tx.all(
        "SELECT f.target FROM address p JOIN forward f"
        " ON f.domain_id=p.domain_id AND f.local_part=p.local_part"
        " WHERE p.account_id=? AND p.kind=? ORDER BY f.target",
        (account_id, ACCOUNT_ADDRESS),
    )
    return Forwarding(tuple(parse_address(target) for (target,) in rows), bool(keeps[0]))


def set_forwarding(tx: Tx, account_id: AccountId, targets: Sequence[Address], *, keeps: bool) -> None:
    """Send the account's mail on to these addresses, and to no others; to none without targets.

    Raises NoSuchAccount, StoreError for a target here or too many.
    """
    if len(targets) > MOST_TARGETS:
        raise StoreError(f"An account's mail is forwarded to at most {MOST_TARGETS} addresses; make an alias")
    for target in targets:
        if is_local_domain(tx, target.domain):
            raise StoreError(f"{target} is an address here; let an alias reach both accounts instead")
    drop_forwarding(tx, account_id)
    changed = tx.run(
        "UPDATE account SET forwards=?, forward_keeps=? WHERE id=?",
        (int(bool(targets)), int(keeps or not targets), account_id),
    )
    if not changed:
        raise NoSuchAccount("The account does not exist any more")
    for domain, local in tx.all(
        "SELECT domain_id, local_part FROM address WHERE account_id=? AND kind=?",
        (account_id, ACCOUNT_ADDRESS),
    ):
        add_targets(tx, DomainId(domain), local, targets)


def drop_forwarding(tx: Tx, account_id: AccountId) -> None:
    """Forget where the account's own addresses were forwarded to."""
    for key in tx.all(
        "SELECT domain_id, local_part FROM address WHERE account_id=? AND kind=?",
        (account_id, ACCOUNT_ADDRESS),
    ):
        tx.run("DELETE FROM forward WHERE domain_id=? AND local_part=?", key)


def check_forwards(tx: Tx) -> Iterator[Finding]:
    """What verify() says of this table."""
    for account_id, forwards in tx.all(
        "SELECT a.id, a.forwards FROM account a WHERE a.forwards<>EXISTS (SELECT 1 FROM address p"
        " JOIN forward f ON f.domain_id=p.domain_id AND f.local_part=p.local_part"
        " WHERE p.account_id=a.id AND p.kind=?)",
        (ACCOUNT_ADDRESS,),
    ):
        said = "forwarded" if forwards else "not forwarded"
        yield Finding(Severity.DAMAGE, account_id, f"its mail is said to be {said}, and it is not so")
    for (name,) in tx.all(
        "SELECT DISTINCT d.name FROM domain d JOIN forward f ON f.domain_id=d.id WHERE d.forwards=0"
    ):
        yield Finding(Severity.DAMAGE, 0, f"the domain {name} is said to forward nothing, and it does")
