"""The keys that sign our domains' mail, and how each comes and goes.

A key waits until its record is in the DNS, is in use until another takes its place, is then retired while
mail it signed may still be on its way, and at last its record may go.
RFC: 6376 §3.1 (changing keys: the old record stays while mail may still be verified by it).
Invariants: of one domain and algorithm at most one key is in use, unless the operator retires by hand;
    a selector is never used again for another key while the first is known.
Not here: who moves them (outbound/signing/key_schedule.py, cli/dkim.py), signing
    (outbound/signing/signer.py).
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Final

import msgspec

from postino.core.errors import AlreadyExists, NotPermitted, StoreError
from postino.core.ids import DomainId, Instant
from postino.mailauth.dkim.key_record import print_key_record
from postino.mailauth.dkim.private_key import (
    BadKey,
    KeyAlgorithm,
    algorithm_of,
    make_key,
    pack_key,
    unpack_key,
)
from postino.mailauth.dkim.signature import key_name
from postino.store.addresses import domain_id
from postino.store.finding import Finding, Severity
from postino.store.tx import Row, Tx

MOST_KEYS: Final = 20
"""Keys one domain may have at a time."""
_COLUMNS: Final = (
    "d.name, k.domain_id, k.selector, k.algorithm, k.private_key, k.created_at, k.seen_at, k.use_at,"
    " k.retire_at, k.remove_at, k.told_at FROM dkim_key k JOIN domain d ON d.id=k.domain_id"
)


class KeyState(Enum):
    """Where a key is on its way."""

    WAITING = "waiting"
    """Made; its record is to be put into the DNS."""
    IN_USE = "in use"
    RETIRED = "retired"
    """Signs no longer; its record must stay."""
    REMOVABLE = "removable"
    """Its record may go."""


class DkimKey(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One row."""

    domain: str
    """As the store has it, U-labels."""
    domain_id: DomainId
    selector: str
    algorithm: KeyAlgorithm
    private_key: bytes
    created_at: Instant
    seen_at: Instant
    use_at: Instant
    retire_at: Instant
    remove_at: Instant
    told_at: Instant

    def __repr__(self) -> str:
        # SECURITY: an error report that shows its values must not show the key.
        return f"DkimKey({self.domain!r}, {self.selector!r})"

    def state(self, now: Instant) -> KeyState:
        """Where it is at `now`."""
        if self.remove_at and self.remove_at <= now:
            return KeyState.REMOVABLE
        if self.retire_at and self.retire_at <= now:
            return KeyState.RETIRED
        return KeyState.IN_USE if self.use_at and self.use_at <= now else KeyState.WAITING

    @property
    def record_name(self) -> str:
        """Where its record belongs, in A-labels."""
        return key_name(self.selector, self.domain)

    @property
    def record(self) -> str:
        """What its TXT record says, as one string."""
        return print_key_record(unpack_key(self.private_key).public_key())


def _key(row: Row) -> DkimKey:
    domain, domain_number, selector, algorithm, private_key, *instants = row
    created_at, seen_at, use_at, retire_at, remove_at, told_at = instants
    return DkimKey(
        domain=domain,
        domain_id=domain_number,
        selector=selector,
        algorithm=KeyAlgorithm(algorithm),
        private_key=private_key,
        created_at=created_at,
        seen_at=seen_at,
        use_at=use_at,
        retire_at=retire_at,
        remove_at=remove_at,
        told_at=told_at,
    )


def list_keys(tx: Tx, domain: str | None = None) -> list[DkimKey]:
    """Every key, or one domain's, by domain and age. Raises StoreError for a domain that is not ours."""
    if domain is None:
        return [_key(row) for row in tx.all(f"SELECT {_COLUMNS} ORDER BY d.name, k.created_at, k.selector")]
    found = _require_domain(tx, domain)
    rows = tx.all(f"SELECT {_COLUMNS} WHERE k.domain_id=? ORDER BY k.created_at, k.selector", (found,))
    return [_key(row) for row in rows]


def signing_keys(tx: Tx, domains: Sequence[str], now: Instant) -> list[DkimKey]:
    """The keys in use of the first of `domains` that has any; RSA first, which every verifier knows."""
    rows = tx.all(
        f"SELECT {_COLUMNS} WHERE d.name IN ({','.join('?' * len(domains))})"
        " AND k.use_at<>0 AND k.use_at<=? AND (k.retire_at=0 OR k.retire_at>?)"
        " ORDER BY k.algorithm DESC, k.selector",
        (*domains, now, now),
    )
    keys = [_key(row) for row in rows]
    for domain in domains:
        if found := [key for key in keys if key.domain == domain]:
            return found
    return []


def add_key(
    tx: Tx, domain: str, algorithm: KeyAlgorithm, private_key: bytes, now: Instant, selector: str = ""
) -> DkimKey:
    """Keep a new key, waiting. Without a selector it is named after the day and the algorithm.

    Raises StoreError for a domain that is not ours, AlreadyExists for a selector that is taken.
    """
    owner = _require_domain(tx, domain)
    keys = list_keys(tx, domain)
    if len(keys) >= MOST_KEYS:
        raise NotPermitted(f"{domain} has {len(keys)} keys; remove old ones with `postino dkim remove`")
    taken = {key.selector for key in keys}
    if selector in taken:
        raise AlreadyExists(f"{domain} has a key with the selector {selector} already; choose another")
    name = selector or _free_selector(taken, algorithm, now)
    tx.run(
        "INSERT INTO dkim_key (domain_id, selector, algorithm, private_key, created_at)"
        " VALUES (?, ?, ?, ?, ?)",
        (owner, name, algorithm.value, private_key, now),
    )
    return require_key(tx, domain, name)


def _free_selector(taken: set[str], algorithm: KeyAlgorithm, now: Instant) -> str:
    day = datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y%m%d")
    names = (
        f"{day}{number}-{algorithm.value}" for number in ("", *(f"-{n}" for n in range(2, MOST_KEYS + 2)))
    )
    return next(name for name in names if name not in taken)


def require_key(tx: Tx, domain: str, selector: str) -> DkimKey:
    """One key. Raises StoreError when there is none."""
    owner = _require_domain(tx, domain)
    row = tx.one(f"SELECT {_COLUMNS} WHERE k.domain_id=? AND k.selector=?", (owner, selector))
    if row is None:
        raise StoreError(
            f"{domain} has no key with the selector {selector}; `postino dkim list` shows those there are"
        )
    return _key(row)


def use_key(tx: Tx, key: DkimKey, now: Instant, keep_seconds: int) -> list[DkimKey]:
    """Let a key sign from now on; gives those of the same algorithm it takes the place of, now retired.

    Their records must stay for `keep_seconds`. Raises StoreError when the key is gone.
    """
    require_key(tx, key.domain, key.selector)
    replaced = [
        other
        for other in list_keys(tx, key.domain)
        if other.algorithm is key.algorithm
        and other.selector != key.selector
        and other.state(now) is KeyState.IN_USE
    ]
    for other in replaced:
        retire_key(tx, other, now, keep_seconds)
    tx.run(
        "UPDATE dkim_key SET use_at=?, retire_at=0, remove_at=0, told_at=0 WHERE domain_id=? AND selector=?",
        (now, key.domain_id, key.selector),
    )
    return replaced


def retire_key(tx: Tx, key: DkimKey, now: Instant, keep_seconds: int) -> None:
    """Let a key sign no longer; its record must stay for `keep_seconds`."""
    tx.run(
        "UPDATE dkim_key SET retire_at=?, remove_at=?, told_at=0 WHERE domain_id=? AND selector=?",
        (now, now + keep_seconds, key.domain_id, key.selector),
    )


def remove_key(tx: Tx, key: DkimKey) -> None:
    """Forget a key. Its record is of no use from then on."""
    tx.run("DELETE FROM dkim_key WHERE domain_id=? AND selector=?", (key.domain_id, key.selector))


def note_seen(tx: Tx, key: DkimKey, now: Instant) -> None:
    """Its record was found in the DNS (`now`), or is not there any more (0)."""
    tx.run(
        "UPDATE dkim_key SET seen_at=? WHERE domain_id=? AND selector=?", (now, key.domain_id, key.selector)
    )


def note_told(tx: Tx, key: DkimKey, now: Instant) -> None:
    """The operator knows what is to be done about its record."""
    tx.run(
        "UPDATE dkim_key SET told_at=? WHERE domain_id=? AND selector=?", (now, key.domain_id, key.selector)
    )


def missing_algorithms(tx: Tx, domain: str, now: Instant) -> list[KeyAlgorithm]:
    """The algorithms for which a domain has no key in use and none waiting."""
    there = {
        key.algorithm
        for key in list_keys(tx, domain)
        if key.state(now) in {KeyState.WAITING, KeyState.IN_USE}
    }
    return [algorithm for algorithm in KeyAlgorithm if algorithm not in there]


def make_first_keys() -> dict[KeyAlgorithm, bytes]:
    """New keys of every algorithm, packed. Takes a tenth of a second and more."""
    return {algorithm: pack_key(make_key(algorithm)) for algorithm in KeyAlgorithm}


def add_first_keys(tx: Tx, domain: str, keys: Mapping[KeyAlgorithm, bytes], now: Instant) -> None:
    """Give a domain those of `keys` it has none of yet, waiting."""
    for algorithm in missing_algorithms(tx, domain, now):
        add_key(tx, domain, algorithm, keys[algorithm], now)


def check_dkim_keys(tx: Tx) -> Iterator[Finding]:
    """What is wrong with the keys, for `postino verify`."""
    for (selector,) in tx.all(
        "SELECT selector FROM dkim_key WHERE NOT EXISTS (SELECT 1 FROM domain WHERE id=domain_id)"
    ):
        yield Finding(Severity.DAMAGE, 0, f"the DKIM key {selector} belongs to no domain")
    for key in list_keys(tx):
        try:
            found = algorithm_of(unpack_key(key.private_key))
        except BadKey:
            found = None
        if found is not key.algorithm:
            sentence = f"the DKIM key {key.selector} of {key.domain} is not what it is said to be"
            yield Finding(Severity.DAMAGE, 0, sentence)


def _require_domain(tx: Tx, domain: str) -> DomainId:
    found = domain_id(tx, domain)
    if found is None:
        raise StoreError(f"There is no domain {domain}; `postino domain list` shows those there are")
    return found
