"""Put together what runs scripts on what happens in mailboxes.

RFC: 6785.
Not here: what it does (delivery/filters/events.py), the scripts' cache, which delivery shares (wiring.py).
"""

from typing import TYPE_CHECKING

from postino.core.ids import AccountId
from postino.delivery.filters.event_actions import EventActions
from postino.delivery.filters.event_mail import EventMail
from postino.delivery.filters.events import MailboxEvents
from postino.delivery.filters.surroundings import StoreSurroundings

if TYPE_CHECKING:
    from postino.delivery.filters.scripts import Scripts
    from postino.servers.context import ServerContext


def build_mailbox_events(context: "ServerContext", scripts: "Scripts") -> MailboxEvents:
    """One for each worker; settings are asked for when they are needed, for they may change."""
    store = context.store

    def around(account_id: AccountId, login: str) -> StoreSurroundings:
        return StoreSurroundings(store, scripts, account_id, login)

    def lifetime_seconds() -> int | None:
        outbound = context.outbound
        return None if outbound is None else int(outbound.settings.lifetime_seconds)

    mail = EventMail(
        context.delivery,
        separator=lambda: context.subaddress_separator,
        lifetime_seconds=lifetime_seconds,
        log=context.log,
    )
    return MailboxEvents(
        store=store,
        scripts=scripts,
        around=around,
        doer=EventActions(
            store=store, limits=lambda: context.limits, clock=context.clock, log=context.log, mail=mail
        ),
        hostname=context.hostname,
        separator=lambda: context.subaddress_separator,
        budget=lambda: context.budget,
        clock=context.clock,
        log=context.log,
    )
