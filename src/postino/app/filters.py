"""Put together what runs accounts' scripts over mail: the cache of scripts and what they may look up.

Not here: the parts (delivery/filters/running.py, scripts.py, surroundings.py).
"""

from typing import TYPE_CHECKING

from postino.delivery.filters.running import Filtering
from postino.delivery.filters.scripts import Scripts
from postino.delivery.filters.surroundings import StoreSurroundings
from postino.store.addresses import addresses_of

if TYPE_CHECKING:
    from postino.delivery.settings import SieveSettings
    from postino.servers.context import ServerContext


def build_filtering(settings: "SieveSettings", context: "ServerContext") -> Filtering:
    """For one worker."""
    store = context.store
    scripts = Scripts(store, settings=settings, log=context.log, metrics=context.metrics, bus=context.bus)
    filtering = Filtering(
        store,
        scripts,
        lambda account_id, login: StoreSurroundings(store, scripts, account_id, login),
        addresses=addresses_of,
        budget=lambda: scripts.settings,
        separator=lambda: context.subaddress_separator,
        hostname=context.hostname,
        log=context.log,
    )
    change_filtering(settings, context, filtering)
    return filtering


def change_filtering(settings: "SieveSettings", context: "ServerContext", filtering: Filtering) -> None:
    """Make new settings hold for the next message."""
    filtering.scripts.settings = settings
    context.delivery.seen_seconds = int(settings.seen_seconds)
    context.delivery.scripts_daily = settings.daily_sent
