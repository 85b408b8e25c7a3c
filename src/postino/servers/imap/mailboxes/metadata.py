"""GETMETADATA and SETMETADATA.

RFC: 5464 §3.3 (who may), §4.2, §4.3; 6154 §4 (/private/specialuse); 9590 (LIST with METADATA); 6785 §2.3.1
    (/shared/imapsieve/script).
Exposure: values are opaque octets; they are bounded in size and number, and never looked into.
Invariants: SETMETADATA does all of what it was asked, or nothing.
DEVIATION: RFC 5464 §3.3 lets whoever may read a mailbox also set its shared annotations. A mailbox that
    all may read would be anybody's to write on: in another's mailbox that takes the right w too.
Not here: what is kept and how (store/annotations.py), telling other sessions (notifier.py).
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from postino.core.ids import NAMES
from postino.core.ports import MailboxChange
from postino.core.rights import NO_RIGHTS, Rights
from postino.delivery.filters.events import ENTRY as IMAPSIEVE
from postino.imap.commands import GetMetadata, SetMetadata
from postino.imap.commands.create import special_use
from postino.imap.responses import status
from postino.imap.responses.metadata import TOO_MANY, long_entries, max_size, metadata_response
from postino.servers.imap.completion import Completion, no, ok
from postino.store.access import Reached, reach_mailbox
from postino.store.accounts import is_admin
from postino.store.annotations import (
    SERVER,
    SPECIAL_USE,
    Found,
    Place,
    TooManyAnnotations,
    annotations,
    set_annotations,
)
from postino.store.tx import Tx

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession

_ANY_OF: Final = Rights.READ | Rights.SEEN | Rights.WRITE | Rights.INSERT | Rights.POST
_ADMIN: Final = "/shared/admin"
_URI: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")

Values = list[tuple[str, bytes | None]]


async def run_getmetadata(session: "ImapSession", command: GetMetadata) -> Completion:
    """Tell the values of the entries asked for; NIL for one that has none."""

    def look(tx: Tx) -> tuple[str, Values, int]:
        name, place = _place(tx, session, command.mailbox)
        values: dict[str, tuple[str, bytes | None]] = {}
        longest = 0
        for wanted in command.entries:
            found, too_long = _find(tx, place, wanted, command.depth, command.max_size)
            longest = max(longest, too_long)
            for each in found:
                values.setdefault(each[0].lower(), each)
        return name, list(values.values()), longest

    name, values, longest = session.context.store.read_now(look)
    if values:
        session.say(metadata_response(name, values, utf8=session.options.utf8))
    return ok("These are the values", long_entries(longest) if longest else None)


async def run_setmetadata(session: "ImapSession", command: SetMetadata) -> Completion:
    """Give entries values, or remove them."""
    limits = session.limits
    if any(len(value or b"") > limits.annotation_octets for _, value in command.values):
        most = limits.annotation_octets
        return no(f"A value may have at most {most} octets", max_size(most))
    values: list[tuple[str, bytes | None]] = []
    for entry, value in command.values:
        if entry == SPECIAL_USE and command.mailbox and value:
            use = special_use(value)
            if use is None:
                return no(r"A mailbox can be for \Archive, \Drafts, \Junk, \Sent or \Trash", status.USE_ATTR)
            values.append((entry, use.encode()))
        elif entry == _ADMIN and not command.mailbox and value is not None and not _URI.fullmatch(value):
            return no("How to reach the administrator is a URI, such as mailto:", status.CANNOT)
        else:
            values.append((entry, value))

    def change(tx: Tx) -> list[MailboxChange] | Completion:
        is_shared = any(entry.startswith("/shared") for entry, _ in values)
        # What all see takes the right to change something; to read is enough for one's own.
        _, place = _place(tx, session, command.mailbox, Rights.WRITE if is_shared else NO_RIGHTS)
        is_of_all = place.account_id == SERVER and is_shared
        # DEVIATION: RFC 5464 §3.2.1.1 has /shared/admin read-only for every client; an administrator's is
        # how it gets its value here.
        if is_of_all and not is_admin(tx, session.account_id):
            return no("Only an administrator may change what all share", status.NO_PERMISSION)
        if any(entry == IMAPSIEVE for entry, _ in values) and place.account_id not in (
            SERVER,
            session.account_id,
        ):
            # SECURITY: the script acts as the mailbox's owner.
            return no("Only a mailbox's owner may say which script runs on it", status.NO_PERMISSION)
        return set_annotations(
            tx, place, values, most=limits.annotations, most_octets=limits.annotation_total_octets
        )

    try:
        changes = await session.context.store.write(change)
    except TooManyAnnotations as error:
        return no(str(error), TOO_MANY)
    if isinstance(changes, Completion):
        return changes
    if session.context.mailbox_events is not None:
        session.context.mailbox_events.forget()
    if session.notifier is not None:
        session.notifier.own_annotations(changes)
    return ok("The values are set")


def listed_metadata(tx: Tx, reached: Reached, entries: Sequence[str], *, utf8: bool) -> bytes:
    """What LIST's METADATA option asks of one mailbox (RFC 9590); nothing where it may not be seen."""
    if not may_annotate(reached.rights):
        return b""
    place = Place(reached.account_id, reached.mailbox.id, reached.viewer)
    values = [value for wanted in entries for value in _find(tx, place, wanted, 0, None)[0]]
    return metadata_response(reached.name, values, utf8=utf8)


def _place(tx: Tx, session: "ImapSession", mailbox: str, needs: Rights = NO_RIGHTS) -> tuple[str, Place]:
    if not mailbox:
        return "", Place(SERVER, NAMES, session.account_id)
    reached = reach_mailbox(tx, session.account_id, mailbox, Rights.LOOKUP | needs)
    if not may_annotate(reached.rights):
        reached.require(Rights.READ)
    return reached.name, Place(reached.account_id, reached.mailbox.id, session.account_id)


def may_annotate(rights: Rights) -> bool:
    """Whether annotations may be read, and one's own be set (RFC 5464 §3.3)."""
    return Rights.LOOKUP in rights and bool(rights & _ANY_OF)


def _find(tx: Tx, place: Place, wanted: str, depth: int | None, most: int | None) -> tuple[Values, int]:
    """The values for one entry asked for, in the client's spelling, and the size of the largest left out."""
    entry = wanted.lower()
    found = annotations(tx, place, entry, depth=depth, most_octets=most)
    values: Values = [(_spelled(each, entry, wanted), each.value) for each in found if each.value is not None]
    too_long = max((each.octets for each in found if each.value is None), default=0)
    if not depth and depth is not None and not found:
        values.append((wanted, None))
    return values, too_long


def _spelled(found: Found, entry: str, wanted: str) -> str:
    return wanted if found.entry == entry else found.entry
