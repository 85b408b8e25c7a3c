"""THREAD and UID THREAD.

RFC: 5256 §3 (THREAD), §4 (THREAD response).
Not here: the algorithms (imap/threading.py), what they look at (store/sort.py).
"""

import asyncio
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from postino.imap.commands import Thread
from postino.imap.responses.thread import thread_response
from postino.imap.threading import Correspondence, ThreadAlgorithm, make_threads
from postino.servers.imap.completion import Completion, no, ok
from postino.servers.imap.messages.message_limit import limit_search
from postino.servers.imap.searching.key_cache import Values
from postino.servers.imap.searching.search import begin, find
from postino.store.sort import KeyColumn

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession

# PERF: a thousand messages take two milliseconds; past this many, other sessions would notice.
IN_PLACE: Final = 2_000
_BY_SUBJECT: Final = (KeyColumn.SENT_AT, KeyColumn.BASE_SUBJECT)
_BY_REFERENCES: Final = (
    KeyColumn.SENT_AT,
    KeyColumn.MESSAGE_ID,
    KeyColumn.REFERENCES,
    KeyColumn.BASE_SUBJECT,
    KeyColumn.IS_REPLY,
)
_COLUMNS: Final = {
    ThreadAlgorithm.ORDEREDSUBJECT: _BY_SUBJECT,
    ThreadAlgorithm.REFERENCES: _BY_REFERENCES,
    ThreadAlgorithm.REFS: (KeyColumn.INTERNAL_DATE, KeyColumn.MESSAGE_ID, KeyColumn.REFERENCES),
}


async def run_thread(session: "ImapSession", command: Thread) -> Completion:
    """Find messages and put them into threads."""
    selected = session.selected
    assert selected is not None
    criterion = await begin(session, command.program, None, by_uid=command.by_uid)
    _, limit = limit_search(session, selected, criterion)
    if limit is not None:
        # The order of a part would say nothing of the whole (RFC 9738).
        most = session.limits.imap_messages_a_command
        return no(f"One command threads at most {most} messages; ask for fewer by UID", limit)
    uids = array("I", await find(session, selected, criterion))
    numbers = uids if command.by_uid else array("I", selected.view.numbers_of(uids))
    context, mailbox = session.context, (selected.account_id, selected.id)
    kind = (command.algorithm, command.by_uid)
    question = uids.tobytes() if command.by_uid else uids.tobytes() + numbers.tobytes()
    answer: bytes | None = context.key_cache.answer(*mailbox, kind, question)
    if answer is None:
        columns = _COLUMNS[command.algorithm]
        values = await context.key_cache.values(context.store, *mailbox, columns, uids, selected.view.told)
        messages = _messages(dict(zip(columns, values, strict=True)))
        if len(uids) <= IN_PLACE:
            answer = _answer(command.algorithm, messages, numbers)
        else:
            answer = await asyncio.to_thread(_answer, command.algorithm, messages, numbers)
        context.key_cache.put_answer(*mailbox, kind, question, answer, len(answer))
    session.say(answer)
    return ok("Threaded")


def _messages(values: dict[KeyColumn, Values]) -> Correspondence:
    return Correspondence(
        ids=values.get(KeyColumn.MESSAGE_ID, ()),
        references=values.get(KeyColumn.REFERENCES, ()),
        dates=values.get(KeyColumn.SENT_AT) or values.get(KeyColumn.INTERNAL_DATE, ()),
        subjects=values.get(KeyColumn.BASE_SUBJECT, ()),
        replies=values.get(KeyColumn.IS_REPLY, ()),
    )


def _answer(algorithm: ThreadAlgorithm, messages: Correspondence, numbers: Sequence[int]) -> bytes:
    return thread_response(make_threads(algorithm, messages), numbers)
