"""What every session is given: the store, the rules, and whom to tell.

Not here: making these (app/wiring.py).
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from structlog.typing import FilteringBoundLogger

from postino.core.limits import Limits
from postino.core.ports import Bus, Clock
from postino.servers.imap.list_cache import ListCache

if TYPE_CHECKING:
    from postino.delivery.accept import Delivery
    from postino.servers.authentication import Authentication
    from postino.servers.metrics import Metrics
    from postino.store.store import Store


@dataclass(slots=True)
class ServerContext:
    """One for each worker, shared by its sessions. `limits` and `tls_context` may change at SIGHUP."""

    hostname: str
    """The name this server gives itself: SMTP greeting, Received, APOP-like stamps."""
    limits: Limits
    store: "Store"
    delivery: "Delivery"
    authentication: "Authentication"
    bus: Bus
    clock: Clock
    log: FilteringBoundLogger
    metrics: "Metrics"
    tls_context: Callable[[], ssl.SSLContext | None]
    """The current TLS context; None when this server has no certificate (STARTTLS is then not offered)."""
    subaddress_separator: str = "+"
    list_cache: ListCache = field(default_factory=ListCache)
