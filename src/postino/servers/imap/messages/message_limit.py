"""Carry out a command for so many messages at most, when a setting says so, and tell where it stopped.

RFC: 9738 (MESSAGELIMIT).
Invariants: without the setting nothing is cut; what is cut are the messages with the lowest UIDs, so that
    the client goes on below the UID it is told.
Not here: EXPUNGE, CLOSE and STATUS, which are not limited.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from postino.core.search import AllOf, Criterion, UidIn
from postino.imap.responses.status import message_limit, untagged_status
from postino.imap.view import Span
from postino.servers.imap.completion import Completion

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession
    from postino.servers.imap.updates.selected import SelectedMailbox


def within_limit(session: "ImapSession", spans: list[Span]) -> tuple[list[Span], bytes | None]:
    """The last messages of the spans, as many as one command may take; a code when that are not all."""
    most = session.limits.imap_messages_a_command
    if not most or sum(end - first for first, end in spans) <= most:
        return spans, None
    assert session.selected is not None
    kept: list[Span] = []
    room = most
    for first, end in reversed(spans):
        start = max(first, end - room)
        kept.insert(0, (start, end))
        room -= end - start
        if not room:
            break
    at = kept[0][0]
    (lowest,) = session.selected.view.uids((at, at + 1))
    return kept, message_limit(most, lowest)


def limit_completion(session: "ImapSession", completion: Completion, code: bytes | None) -> Completion:
    """The answer to a command that took only some of its messages; an answer with a code keeps its own."""
    if code is None:
        return completion
    text = f"One command takes at most {session.limits.imap_messages_a_command} messages; ask for the rest"
    if completion.code is not None or completion.status != "OK":
        session.say(untagged_status("NO", text, code))
        return completion
    return replace(completion, text=text, code=code)


def limit_search(
    session: "ImapSession", selected: "SelectedMailbox", criterion: Criterion
) -> tuple[Criterion, bytes | None]:
    """The criterion for the messages that one SEARCH may look at; a code when that are not all it asks for.

    Message sets that must hold in any case make the messages fewer that are looked at.
    """
    if not session.limits.imap_messages_a_command:
        return criterion, None
    view = selected.view
    uids = view.uid_ranges(view.everything())
    for key in criterion.keys if isinstance(criterion, AllOf) else (criterion,):
        if isinstance(key, UidIn):
            uids = uids.intersection(key.uids)
    spans, code = within_limit(session, view.find(uids))
    if code is None:
        return criterion, None
    return AllOf((UidIn(view.uid_ranges(spans)), criterion)), code
