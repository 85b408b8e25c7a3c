"""Who is logged in to this worker: so many of one account at most, and none whose login was taken back.

RFC: 5530 §3 (LIMIT), 9585 (beats let long commands say that they go on).
Invariants: each entered connection leaves once; a session whose account is gone, or whose password was
    changed, ends within CHECK_SECONDS where it next waits for its client.
Not here: connections before a login (net/listener.py), when to beat and look (app/worker.py).
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from postino.core.errors import PostinoError
from postino.core.ids import AccountId
from postino.net.connection import Connection, LoginTakenBack

if TYPE_CHECKING:
    from postino.directory.principal import Principal
    from postino.store.store import Store

CHECK_SECONDS: Final = 30.0
_BATCH: Final = 500


class TooManySessions(PostinoError):
    """The account has as many sessions as it may have."""


class _Entry(NamedTuple):
    stamp: int
    beat: Callable[[], None] | None


class AccountSessions:
    """One for each worker."""

    def __init__(self) -> None:
        self._accounts: dict[AccountId, dict[Connection, _Entry]] = {}

    def enter(
        self,
        principal: "Principal",
        connection: Connection,
        most: int,
        beat: Callable[[], None] | None = None,
    ) -> None:
        """Count a session in. `beat` is called now and then while it lasts. Raises TooManySessions."""
        entries = self._accounts.setdefault(principal.account_id, {})
        if len(entries) >= most:
            raise TooManySessions(f"{most} programs are logged in to this account; close some and try again")
        entries[connection] = _Entry(principal.stamp, beat)

    def leave(self, account_id: AccountId, connection: Connection) -> None:
        """Count it out; unknown ones are ignored."""
        entries = self._accounts.get(account_id)
        if entries is not None:
            entries.pop(connection, None)
            if not entries:
                del self._accounts[account_id]

    def count(self, account_id: AccountId) -> int:
        """How many sessions the account has."""
        return len(self._accounts.get(account_id, ()))

    def beat(self) -> None:
        """Call every session that wants it."""
        for entries in self._accounts.values():
            for entry in entries.values():
                if entry.beat is not None:
                    entry.beat()

    async def check(self, store: "Store") -> None:
        """End the sessions whose account or password is not what it was when they logged in."""
        from postino.store.accounts import password_hashes

        every = list(self._accounts)
        for at in range(0, len(every), _BATCH):
            some = every[at : at + _BATCH]
            hashes = store.read_now(lambda tx, ids=some: password_hashes(tx, ids))  # type: ignore[misc]
            for account_id in some:
                self._check_account(account_id, hashes.get(account_id))
            await asyncio.sleep(0)

    def _check_account(self, account_id: AccountId, password_hash: str | None) -> None:
        stamp = None if password_hash is None else stamp_of(password_hash)
        for connection, entry in self._accounts.get(account_id, {}).items():
            if stamp is None:
                connection.end_soon(LoginTakenBack("This account was removed"))
            elif stamp != entry.stamp:
                connection.end_soon(LoginTakenBack("The password was changed; log in again"))


def stamp_of(password_hash: str) -> int:
    """What tells one password's hash from another within this process, without being one."""
    return hash(("stamp", password_hash))
