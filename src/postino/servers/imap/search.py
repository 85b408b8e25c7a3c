"""SEARCH and UID SEARCH.

RFC: 9051 §6.4.4 and §7.3.4 (ESEARCH), 3501 §7.2.5 (SEARCH), 4731, 5182 (SAVE and `$`), 7162 §3.1.5 (MODSEQ).
Invariants: the answer names only messages the client has been told of.
"""

from typing import TYPE_CHECKING

from postino.core.numset import NumberSet
from postino.imap.commands import Numbers, Search
from postino.imap.responses.message import esearch_response, search_response
from postino.imap.search_key import resolve_key
from postino.servers.imap.completion import Completion, ok
from postino.servers.imap.general import enable_condstore
from postino.store.search import search_mailbox

if TYPE_CHECKING:
    from postino.servers.imap.selected import SelectedMailbox
    from postino.servers.imap.session import ImapSession


async def run_search(session: "ImapSession", command: Search) -> Completion:
    """Find messages."""
    selected = session.selected
    assert selected is not None
    if command.refusal is not None:
        if command.returning is not None and "SAVE" in command.returning:
            selected.saved = NumberSet()
        raise command.refusal
    if command.uses_mod_seq:
        enable_condstore(session)
    await selected.load()

    def by_seq(numbers: Numbers) -> NumberSet:
        return selected.view.uid_ranges(selected.resolve(numbers, by_uid=False))

    def by_uid(numbers: Numbers) -> NumberSet:
        return selected.view.uid_ranges(selected.resolve(numbers, by_uid=True))

    # Numbers mean what the client knew when it wrote them; then it is told of new messages, so that
    # the answer may name them.
    criterion = resolve_key(command.key, by_seq, by_uid)
    saves = command.returning is not None and "SAVE" in command.returning
    if saves:
        # A search that fails leaves nothing saved (RFC 5182 §2.1).
        selected.saved = NumberSet()
    await selected.sync()
    session.say_news(by_uid=command.by_uid, may_expunge=False)
    found = await search_mailbox(
        session.context.store, selected.account_id, selected.id, criterion, session.limits
    )
    uids = selected.view.known(found)
    _answer(session, command, selected, uids)
    if saves:
        selected.saved = NumberSet.of(_returned(command, uids))
    return ok("Found")


def _answer(session: "ImapSession", command: Search, selected: "SelectedMailbox", uids: list[int]) -> None:
    view = selected.view
    numbers = uids if command.by_uid else view.numbers_of(uids)
    mod_seq = None
    if command.uses_mod_seq and uids:
        mod_seq = max(view.mod_seqs((at, at + 1))[0] for at in map(view.index_of, _returned(command, uids)))
    returning = command.returning
    if returning is None and not session.options.utf8:
        session.say(search_response(numbers, mod_seq=mod_seq))
        return
    # IMAP4rev2 has no SEARCH response: without RETURN the answer is ESEARCH with ALL.
    returning = returning or frozenset()
    if returning == {"SAVE"}:
        return
    session.say(
        esearch_response(
            command.tag, by_uid=command.by_uid, returning=returning, numbers=numbers, mod_seq=mod_seq
        )
    )


def _returned(command: Search, uids: list[int]) -> list[int]:
    """The messages the answer speaks of: the first, the last, or all (RFC 5182 §2.4, 7162 §3.1.10)."""
    asked = (command.returning or frozenset()) - {"SAVE"}
    if not uids or not asked or not asked <= {"MIN", "MAX"}:
        return uids
    return [*(uids[:1] if "MIN" in asked else ()), *(uids[-1:] if "MAX" in asked else ())]
