"""Who receives the mail of an address: accounts, through their own addresses, aliases and a domain's
catch-all, and addresses elsewhere that it is forwarded to.

RFC: 5321 §2.3.11, §3.9.1 (aliases), 5233 §1 (subaddress).
Invariants: an address is one account's own or an alias, never both; a local part of "" in the
    database is the domain's catch-all.
Not here: changing what is forwarded (forwards.py), the message that is sent on (delivery/forwarding.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from postino.core.address import Address, parse_address, parse_domain
from postino.core.errors import AlreadyExists, NoSuchAccount, StoreError
from postino.core.ids import AccountId, DomainId
from postino.store.tx import Row, Tx

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


class Forward(msgspec.Struct, frozen=True, gc=False):
    """One address elsewhere to which mail for an address here is sent on."""

    target: Address
    via: Address
    """The address here whose mail it is: an alias, an account's own, or what a catch-all was written to."""
    account_id: AccountId
    """Whose address that is; 0 for an alias."""
    is_return: bool = False
    """`via` is a rewritten reverse-path of ours, and `target` the sender it leads back to."""


class Resolved(msgspec.Struct, frozen=True, gc=False):
    """Where mail for one address goes; nowhere when nobody has the address."""

    accounts: Sequence[ResolvedRecipient] = ()
    """Those that get it into their mailboxes."""
    forwards: Sequence[Forward] = ()

    def __bool__(self) -> bool:
        return bool(self.accounts or self.forwards)

    def reaches(self, account_id: AccountId) -> bool:
        """Whether the address is this account's, also when all its mail is sent on."""
        return any(found.account_id == account_id for found in self.accounts) or any(
            found.account_id == account_id for found in self.forwards
        )


@dataclass(frozen=True, slots=True)
class AliasRow:
    """An alias and who is behind it. A catch-all has an empty local part."""

    address: Address
    logins: tuple[str, ...]
    targets: tuple[str, ...] = ()
    """Addresses elsewhere."""


def catch_all(domain: str) -> Address:
    """What add_alias and remove_alias take for every address of `domain` that nobody has."""
    return Address("", parse_domain(domain))


NOBODY: Final = Resolved()


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


# PERF: one statement for nearly every address; a UNION with the targets takes twice its 4 us (bench: smtp).
_RECEIVERS: Final = (
    "SELECT p.local_part, a.id, a.login, a.quota_octets, a.used_octets, a.quota_messages, a.used_messages,"
    " a.forwards, a.forward_keeps, d.forwards"
    " FROM domain d JOIN address p ON p.domain_id=d.id JOIN account a ON a.id=p.account_id"
    " WHERE d.name=? AND p.local_part IN (?, ?, '') ORDER BY a.id"
)
_TARGETS: Final = (
    "SELECT f.local_part, f.target FROM domain d JOIN forward f ON f.domain_id=d.id"
    " WHERE d.name=? AND f.local_part IN (?, ?, '') ORDER BY f.target"
)
_OWN_FORWARDS: Final = (
    "SELECT p.local_part, d.name, f.target FROM address p JOIN domain d ON d.id=p.domain_id"
    " JOIN forward f ON f.domain_id=p.domain_id AND f.local_part=p.local_part"
    " WHERE p.account_id=? AND p.kind=? ORDER BY f.target"
)


def resolve(tx: Tx, address: Address, separator: str) -> Resolved:
    """Who receives mail for `address`: that very address, else without its detail, else the catch-all."""
    exact = user = local_key(address)
    before, detail = address.detail(separator)
    if detail or before != address.local_part:
        user = local_key(Address(before, address.domain))
    name = (address.domain, exact, user)
    rows = tx.all(_RECEIVERS, name)
    targets = tx.all(_TARGETS, name) if not rows or rows[0][9] else ()
    # The exact address may be empty only as the catch-all itself, which nobody writes to.
    for wanted in (exact, user, ""):
        receivers = [row for row in rows if row[0] == wanted]
        beyond = [target for local, target in targets if local == wanted]
        if beyond or any(row[7] for row in receivers):
            return _with_forwards(
                tx, Address(wanted, address.domain) if wanted else address, receivers, beyond
            )
        if receivers:
            return Resolved([ResolvedRecipient(*row[1:7]) for row in receivers])
    return NOBODY


def _with_forwards(tx: Tx, via: Address, receivers: Sequence[Row], targets: Sequence[str]) -> Resolved:
    """`targets` are those of the address itself; accounts behind it may have their own."""
    found: dict[Address, Forward] = {}
    kept = []
    for row in receivers:
        account_id = AccountId(row[1])
        if row[8] or not row[7]:
            kept.append(ResolvedRecipient(*row[1:7]))
        if row[7]:
            for local, domain, target in tx.all(_OWN_FORWARDS, (account_id, ACCOUNT_ADDRESS)):
                to = parse_address(target)
                found.setdefault(to, Forward(to, Address(local, domain), account_id))
    for target in targets:
        to = parse_address(target)
        found.setdefault(to, Forward(to, via, AccountId(0)))
    return Resolved(kept, list(found.values()))


def oldest_account(tx: Tx) -> Resolved:
    """The account that was made first, as resolve() gives it; nobody where there is none."""
    rows = tx.all(
        "SELECT id, login, quota_octets, used_octets, quota_messages, used_messages"
        " FROM account ORDER BY id LIMIT 1"
    )
    return Resolved([ResolvedRecipient(*row) for row in rows])


def is_taken(tx: Tx, domain: DomainId, local: str) -> bool:
    """Whether an account or an alias has the address."""
    return bool(
        tx.one(
            "SELECT 1 FROM address WHERE domain_id=? AND local_part=?"
            " UNION ALL SELECT 1 FROM forward WHERE domain_id=? AND local_part=?",
            (domain, local, domain, local),
        )
    )


def add_alias(
    tx: Tx, address: Address, account_ids: Sequence[AccountId], targets: Sequence[Address] = ()
) -> None:
    """Let these accounts and addresses elsewhere receive the address's mail too, beside those who do.

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
    add_targets(tx, domain, local, targets)


def add_targets(tx: Tx, domain: DomainId, local: str, targets: Sequence[Address]) -> None:
    """Note that the address is forwarded to these, too."""
    if targets:
        tx.run("UPDATE domain SET forwards=1 WHERE id=?", (domain,))
    tx.run_many(
        "INSERT INTO forward (domain_id, local_part, target) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [(domain, local, str(target)) for target in targets],
    )


def remove_alias(
    tx: Tx,
    address: Address,
    account_ids: Sequence[AccountId] | None = None,
    targets: Sequence[Address] = (),
) -> None:
    """Remove an alias, or only these from it. Raises StoreError when there is none."""
    removed = 0
    domain = domain_id(tx, address.domain)
    if domain is not None:
        local = local_key(address)
        key = (domain, local, ALIAS)
        where = "domain_id=? AND local_part=? AND kind=?"
        if account_ids is None:
            is_own = tx.one(
                "SELECT 1 FROM address WHERE domain_id=? AND local_part=? AND kind=?",
                (domain, local, ACCOUNT_ADDRESS),
            )
            removed = tx.run(f"DELETE FROM address WHERE {where}", key)
            if not is_own:
                removed += tx.run("DELETE FROM forward WHERE domain_id=? AND local_part=?", (domain, local))
        else:
            for account_id in account_ids:
                removed += tx.run(f"DELETE FROM address WHERE {where} AND account_id=?", (*key, account_id))
            for target in targets:
                removed += tx.run(
                    "DELETE FROM forward WHERE domain_id=? AND local_part=? AND target=?",
                    (domain, local, str(target)),
                )
    if not removed:
        raise StoreError(f"There is no alias {address}; `postino alias list` shows those there are")


def list_aliases(tx: Tx) -> list[AliasRow]:
    """Every alias, by domain and local part."""
    rows = tx.all(
        "SELECT p.local_part, d.name, a.login, '' FROM address p JOIN domain d ON d.id=p.domain_id"
        " JOIN account a ON a.id=p.account_id WHERE p.kind=?"
        " UNION ALL SELECT f.local_part, d.name, '', f.target"
        " FROM forward f JOIN domain d ON d.id=f.domain_id"
        " WHERE NOT EXISTS (SELECT 1 FROM address p WHERE p.domain_id=f.domain_id"
        " AND p.local_part=f.local_part AND p.kind=?)"
        " ORDER BY 2, 1, 3, 4",
        (ALIAS, ACCOUNT_ADDRESS),
    )
    found: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for local, domain, login, target in rows:
        logins, targets = found.setdefault((local, domain), ([], []))
        if login:
            logins.append(login)
        else:
            targets.append(target)
    return [AliasRow(Address(*key), tuple(to), tuple(beyond)) for key, (to, beyond) in found.items()]


def addresses_of(tx: Tx, account_id: AccountId) -> list[str]:
    """The account's own address and the aliases that lead to it, but for catch-alls."""
    return [
        f"{local}@{domain}"
        for local, domain in tx.all(
            "SELECT a.local_part, d.name FROM address a JOIN domain d ON d.id=a.domain_id"
            " WHERE a.account_id=? AND a.local_part<>'' ORDER BY a.kind, a.local_part, d.name",
            (account_id,),
        )
    ]
