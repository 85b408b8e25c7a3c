"""Which command is allowed when.

RFC: 5804 §2 (what there is before a login), §2.1 (no second login), §2.2 (STARTTLS), §2.14.1.
Not here: carrying commands out (servers/managesieve/).
"""

from enum import Enum
from typing import Final

from postino.core.errors import ProtocolViolation
from postino.managesieve.commands import (
    Authenticate,
    Capability,
    Command,
    Logout,
    Noop,
    Starttls,
)


class State(Enum):
    """Before and after logging in."""

    NON_AUTHENTICATED = "non-authenticated"
    AUTHENTICATED = "authenticated"


_ANYWHERE: Final = frozenset({Capability, Logout, Noop})
_BEFORE_LOGIN: Final = frozenset({Authenticate, Starttls})


def require_allowed(state: State, command: Command) -> None:
    """Raises ProtocolViolation for a command that does not belong into this state."""
    kind = type(command)
    if kind in _ANYWHERE:
        return
    if state is State.NON_AUTHENTICATED:
        if kind not in _BEFORE_LOGIN:
            raise ProtocolViolation("Log in first, with AUTHENTICATE")
    elif kind in _BEFORE_LOGIN:
        raise ProtocolViolation("You are logged in already")
