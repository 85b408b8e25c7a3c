"""When to try again: a recipient that was deferred, a destination that does not answer.

RFC: 5321 §4.5.4.1 (retries), 6647 §5 (greylisting asks to come back in minutes).
Invariants: pure; chance is passed in as numbers of [0, 1), so that one seed gives one schedule.
Not here: what is deferred and why (attempt.py), who waits (dispatcher.py).
"""

from collections.abc import Callable
from typing import Final

from postino.core.ids import Instant
from postino.outbound.settings import OutboundSettings

Chance = Callable[[], float]

GREYLISTED_SECONDS: Final = 60.0
"""The first retry after greylisting. The second comes an ordinary first retry later, so that who asks
for five minutes has them then."""
CLOSED_SECONDS: Final = 60.0
"""How long a destination that does not answer is left alone the first time."""
LONGEST_CLOSED_SECONDS: Final = 3600.0
LONGEST_CLOSED_ROUTE_SECONDS: Final = 300.0
"""For a host of the operator's choice, which all mail may wait for."""
SPREAD: Final = 0.2
_MOST_DOUBLINGS: Final = 30


class Retry:
    """The schedule of one worker."""

    __slots__ = ("_chance", "_settings")

    def __init__(self, settings: Callable[[], OutboundSettings], chance: Chance) -> None:
        self._settings = settings
        self._chance = chance

    def again(self, now: Instant, attempts: int, *, greylisted: bool = False) -> Instant:
        """When a recipient is tried next, of whom `attempts` failed before the present one."""
        settings = self._settings()
        if greylisted:
            if attempts == 0:
                return self._after(now, GREYLISTED_SECONDS)
            attempts -= 1
        seconds = settings.retry_seconds * 2.0 ** min(attempts, _MOST_DOUBLINGS)
        return self._after(now, min(seconds, settings.longest_retry_seconds))

    def open_again(self, now: Instant, failures: int, *, is_route: bool = False) -> Instant:
        """When a destination that failed `failures` times in a row is tried next."""
        seconds = CLOSED_SECONDS * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)
        longest = LONGEST_CLOSED_ROUTE_SECONDS if is_route else LONGEST_CLOSED_SECONDS
        return self._after(now, min(seconds, longest, self._settings().longest_retry_seconds))

    def after_opening(self, opens_at: Instant, now: Instant) -> Instant:
        """When mail goes that waits for a destination to open: behind the probe, and not all at once."""
        return Instant(opens_at + 1 + int((opens_at - now) * SPREAD * self._chance()))

    def _after(self, now: Instant, seconds: float) -> Instant:
        share = 1.0 - SPREAD + 2.0 * SPREAD * self._chance()
        return Instant(now + max(1, round(seconds * share)))
