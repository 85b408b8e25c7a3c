"""Which commands are allowed when, and what may be said while one runs.

RFC: 9051 §3 (states), §6 (commands by state), §7.5.1 (when EXPUNGE may be sent).
Invariants: every Command is in the table, so a new command must say where it belongs.
Not here: what TLS or a login changes beyond the state (servers/imap).
"""

from enum import Enum
from typing import Final

from postino.imap.bad_command import BadCommand
from postino.imap.commands import (
    AppendHead,
    Authenticate,
    Capability,
    Check,
    Close,
    Command,
    Compress,
    Copy,
    Create,
    Delete,
    DeleteAcl,
    Enable,
    Expunge,
    Fetch,
    GetAcl,
    GetMetadata,
    GetQuota,
    GetQuotaRoot,
    Id,
    Idle,
    List,
    ListRights,
    Login,
    Logout,
    Lsub,
    Move,
    MyRights,
    Namespace,
    Noop,
    Rename,
    Search,
    Select,
    SetAcl,
    SetMetadata,
    SetQuota,
    Starttls,
    Status,
    Store,
    Subscribe,
    UidExpunge,
    Unauthenticate,
    Unselect,
    Unsubscribe,
)


class State(Enum):
    """Where a session is."""

    NOT_AUTHENTICATED = "not authenticated"
    AUTHENTICATED = "authenticated"
    SELECTED = "selected"
    LOGOUT = "logout"


_ANY: Final = frozenset({State.NOT_AUTHENTICATED, State.AUTHENTICATED, State.SELECTED})
_BEFORE_LOGIN: Final = frozenset({State.NOT_AUTHENTICATED})
_LOGGED_IN: Final = frozenset({State.AUTHENTICATED, State.SELECTED})
_SELECTED: Final = frozenset({State.SELECTED})

AnyCommand = Command | AppendHead

ALLOWED: Final[dict[type[AnyCommand], frozenset[State]]] = {
    Capability: _ANY,
    Noop: _ANY,
    Logout: _ANY,
    Id: _ANY,
    Starttls: _BEFORE_LOGIN,
    Authenticate: _BEFORE_LOGIN,
    Login: _BEFORE_LOGIN,
    Unauthenticate: _LOGGED_IN,
    Compress: _LOGGED_IN,
    Enable: _LOGGED_IN,
    Namespace: _LOGGED_IN,
    Idle: _LOGGED_IN,
    Select: _LOGGED_IN,
    Create: _LOGGED_IN,
    Delete: _LOGGED_IN,
    Rename: _LOGGED_IN,
    Subscribe: _LOGGED_IN,
    Unsubscribe: _LOGGED_IN,
    List: _LOGGED_IN,
    Lsub: _LOGGED_IN,
    Status: _LOGGED_IN,
    SetAcl: _LOGGED_IN,
    DeleteAcl: _LOGGED_IN,
    GetAcl: _LOGGED_IN,
    ListRights: _LOGGED_IN,
    MyRights: _LOGGED_IN,
    AppendHead: _LOGGED_IN,
    GetQuota: _LOGGED_IN,
    GetQuotaRoot: _LOGGED_IN,
    SetQuota: _LOGGED_IN,
    GetMetadata: _LOGGED_IN,
    SetMetadata: _LOGGED_IN,
    Check: _SELECTED,
    Close: _SELECTED,
    Unselect: _SELECTED,
    Expunge: _SELECTED,
    UidExpunge: _SELECTED,
    Fetch: _SELECTED,
    Store: _SELECTED,
    Search: _SELECTED,
    Copy: _SELECTED,
    Move: _SELECTED,
}
"""The states in which each command may be given."""


def require_state(command: AnyCommand, state: State) -> None:
    """Raise BadCommand, with the command's tag, when it is not allowed in `state`."""
    allowed = ALLOWED[type(command)]
    if state in allowed:
        return
    if state is State.NOT_AUTHENTICATED:
        reason = f"Log in before {command.name}"
    elif allowed is _BEFORE_LOGIN:
        reason = f"{command.name} is only possible before logging in"
    else:
        reason = f"SELECT a mailbox before {command.name}"
    raise BadCommand(reason, tag=command.tag)


def may_report_expunges(command: AnyCommand) -> bool:
    """Whether EXPUNGE may be sent while `command` runs (RFC 9051 §7.5.1).

    Not for FETCH, STORE and SEARCH by sequence number: the numbers in the answers, and in commands the
    client has already sent, would mean other messages.
    """
    match command:
        case Fetch(by_uid=by_uid) | Store(by_uid=by_uid) | Search(by_uid=by_uid):
            return by_uid
        case _:
            return True
