"""STORE and UID STORE: change flags.

RFC: 9051 §6.4.6 and §6.4.9, 7162 §3.1.3 (UNCHANGEDSINCE).
"""

from dataclasses import dataclass
from enum import Enum

from postino.core.flags import FlagSet
from postino.imap.numbers import Numbers


class FlagMode(Enum):
    """What happens with the flags given."""

    SET = "set"
    ADD = "add"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Store:
    """`flags` never holds Recent; a client that names it is answered as if it had not."""

    tag: bytes
    numbers: Numbers
    by_uid: bool
    mode: FlagMode
    silent: bool
    flags: FlagSet
    unchanged_since: int | None = None

    @property
    def name(self) -> str:
        """The command's name, for metrics."""
        return "UID STORE" if self.by_uid else "STORE"
