"""Make a message ready for a server: made of seven bits where it takes no others, then signed.

Both are done when it is sent, not when it was accepted: a message that waits for weeks is signed with the key
of the day, and what it must be turned into is known only when the server is.
RFC: 6376 §5.3 (what is signed is not changed on the way any more), 6152 §3 (turning 8-bit octets into 7-bit),
    5322 §2.1.1 (lines of at most 998 octets).
Invariants: nothing is changed after it is signed; a message that only passed through (forwarded) is never
    signed in our name, nor changed where a server takes it as it is; of messages too large for memory one at
    a time is turned into another form.
Not here: DKIM and ARC (signing.py), turning (mime/downgrade.py), what is said of it in MAIL (body_writer.py).
"""

import asyncio
from collections.abc import Callable
from typing import Final

from postino.core.limits import Limits
from postino.mime.downgrade import CannotDowngrade, has_long_line, to_seven_bit
from postino.outbound.client.outgoing import BodyReader, sendable
from postino.outbound.dispatch.work import Held, Ready
from postino.outbound.signing.signer import Signer
from postino.smtp.client.extensions import Extensions
from postino.smtp.envelope import BodyType
from postino.store.content import SealedBlob
from postino.store.queue.rows import read_octets
from postino.store.queue.values import Octets, QueueKind
from postino.store.store import Store

THREAD_OCTETS: Final = 64 * 1024
"""Larger messages are converted in a thread."""
_PIECE_OCTETS: Final = 1024 * 1024
GIVE_WAY_SECONDS: Final = 0.01
"""How long a message waits at most for those that come in."""


class Preparation:
    """One for each worker."""

    def __init__(self, store: Store, *, signer: Signer, limits: Callable[[], Limits]) -> None:
        self._store = store
        self._signer = signer
        self._limits = limits
        self._large = asyncio.Semaphore(1)

    def read(self, held: Held) -> Octets:
        """A message's octets from the queue. Raises NotInQueue, TemporarilyUnavailable."""
        octets = self._store.read_now(lambda tx: read_octets(tx, held.message.queue_id))
        held.keep(octets)
        return octets

    async def ready(self, held: Held, octets: Octets, extensions: Extensions) -> Ready:
        """The message as this server can take it. Raises CannotDowngrade."""
        if must_convert(held, octets, extensions):
            return await self._ready(held, octets, converts=True)
        if held.message.kind is QueueKind.SUBMITTED and await self._has_long_line(held, octets):
            # Servers that keep to the limit break such lines, or give the message back.
            try:
                return await self._ready(held, octets, converts=True)
            except CannotDowngrade:
                # As its author signed it, it may still be taken.
                held.has_long_line = False
        return await self._ready(held, octets, converts=False)

    async def _ready(self, held: Held, octets: Octets, *, converts: bool) -> Ready:
        found = held.ready.get(converts)
        if found is not None:
            return found
        if held.works == 1:
            return await self._make(held, octets, converts=converts)
        # Its other transactions wait for the one that makes it.
        if held.lock is None:
            held.lock = asyncio.Lock()
        async with held.lock:
            found = held.ready.get(converts)
            if found is None:
                found = held.ready[converts] = await self._make(held, octets, converts=converts)
            return found

    async def _has_long_line(self, held: Held, octets: Octets) -> bool:
        if held.message.options.body is BodyType.BINARY_MIME:
            # The server has said that it takes any.
            return False
        if held.has_long_line is None:
            body = sendable(octets.body, octets.body_size, self._store.blobs)
            if isinstance(body, bytes):
                held.has_long_line = has_long_line(body)
            else:
                held.has_long_line = await asyncio.to_thread(_any_long_line, body)
        return held.has_long_line

    async def _make(self, held: Held, octets: Octets, *, converts: bool) -> Ready:
        header, body_type = octets.header, held.message.options.body
        body = sendable(octets.body, octets.body_size, self._store.blobs)
        if converts:
            header, body = await self._converted(header, body)
            body_type = BodyType.SEVEN_BIT
        # PERF: signing keeps the loop for 0.3 ms, in which nobody else is served (docs/adr/0009-sending.md).
        await self._store.spare_moment(GIVE_WAY_SECONDS)
        # SECURITY: what came from elsewhere may name an author of ours without being theirs.
        if held.message.kind is QueueKind.FORWARDED:
            fields = await self._signer.pass_on(header, body, held.message)
        else:
            fields = await self._signer.sign(header, body)
        return Ready(fields + header if fields else header, body, body_type)

    async def _converted(self, header: bytes, body: bytes | BodyReader) -> tuple[bytes, bytes]:
        if isinstance(body, bytes):
            if len(body) <= THREAD_OCTETS:
                return to_seven_bit(header, body, self._limits())
            return await asyncio.to_thread(to_seven_bit, header, body, self._limits())
        async with self._large:
            return await asyncio.to_thread(self._read_and_convert, header, body)

    def _read_and_convert(self, header: bytes, body: BodyReader) -> tuple[bytes, bytes]:
        return to_seven_bit(header, body.read(0, body.size), self._limits())


def _any_long_line(body: BodyReader) -> bool:
    at = 0
    while at < body.size:
        piece = body.read(at, min(_PIECE_OCTETS, body.size - at))
        if has_long_line(piece):
            return True
        # The next piece begins with the line that this one has not all of.
        at += piece.rfind(b"\n") + 1 if at + len(piece) < body.size else len(piece)
    return False


def must_convert(held: Held, octets: Octets, extensions: Extensions) -> bool:
    """Whether the server takes the message only when it is made of seven bits."""
    asked = held.message.options.body
    if asked is BodyType.BINARY_MIME:
        return not extensions.binary_mime
    if extensions.eight_bit_mime:
        return False
    if isinstance(octets.body, SealedBlob):
        return asked is BodyType.EIGHT_BIT_MIME or not octets.header.isascii()
    return not (octets.body.octets.isascii() and octets.header.isascii())
