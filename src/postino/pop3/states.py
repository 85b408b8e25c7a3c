"""Which POP3 command is allowed when.

RFC: 1939 §3 (the states), 2449 §5, 2595 §4, 5034 §4.
Not here: UPDATE as a state of its own: QUIT does all of it (servers/pop3.py).
"""

from enum import Enum
from typing import Final

from postino.core.errors import ProtocolViolation
from postino.pop3.commands import Auth, Capa, Command, Pass, Quit, Stls, User


class State(Enum):
    """Before and after logging in."""

    AUTHORIZATION = "AUTHORIZATION"
    TRANSACTION = "TRANSACTION"


_BEFORE_LOGIN: Final = frozenset({Capa, Stls, User, Pass, Auth, Quit})
_ONLY_BEFORE_LOGIN: Final = frozenset({Stls, User, Pass, Auth})


def require_allowed(state: State, command: Command) -> None:
    """Raises ProtocolViolation for a command that does not belong into this state."""
    kind = type(command)
    if state is State.AUTHORIZATION:
        if kind not in _BEFORE_LOGIN:
            raise ProtocolViolation("Log in first")
    elif kind in _ONLY_BEFORE_LOGIN:
        raise ProtocolViolation("You are logged in already")
