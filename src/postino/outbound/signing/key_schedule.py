"""Keep every domain's DKIM keys as they should be: made, used once the DNS knows them, replaced, retired.

A key signs only when its record is found in the DNS (or the operator says so by `postino dkim use`). Where
another signs already, the new one waits SETTLE_SECONDS more, for a zone's servers do not change at once.
RFC: 6376 §3.1 (changing keys), 8463 §6 (an RSA and an Ed25519 key).
Invariants: one worker runs it; nothing is remembered but in the store, so a restart costs a few questions; a
    key in use is never retired before another of its algorithm is used.
Not here: the rows and their states (store/dkim_keys.py), commands (cli/dkim.py).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Final

from postino.core.address import ascii_domain
from postino.core.errors import DnsFailure, PostinoError
from postino.core.ids import Instant
from postino.core.ports import Clock, Resolver
from postino.mailauth.dkim.key_record import PublicKey, parse_key_record, zone_line
from postino.mailauth.dkim.private_key import KeyAlgorithm, make_key, pack_key, unpack_key
from postino.mailauth.dkim.reasons import SignatureRefused
from postino.outbound.settings import OutboundSettings
from postino.store.accounts import list_domains
from postino.store.dkim_keys import (
    DkimKey,
    KeyState,
    add_key,
    list_keys,
    missing_algorithms,
    note_seen,
    note_told,
    remove_key,
    use_key,
)
from postino.store.store import Store
from postino.store.tx import Tx

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

FIRST_SECONDS: Final = 10.0
"""A server that starts has better things to do."""
PAUSE_SECONDS: Final = 60.0
SETTLE_SECONDS: Final = 3600
SOONEST_LOOK: Final = 60
LATEST_LOOK: Final = 6 * 3600
DAY_SECONDS: Final = 86_400
MARGIN_DAYS: Final = 7
"""A record stays this much longer than mail may be on its way: for those that verify late."""
_LOOKS_AT_ONCE: Final = 20

Tell = Callable[[str, str], Awaitable[None]]
"""Mail to the operator: subject and text."""


def keep_seconds(settings: OutboundSettings) -> int:
    """How long a key's record stays after the key has signed for the last time."""
    return int(settings.lifetime_seconds) + MARGIN_DAYS * DAY_SECONDS


async def is_published(resolver: Resolver, key: DkimKey) -> bool | None:
    """Whether the DNS has the key's record; None when it does not answer now."""
    try:
        answer = await resolver.txt(key.record_name)
    except DnsFailure:
        return None
    wanted = unpack_key(key.private_key).public_key()
    return any(_holds(text, wanted) for text in answer.records)


def _holds(text: str, wanted: PublicKey) -> bool:
    try:
        record = parse_key_record(text)
        return (record.hashes is None or "sha256" in record.hashes) and record.public_key() == wanted
    except SignatureRefused:
        return False


@dataclass(slots=True)
class _News:
    """What one round found out that the operator should hear."""

    publish: list[DkimKey] = field(default_factory=list)
    remove: list[DkimKey] = field(default_factory=list)
    missing: list[DkimKey] = field(default_factory=list)

    def text(self) -> str:
        """The mail's."""
        parts: list[str] = []
        if self.publish:
            parts.append(
                "New DKIM keys are ready. Put these records into the DNS; each key is used by itself soon "
                "after its record is found there:\n\n" + _records(self.publish)
            )
        if self.missing:
            parts.append(
                "These keys sign mail, but their records are not in the DNS any more, so that the signatures "
                "count for nothing. Put them back:\n\n" + _records(self.missing)
            )
        if self.remove:
            names = "".join(f"  {key.record_name}\n" for key in self.remove)
            parts.append(
                "These keys sign no more, and no mail they signed is on its way any more. Take their records "
                "out of the DNS; the keys are then removed by themselves:\n\n" + names
            )
        return "\n".join(parts) + "\n`postino dkim list` shows all keys.\n"


def _records(keys: Iterable[DkimKey]) -> str:
    return "".join(f"{zone_line(key.record_name, key.record)}\n" for key in keys)


class KeySchedule:
    """Looks after the keys for as long as run() runs."""

    def __init__(
        self,
        store: Store,
        resolver: Resolver,
        *,
        settings: Callable[[], OutboundSettings],
        clock: Clock,
        log: "FilteringBoundLogger",
        tell: Tell,
    ) -> None:
        self._store = store
        self._resolver = resolver
        self._settings = settings
        self._clock = clock
        self._log = log
        self._tell = tell
        self._look_at: dict[tuple[int, str], Instant] = {}

    async def run(self) -> None:
        """Look after them until cancelled."""
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            settings = self._settings()
            if settings.enabled and settings.dkim:
                try:
                    await self.step()
                except PostinoError as error:
                    self._log.warning("dkim.schedule.failed", reason=str(error))
            await asyncio.sleep(PAUSE_SECONDS)

    async def step(self) -> None:
        """Do what is due now."""
        now = self._clock.now()
        news = _News()
        for domain in await self._store.read(list_domains):
            await self._make_missing(domain.name, now)
        keys = await self._store.read(list_keys)
        for _, of_domain in groupby(keys, key=lambda key: key.domain_id):
            await self._rotate(list(of_domain), now)
        keys = await self._store.read(list_keys)
        due = [key for key in keys if self._is_due(key, now)]
        for start in range(0, len(due), _LOOKS_AT_ONCE):
            await asyncio.gather(*(self._look(key, now, news) for key in due[start : start + _LOOKS_AT_ONCE]))
        self._look_at = {
            _place(key): self._look_at[_place(key)] for key in keys if _place(key) in self._look_at
        }
        if news.publish or news.remove or news.missing:
            await self._tell_news(news, now)

    async def _make_missing(self, domain: str, now: Instant) -> None:
        for algorithm in await self._store.read(lambda tx: missing_algorithms(tx, domain, now)):
            await self._make(domain, algorithm, now)

    async def _make(self, domain: str, algorithm: KeyAlgorithm, now: Instant) -> None:
        private = await asyncio.to_thread(lambda: pack_key(make_key(algorithm)))
        key = await self._store.write(lambda tx: add_key(tx, domain, algorithm, private, now))
        self._log.info("dkim.made", domain=domain, selector=key.selector, record=key.record_name)

    async def _rotate(self, keys: list[DkimKey], now: Instant) -> None:
        """Make a new key where one in use is old and none waits."""
        days = self._settings().dkim_rotate_days
        waiting = {key.algorithm for key in keys if key.state(now) is KeyState.WAITING}
        for key in keys:
            is_old = days and key.state(now) is KeyState.IN_USE and now - key.use_at >= days * DAY_SECONDS
            if is_old and key.algorithm not in waiting:
                waiting.add(key.algorithm)
                await self._make(key.domain, key.algorithm, now)

    def _is_due(self, key: DkimKey, now: Instant) -> bool:
        return key.state(now) is not KeyState.RETIRED and self._look_at.get(_place(key), 0) <= now

    async def _look(self, key: DkimKey, now: Instant, news: _News) -> None:
        """See what the DNS has of one key, and what follows."""
        published = await is_published(self._resolver, key)
        # Soon at first, for somebody may be at it just now, and then ever less.
        age = now - max(key.created_at, key.remove_at if key.remove_at <= now else 0)
        wait = min(max(age // 10, SOONEST_LOOK), LATEST_LOOK)
        self._look_at[_place(key)] = Instant(now + wait)
        if published is None:
            return
        state = key.state(now)
        if state is KeyState.WAITING:
            await self._waiting(key, now, news, published=published)
        elif state is KeyState.IN_USE:
            await self._in_use(key, now, news, published=published)
        elif not published:
            await self._store.write(lambda tx: remove_key(tx, key))
            self._log.info("dkim.removed", domain=key.domain, selector=key.selector)
        elif not key.told_at:
            news.remove.append(key)

    async def _waiting(self, key: DkimKey, now: Instant, news: _News, *, published: bool) -> None:
        if not published:
            if key.seen_at:
                await self._store.write(lambda tx: note_seen(tx, key, Instant(0)))
            # Those made with their domain are shown by `postino dns`; a rotation's nobody expects.
            if not key.told_at and await self._has_other(key, now):
                news.publish.append(key)
            return
        settle = SETTLE_SECONDS if await self._has_other(key, now) else 0
        seen_at = key.seen_at or now
        if not key.seen_at:
            await self._store.write(lambda tx: note_seen(tx, key, now))
        if now - seen_at < settle:
            self._look_at[_place(key)] = Instant(min(self._look_at[_place(key)], seen_at + settle))
            return
        keep = keep_seconds(self._settings())
        replaced = await self._store.write(lambda tx: use_key(tx, key, now, keep))
        self._log.info(
            "dkim.used",
            domain=key.domain,
            selector=key.selector,
            replaces=[other.selector for other in replaced],
        )

    async def _has_other(self, key: DkimKey, now: Instant) -> bool:
        """Whether another key of its algorithm signs for the domain."""
        others = await self._store.read(lambda tx: list_keys(tx, key.domain))
        return any(
            other.algorithm is key.algorithm and other.state(now) is KeyState.IN_USE for other in others
        )

    async def _in_use(self, key: DkimKey, now: Instant, news: _News, *, published: bool) -> None:
        if published:
            if not key.seen_at:
                await self._store.write(lambda tx: note_seen(tx, key, now))
            return
        self._log.warning(
            "dkim.record.missing", domain=key.domain, selector=key.selector, record=key.record_name
        )
        # A key the operator put to use before its record is there is theirs to know of.
        if key.seen_at and now - key.told_at >= DAY_SECONDS:
            news.missing.append(key)

    async def _tell_news(self, news: _News, now: Instant) -> None:
        for key in news.publish:
            self._log.warning(
                "dkim.publish",
                domain=key.domain,
                selector=key.selector,
                record=zone_line(key.record_name, key.record),
            )
        for key in news.remove:
            self._log.warning(
                "dkim.removable", domain=key.domain, selector=key.selector, record=key.record_name
            )
        told = (*news.publish, *news.remove, *news.missing)
        domains = sorted({ascii_domain(key.domain) for key in told})
        shown = ", ".join(domains[:3]) + (" and others" if len(domains) > 3 else "")
        await self._tell(f"DKIM records of {shown} need a change in the DNS", news.text())

        def note(tx: Tx) -> None:
            for key in told:
                note_told(tx, key, now)

        await self._store.write(note)


def _place(key: DkimKey) -> tuple[int, str]:
    return key.domain_id, key.selector
