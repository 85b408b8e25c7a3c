"""A message on its way into the store: its octets, and what was found out about them once.

PERF: msgspec's structs are made, and copied with changes, in a tenth of a frozen dataclass's time
(3 us for ContentFacts; bench: smtp).

Not here: finding it out (delivery/facts.py), the rows (store/messages.py).
"""

import msgspec

from postino.core.flags import NO_FLAGS, FlagSet
from postino.core.ids import BlobId, Instant


class ContentFacts(msgspec.Struct, frozen=True, gc=False):
    """Everything derived from a message's octets at delivery; the columns of `content`."""

    size: int
    header_octets: int
    envelope: bytes
    bodystructure: bytes
    fields: bytes
    parts: bytes
    sent_at: int
    """0 when the Date field is missing or unusable; the store then takes the internal date."""
    sent_day: int
    subject_text: str
    from_text: str
    to_text: str
    cc_text: str
    bcc_text: str
    message_id: str
    is_reply: bool = False
    """The subject shows a reply or forward (RFC 5256 §2.1)."""
    base_subject: str = ""
    from_sort: str = ""
    to_sort: str = ""
    cc_sort: str = ""
    from_display: str = ""
    to_display: str = ""
    refs: str = ""
    """Message ids of References, else the first of In-Reply-To, spaces between."""
    preview: str = ""


class InlineBody(msgspec.Struct, frozen=True, gc=False):
    """A body that travels in the transaction itself."""

    octets: bytes


class SealedBlob(msgspec.Struct, frozen=True, gc=False):
    """A body already on disk for good: BlobStore.seal() returned before this was made."""

    blob_id: BlobId
    offset: int
    """Where the body begins in the blob (the blob may hold the header too)."""


Body = InlineBody | SealedBlob


class NewEmail(msgspec.Struct, frozen=True, gc=False):
    """One message for one mailbox. `header` is what the account will see, trace fields and all."""

    header: bytes
    body: Body
    facts: ContentFacts
    internal_date: Instant
    flags: FlagSet = NO_FLAGS


class Appended(msgspec.Struct, frozen=True, gc=False):
    """Where a message now is."""

    uid_validity: int
    uid: int
    mod_seq: int
