"""The wall clock, as the inside sees it."""

import time

from postino.core.ids import Instant


class SystemClock:
    """The machine's clock."""

    def now(self) -> Instant:
        """The present, in whole seconds since 1970."""
        return Instant(int(time.time()))
