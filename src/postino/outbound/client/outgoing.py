"""What a client session is given to send, and what it gives back.

Not here: the dialogue (session.py), what the replies come to (attempt.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from postino.core.ids import BlobId
from postino.smtp.client.transaction import Phase
from postino.smtp.envelope import NO_MAIL_OPTIONS, MailOptions, RcptOptions
from postino.store.blobs import BlobStore
from postino.store.content import Body, InlineBody


class BodyReader(Protocol):
    """A body that is read in pieces. read() may block and is called in a thread."""

    @property
    def size(self) -> int:
        """How many octets it has."""
        ...

    def read(self, start: int, length: int) -> bytes:
        """Exactly those octets."""
        ...


@dataclass(frozen=True, slots=True)
class _BlobBody:
    """A body in a blob of the store."""

    blobs: BlobStore
    blob_id: BlobId
    offset: int
    size: int

    def read(self, start: int, length: int) -> bytes:
        """Read from the blob's file. Raises DatabaseDamaged, TemporarilyUnavailable."""
        return self.blobs.read(self.blob_id, self.offset + start, length)


def sendable(body: Body, size: int, blobs: BlobStore) -> bytes | BodyReader:
    """A body of that size as a session takes it: one in a blob is read in pieces."""
    if isinstance(body, InlineBody):
        return body.octets
    return _BlobBody(blobs, body.blob_id, body.offset, size)


class Outgoing(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One message for some recipients at one server."""

    reverse_path: str
    """Without brackets; empty for the null reverse-path."""
    options: MailOptions = NO_MAIL_OPTIONS
    recipients: Sequence[tuple[str, RcptOptions]]
    """Addresses as they will be said, without brackets, and what RCPT asks for."""
    header: bytes
    """With the empty line at its end."""
    body: bytes | BodyReader
    by_seconds: int = 0
    """What is left of the time options.deliver_by names; meaningful with options.by_mode only."""

    @property
    def size(self) -> int:
        """Octets of the whole message."""
        body = self.body
        return len(self.header) + (len(body) if isinstance(body, bytes) else body.size)


class RecipientReply(msgspec.Struct, frozen=True, gc=False):
    """What the far server answered for one recipient, or why it could not be asked."""

    code: int
    """200 to 299, 400 to 599: of ours too, where `phase` is OURS or LOST."""
    status: str
    """RFC 3463; made from the code where the server gave none."""
    text: str
    """In one line, the code in front; our own sentence where `phase` is OURS or LOST."""
    remote: str
    """`mx1.example.net (192.0.2.1)`"""
    phase: Phase
    """What was answered: MAIL, RCPT, DATA or the whole MESSAGE."""
