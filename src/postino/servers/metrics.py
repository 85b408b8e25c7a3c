"""Count what happens, and show it the way Prometheus reads it.

Counting is a dictionary addition, for it stands in the path of every command; the Prometheus library
is imported when somebody asks for the page, for it costs a worker 15 MB.
Invariants: names and label sets are the closed lists below, so no client can make the page grow.
Not here: the page's port and putting the workers' counts together (app/metrics_page.py).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from prometheus_client.core import Metric

Labels = tuple[str, ...]

COUNTERS: Final[dict[str, tuple[str, Labels]]] = {
    "postino_connections": ("Connections accepted.", ("protocol",)),
    "postino_connections_refused": ("Connections turned away before a session.", ("protocol", "reason")),
    "postino_tls_failures": ("Handshakes that did not succeed.", ("protocol",)),
    "postino_logins": ("Attempts to log in.", ("protocol", "result")),
    "postino_commands": ("Commands carried out.", ("protocol", "command")),
    "postino_messages_accepted": ("Messages taken in, each once however many recipients.", ()),
    "postino_message_recipients": ("Recipients of messages taken in.", ()),
    "postino_message_octets": ("Octets of messages taken in.", ()),
    "postino_messages_refused": ("Messages or recipients refused.", ("reason",)),
    "postino_recipients_attempted": ("Attempts to send to a recipient elsewhere.", ("result",)),
    "postino_recipients_sent_seconds": ("Time recipients sent to had spent in the queue, in all.", ()),
    "postino_script_lookups": ("Sieve scripts of accounts asked for: kept compiled, or not.", ("result",)),
    "postino_session_faults": ("Sessions ended by a fault of the server.", ("protocol",)),
}
GAUGES: Final[dict[str, tuple[str, Labels]]] = {
    "postino_sessions": ("Sessions open now.", ("protocol",)),
    "postino_outbound_connections": ("Connections to other servers, open or being opened.", ()),
    "postino_outbound_destinations": ("Destinations with connections, waiting mail or trouble.", ()),
    "postino_outbound_messages": ("Messages taken from the queue to be sent now.", ()),
    "postino_queue_recipients": ("Recipients that wait in the queue, counted once a minute.", ()),
    "postino_script_cache_octets": ("Memory compiled Sieve scripts take.", ()),
    "postino_workers": ("Workers that answered.", ()),
}
SIZE_BUCKETS: Final = (4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864)
MOST_LABEL_SETS: Final = 1_000


class Snapshot(msgspec.Struct, array_like=True):
    """One worker's counts, as they travel to the worker that shows the page."""

    counters: list[tuple[str, list[str], float]]
    gauges: list[tuple[str, list[str], float]]
    sizes: list[int]


@dataclass(slots=True)
class Metrics:
    """The counts of one worker."""

    counters: dict[tuple[str, Labels], float] = field(default_factory=dict)
    gauges: dict[tuple[str, Labels], float] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=lambda: [0] * (len(SIZE_BUCKETS) + 1))

    def connection_opened(self, protocol: str) -> None:
        """A session begins."""
        self._count("postino_connections", protocol)
        key = ("postino_sessions", (protocol,))
        self.gauges[key] = self.gauges.get(key, 0) + 1

    def connection_closed(self, protocol: str) -> None:
        """A session ended."""
        key = ("postino_sessions", (protocol,))
        self.gauges[key] = self.gauges.get(key, 0) - 1

    def connection_refused(self, protocol: str, reason: str) -> None:
        """A client was turned away."""
        self._count("postino_connections_refused", protocol, reason)

    def tls_failed(self, protocol: str) -> None:
        """A handshake did not succeed."""
        self._count("postino_tls_failures", protocol)

    def session_fault(self, protocol: str) -> None:
        """A session ended by an exception."""
        self._count("postino_session_faults", protocol)

    def login(self, protocol: str, ok: bool) -> None:
        """Somebody tried to log in."""
        self._count("postino_logins", protocol, "ok" if ok else "failed")

    def command(self, protocol: str, name: str) -> None:
        """A command was carried out; `name` is one the protocol defines, never what a client made up."""
        self._count("postino_commands", protocol, name)

    def message_accepted(self, octets: int, recipients: int) -> None:
        """A message is in the store."""
        self._count("postino_messages_accepted")
        self._add("postino_message_recipients", recipients)
        self._add("postino_message_octets", octets)
        for position, bound in enumerate(SIZE_BUCKETS):
            if octets <= bound:
                self.sizes[position] += 1
                return
        self.sizes[-1] += 1

    def message_refused(self, reason: str) -> None:
        """A message or a recipient was refused."""
        self._count("postino_messages_refused", reason)

    def script_found(self, how: str) -> None:
        """Scripts of an account were asked for: `hit`, or `miss` when the store was."""
        self._count("postino_script_lookups", how)

    def scripts_kept(self, octets: int) -> None:
        """How much memory compiled scripts take."""
        self.gauges["postino_script_cache_octets", ()] = octets

    def recipient_settled(self, result: str, seconds: int) -> None:
        """An attempt for a recipient elsewhere ended so, that long after its message entered the queue."""
        self._count("postino_recipients_attempted", result)
        if result in ("sent", "relayed"):
            self._add("postino_recipients_sent_seconds", seconds)

    def outbound_gauges(self, connections: int, destinations: int, messages: int) -> None:
        """What is under way to other servers."""
        gauges = self.gauges
        gauges["postino_outbound_connections", ()] = connections
        gauges["postino_outbound_destinations", ()] = destinations
        gauges["postino_outbound_messages", ()] = messages

    def queue_measured(self, recipients: int) -> None:
        """How many recipients wait in the whole queue; told by one worker only."""
        self.gauges["postino_queue_recipients", ()] = recipients

    def snapshot(self) -> Snapshot:
        """The counts now."""
        return Snapshot(
            [(name, list(labels), value) for (name, labels), value in self.counters.items()],
            [(name, list(labels), value) for (name, labels), value in self.gauges.items()],
            list(self.sizes),
        )

    def _count(self, name: str, *labels: str) -> None:
        counters = self.counters
        key = (name, labels)
        found = counters.get(key)
        if found is not None:
            counters[key] = found + 1
        elif len(counters) < MOST_LABEL_SETS:
            counters[key] = 1

    def _add(self, name: str, amount: int) -> None:
        key: tuple[str, Labels] = (name, ())
        self.counters[key] = self.counters.get(key, 0) + amount


def merge(snapshots: Iterable[Snapshot]) -> Metrics:
    """Add up the workers' counts."""
    whole = Metrics()
    workers = 0
    for snapshot in snapshots:
        workers += 1
        for mine, theirs in ((whole.counters, snapshot.counters), (whole.gauges, snapshot.gauges)):
            for name, labels, value in theirs:
                key = (name, tuple(labels))
                mine[key] = mine.get(key, 0) + value
        whole.sizes = [a + b for a, b in zip(whole.sizes, snapshot.sizes, strict=True)]
    whole.gauges["postino_workers", ()] = workers
    return whole


def render_page(metrics: Metrics) -> bytes:
    """The text page Prometheus reads."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(metrics))
    return generate_latest(registry)


class _Collector:
    """What the Prometheus library asks for the families to print."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> "Iterable[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        yield from _families(CounterMetricFamily, COUNTERS, self._metrics.counters)
        yield from _families(GaugeMetricFamily, GAUGES, self._metrics.gauges)
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, number in zip([*map(str, SIZE_BUCKETS), "+Inf"], self._metrics.sizes, strict=True):
            total += number
            buckets.append((bound, total))
        octets = self._metrics.counters.get(("postino_message_octets", ()), 0.0)
        yield HistogramMetricFamily(
            "postino_message_size_octets", "Sizes of messages taken in.", buckets=buckets, sum_value=octets
        )


def _families(
    kind: Any, table: Mapping[str, tuple[str, Labels]], values: Mapping[tuple[str, Labels], float]
) -> "Iterable[Metric]":
    for name, (meaning, label_names) in table.items():
        family = kind(name, meaning, labels=label_names)
        if not label_names:
            family.add_metric([], values.get((name, ()), 0))
        else:
            for (found, labels), value in sorted(values.items()):
                if found == name:
                    family.add_metric(labels, value)
        yield family
