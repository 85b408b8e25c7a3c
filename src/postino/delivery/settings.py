"""The `[delivery]` and `[sieve]` tables of the settings: what becomes of mail that arrives.

Not here: reading the file (app/settings_file.py).
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from postino.core.limits import Count, Octets, Seconds, about
from postino.sieve.budget import Budget
from postino.store.scripts import ScriptLimits


class DeliverySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Mail that arrives for accounts here."""

    junk_fields: Annotated[
        tuple[str, ...],
        Meta(
            description="Header fields by which a scanner in front of this server marks junk, name and "
            "beginning of the value: such mail goes to Junk instead of INBOX, and is not forwarded.",
            extra={"example": ["X-Spam-Flag: YES"]},
        ),
    ] = ("X-Spam-Flag: YES", "X-Spam: Yes", "X-Spam-Status: Yes")


class SieveSettings(Budget, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sieve scripts: how many there may be, how much one may do, and what is remembered of them."""

    scripts: Annotated[Count, about("Most Sieve scripts of one account.")] = 100
    total_octets: Annotated[
        Octets, about("Most that all Sieve scripts of one account take; no quota counts them.")
    ] = 8 * 1024 * 1024
    cache_octets: Annotated[
        Octets,
        about(
            "Memory in which a worker keeps compiled Sieve scripts. One that files into a mailbox takes some "
            "8 KiB, one of a hundred rules 800 KiB."
        ),
    ] = 64 * 1024 * 1024
    seen_seconds: Annotated[
        Seconds,
        about("Longest time for which the duplicate test remembers an id (Pigeonhole: 7 days)."),
    ] = 7 * 86_400.0
    daily_sent: Annotated[
        Count,
        about(
            "Recipients a day to whom the scripts of one account send: redirect, notify, vacation, report."
        ),
    ] = 2000
    trace_seconds: Annotated[
        Seconds, about("How long `postino trace` can tell why a message is where it is.")
    ] = 21 * 86_400.0

    @property
    def script_limits(self) -> ScriptLimits:
        """How much an account may keep."""
        return ScriptLimits(self.script_octets, self.scripts, self.total_octets)
