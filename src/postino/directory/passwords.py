"""What may be an account's password when an operator or its owner sets one.

RFC: none; lengths after NIST SP 800-63B §5.1.1.2.
Not here: hashing (credentials.py).
"""

import unicodedata
from typing import Final

from postino.core.errors import PostinoError
from postino.sasl.exchange import MAX_PASSWORD_OCTETS

MIN_CHARACTERS: Final = 8


class UnusablePassword(PostinoError):
    """What cannot or should not be a password; the sentence says why."""


def require_usable(password: str) -> None:
    """Refuse what some mail program could not send. Raises UnusablePassword."""
    if not password:
        raise UnusablePassword("The password is empty; choose one")
    if len(password.encode()) > MAX_PASSWORD_OCTETS:
        raise UnusablePassword(f"A password has at most {MAX_PASSWORD_OCTETS} octets; choose a shorter one")
    if any(unicodedata.category(character) == "Cc" for character in password):
        raise UnusablePassword("A password cannot contain control characters; leave them out")


def require_strong(password: str, login: str) -> None:
    """Refuse what is guessed at once, too. Raises UnusablePassword."""
    require_usable(password)
    if len(password) < MIN_CHARACTERS:
        raise UnusablePassword(f"A password needs at least {MIN_CHARACTERS} characters; choose a longer one")
    folded = password.casefold()
    if folded in {login.casefold(), login.partition("@")[0].casefold()} or len(set(folded)) < 3:
        raise UnusablePassword("This password is guessed at once; choose another")
