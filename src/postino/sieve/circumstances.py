"""What a script may ask about beyond the message: the envelope, the time, the account and its mailboxes.

RFC: 5228 §5.4 (envelope), 5183 (environment), 5490 (mailboxes, annotations), 8579 (special use), 9042
    (mailbox ids), 6134 (lists), 6609 (other scripts), 7352 (what was seen before), 5235 (scores).
Invariants: nothing here changes while a script runs.
Not here: asking the store (delivery/).
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

if TYPE_CHECKING:
    from postino.sieve.script import Script

NO_ENVIRONMENT: Final[Mapping[str, str]] = {}

ZoneMinutes = int | Callable[[float], int]
"""How far local time is east of UTC: always, or at a moment (since 1970) where summer time changes it."""


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one delivery."""

    envelope_from: str = ""
    """Empty: the null reverse-path."""
    envelope_to: str = ""
    envelope_auth: str = ""
    """Who logged in to send it; empty for mail from elsewhere."""
    notify: str = ""
    """The recipient's NOTIFY, `SUCCESS,DELAY`; empty when not given (RFC 6009 §3, envelope-dsn)."""
    original_recipient: str = ""
    ret: str = ""
    envid: str = ""
    by_time: int | None = None
    """Seconds until BY's time (envelope-deliverby)."""
    by_mode: str = ""
    by_trace: bool = False
    now: float = 0.0
    """Seconds since 1970."""
    zone_minutes: ZoneMinutes = 0
    """What `date` means by local time."""
    addresses: tuple[str, ...] = ()
    """Every address of the account's, for vacation."""
    environment: Mapping[str, str] = NO_ENVIRONMENT
    """Items of RFC 5183 and `imap.*`, `vnd.postino.direction` (`incoming`, `outgoing`)."""
    spam_percent: float | None = None
    """0 to 100; None: nobody looked."""
    virus_value: int | None = None
    """0 to 5 (RFC 5235 §3.1); None: nobody looked."""
    separator: str = "+"
    """Between user and detail (RFC 5233)."""
    flags: tuple[str, ...] = ()
    """What the message has already, in a mailbox (RFC 6785 §3.8); scripts begin with these."""

    def local_minutes(self, seconds: float) -> int:
        """Minutes east of UTC of the local time at that moment."""
        zone = self.zone_minutes
        return zone if isinstance(zone, int) else zone(seconds)


class Surroundings(Protocol):
    """What is looked up while a script runs; each call is a short read of the store."""

    def mailbox_exists(self, name: str) -> bool:
        """Whether mail can be filed there."""
        ...

    def mailbox_of_id(self, mailbox_id: str) -> str | None:
        """The name of the mailbox with this MAILBOXID."""
        ...

    def special_use_mailbox(self, use: str) -> str | None:
        """The mailbox of a use, such as Junk with its backslash, in any case."""
        ...

    def special_uses(self, mailbox: str) -> tuple[str, ...]:
        """The uses of a mailbox."""
        ...

    def metadata(self, mailbox: str | None, annotation: str) -> str | None:
        """An annotation's value; of the server for None."""
        ...

    def has_list(self, name: str) -> bool:
        """Whether there is such an external list (RFC 6134 §2.6)."""
        ...

    def in_list(self, name: str, value: str) -> bool:
        """Whether the list has the value."""
        ...

    def list_members(self, name: str) -> tuple[str, ...]:
        """Everybody of a list of addresses, for redirect :list."""
        ...

    def was_seen(self, handle: str, unique_id: str, now: float) -> bool:
        """Whether the account saw this id, and that did not lapse."""
        ...

    def script(self, name: str, *, is_global: bool) -> "Script | None":
        """Another script, for include."""
        ...


class NoSurroundings:
    """Nothing to look up: what the Python API uses unless it is given something."""

    def mailbox_exists(self, name: str) -> bool:
        """Only INBOX."""
        return name.upper() == "INBOX"

    def mailbox_of_id(self, mailbox_id: str) -> str | None:
        """None."""
        return None

    def special_use_mailbox(self, use: str) -> str | None:
        """None."""
        return None

    def special_uses(self, mailbox: str) -> tuple[str, ...]:
        """None."""
        return ()

    def metadata(self, mailbox: str | None, annotation: str) -> str | None:
        """None."""
        return None

    def has_list(self, name: str) -> bool:
        """No."""
        return False

    def in_list(self, name: str, value: str) -> bool:
        """No."""
        return False

    def list_members(self, name: str) -> tuple[str, ...]:
        """Nobody."""
        return ()

    def was_seen(self, handle: str, unique_id: str, now: float) -> bool:
        """No."""
        return False

    def script(self, name: str, *, is_global: bool) -> "Script | None":
        """None."""
        return None


NO_SURROUNDINGS: Final = NoSurroundings()
