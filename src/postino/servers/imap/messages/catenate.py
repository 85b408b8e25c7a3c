"""Copy what an IMAP URL names into a message that is being put together.

RFC: 4469 §3 (CATENATE), §4 (BADURL, TOOBIG), 5092 §6 (what a URL names), 4314 §4 (the right to read).
Invariants: sizes are checked before octets are read; large parts are read in pieces; no read transaction
    is open meanwhile; the message read from keeps its flags.
Not here: the URL's grammar (postino.imap.url), what the parts are put together for (append.py).
"""

import asyncio
from typing import TYPE_CHECKING, Final

from postino.core.errors import NoPermission, NoSuchMailbox, PostinoError
from postino.core.numset import NumberSet
from postino.core.rights import Rights
from postino.delivery.incoming import IncomingMessage
from postino.imap.fetch_plan import compile_fetch
from postino.imap.responses.status import TOO_BIG, UNAVAILABLE, bad_url
from postino.imap.url import BadUrl, MessageUrl, parse_message_url
from postino.servers.imap.completion import Completion, no
from postino.servers.imap.messages.fetch import PIECE_OCTETS, StoredOctets
from postino.store.access import reach_mailbox
from postino.store.fetch import Column, fetch_rows
from postino.store.tx import Tx

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession

MAX_URL_OCTETS: Final = 8000
_COLUMNS: Final = frozenset({Column.PARTS, Column.HEADER, Column.BODY})


async def add_url(session: "ImapSession", octets: bytes, message: IncomingMessage) -> Completion | None:
    """Add the octets the URL names to `message`; the refusal when that cannot be done."""
    try:
        url = parse_message_url(octets)
        stored = session.context.store.read_now(lambda tx: _find(tx, session, url))
        found = compile_fetch((url.section,)).find(url.section, stored)
    except (BadUrl, NoSuchMailbox, NoPermission) as error:
        return no(f"A part cannot be taken: {error}", bad_url(octets))
    if found is None:
        return no("A part cannot be taken: the message has no such section", bad_url(octets))
    size = found.end - found.start
    limit = session.limits.message_octets
    if message.octets + size > limit:
        return no(f"The parts together would be more than {limit} octets", TOO_BIG)
    if found.octets is not None:
        message.add(found.octets)
        return None
    try:
        for start in range(found.start, found.end, PIECE_OCTETS):
            end = min(start + PIECE_OCTETS, found.end)
            # A blob is read from the disk, and the first piece of a large row decompresses it.
            piece = (
                stored.read(start, end)
                if size <= PIECE_OCTETS
                else await asyncio.to_thread(stored.read, start, end)
            )
            if len(piece) != end - start:
                raise OSError("the stored message is shorter than it should be")
            message.add(piece)
    except (OSError, PostinoError) as error:
        session.log.warning("append.failed", error=str(error))
        return no("A part cannot be read now; try again later", UNAVAILABLE)
    return None


def _find(tx: Tx, session: "ImapSession", url: MessageUrl) -> StoredOctets:
    """The message a URL names. Raises BadUrl, NoSuchMailbox, NoPermission."""
    if url.host is not None and url.host != session.context.hostname.lower():
        raise BadUrl("only messages of this server can be copied")
    if url.user is not None and url.user.lower() not in _own_names(session.login):
        raise BadUrl("the user in it must be you; other accounts' mailboxes are named as LIST names them")
    reached = reach_mailbox(tx, session.account_id, url.mailbox, Rights.READ)
    if url.uid_validity not in (None, reached.mailbox.uid_validity):
        raise BadUrl("the mailbox has another UIDVALIDITY now")
    rows = fetch_rows(tx, reached.account_id, reached.mailbox.id, NumberSet([(url.uid, url.uid)]), _COLUMNS)
    if not rows:
        raise BadUrl("there is no message with this UID")
    _, packed, header, body = rows[0]
    return StoredOctets(header, body, packed, session.context.store.blobs)


def _own_names(login: str) -> tuple[str, str]:
    """How a user is called in a URL: the login, or the part before its at sign."""
    return login.lower(), login.lower().partition("@")[0]
