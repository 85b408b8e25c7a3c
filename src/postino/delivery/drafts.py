"""Make the draft of a message that its author took back from the queue.

RFC: 5322 §3.6.3 (Bcc).
Invariants: but for our Received field and a Bcc field, the octets are those that were submitted.
Not here: taking it back (store/queue/recall.py).
"""

from collections.abc import Sequence
from typing import Final

from postino.core.flags import flag_set
from postino.core.ids import Instant
from postino.core.limits import Limits
from postino.delivery.facts import derive_facts
from postino.mime.address import Mailbox, parse_address_list
from postino.mime.header import raw_fields
from postino.store.blobs import BlobStore
from postino.store.content import NewEmail
from postino.store.queue.suppression import suppression_key
from postino.store.queue.values import Octets

_VISIBLE: Final = frozenset({b"to", b"cc"})


def draft_of(
    octets: Octets, recipients: Sequence[str], blobs: BlobStore, limits: Limits, *, now: Instant
) -> NewEmail:
    """The draft, with recipients that no field names put into Bcc. Blocks for a large body."""
    found = raw_fields(octets.header)
    header = octets.header
    if found and found[0][1].lower() == b"received":
        header = header[len(found[0][0]) :]
    header = _blind_field(found, recipients) + header
    facts = derive_facts(header, blobs.read_body(octets.body, octets.body_size), limits)
    return NewEmail(header, octets.body, facts, now, flag_set(["\\Draft", "\\Seen"]))


def _blind_field(fields: Sequence[tuple[bytes, bytes, bytes]], recipients: Sequence[str]) -> bytes:
    seen: set[str] = set()
    for _, name, value in fields:
        if name.lower() not in _VISIBLE:
            continue
        for entry in parse_address_list(value):
            members = (entry,) if isinstance(entry, Mailbox) else entry.members
            seen.update(suppression_key(one.addr_spec) for one in members)
    blind = [address for address in recipients if suppression_key(address) not in seen]
    if not blind:
        return b""
    return b"Bcc: " + ",\r\n ".join(blind).encode() + b"\r\n"
