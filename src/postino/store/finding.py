"""What a check of the stored mail found.

Not here: the checks (store/verify.py, store/queue/verify_queue.py).
"""

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """DAMAGE contradicts a promise; LITTER only takes room."""

    DAMAGE = "damage"
    LITTER = "litter"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    severity: Severity
    account_id: int
    """0 when no account is concerned."""
    sentence: str

    def __str__(self) -> str:
        where = f"account {self.account_id}: " if self.account_id else ""
        return f"{self.severity.value}: {where}{self.sentence}"
