"""COMPRESS and UNAUTHENTICATE: the two commands that change how the rest of the connection is read.

RFC: 4978 §3 (COMPRESS), 8437 §3 and §4.1 (UNAUTHENTICATE ends compression and everything enabled).
Invariants: the answer to COMPRESS is the last plain octet, the answer to UNAUTHENTICATE the last compressed
    one; octets a client sent behind COMPRESS are compressed ones, those behind UNAUTHENTICATE are plain.
Not here: DEFLATE and its bounds (net/compression.py).
"""

from typing import TYPE_CHECKING

from postino.imap.commands import Compress, Unauthenticate
from postino.imap.responses.status import COMPRESSION_ACTIVE, tagged
from postino.servers.imap.completion import Completion, bad, ok

if TYPE_CHECKING:
    from postino.servers.imap.session import ImapSession


async def run_compress(session: "ImapSession", command: Compress) -> Completion | None:
    """Begin to compress, behind the answer."""
    if session.connection.is_compressed:
        return bad("DEFLATE is active already", COMPRESSION_ACTIVE)
    await session.complete(command, ok("DEFLATE is active"))
    await session.flush()
    session.connection.start_compression(
        session.framer.take_unread(), ratio=session.limits.imap_compression_ratio
    )
    return None


async def run_unauthenticate(session: "ImapSession", command: Unauthenticate) -> None:
    """Forget who is there and all that was enabled; only TLS stays."""
    session.log_out()
    answer = tagged(command.tag, "OK", "Nobody is logged in now")
    if not session.connection.is_compressed:
        session.say(answer)
        return
    await session.flush()
    session.connection.stop_compression(answer)
