"""SORT and UID SORT.

RFC: 5256 §3 and §4 (SORT), 5267 §3 (RETURN), 7162 §3.1.9 (MODSEQ).
Not here: putting messages in order (ordering.py).
"""

from typing import TYPE_CHECKING

from postino.imap.commands import Sort
from postino.imap.responses.message import correlator, search_response
from postino.servers.imap.completion import Completion, no, ok
from postino.servers.imap.messages.message_limit import limit_search
from postino.servers.imap.searching.ordering import put_in_order
from postino.servers.imap.searching.search import answer, begin, find, told_mod_seq
from postino.servers.imap.searching.search_context import follow, require_free_tag

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession


async def run_sort(session: "ImapSession", command: Sort) -> Completion:
    """Find messages and put them in order."""
    selected = session.selected
    assert selected is not None
    require_free_tag(selected, command.tag, command.returning)
    criterion = await begin(session, command.program, command.returning, by_uid=command.by_uid)
    _, limit = limit_search(session, selected, criterion)
    if limit is not None:
        # The order of a part would say nothing of the whole (RFC 9738).
        most = session.limits.imap_messages_a_command
        return no(f"One command sorts at most {most} messages; ask for fewer by UID", limit)
    found = await find(session, selected, criterion)
    uids = await put_in_order(session, selected, command.criteria, found, criterion)
    returning = command.returning
    if returning is None:
        numbers = uids if command.by_uid else selected.view.numbers_of(uids)
        mod_seq = told_mod_seq(selected.view, command.program, found)
        session.say(search_response(numbers, mod_seq=mod_seq, verb=b"SORT"))
        return ok("Sorted")
    if "UPDATE" in returning:
        follow(
            session,
            command.tag,
            criterion,
            uids,
            by_uid=command.by_uid,
            criteria=command.criteria,
            items=returning.items,
        )
    await answer(
        session, correlator(command.tag), returning, command.program, criterion, uids, by_uid=command.by_uid
    )
    return ok("Sorted")
