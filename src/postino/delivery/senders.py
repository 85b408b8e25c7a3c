"""What submission asks of the directory at each message, asked of the store once a second.

Invariants: what is given is at most REMEMBER_SECONDS old, and a change shows after that. Limits are not among
    it: they are counted in the write itself (store/sending.py).
Not here: who receives mail for an address (recipients.py), the rules (servers/smtp/policy.py).
"""

from collections.abc import Callable
from typing import Final

from postino.core.address import Address, domain_key
from postino.core.ids import AccountId
from postino.store.accounts import is_local_domain
from postino.store.queue.suppression import suppressed
from postino.store.sending import Sender, sender
from postino.store.store import Store
from postino.store.tx import Tx

REMEMBER_SECONDS: Final = 1.0
_MOST_DOMAINS: Final = 1000
"""With more of them, each is asked for."""


class Senders:
    """One worker's view of who sends how, and of where mail does not go."""

    def __init__(self, store: Store, steady: Callable[[], float]) -> None:
        self._store = store
        self._steady = steady
        self._senders: dict[AccountId, Sender] = {}
        self._domains: frozenset[str] | None = None
        """Those that are ours; None when they are too many."""
        self._suppresses = True
        """Whether there is any suppressed address."""
        self._forget_at = 0.0

    # PERF: a read after a commit finds an empty page cache: 70 us instead of 7 (bench: submission).

    def sender(self, account_id: AccountId) -> Sender:
        """How the account sends. Raises NoSuchAccount."""
        self._refresh()
        found = self._senders.get(account_id)
        if found is None:
            found = self._senders[account_id] = self._store.read_now(lambda tx: sender(tx, account_id))
        return found

    def is_elsewhere(self, domain: str) -> bool:
        """Whether mail for `domain` is another server's."""
        self._refresh()
        known = domain_key(domain)
        if self._domains is not None:
            return known not in self._domains
        return not self._store.read_now(lambda tx: is_local_domain(tx, known))

    def suppressed(self, address: Address, suppress_after: int) -> str | None:
        """Why nothing is sent to this address, None when it is."""
        self._refresh()
        if not self._suppresses:
            return None
        text = str(address)
        found = self._store.read_now(lambda tx: suppressed(tx, [text], suppress_after=suppress_after))
        return found[text].reason if text in found else None

    def _refresh(self) -> None:
        now = self._steady()
        if now < self._forget_at:
            return

        def look(tx: Tx) -> tuple[frozenset[str] | None, bool]:
            names = [name for (name,) in tx.all("SELECT name FROM domain LIMIT ?", (_MOST_DOMAINS + 1,))]
            domains = frozenset(names) if len(names) <= _MOST_DOMAINS else None
            return domains, tx.one("SELECT 1 FROM suppression LIMIT 1") is not None

        self._domains, self._suppresses = self._store.read_now(look)
        self._senders.clear()
        self._forget_at = now + REMEMBER_SECONDS
