"""Which commands are allowed when, and what may be said while one runs.

RFC: 9051 §3 (states), §6 (commands by state), §7.5.1 (when EXPUNGE may be sent),
    7162 §3.2.10.2 (VANISHED likewise), 9586 (UIDONLY).
Invariants: every Command is in the table, so a new command must say where it belongs.
Not here: what TLS or a login changes beyond the state (servers/imap).
"""

from enum import Enum
from typing import Final

from postino.imap.bad_command import BadCommand
from postino.imap.commands import (
    AnyHead,
    AppendHead,
    AppendUrls,
    Authenticate,
    CancelUpdate,
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
    Esearch,
    Expunge,
    Fetch,
    GetAcl,
    GetMetadata,
    GetQuota,
    GetQuotaRoot,
    Id,
    Idle,
    Language,
    List,
    ListRights,
    Login,
    Logout,
    Lsub,
    Move,
    MyRights,
    Namespace,
    Noop,
    Notify,
    Rename,
    ReplaceHead,
    Search,
    Select,
    SetAcl,
    SetMetadata,
    SetQuota,
    Sort,
    Starttls,
    Status,
    Store,
    Subscribe,
    Thread,
    UidExpunge,
    Unauthenticate,
    Unselect,
    Unsubscribe,
)
from postino.imap.responses.status import UID_REQUIRED
from postino.imap.search_key import uses_sequence_numbers


class State(Enum):
    """Where a session is."""

    # PERF: the hash of an enum's member is otherwise made by Python, twice a command.
    __hash__ = object.__hash__

    NOT_AUTHENTICATED = "not authenticated"
    AUTHENTICATED = "authenticated"
    SELECTED = "selected"
    LOGOUT = "logout"


_ANY: Final = frozenset({State.NOT_AUTHENTICATED, State.AUTHENTICATED, State.SELECTED})
_BEFORE_LOGIN: Final = frozenset({State.NOT_AUTHENTICATED})
_LOGGED_IN: Final = frozenset({State.AUTHENTICATED, State.SELECTED})
_SELECTED: Final = frozenset({State.SELECTED})

AnyCommand = Command | AnyHead

ALLOWED: Final[dict[type[AnyCommand], frozenset[State]]] = {
    Capability: _ANY,
    Noop: _ANY,
    Logout: _ANY,
    Id: _ANY,
    Language: _ANY,
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
    AppendUrls: _LOGGED_IN,
    GetQuota: _LOGGED_IN,
    GetQuotaRoot: _LOGGED_IN,
    SetQuota: _LOGGED_IN,
    GetMetadata: _LOGGED_IN,
    SetMetadata: _LOGGED_IN,
    Notify: _LOGGED_IN,
    Check: _SELECTED,
    Close: _SELECTED,
    Unselect: _SELECTED,
    Expunge: _SELECTED,
    UidExpunge: _SELECTED,
    Fetch: _SELECTED,
    Store: _SELECTED,
    Search: _SELECTED,
    Sort: _SELECTED,
    Thread: _SELECTED,
    Esearch: _LOGGED_IN,
    CancelUpdate: _SELECTED,
    Copy: _SELECTED,
    Move: _SELECTED,
    ReplaceHead: _SELECTED,
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


def require_uids(command: AnyCommand) -> None:
    """Raise BadCommand when the command names messages by sequence number, after ENABLE UIDONLY.

    RFC: 9586. `$` is no number, and neither is an EXPUNGE that names none.
    """
    if not getattr(command, "by_uid", True):
        reason = f"Only UIDs name messages now: use UID {command.name}"
        raise BadCommand(reason, tag=command.tag, code=UID_REQUIRED)
    key = getattr(command, "key", None)
    if key is not None and uses_sequence_numbers(key):
        raise BadCommand("Only UIDs name messages now: use the key UID", tag=command.tag, code=UID_REQUIRED)
    if isinstance(command, Select) and command.qresync is not None and command.qresync.seq_match is not None:
        raise BadCommand(
            "Only UIDs name messages now: leave out QRESYNC's message numbers",
            tag=command.tag,
            code=UID_REQUIRED,
        )


def may_report_expunges(command: AnyCommand) -> bool:
    """Whether EXPUNGE may be sent while `command` runs (RFC 9051 §7.5.1).

    Not for FETCH, STORE, SEARCH, SORT and THREAD by sequence number: the numbers in the answers, and in
    commands the client has already sent, would mean other messages.
    """
    match command:
        case Fetch(by_uid=by_uid) | Store(by_uid=by_uid):
            return by_uid
        case Search(by_uid=by_uid, key=key) | Sort(by_uid=by_uid, key=key) | Thread(by_uid=by_uid, key=key):
            return by_uid and not uses_sequence_numbers(key)
        case Esearch(key=key):
            return not uses_sequence_numbers(key)
        case _:
            return True
