"""MTA-STS policies of the domains mail goes to: found, fetched, kept in the store, fetched again in time.

RFC: 8461 §3.1 (is there one), §3.3 (fetching), §5.1 (what holds when), §10.2 (lost records).
Exposure: the DNS and a web server of any domain; bounded in time and size, never inside this network.
Invariants: a policy that was fetched holds for its max_age, whatever the DNS and the web server do since,
    unless a newer one could be fetched; a policy id that failed is not tried again within RETRY_SECONDS.
Not here: the grammar (mailauth/mta_sts.py), what a policy means for a host (tls_policy.py).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from structlog.typing import FilteringBoundLogger

from postino.core.address import ascii_domain
from postino.core.errors import DnsFailure, PostinoError
from postino.core.ids import Instant
from postino.core.ports import Clock, Resolver
from postino.mailauth.mta_sts import POLICY_OCTETS, BadPolicy, Mode, StsPolicy, parse_policy, parse_record
from postino.mailauth.tlsrpt import sts_policy
from postino.net.https_client import HttpsAnswer, HttpsFailure, HttpsRequest, ask_https
from postino.outbound.client.tls_outcome import PolicyFailure, TlsNote, TlsOutcome
from postino.outbound.targeting.hosts import is_public
from postino.store.store import Store
from postino.store.sts_policies import (
    StoredPolicy,
    aging_policies,
    find_policy,
    forget_expired,
    keep_policy,
    note_used,
)

FETCH_SECONDS: Final = 20.0
"""A message waits for it, once; RFC 8461 §3.3 suggests at most a minute."""
RETRY_SECONDS: Final = 300.0
"""After a fetch that failed (RFC 8461 §3.3)."""
REFRESH_SECONDS: Final = 86_400
"""The age at which a policy is fetched again, though nothing says that it changed."""
USED_DAYS: Final = 30
"""A policy of no use for so long is left to expire."""
_MOST_KNOWN: Final = 20_000
_KNOWN_OCTETS: Final = 2_000
"""Longer policies, which are rare, are read from the store each time: a policy may have 64 KiB."""
_MOST_REFRESHED: Final = 5_000
_REFRESHES_AT_ONCE: Final = 4
_DAY_SECONDS: Final = 86_400
_OK: Final = 200

Fetch = Callable[[HttpsRequest], Awaitable[HttpsAnswer]]


@dataclass(frozen=True, slots=True)
class KeptPolicy:
    """A policy that holds now."""

    stored: StoredPolicy
    policy: StsPolicy
    report: str
    """What TLS reports call it."""


class _FetchFailed(PostinoError):
    """A policy could not be had."""

    def __init__(self, sentence: str, failure: PolicyFailure) -> None:
        super().__init__(sentence)
        self.failure = failure


class StsPolicies:
    """One for each worker."""

    def __init__(
        self,
        resolver: Resolver,
        store: Store,
        *,
        clock: Clock,
        log: FilteringBoundLogger,
        note: TlsNote,
        fetch: Fetch | None = None,
        private: bool = False,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`private` lets policy hosts have addresses inside this network."""
        self._resolver = resolver
        self._store = store
        self._clock = clock
        self._log = log
        self._note = note
        self._fetch = fetch or self._ask_https
        self._private = private
        self._steady = steady
        self._known: dict[str, KeptPolicy] = {}
        """Policies of the store, as far as they were looked up."""
        self._failed: dict[tuple[str, str], float] = {}
        """(domain, policy id) -> until when it is not tried again."""
        self._fetching: dict[tuple[str, str], asyncio.Task[KeptPolicy | None]] = {}

    async def policy(self, domain: str) -> KeptPolicy | None:
        """The policy to apply now; None without one, or with one of mode none."""
        name = ascii_domain(domain)
        kept = self._kept(name)
        try:
            record = await self._resolver.txt(f"_mta-sts.{name}")
            policy_id = parse_record(record.records)
        except DnsFailure:
            policy_id = None
        if policy_id is not None and (kept is None or kept.stored.policy_id != policy_id):
            kept = await self._newer(name, policy_id) or kept
        if kept is None or kept.policy.mode is Mode.NONE:
            return None
        await self._used(kept)
        return kept

    def _kept(self, name: str) -> KeptPolicy | None:
        now = self._clock.now()
        kept = self._known.get(name)
        if kept is not None and kept.stored.expires_at > now:
            return kept
        # That there is none is not remembered: another worker may have fetched one since.
        stored = self._store.read_now(lambda tx: find_policy(tx, name, now))
        kept = _read(stored) if stored is not None else None
        if kept is None:
            self._known.pop(name, None)
        else:
            self._remember(kept)
        return kept

    def _remember(self, kept: KeptPolicy) -> None:
        if len(kept.stored.text) > _KNOWN_OCTETS:
            self._known.pop(kept.stored.domain, None)
            return
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[kept.stored.domain] = kept

    async def _used(self, kept: KeptPolicy) -> None:
        day = self._clock.now() // _DAY_SECONDS
        stored = kept.stored
        if stored.used_day >= day:
            return
        self._remember(replace(kept, stored=replace(stored, used_day=day)))
        await self._store.write(lambda tx: note_used(tx, stored.domain, day), durable=False)

    # Fetching

    async def _newer(self, name: str, policy_id: str) -> KeptPolicy | None:
        """The policy of that id, from another worker's fetch or our own; None when it cannot be had."""
        key = (name, policy_id)
        if self._failed.get(key, float("-inf")) > self._steady():
            return None
        task = self._fetching.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._find_newer(name, policy_id))
            self._fetching[key] = task
            task.add_done_callback(lambda _: self._fetching.pop(key, None))
        return await asyncio.shield(task)

    async def _find_newer(self, name: str, policy_id: str) -> KeptPolicy | None:
        self._known.pop(name, None)
        kept = self._kept(name)
        if kept is not None and kept.stored.policy_id == policy_id:
            return kept
        try:
            return await self._fetch_and_keep(name, policy_id)
        except _FetchFailed as failed:
            if len(self._failed) >= _MOST_KNOWN:
                self._failed.clear()
            self._failed[name, policy_id] = self._steady() + RETRY_SECONDS
            self._tell(name, kept, failed)
            return None

    async def _fetch_and_keep(self, name: str, policy_id: str, used_day: int | None = None) -> KeptPolicy:
        url = f"https://mta-sts.{name}/.well-known/mta-sts.txt"
        request = HttpsRequest(url, accept="text/plain", most_octets=POLICY_OCTETS)
        try:
            answer = await self._fetch(request)
        except HttpsFailure as failure:
            kind = (
                PolicyFailure.STS_WEBPKI_INVALID if failure.is_certificate else PolicyFailure.STS_FETCH_ERROR
            )
            raise _FetchFailed(str(failure), kind) from failure
        if answer.status != _OK:
            raise _FetchFailed(f"{url} answers {answer.status}", PolicyFailure.STS_FETCH_ERROR)
        if answer.content_type != "text/plain":
            # SECURITY: where users may put pages of their own, none of them is the domain's policy.
            raise _FetchFailed(f"{url} is not text/plain", PolicyFailure.STS_INVALID)
        try:
            policy = parse_policy(answer.body)
        except BadPolicy as bad:
            raise _FetchFailed(f"{url} is no policy: {bad}", PolicyFailure.STS_INVALID) from bad
        now = self._clock.now()
        day = now // _DAY_SECONDS if used_day is None else used_day
        # One that expires at once would be fetched for each message.
        expires_at = Instant(now + max(policy.max_age, int(RETRY_SECONDS)))
        stored = StoredPolicy(name, policy_id, answer.body.decode("utf-8"), now, expires_at, day)
        await self._store.write(lambda tx: keep_policy(tx, stored))
        kept = KeptPolicy(stored, policy, sts_policy(name, stored.text, policy.mx))
        self._remember(kept)
        return kept

    def _tell(self, name: str, kept: KeptPolicy | None, failed: _FetchFailed) -> None:
        if kept is not None and kept.policy.mode is Mode.NONE:
            return
        self._log.warning("sts.unfetched", domain=name, reason=str(failed), kept=kept is not None)
        report = kept.report if kept is not None else sts_policy(name, "", ())
        self._note(TlsOutcome(name, report, "", failed.failure.value, str(failed)[:200]))

    async def _ask_https(self, request: HttpsRequest) -> HttpsAnswer:
        return await ask_https(request, timeout_seconds=FETCH_SECONDS, lookup=self._addresses)

    async def _addresses(self, host: str) -> Sequence[str]:
        answer = await self._resolver.addresses(host)
        return [address for address in answer.records if self._private or is_public(address)]

    # Daily, by one worker

    async def refresh(self) -> None:
        """Fetch again what is a day old and of use: who is in the way on its last day then gains little."""
        now = self._clock.now()
        before, since = Instant(now - REFRESH_SECONDS), now // _DAY_SECONDS - USED_DAYS
        await self._store.write(lambda tx: forget_expired(tx, now), durable=False)
        aging = await self._store.read(
            lambda tx: aging_policies(tx, fetched_before=before, used_since=since, most=_MOST_REFRESHED)
        )
        waiting = iter(aging)

        async def some() -> None:
            for stored in waiting:
                await self._refresh_one(stored)

        await asyncio.gather(*(some() for _ in range(_REFRESHES_AT_ONCE)))

    async def _refresh_one(self, stored: StoredPolicy) -> None:
        policy_id = stored.policy_id
        try:
            record = await self._resolver.txt(f"_mta-sts.{stored.domain}")
            policy_id = parse_record(record.records) or policy_id
        except DnsFailure:
            pass
        try:
            await self._fetch_and_keep(stored.domain, policy_id, stored.used_day)
        except _FetchFailed as failed:
            self._tell(stored.domain, _read(stored), failed)


def _read(stored: StoredPolicy) -> KeptPolicy | None:
    try:
        policy = parse_policy(stored.text.encode())
    except BadPolicy:
        # An older Postino took it and this one does not: as if it had never been fetched.
        return None
    return KeptPolicy(stored, policy, sts_policy(stored.domain, stored.text, policy.mx))
