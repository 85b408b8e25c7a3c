"""Keep the search indexes up to date while the server has nothing better to do.

Accounts are looked at in turn: those that changed and have been quiet since, or have waited long. Work is
done in steps of some milliseconds in a thread, with pauses that are short when this process is idle and long
when it is not, so that deliveries and commands beside it lose about two percent.
Invariants: one worker indexes; nothing waits for it; what it has not come to is found by reading.
Not here: what is done to an index (store/text_index/indexer.py), searching (store/search.py).
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from postino.core.errors import PostinoError
from postino.core.ids import AccountId
from postino.core.limits import Limits
from postino.core.ports import Clock
from postino.store.store import Store
from postino.store.text_index.indexer import AccountIndexing
from postino.store.tx import RunTx, Tx

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

LOOK_SECONDS: Final = 2.0
"""Time between two looks for accounts that changed; one that changed in between is not quiet yet."""
LONGEST_WAIT: Final = 60.0
DAY_SECONDS: Final = 86_400.0
STEP_SECONDS: Final = 0.005
_IDLE_PAUSE: Final = 0.5
"""Pause after a step, in its durations, when the process did nothing else meanwhile ..."""
_BUSY_PAUSE: Final = 50.0
"""... and when it did."""
_BUSY_SHARE: Final = 0.2
_LOOK_PAUSE: Final = 50.0
"""A look for changes takes at most this part of the time, however many accounts there are."""


@dataclass(slots=True)
class _Seen:
    """What is known of an account."""

    mod_seq: int
    changed_at: float
    """When a change that is not indexed yet was first seen; 0.0 when everything is."""
    visited_at: float


class Indexing:
    """Visits accounts for as long as run() runs."""

    def __init__(
        self,
        store: Store,
        limits: Callable[[], Limits],
        clock: Clock,
        log: "FilteringBoundLogger",
        *,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock
        self._log = log
        self._look_seconds = look_seconds
        self._seen: dict[AccountId, _Seen] = {}
        self._work_cpu = 0.0
        """Processor time of the steps so far, to be told from what else this process did."""

    async def run(self) -> None:
        """Index until cancelled."""
        for account_id in await self._orphans():
            self._store.texts.remove(account_id)
        while True:
            started = time.monotonic()
            due = await self._look(started)
            took = time.monotonic() - started
            await asyncio.sleep(max(self._look_seconds, took * _LOOK_PAUSE))
            for account_id in due:
                await self._visit(account_id)

    async def _orphans(self) -> list[AccountId]:
        """Accounts that were removed while nobody could remove their index."""

        def look(tx: Tx) -> list[AccountId]:
            there = {account_id for (account_id,) in tx.all("SELECT id FROM account")}
            return [account_id for account_id in self._store.texts.accounts() if account_id not in there]

        return await self._store.read(look)

    async def _look(self, now: float) -> list[AccountId]:
        """The accounts to visit now."""
        rows = await self._store.read(lambda tx: tx.all("SELECT id, mod_seq FROM account"))
        missing = self._store.texts.take_missing()
        due: list[AccountId] = []
        there: dict[AccountId, _Seen] = {}
        for account_id, mod_seq in rows:
            seen = self._seen.get(account_id)
            if seen is None:
                there[account_id] = _Seen(mod_seq, 0.0, now)
                due.append(account_id)
                continue
            there[account_id] = seen
            if mod_seq != seen.mod_seq:
                seen.mod_seq = mod_seq
                seen.changed_at = seen.changed_at or now
                is_due = now - seen.changed_at >= LONGEST_WAIT
            else:
                is_due = seen.changed_at > 0.0 or now - seen.visited_at >= DAY_SECONDS
            if is_due or account_id in missing:
                seen.changed_at = 0.0
                seen.visited_at = now
                due.append(account_id)
        self._seen = there
        return due

    async def _visit(self, account_id: AccountId) -> None:
        store = self._store
        visit = AccountIndexing(store.texts, account_id, store.blobs, self._limits(), self._clock.now())
        pause = 0.0
        try:
            more = True
            while more:
                await asyncio.sleep(pause)
                before = time.monotonic()
                others = time.process_time() - self._work_cpu
                more = await self._in_thread(visit)
                took = time.monotonic() - before
                await asyncio.sleep(took * _IDLE_PAUSE)
                share = (time.process_time() - self._work_cpu - others) / max(time.monotonic() - before, 1e-6)
                pause = took * _BUSY_PAUSE if share > _BUSY_SHARE else 0.0
        except PostinoError as error:
            self._log.warning("index.failed", account=account_id, reason=str(error))
        except Exception as error:
            # Whatever one account's mail does to us, the others' is indexed.
            self._log.error("index.fault", account=account_id, exc_info=error)
        finally:
            visit.close()
        if visit.documents:
            self._log.debug("index.made", account=account_id, messages=visit.documents)
        # Also before the next account: beside deliveries to many, visits of one step each take as much.
        await asyncio.sleep(pause)

    async def _in_thread(self, visit: AccountIndexing) -> bool:
        step = asyncio.ensure_future(self._store.read_in_pieces(lambda run: self._step(visit, run)))
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            # What runs in a thread cannot be broken off, but it is short.
            await asyncio.wait({step})
            raise

    def _step(self, visit: AccountIndexing, run: RunTx) -> bool:
        cpu = time.thread_time()
        until = time.monotonic() + STEP_SECONDS
        try:
            while visit.step(run):
                if time.monotonic() >= until:
                    return True
            return False
        finally:
            self._work_cpu += time.thread_time() - cpu
