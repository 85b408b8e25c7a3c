"""Count how TLS with other servers comes out, in memory, and put the counts into the store now and then.

RFC: 8460 §4.2 (counts by policy and kind of failure).
Exposure: names and reasons come from far servers; how many are counted, and how long each is, is bounded.
Invariants: noting is an addition in memory; a crash loses at most what was noted since the last `write`.
Not here: what is told (tls_outcome.py), the rows (store/tls_results.py), reports (tls_reporting.py).
"""

import json
from typing import Final

from postino.core.address import ascii_domain
from postino.core.ports import Clock
from postino.mailauth.tlsrpt import DAY_SECONDS, Failure
from postino.outbound.client.tls_outcome import TlsOutcome
from postino.store.store import Store
from postino.store.tls_results import ResultKey, add_results

MOST_COUNTS: Final = 20_000
WRITE_SECONDS: Final = 60.0
_MOST_TEXT: Final = 200
_MOST_POLICY: Final = 8_000


class TlsCounts:
    """One for each worker; `note` is a TlsNote."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._counts: dict[tuple[int, TlsOutcome], int] = {}

    def note(self, outcome: TlsOutcome) -> None:
        """Count one outcome.

        Without a policy it is no news: mail whose author would rather have it arrive went as best it could.
        """
        if not (outcome.domain and outcome.policy) or len(outcome.policy) > _MOST_POLICY:
            return
        if not outcome.failure:
            outcome = TlsOutcome(outcome.domain, outcome.policy, "")
        key = (self._clock.now() // DAY_SECONDS, outcome)
        count = self._counts.get(key)
        if count is not None:
            self._counts[key] = count + 1
        elif len(self._counts) < MOST_COUNTS:
            self._counts[key] = 1

    async def write(self) -> None:
        """Add what was counted since to the store's counts."""
        if not self._counts:
            return
        counts, self._counts = self._counts, {}
        rows: dict[ResultKey, int] = {}
        for (day, outcome), sessions in counts.items():
            key = ResultKey(day, ascii_domain(outcome.domain), outcome.policy, _failure(outcome))
            rows[key] = rows.get(key, 0) + sessions
        await self._store.write(lambda tx: add_results(tx, rows), durable=False)


def _failure(outcome: TlsOutcome) -> str:
    """The kind of failure as the row keeps it; empty for success."""
    if not outcome.failure:
        return ""
    kind = (
        outcome.failure,
        outcome.reason[:_MOST_TEXT],
        outcome.host[:_MOST_TEXT],
        outcome.hello[:_MOST_TEXT],
        outcome.remote_address,
        outcome.local_address,
    )
    return json.dumps(kind, ensure_ascii=False)


def read_failure(text: str, sessions: int) -> Failure:
    """A row's failure as a report has it."""
    kind, reason, host, hello, remote, local = json.loads(text)
    return Failure(kind, sessions, reason, host, hello, remote, local)
