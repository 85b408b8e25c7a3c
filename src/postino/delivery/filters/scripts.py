"""One worker's compiled scripts: which ones run on a message, without reading the store for each.

A script in use is several times as large as its stored form, and takes as long to make ready as some messages
take to be filtered: so those used last are kept, up to a number of octets.
Invariants: what is given was so within the last REMEMBER_SECONDS; a change made in this worker, or heard of
    on the bus, is seen with the next message. An account without scripts costs no read while remembered.
Not here: the table (store/scripts.py), running them (sieve/), what they may look up (surroundings.py).
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec
from structlog.typing import FilteringBoundLogger

from postino.core.errors import NoSuchScript, StoreError, TemporarilyUnavailable
from postino.core.ids import EVERYBODY, SCRIPTS, AccountId
from postino.core.ports import Bus, MailboxChange
from postino.delivery.settings import SieveSettings
from postino.sieve import Script, compile_script, stored_script
from postino.store.scripts import (
    OUTGOING_NAME,
    SERVER,
    ScriptPlace,
    StoredScript,
    active_script,
    get_script,
    get_site_script,
    script_to_run,
    script_version,
    site_scripts_to_run,
    versions,
)
from postino.store.store import Store
from postino.store.tx import Tx

REMEMBER_SECONDS: Final = 1.0
ENTRY_OCTETS: Final = 600
"""What is kept of an account that has no script."""

_Key = tuple[int, str, str]
"""Whose account, or 0 and the domain's; then a place of a site, `=NAME`, or _ACTIVE."""
_ACTIVE: Final = "active"


class ScriptMetrics(Protocol):
    """What is counted here."""

    def script_found(self, how: str) -> None:
        """Scripts of an account were asked for: `hit`, or `miss` when the store was."""
        ...

    def scripts_kept(self, octets: int) -> None:
        """How much the cache takes now."""
        ...


class _Entry(msgspec.Struct, gc=False):
    """What is known under one key."""

    scripts: tuple[Script, ...]
    version: int
    octets: int
    checked: int
    """The generation in which it was last known to be so."""


class Scripts:
    """One for each worker."""

    def __init__(
        self,
        store: Store,
        *,
        settings: SieveSettings,
        log: FilteringBoundLogger,
        metrics: ScriptMetrics,
        bus: Bus,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._store = store
        self._log = log
        self._metrics = metrics
        self._steady = steady
        self._lock = threading.RLock()
        """Scripts of large messages run, and include others, in threads."""
        self._entries: dict[_Key, _Entry] = {}
        """The one used last at the end."""
        self._octets = 0
        self._generation = 0
        """Goes up when any script changed: each entry then compares its version before it is used."""
        self._version = -1
        self._site_version = -1
        self._check_at = 0.0
        bus.subscribe(EVERYBODY, SCRIPTS, self._hear)

    def incoming(self, account_id: AccountId, domain: str) -> Sequence[Script]:
        """What runs on mail for an address at `domain`: the account's, between the others."""
        with self._lock:
            own = self._own(account_id, _ACTIVE)
            return self._between(ScriptPlace.BEFORE, domain, own, ScriptPlace.AFTER)

    def outgoing(self, account_id: AccountId, domain: str) -> Sequence[Script]:
        """What runs on what the account, whose own address is at `domain`, submits."""
        with self._lock:
            own = self._own(account_id, f"={OUTGOING_NAME}")
            return self._between(ScriptPlace.BEFORE_OUTGOING, domain, own, ScriptPlace.AFTER_OUTGOING)

    def imap(self, account_id: AccountId, domain: str) -> Sequence[Script]:
        """What runs on every event of the account's mailboxes (RFC 6785): the server's, then the domain's."""
        with self._lock:
            self._refresh()
            if not self._site_version:
                return ()
            return (
                *self._site(SERVER, ScriptPlace.IMAP).scripts,
                *(self._site(domain, ScriptPlace.IMAP).scripts if domain else ()),
            )

    def named(self, account_id: AccountId, name: str) -> Script | None:
        """The account's script of this name, active or not."""
        with self._lock:
            found = self._own(account_id, f"={name}")
        return found[0] if found else None

    def included(self, account_id: AccountId, domain: str, name: str, *, is_global: bool) -> Script | None:
        """What `include` means: the account's, or with `is_global` the domain's, else the server's."""
        if not is_global:
            return self.named(account_id, name)
        with self._lock:
            self._refresh()
            if not self._site_version:
                return None
            for where in dict.fromkeys((domain, SERVER)):
                for script in self._site(where, ScriptPlace.GLOBAL).scripts:
                    if script.name == name:
                        return script
        return None

    def _hear(self, change: MailboxChange) -> None:
        """A hint: look at the versions with the next message."""
        self._check_at = 0.0

    def _refresh(self) -> None:
        now = self._steady()
        if now < self._check_at:
            return
        # Only this one read is made each second, however many accounts get mail.
        version, site_version = self._store.read_here(versions)
        self._check_at = now + REMEMBER_SECONDS
        if version != self._version:
            self._version, self._site_version = version, site_version
            self._generation += 1

    def _between(
        self, before: ScriptPlace, domain: str, own: Sequence[Script], after: ScriptPlace
    ) -> Sequence[Script]:
        if not self._site_version:
            return own
        of_domain = domain != SERVER
        return (
            *self._site(SERVER, before).scripts,
            *(self._site(domain, before).scripts if of_domain else ()),
            *own,
            *(self._site(domain, after).scripts if of_domain else ()),
            *self._site(SERVER, after).scripts,
        )

    def _own(self, account_id: AccountId, what: str) -> Sequence[Script]:
        self._refresh()
        key = (account_id, "", what)
        entry = self._entries.get(key)
        if entry is not None and entry.checked == self._generation:
            self._touch(key, entry)
            self._metrics.script_found("hit")
            return entry.scripts

        def look(tx: Tx) -> tuple[int, StoredScript | None]:
            version = script_version(tx, account_id)
            if not version or (entry is not None and entry.version == version):
                return version, None
            if what == _ACTIVE:
                return version, active_script(tx, account_id)
            return version, script_to_run(tx, account_id, what[1:])

        version, found = self._store.read_here(look)
        if entry is not None and entry.version == version:
            entry.checked = self._generation
            self._touch(key, entry)
            self._metrics.script_found("hit")
            return entry.scripts
        self._metrics.script_found("miss")
        return self._keep(key, entry, version, [] if found is None else [found]).scripts

    def _site(self, domain: str, place: ScriptPlace) -> _Entry:
        key = (EVERYBODY, domain, place)
        entry = self._entries.get(key)
        if entry is not None and entry.version == self._site_version:
            self._touch(key, entry)
            return entry
        found = self._store.read_here(lambda tx: site_scripts_to_run(tx, domain, place))
        return self._keep(key, entry, self._site_version, found)

    def _touch(self, key: _Key, entry: _Entry) -> None:
        """It was used last."""
        del self._entries[key]
        self._entries[key] = entry

    def _keep(self, key: _Key, old: _Entry | None, version: int, found: Sequence[StoredScript]) -> _Entry:
        """Compile what was found, remember it instead of `old`, and forget what was not used for longest."""
        compiled = [self._compiled(key, each) for each in found]
        scripts = tuple([script for script in compiled if script is not None])
        octets = ENTRY_OCTETS + sum([script.footprint for script in scripts])
        entry = _Entry(scripts, version, octets, self._generation)
        if old is not None:
            # Not before: a store that fails in between would leave its octets counted for ever.
            del self._entries[key]
            self._octets -= old.octets
        self._octets += octets
        self._entries[key] = entry
        while self._octets > self.settings.cache_octets:
            oldest = next(iter(self._entries))
            self._octets -= self._entries.pop(oldest).octets
        self._metrics.scripts_kept(self._octets)
        return entry

    def _compiled(self, key: _Key, found: StoredScript) -> Script | None:
        """None for one that this version cannot make: mail is then kept, and the log says so."""
        account_id, domain, _ = key
        try:
            try:
                return stored_script(found.compiled, name=found.name, octets=found.octets)
            except ValueError:
                # Another version of Postino stored it.
                return compile_script(self._source(key, found.name), name=found.name, budget=self.settings)
        except Exception as bad:
            # Whatever is wrong with one, the others run: those of the site, the account's.
            if isinstance(bad, (StoreError, TemporarilyUnavailable)) and not isinstance(bad, NoSuchScript):
                raise
            self._log.warning(
                "script.unusable", account=account_id, domain=domain, script=found.name, reason=str(bad)
            )
            return None

    def _source(self, key: _Key, name: str) -> bytes:
        account_id, domain, _ = key
        if account_id != EVERYBODY:
            return self._store.read_here(lambda tx: get_script(tx, AccountId(account_id), name))
        return self._store.read_here(lambda tx: get_site_script(tx, domain, name))
