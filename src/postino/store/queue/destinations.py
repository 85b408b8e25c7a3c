"""What the operator decided about a destination: paused, or sent another way.

Invariants: while a destination is paused, no recipient of it is waiting: each is parked (or held); a row goes
    with its last decision.
Not here: settings' routes (outbound/targeting/routes.py), how busy a destination is
    (outbound/dispatch/destinations.py).
"""

from dataclasses import dataclass
from typing import Final

from postino.core.ids import Instant
from postino.store.queue.enqueue import note_queue_change
from postino.store.tx import Tx

BY_MX: Final = "mx"
"""A route to the domain's own mail exchangers, whatever the settings say."""
AT_ONCE: Final = Instant(0)
"""As next_at: now, even if the destination is let alone for a while (outbound/dispatch/dispatcher.py)."""
_RELEASE: Final = "(SELECT m.release_at FROM queue_message m WHERE m.id=queue_recipient.queue_id)"
GO_AT: Final = f"CASE WHEN lease<>'' THEN next_at WHEN {_RELEASE}>? THEN {_RELEASE} ELSE ? END"
"""For SET next_at (parameters: now, AT_ONCE): at once, but what is to be sent later not before its time."""


@dataclass(frozen=True, slots=True)
class DestinationRow:
    """The operator's word on one domain."""

    domain: str
    paused_at: Instant
    """0: not paused."""
    reason: str
    route: str
    """HOST:PORT its mail goes to instead of where it would, or BY_MX; empty for none."""
    routed_at: Instant


def list_destinations(tx: Tx) -> list[DestinationRow]:
    """Every domain about which something was decided."""
    return [
        DestinationRow(*row)
        for row in tx.all(
            "SELECT domain, paused_at, reason, route, routed_at FROM queue_destination ORDER BY domain"
        )
    ]


def operator_routes(tx: Tx) -> dict[str, str]:
    """HOST:PORT by domain, for the domains that go another way; empty for their own mail exchangers."""
    rows = tx.all("SELECT domain, route FROM queue_destination WHERE route<>''")
    return {domain: "" if route == BY_MX else route for domain, route in rows}


def paused_domains(tx: Tx) -> set[str]:
    """The domains nothing is sent to now."""
    return {domain for (domain,) in tx.all("SELECT domain FROM queue_destination WHERE paused_at<>0")}


def pause(tx: Tx, domain: str, reason: str, now: Instant) -> int:
    """Send nothing to a domain from now on; how many recipients are parked.

    What is being sent this very moment may still arrive.
    """
    tx.run(
        "INSERT INTO queue_destination (domain, paused_at, reason) VALUES (?, ?, ?)"
        " ON CONFLICT (domain) DO UPDATE SET paused_at=excluded.paused_at, reason=excluded.reason",
        (domain, now, reason),
    )
    tx.run(
        "UPDATE queue_recipient SET state=2, notice_at=CASE WHEN notice_at=0 THEN ? ELSE notice_at END"
        " WHERE domain=? AND state=0",
        (now, domain),
    )
    note_queue_change(tx)
    row = tx.one("SELECT count(*) FROM queue_recipient WHERE domain=? AND state=2", (domain,))
    return row[0] if row else 0


def resume(tx: Tx, domain: str, now: Instant) -> int | None:
    """Send to a domain again, what is parked at once; how many that are, None when it was not paused."""
    if not tx.run(
        "UPDATE queue_destination SET paused_at=0, reason='' WHERE domain=? AND paused_at<>0", (domain,)
    ):
        return None
    _forget_if_empty(tx, domain)
    resumed = tx.run(
        f"UPDATE queue_recipient SET state=0, next_at={GO_AT} WHERE domain=? AND state=2",
        (now, AT_ONCE, domain),
    )
    note_queue_change(tx)
    return resumed


def reroute(tx: Tx, domain: str, route: str, now: Instant) -> int:
    """Send a domain's mail to `route` (HOST:PORT) from now on, what waits at once; how many that are."""
    tx.run(
        "INSERT INTO queue_destination (domain, route, routed_at) VALUES (?, ?, ?)"
        " ON CONFLICT (domain) DO UPDATE SET route=excluded.route, routed_at=excluded.routed_at",
        (domain, route, now),
    )
    return _try_all(tx, domain, now)


def end_reroute(tx: Tx, domain: str, now: Instant) -> int | None:
    """Send a domain's mail where it would go without reroute(); None when it was not rerouted."""
    if not tx.run(
        "UPDATE queue_destination SET route='', routed_at=0 WHERE domain=? AND route<>''", (domain,)
    ):
        return None
    _forget_if_empty(tx, domain)
    return _try_all(tx, domain, now)


def _try_all(tx: Tx, domain: str, now: Instant) -> int:
    note_queue_change(tx)
    return tx.run(
        f"UPDATE queue_recipient SET next_at={GO_AT} WHERE domain=? AND state=0", (now, AT_ONCE, domain)
    )


def _forget_if_empty(tx: Tx, domain: str) -> None:
    tx.run("DELETE FROM queue_destination WHERE domain=? AND paused_at=0 AND route=''", (domain,))
