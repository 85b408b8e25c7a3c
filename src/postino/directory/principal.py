"""Who has proved to be somebody.

RFC: 4422 §2 (authentication identity).
"""

from dataclasses import dataclass

from postino.core.ids import AccountId


@dataclass(frozen=True, slots=True)
class Principal:
    """The account a session acts for; `login` in the directory's spelling (folded)."""

    account_id: AccountId
    login: str
    stamp: int = 0
    """Of the password at the time of the login; another one means that it was changed since."""
