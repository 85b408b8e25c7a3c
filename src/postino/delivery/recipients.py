"""Where mail for an address goes, asked of the store at most once a second for each address.

Invariants: what is given is at most REMEMBER_SECONDS old; accounts that may run full soon, unknown
    addresses and foreign domains are never remembered. The store checks again when it writes, so an
    old answer may cost a retry, never a lost message or a broken quota.
Not here: who may send to whom (servers/smtp/policy.py), the rules of aliases (store/addresses.py).
"""

from collections.abc import Callable
from typing import Final

from postino.core.address import Address, domain_key
from postino.core.ids import AccountId
from postino.core.ports import Clock
from postino.mailauth.srs import is_rewritten
from postino.store import accounts
from postino.store.accounts import Forward, Resolved, ResolvedRecipient
from postino.store.returns import original_path
from postino.store.store import Store
from postino.store.tx import Tx

REMEMBER_SECONDS: Final = 1.0
MOST_REMEMBERED: Final = 10_000
_OWN_NAMES: Final = frozenset({"postmaster", "mailer-daemon"})
"""Whom every domain has: people answer reports, which come from the latter (RFC 3464 §2)."""
_ROOM_FACTOR: Final = 20
"""Far from full: room for this many messages of the largest size."""


class Recipients:
    """One worker's view of who receives what."""

    def __init__(
        self,
        store: Store,
        message_octets: Callable[[], int],
        steady: Callable[[], float],
        clock: Clock,
    ) -> None:
        self._store = store
        self._clock = clock
        self._message_octets = message_octets
        self._steady = steady
        self._remembered: dict[Address, Resolved] = {}
        self._forget_at = 0.0

    def resolve(self, address: Address, separator: str, hostname: str) -> Resolved | None:
        """Who receives mail for `address`, nobody for an unknown one, None for another's domain.

        An address without a domain is this server's own postmaster (RFC 5321 §4.5.1).
        """
        # PERF: a read after a commit finds an empty page cache: 70 us instead of 7, half of a
        # delivery's whole time on one busy core (bench: smtp). All are forgotten together, for
        # that needs no look at each.
        now = self._steady()
        if now >= self._forget_at or len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
            self._forget_at = now + REMEMBER_SECONDS
        else:
            remembered = self._remembered.get(address)
            if remembered is not None:
                return remembered

        def look(tx: Tx) -> Resolved | None:
            if not address.domain:
                return _own_postmaster(tx, hostname, separator)
            # Who cannot say SMTPUTF8 writes the A-labels of a domain we know by its U-labels.
            known = Address(address.local_part, domain_key(address.domain))
            if is_rewritten(known.local_part) and accounts.is_local_domain(tx, known.domain):
                # Before a catch-all, which would keep what belongs to a sender elsewhere.
                sender = original_path(tx, known.local_part, self._clock.now())
                if sender is not None:
                    return Resolved((), (Forward(sender, known, AccountId(0), is_return=True),))
            found = accounts.resolve(tx, known, separator)
            if not found:
                if not accounts.is_local_domain(tx, known.domain):
                    return None
                if known.local_part.lower() in _OWN_NAMES:
                    return _own_postmaster(tx, hostname, separator)
            return found

        found = self._store.read_now(look)
        if found and all(map(self._is_far_from_full, found.accounts)):
            self._remembered[address] = found
        return found

    def resolve_own(self, address: Address, separator: str, hostname: str) -> Resolved | None:
        """As resolve(), but whoever nobody has at this server's own name is its postmaster.

        Programs of this machine write from and to its users (root, www-data), who have no accounts.
        """
        found = self.resolve(address, separator, hostname)
        if not found and domain_key(address.domain) == domain_key(hostname.lower()):
            return self.resolve(Address("postmaster", ""), separator, hostname)
        return found

    def _is_far_from_full(self, recipient: ResolvedRecipient) -> bool:
        if recipient.quota_messages:
            return False
        quota = recipient.quota_octets
        return not quota or quota - recipient.used_octets > _ROOM_FACTOR * self._message_octets()


def _own_postmaster(tx: Tx, hostname: str, separator: str) -> Resolved:
    """Who answers for this server: postmaster of the domain it is in, else of the oldest that has one.

    Mail for postmaster must be taken (RFC 5321 §4.5.1), so then it is who gets all mail of a domain, and at
    last the first account ever made.
    """
    host = f".{domain_key(hostname.lower())}"
    domains = sorted(
        accounts.list_domains(tx),
        key=lambda row: (-len(row.name) if host.endswith(f".{row.name}") else 0, row.id),
    )
    named = [row for row in domains if accounts.is_taken(tx, row.id, "postmaster")]
    for row in (*named, *domains):
        found = accounts.resolve(tx, Address("postmaster", row.name), separator)
        if found:
            return found
    return accounts.oldest_account(tx)
