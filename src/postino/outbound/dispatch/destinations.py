"""One destination as this worker sees it: what waits for it, its connections, when it is let alone.

A lane begins with a few connections; each message it takes lets it have a little more, each sign that
we are too many halves it. Who does not answer at all is left alone for longer and longer, and then tried
with one connection before the others come.
Exposure: far servers decide how fast a lane goes, within the limits of the settings.
Invariants: no I/O, no clock; urgent work goes first, else the oldest; no more connections than the limit;
    one alone while a closed lane is probed.
Not here: connections (courier.py), which destination a domain has (routes.py), delays (retry.py).
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Final

from postino.core.ids import Instant
from postino.outbound.dispatch.retry import Retry
from postino.outbound.dispatch.work import NO_TROUBLE, Trouble
from postino.outbound.targeting.routes import Destination

if TYPE_CHECKING:
    from postino.outbound.dispatch.courier import Courier
    from postino.outbound.dispatch.work import Work

FIRST_CONNECTIONS: Final = 5
WORK_FOR_CONNECTION: Final = 4
"""Another connection is opened at once when this much work waits for each of them: a connection takes
longer to open than a message to go over an open one."""
_CAREFUL_STEP: Final = 0.05
"""A destination that once had too many of our connections gets more twenty times as slowly."""
LANE_ROOM: Final = 500
"""Work taken from the queue for one lane; the rest of its mail waits there."""
BAD_HOST_SECONDS: Final = 300
"""A host that could not be reached is tried last for this long."""
MOST_BAD_HOSTS: Final = 10_000
MOST_CLOSED_LANES: Final = 10_000

_sequence = count()


class Lane:
    """One destination's waiting work and connections."""

    __slots__ = (
        "_waiting",
        "_was_too_many",
        "connections",
        "destination",
        "failures",
        "idle",
        "is_patient",
        "most_connections",
        "opens_at",
        "trouble",
        "window",
    )

    def __init__(self, destination: Destination, most_connections: int) -> None:
        self.destination = destination
        self.most_connections = most_connections
        self.window = float(min(FIRST_CONNECTIONS, most_connections))
        """How many connections it may have now; grows and shrinks."""
        self.connections = 0
        """Being opened, at work or idle."""
        self.idle: list[Courier] = []
        """Connections without work; the one used last is taken first."""
        self.failures = 0
        """How often in a row no host could be reached."""
        self.opens_at = Instant(0)
        """Closed until then; 0 for open."""
        self.trouble = NO_TROUBLE
        """Why it was closed last."""
        self.is_patient = False
        """A timer will look whether what waits needs another connection."""
        self._was_too_many = False
        self._waiting: list[tuple[int, int, Work]] = []

    # Work

    @property
    def waiting(self) -> int:
        """How much work waits."""
        return len(self._waiting)

    def push(self, work: "Work") -> None:
        """Have work wait for a connection."""
        heapq.heappush(self._waiting, (-work.held.message.options.priority, next(_sequence), work))

    def push_first(self, work: "Work") -> None:
        """Give work back that was taken: it goes before what is not more urgent."""
        heapq.heappush(self._waiting, (-work.held.message.options.priority, -next(_sequence), work))

    def pop(self) -> "Work | None":
        """Take the work that goes next."""
        return heapq.heappop(self._waiting)[2] if self._waiting else None

    def drain(self) -> "Iterator[Work]":
        """Take all of it."""
        while self._waiting:
            yield self._waiting.pop()[2]

    # Connections

    def wanted(self, *, impatient: bool = False) -> int:
        """How many connections to open now; when `impatient`, one even for little work."""
        waiting = len(self._waiting)
        if not waiting:
            return 0
        most = 1 if self.failures else int(self.window)
        useful = -(-waiting // WORK_FOR_CONNECTION)
        if impatient:
            useful = max(useful, self.connections + 1)
        return max(0, min(most, useful) - self.connections)

    def oldest(self) -> "Work | None":
        """The work that goes next."""
        return self._waiting[0][2] if self._waiting else None

    def went_well(self) -> bool:
        """The destination took a message; says whether the lane may have more connections for that."""
        before = 1 if self.failures else int(self.window)
        self.failures = 0
        if self.window < self.most_connections:
            step = _CAREFUL_STEP if self._was_too_many else 1.0
            self.window = min(float(self.most_connections), self.window + step / self.window)
        return int(self.window) > before

    def too_many(self) -> None:
        """The destination wants fewer connections, or fails on some."""
        self._was_too_many = True
        self.window = max(1.0, min(self.window, float(max(1, self.connections))) / 2.0)

    def is_closed(self, now: Instant) -> bool:
        """Whether nothing is to be sent there now."""
        return self.opens_at > now

    def close(self, now: Instant, retry: Retry, trouble: Trouble) -> Instant:
        """No host answers: leave the destination alone; says until when."""
        self.trouble = trouble
        self.failures += 1
        self.window = float(min(FIRST_CONNECTIONS, self.most_connections))
        route = self.destination.route
        is_route = route is not None and not route.is_by_mx
        self.opens_at = retry.open_again(now, self.failures, is_route=is_route)
        return self.opens_at


class BadHosts:
    """Hosts that could not be reached a short while ago, whichever domain they serve."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until: dict[str, Instant] = {}

    def note(self, name: str, now: Instant) -> None:
        """Remember that a host could not be reached."""
        if len(self._until) >= MOST_BAD_HOSTS:
            self._until.clear()
        self._until[name] = Instant(now + BAD_HOST_SECONDS)

    def has(self, name: str, now: Instant) -> bool:
        """Whether a host is to be tried last."""
        return self._until.get(name, 0) > now


class Lanes:
    """All lanes of a worker, by key. What is idle and open is forgotten."""

    def __init__(self, most_connections: Callable[[], int]) -> None:
        self._most_connections = most_connections
        self._lanes: OrderedDict[str, Lane] = OrderedDict()

    def __len__(self) -> int:
        return len(self._lanes)

    def __iter__(self) -> Iterator[Lane]:
        return iter(tuple(self._lanes.values()))

    def lane(self, destination: Destination) -> Lane:
        """The lane of a destination, made when there is none."""
        lane = self._lanes.get(destination.key)
        if lane is None:
            lane = self._lanes[destination.key] = Lane(destination, self._most_connections())
        # The way to it may have changed: another password, another policy.
        lane.destination = destination
        return lane

    def find(self, key: str) -> Lane | None:
        """The lane of that key, if there is one."""
        return self._lanes.get(key)

    def tidy(self, lane: Lane) -> None:
        """Forget a lane that holds nothing worth remembering."""
        if lane.connections or lane.waiting:
            return
        if not lane.failures:
            self._lanes.pop(lane.destination.key, None)
        elif len(self._lanes) > MOST_CLOSED_LANES:
            # The one closed longest ago: it is tried once more than it had to be, if it ever comes again.
            for key, other in self._lanes.items():
                if not other.connections and not other.waiting:
                    del self._lanes[key]
                    break
