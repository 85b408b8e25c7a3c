"""The way out as sessions see it, with a dispatcher that only keeps what it is given."""

from postino.core.limits import Limits
from postino.delivery.accept import Delivery
from postino.delivery.forwarding import Forwarding
from postino.delivery.reports import ReportRules, ReportWriter
from postino.outbound.settings import OutboundSettings
from postino.outbound.signing.signer import Signers
from postino.store.content import Body
from postino.store.queue.values import LeaseToken, Octets, QueuedMessage


class KeepingDispatcher:
    """Takes messages while it `has_room`, and sends none."""

    lease_seconds = 600

    def __init__(self) -> None:
        self.token = LeaseToken("0.test")
        self.has_room = False
        self.taken: list[tuple[QueuedMessage, Octets]] = []

    def may_take(self) -> bool:
        return self.has_room

    def take(self, message: QueuedMessage, octets: Octets) -> None:
        self.taken.append((message, octets))


class AsksNobody:
    """A cut-through that has nobody to ask: everything is queued."""

    async def ask(self, *_: object, **__: object) -> None:
        return None


class FakeOutbound:
    """context.outbound for a test; `settings` may be changed."""

    def __init__(self, delivery: Delivery, hostname: str, limits: Limits) -> None:
        self.settings = OutboundSettings()
        self.dispatcher = KeepingDispatcher()
        self.cut_through = AsksNobody()
        writer = ReportWriter(
            resolve=lambda address: delivery.recipients.resolve(address, "+", hostname),
            rules=lambda: ReportRules(hostname, self.settings.returned_octets, 172_800),
            limits=lambda: limits,
        )
        self.forwarding = Forwarding(delivery.store, writer, lambda: self.settings.lifetime_seconds)

    async def signers_of(self, header: bytes, body: Body, size: int) -> Signers:
        """No signature is any good."""
        return Signers(frozenset(), False)
