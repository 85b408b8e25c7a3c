"""What a worker's cache of compiled scripts does for ten thousand accounts, each with a script of its own."""

import gc
import random
import shutil
from pathlib import Path
from typing import Final

import structlog

from bench import scripts
from bench.corpus import DOMAIN
from postino.core.address import parse_address
from postino.core.ids import AccountId, Instant
from postino.delivery.filters.scripts import Scripts
from postino.delivery.settings import SieveSettings
from postino.net.bus import LocalBus
from postino.sieve import compile_script
from postino.store.accounts import create_account, create_domain
from postino.store.scripts import ScriptLimits, put_script, set_active
from postino.store.store import open_store
from postino.store.tx import Tx

_ACCOUNTS: Final = 10_000
_RULES: Final = 10
_MESSAGES: Final = 50_000
_NOW: Final = Instant(1_767_225_600)
# Some accounts get most of the mail: so falls the mail of the n-th.
_SKEW: Final = 1.0


class _Counting:
    """Hits and misses."""

    def __init__(self) -> None:
        self.hits = self.misses = 0

    def script_found(self, how: str) -> None:
        """One look-up."""
        if how == "hit":
            self.hits += 1
        else:
            self.misses += 1

    def scripts_kept(self, octets: int) -> None:
        """What it thinks it takes is not what is measured."""


def cache_figures(work: Path) -> dict[str, float]:
    """Kilobytes the cache took at the end, and how many of the messages found their script there, in percent."""
    folder = work / "script-cache"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    store = open_store(folder, first=True)
    try:
        accounts = store.write_now(_fill)
        counting = _Counting()
        cache = Scripts(
            store,
            settings=SieveSettings(),
            log=structlog.get_logger(),
            metrics=counting,
            bus=LocalBus(),
        )
        chosen = random.Random(5).choices(
            accounts, [1 / (rank + 1) ** _SKEW for rank in range(_ACCOUNTS)], k=_MESSAGES
        )
        gc.collect()
        before = resident_kilobytes()
        for account in chosen:
            cache.incoming(account, DOMAIN)
        gc.collect()
        return {
            "sieve.cache.memory": resident_kilobytes() - before,
            "sieve.cache.hits": counting.hits / (counting.hits + counting.misses) * 100,
        }
    finally:
        store.close_now()
        shutil.rmtree(folder, ignore_errors=True)


def _fill(tx: Tx) -> list[AccountId]:
    create_domain(tx, DOMAIN, _NOW)
    accounts = []
    for number in range(_ACCOUNTS):
        address = parse_address(f"reader{number}@{DOMAIN}")
        account = create_account(tx, address, "", "", 0, _NOW)
        source = scripts.script(number, rules=_RULES)
        stored = compile_script(source, name="main").stored
        put_script(tx, account, "main", source, stored, now=_NOW, limits=ScriptLimits())
        set_active(tx, account, "main")
        accounts.append(account)
    return accounts


def resident_kilobytes() -> float:
    """Of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4.0
