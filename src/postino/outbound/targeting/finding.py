"""All that finds out where mail goes and how TLS must be there, put together, and what it does by the clock.

RFC: 8460 §4.1 (reports some time after midnight), 8461 §3.3 (policies fetched again daily).
Invariants: counts reach the store every minute and at the end; one worker does what is done once for all.
Not here: sending (dispatcher.py), the parts (targets.py, mta_sts.py, tls_counts.py, tls_reporting.py).
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final

from structlog.typing import FilteringBoundLogger

from postino.core.errors import PostinoError
from postino.core.ports import Clock
from postino.net.dns.resolver import DnsResolver
from postino.net.dns.servers import ServerList
from postino.outbound.client.tls_outcome import TlsOutcome
from postino.outbound.settings import OutboundSettings
from postino.outbound.targeting.hosts import Ourselves
from postino.outbound.targeting.mta_sts import StsPolicies
from postino.outbound.targeting.targets import Targets
from postino.outbound.targeting.tls_policy import TlsPolicies
from postino.outbound.tls_reports.counts import WRITE_SECONDS, TlsCounts
from postino.outbound.tls_reports.reporting import Submitter, TlsReporting
from postino.store.store import Store

ROUND_SECONDS: Final = 3_600.0
"""Between two looks at what is due: policies a day old, reports not sent yet."""
REPORT_AFTER_SECONDS: Final = 3_600
"""After midnight: every worker's counts are in the store by then."""
_DAY_SECONDS: Final = 86_400


class Targeting:
    """One for each worker."""

    def __init__(
        self,
        settings: OutboundSettings,
        store: Store,
        *,
        clock: Clock,
        log: FilteringBoundLogger,
        hostname: str,
        ourselves: Ourselves,
        submitter: Callable[[], Submitter | None],
    ) -> None:
        """`submitter` says who signs TLS reports; None while nobody can."""
        self._settings = settings
        self._clock = clock
        self._log = log
        self._submitter = submitter
        self._store = store
        self.resolver = DnsResolver(ServerList(settings.resolvers))
        self.counts = TlsCounts(store, clock)
        self._sts = StsPolicies(
            self.resolver, store, clock=clock, log=log, note=self.note, private=settings.private_addresses
        )
        policies = TlsPolicies(self.resolver, self._sts, self.note)
        self.targets = Targets(self.resolver, policies, settings, hostname=hostname, ourselves=ourselves)

    def note(self, outcome: TlsOutcome) -> None:
        """A TlsNote: count it, unless nobody wants reports."""
        if self._settings.tls_reports:
            self.counts.note(outcome)

    def change_settings(self, settings: OutboundSettings) -> None:
        """Have new settings hold from now on; outbound.resolvers from the next start on."""
        self._settings = self.targets.settings = settings

    async def run(self) -> None:
        """Write counts every minute, until cancelled; for each worker."""
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            await self._quietly(self.counts.write())

    async def run_daily(self) -> None:
        """Refresh policies and send reports when they are due, until cancelled; for one worker."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            await self._quietly(self._sts.refresh())
            if self._clock.now() % _DAY_SECONDS >= REPORT_AFTER_SECONDS:
                await self._quietly(self._report())

    async def close(self) -> None:
        """Write what was counted, and ask nothing more."""
        await self._quietly(self.counts.write())
        self.resolver.close()

    async def _report(self) -> None:
        submitter = self._submitter()
        if submitter is None or not self._settings.tls_reports:
            return
        reporting = TlsReporting(
            self.resolver,
            self._store,
            clock=self._clock,
            log=self._log,
            submitter=submitter,
            private=self._settings.private_addresses,
        )
        await reporting.send_reports()

    async def _quietly(self, work: Coroutine[object, object, object]) -> None:
        try:
            await work
        except PostinoError as error:
            self._log.warning("tls.bookkeeping.failed", reason=str(error))
        except Exception as error:
            # What is done by the clock goes on at its next hour.
            self._log.error("tls.bookkeeping.fault", exc_info=error)
