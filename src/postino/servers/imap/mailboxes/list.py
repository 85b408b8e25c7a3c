"""LIST and LSUB.

RFC: 9051 §6.3.9 and §7.3.1, 5258, 5819 (RETURN STATUS), 6154 (special use), 8440 (RETURN MYRIGHTS),
    9590 (RETURN METADATA), 3501 §6.3.9 (LSUB).
Invariants: an answer is of one moment, from a handful of queries, whatever number of mailboxes it names; a
    long one is put together in a thread, so that the worker's other sessions do not wait for it.
Not here: which names are listed, and how (postino.imap.list_selection), what may be seen (store/access.py).
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from postino.imap.commands import List, Lsub
from postino.imap.list_selection import ListedMailbox, attributes_of, select_list, select_lsub
from postino.imap.mailbox_name import encode_mailbox
from postino.imap.responses.acl import my_rights_response
from postino.imap.responses.mailbox import list_line, list_response, list_separator_response
from postino.servers.imap.completion import Completion, ok
from postino.servers.imap.general import enable_condstore
from postino.servers.imap.mailboxes.metadata import listed_metadata
from postino.servers.imap.mailboxes.status import status_form
from postino.store.access import Reached, has_visible_children, list_reachable, lists_more_than
from postino.store.tx import Tx

if TYPE_CHECKING:
    from postino.core.ids import AccountId
    from postino.servers.imap.session import ImapSession

READ_IN_PLACE: Final = 500
"""Listing a mailbox takes a few microseconds."""

Tell = Callable[[Tx, bytes, Reached], bytes]
"""What follows a mailbox's LIST response: from the name as the client spells it, and the mailbox."""


async def run_list(session: "ImapSession", command: List) -> Completion:
    """Name the mailboxes that match, with what else was asked of each."""
    if not command.extended and command.patterns == ("",):
        session.say(list_separator_response())
        return ok("Listed")
    utf8, viewer = session.options.utf8, session.account_id
    if command.status_items is not None and "HIGHESTMODSEQ" in command.status_items:
        enable_condstore(session)
    tellers = _tellers(command, utf8, session.limits.message_octets)
    session.say(await _read(session, lambda tx: _list(tx, viewer, command, tellers, utf8)))
    return ok("Listed")


async def run_lsub(session: "ImapSession", command: Lsub) -> Completion:
    """Name the subscriptions that match, as RFC 3501 has it."""
    if not command.pattern:
        session.say(list_separator_response(b"LSUB"))
        return ok("Listed")
    utf8, viewer = session.options.utf8, session.account_id
    session.say(await _read(session, lambda tx: _lsub(tx, viewer, command, utf8)))
    return ok("Listed")


def say_name(session: "ImapSession", reached: Reached, given: str | None) -> None:
    """One mailbox by its right name, and with OLDNAME as the client spelled it (RFC 9051 §6.3.9.7)."""
    mailbox = reached.mailbox
    has_children = session.context.store.read_now(lambda tx: has_visible_children(tx, reached))
    attributes = attributes_of(
        ListedMailbox(reached.name, mailbox.subscribed, mailbox.special_use), has_children
    )
    session.say(list_response(reached.name, attributes, utf8=session.options.utf8, old_name=given))


def _read(session: "ImapSession", answer: Callable[[Tx], bytes]) -> Awaitable[bytes]:
    store, viewer = session.context.store, session.account_id

    async def read() -> bytes:
        if store.read_now(lambda tx: lists_more_than(tx, viewer, READ_IN_PLACE)):
            return await store.read(answer)
        return store.read_now(answer)

    return read()


def _tellers(command: List, utf8: bool, append_limit: int) -> list[Tell]:
    """What RETURN asks of each mailbox besides its attributes, in the order in which it is told."""
    tellers: list[Tell] = []
    if command.status_items is not None:
        tellers.append(status_form(command.status_items, append_limit))
    if "MYRIGHTS" in command.returning:
        tellers.append(lambda _, __, reached: my_rights_response(reached.name, reached.rights, utf8=utf8))
    if command.annotations:
        tellers.append(lambda tx, _, reached: listed_metadata(tx, reached, command.annotations, utf8=utf8))
    return tellers


def _list(tx: Tx, viewer: "AccountId", command: List, tellers: list[Tell], utf8: bool) -> bytes:
    names, reached = _mailboxes(tx, viewer)
    said: list[bytes] = []
    for entry in select_list(command, names):
        name = encode_mailbox(entry.name, utf8)
        if entry.child_info:
            said.append(list_response(entry.name, entry.attributes, utf8=utf8, child_info=entry.child_info))
        else:
            said.append(list_line(b"LIST", name, entry.attributes))
        if tellers and entry.is_chosen:
            mailbox = reached[entry.name]
            said += [tell(tx, name, mailbox) for tell in tellers]
    return b"".join(said)


def _lsub(tx: Tx, viewer: "AccountId", command: Lsub, utf8: bool) -> bytes:
    names, _ = _mailboxes(tx, viewer)
    return b"".join(
        [
            list_response(entry.name, entry.attributes, utf8=utf8, verb=b"LSUB")
            for entry in select_lsub(command, names)
        ]
    )


def _mailboxes(tx: Tx, viewer: "AccountId") -> tuple[list[ListedMailbox], dict[str, Reached]]:
    found = list_reachable(tx, viewer)
    names = [
        ListedMailbox(each.name, each.mailbox.subscribed, each.mailbox.special_use) for each in found.own
    ]
    names += [
        ListedMailbox(each.name, each.mailbox.subscribed, may_read=each.may_read) for each in found.shared
    ]
    names += [ListedMailbox(name, subscribed=True, exists=False) for name in found.lone]
    return names, {each.name: each for each in (*found.own, *found.shared)}
