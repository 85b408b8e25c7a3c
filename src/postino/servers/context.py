"""What every session is given: the store, the rules, and whom to tell.

Not here: making these (app/wiring.py).
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from structlog.typing import FilteringBoundLogger

from postino.core.limits import Limits
from postino.core.ports import Bus, Clock
from postino.servers.account_sessions import AccountSessions
from postino.servers.imap.mailboxes.known_mailboxes import KnownMailboxes
from postino.servers.imap.messages.list_cache import ListCache
from postino.servers.imap.searching.key_cache import KeyCache
from postino.servers.imap.updates.state_cache import StateCache
from postino.servers.web.offer import Offer
from postino.sieve.budget import DEFAULT_BUDGET, Budget
from postino.store.scripts import ScriptLimits

if TYPE_CHECKING:
    from postino.delivery.accept import Delivery, Dispatcher
    from postino.delivery.filters.events import MailboxEvents
    from postino.delivery.filters.running import Filtering
    from postino.delivery.forwarding import Forwarding
    from postino.outbound.cut_through import CutThrough
    from postino.outbound.settings import OutboundSettings
    from postino.outbound.signing.signer import Signers
    from postino.servers.authentication import Authentication
    from postino.servers.metrics import Metrics
    from postino.store.content import Body
    from postino.store.store import Store


class Outbound(Protocol):
    """What sessions ask of the way out (outbound/service.py)."""

    @property
    def settings(self) -> "OutboundSettings":
        """As they are now."""
        ...

    @property
    def dispatcher(self) -> "Dispatcher":
        """This worker's."""
        ...

    @property
    def cut_through(self) -> "CutThrough":
        """Asks the next server while the sender waits."""
        ...

    @property
    def forwarding(self) -> "Forwarding":
        """What becomes of mail beyond its recipients' mailboxes."""
        ...

    async def signers_of(self, header: bytes, body: "Body", size: int) -> "Signers":
        """Whose DKIM signatures a received message bears; `size` is the body's."""
        ...


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
    """The current TLS context for users, which may ask for a client certificate; None when this server has no
    certificate (STARTTLS is then not offered).
    """
    relay_tls_context: Callable[[], ssl.SSLContext | None] | None = None
    """The one for other mail servers, which asks for none; None is the users'."""
    subaddress_separator: str = "+"
    local_senders: tuple[str, ...] = ()
    """Whom users of this machine may send as, USER:ADDRESS or USER:DOMAIN."""
    outbound: "Outbound | None" = None
    """The way to other servers; None where mail is not sent there."""
    filtering: "Filtering | None" = None
    """Runs accounts' scripts over mail; None where there are none."""
    offer: Offer | None = None
    """What the web service tells mail programs; None where there is none."""
    budget: Budget = DEFAULT_BUDGET
    """How much a Sieve script may do."""
    script_limits: ScriptLimits = field(default_factory=ScriptLimits)
    """How many an account may keep."""
    mailbox_events: "MailboxEvents | None" = None
    """Runs scripts on what happens in mailboxes; None where none do."""
    sessions: AccountSessions = field(default_factory=AccountSessions)
    list_cache: ListCache = field(default_factory=ListCache)
    key_cache: KeyCache = field(default_factory=KeyCache)
    state_cache: StateCache = field(default_factory=StateCache)
    known_mailboxes: KnownMailboxes = field(default_factory=KnownMailboxes)
