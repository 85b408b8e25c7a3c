"""Collect a message's octets as they come: header and body apart, in memory first, then in a file.

RFC: 5322 §2.1 (the empty line between header and body), 5321 §4.5.3.1.7 (size).
Exposure: unauthenticated octets of any cutting; memory stays below Limits.header_octets +
    Limits.smtp_memory_octets and a piece, whatever is sent.
Invariants: header + body are exactly the octets added; once a fault was noted, nothing is kept.
Not here: trace fields and recipients (accept.py), where bodies end up (store/).
"""

import asyncio
import mmap
from dataclasses import dataclass
from enum import Enum

from postino.core.errors import TemporarilyUnavailable
from postino.core.limits import Limits
from postino.delivery.facts import derive_facts
from postino.store.blobs import Spool
from postino.store.bodies import ROW_OCTETS
from postino.store.content import Body, ContentFacts, InlineBody, SealedBlob
from postino.store.store import Store


class Fault(Enum):
    """Why a message that is still coming cannot be taken."""

    TOO_LARGE = "message too large"
    HEADER_TOO_LARGE = "header too large"
    NO_ROOM = "no room for the spool file"
    NUL = "the octet NUL outside a literal8"


@dataclass(frozen=True, slots=True)
class Content:
    """A complete message as it came, and what was found out about it once."""

    header: bytes
    """Up to and with the empty line; the whole message when it has none."""
    body: Body
    facts: ContentFacts

    @property
    def body_size(self) -> int:
        """How many octets the body has."""
        return self.facts.size - len(self.header)


@dataclass(frozen=True, slots=True)
class UnreadContent:
    """A complete message that only passes through: nobody asked what is in it."""

    header: bytes
    body: Body
    size: int


class IncomingMessage:
    """One message being received. add() pieces, then finish() or discard()."""

    __slots__ = ("_body", "_header", "_limits", "_spool", "_store", "fault", "octets")

    octets: int
    """How many were added, kept or not."""
    fault: Fault | None

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._header: bytes | bytearray = b""
        self._body: bytes | bytearray | None = None
        """None while the header has not ended."""
        self._spool: Spool | None = None
        self.octets = 0
        self.fault = None

    @property
    def header(self) -> bytes:
        """The header so far."""
        return bytes(self._header)

    def add(self, piece: bytes) -> None:
        """Take the next octets. Never raises: what goes wrong is noted in `fault`."""
        self.octets += len(piece)
        if self.fault is not None:
            return
        if self.octets > self._limits.message_octets:
            self.fail(Fault.TOO_LARGE)
        elif self._body is not None:
            self._add_body(piece)
        else:
            self._add_header(piece)

    def _add_header(self, piece: bytes) -> None:
        held = len(self._header)
        if held:
            if isinstance(self._header, bytes):
                self._header = bytearray(self._header)
            self._header += piece
        else:
            # PERF: most messages come in one piece; it is not copied to a bytearray.
            self._header = piece
        header = self._header
        end = 2 if header.startswith(b"\r\n") else header.find(b"\r\n\r\n", max(0, held - 3)) + 4
        if end < 4 and not header.startswith(b"\r\n"):
            if len(header) > self._limits.header_octets:
                self.fail(Fault.HEADER_TOO_LARGE)
            return
        if end > self._limits.header_octets:
            self.fail(Fault.HEADER_TOO_LARGE)
            return
        self._header, self._body = bytes(header[:end]), b""
        self._add_body(bytes(header[end:]))

    def _add_body(self, piece: bytes) -> None:
        if self._spool is not None:
            self._write(piece)
            return
        body = self._body
        if not body:
            self._body = body = piece
        else:
            if isinstance(body, bytes):
                body = bytearray(body)
            body += piece
            self._body = body
        if len(body) > self._limits.smtp_memory_octets:
            try:
                self._spool = self._store.blobs.open_spool()
            except TemporarilyUnavailable:
                self.fail(Fault.NO_ROOM)
                return
            self._body = b""
            self._write(bytes(body))

    def _write(self, piece: bytes) -> None:
        assert self._spool is not None
        try:
            self._spool.write(piece)
        except TemporarilyUnavailable:
            self.fail(Fault.NO_ROOM)

    def fail(self, fault: Fault) -> None:
        """Give the message up: nothing is kept, what still comes is only counted."""
        self.discard()
        self.fault = fault

    def discard(self) -> None:
        """Let go of everything held in memory and on disk."""
        self._header = self._body = b""
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.discard()

    @property
    def is_ascii(self) -> bool:
        """Whether header and body have seven bits; taken to be false of a body that went to a file."""
        return self._spool is None and self._header.isascii() and (self._body or b"").isascii()

    async def finish_unread(self, header: bytes) -> UnreadContent:
        """As finish(), without looking into the message; `header` stands for the one that came."""
        assert self.fault is None
        body_octets = self.octets - len(self._header)
        body: Body
        if self._spool is not None:
            body = SealedBlob(await asyncio.to_thread(self._spool.seal), 0)
            self._spool = None
        else:
            body = await self._kept_body(bytes(self._body or b""))
        return UnreadContent(header, body, len(header) + body_octets)

    async def finish(self, *, header: bytes | None = None, spare_memory: bool = False) -> Content:
        """Index the complete message; a large body is on disk for good when this returns.

        `header` stands for the one that came, when it was mended. To spare memory, a small body is on disk
        too. There must be no fault. Raises TemporarilyUnavailable when the disk refuses.
        """
        assert self.fault is None
        if header is None:
            header = bytes(self._header)
        if spare_memory and self._body and self._spool is None:
            self._spool = self._store.blobs.open_spool()
            self._spool.write(bytes(self._body))
            self._body = b""
        if self._spool is not None:
            # Syncing and indexing a large file would hold up every other session of the worker.
            content = await asyncio.to_thread(_seal, header, self._spool, self._limits)
            self._spool = None
            return content
        octets = bytes(self._body or b"")
        facts = derive_facts(header, octets, self._limits)
        return Content(header, await self._kept_body(octets), facts)

    async def _kept_body(self, octets: bytes) -> Body:
        if len(octets) > ROW_OCTETS:
            return await asyncio.to_thread(self._store.seal_body, octets)
        return InlineBody(octets)


def _seal(header: bytes, spool: Spool, limits: Limits) -> Content:
    with spool.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as octets:
        facts = derive_facts(header, octets, limits)
    return Content(header, SealedBlob(spool.seal(), 0), facts)
