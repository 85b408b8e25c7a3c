"""STATUS: a mailbox's counters without selecting it; also for LIST with RETURN (STATUS ...).

RFC: 9051 §6.3.11, 7162 §3.1.7 (HIGHESTMODSEQ), 8438 (SIZE), 9208 §4.1.4 (DELETED, DELETED-STORAGE),
    8474 §4.3 (MAILBOXID), 7889 §3.1 (APPENDLIMIT), 3501 §6.3.10 (RECENT).
"""

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from postino.core.rights import Rights
from postino.imap.commands import Status
from postino.imap.mailbox_name import encode_mailbox
from postino.imap.object_id import mailbox_object_id
from postino.servers.imap.completion import Completion, ok
from postino.servers.imap.general import enable_condstore
from postino.store.access import Reached, reach_mailbox
from postino.store.quota import deleted_octets
from postino.store.tx import Tx

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession


StatusForm = Callable[[Tx | None, bytes, Reached], bytes]
"""One STATUS response, from the mailbox's name as the client spells it; only DELETED-STORAGE needs a Tx."""
_COUNTED: Final = ok("These are the counters")


async def run_status(session: "ImapSession", command: Status) -> Completion:
    """Tell the counters."""
    if "HIGHESTMODSEQ" in command.items:
        enable_condstore(session)
    utf8, form = session.options.utf8, status_form(command.items, session.limits.message_octets)
    context = session.context
    store = context.store
    if "DELETED-STORAGE" not in command.items:
        reached = context.known_mailboxes.reach(store, session.account_id, command.mailbox, store.mark())
        session.say(form(None, encode_mailbox(reached.name, utf8), reached))
        return _COUNTED

    def run(tx: Tx) -> bytes:
        reached = reach_mailbox(tx, session.account_id, command.mailbox, Rights.READ)
        return form(tx, encode_mailbox(reached.name, utf8), reached)

    session.say(store.read_now(run))
    return _COUNTED


@lru_cache(maxsize=64)
def status_form(items: tuple[str, ...], append_limit: int) -> StatusForm:
    """How a STATUS response with these items is made; of a mailbox that may not be read there is none.

    `append_limit` is the largest message taken, which is the same everywhere (RFC 7889 §3.1).

    PERF: compiled, for LIST asks for a hundred of the same (bench: imap LIST-STATUS).
    """
    fields = " ".join(_template(item, append_limit) for item in items)
    template = f"* STATUS %b ({fields})\r\n".encode("ascii")
    getters = [_getter(item) for item in items if item not in _CONSTANT]
    columns = [_COLUMNS[item] for item in items if item in _COLUMNS]
    if len(columns) == len(getters) > 1:
        get = attrgetter(*columns)

        def plain(_: Tx | None, name: bytes, reached: Reached) -> bytes:
            return template % (name, *get(reached.mailbox)) if reached.may_read else b""

        return plain

    def form(tx: Tx | None, name: bytes, reached: Reached) -> bytes:
        if not reached.may_read:
            return b""
        return template % (name, *[get_value(tx, reached) for get_value in getters])

    return form


def _template(item: str, append_limit: int) -> str:
    match item:
        case "RECENT":
            # Nothing is ever recent here.
            return "RECENT 0"
        case "APPENDLIMIT":
            return f"APPENDLIMIT {append_limit}"
        case "MAILBOXID":
            return "MAILBOXID (%b)"
        case _:
            return f"{item} %d"


def _getter(item: str) -> Callable[[Tx | None, Reached], object]:
    if item == "MAILBOXID":
        return lambda _, reached: mailbox_object_id(reached.account_id, reached.mailbox.id).encode("ascii")
    if item == "DELETED-STORAGE":
        return _deleted_storage
    column = _COLUMNS[item]
    return lambda _, reached: getattr(reached.mailbox, column)


def _deleted_storage(tx: Tx | None, reached: Reached) -> int:
    assert tx is not None
    mailbox = reached.mailbox
    return deleted_octets(tx, reached.account_id, mailbox.id) if mailbox.deleted else 0


_CONSTANT: Final = frozenset({"RECENT", "APPENDLIMIT"})
_COLUMNS: Final = {
    "MESSAGES": "messages",
    "UIDNEXT": "uid_next",
    "UIDVALIDITY": "uid_validity",
    "UNSEEN": "unseen",
    "DELETED": "deleted",
    "SIZE": "octets",
    "HIGHESTMODSEQ": "highest_mod_seq",
}
