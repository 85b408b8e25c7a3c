"""What a user's message gets before it goes: the fields it lacks on top, the Bcc field taken out.

RFC: 6409 §8 (fix-ups: Date §8.2, Message-ID §8.3), 5322 §3.6.2 (From, Sender), §3.6.3 and §3.6.6 (Bcc,
    Resent-Bcc), §3.6.4 (Message-ID).
Exposure: octets of logged-in users.
Invariants: every octet that is sent, other than those of added fields, is the user's own and in its place; a
    header without anything to mend is given back as it is.
DEVIATION: 8-bit octets in the header of a message that was not declared SMTPUTF8 are against RFC 6532 §3.7
    and usual with older programs. They are left as they are and declared as 8BITMIME, so that a server which
    cannot take them gets them encoded (mime/downgrade.py).
Not here: who may write as whom (servers/smtp/policy.py), Received (accept.py), signing
    (outbound/signing/signer.py).
"""

import re
from typing import Final, NamedTuple

import msgspec

from postino.core.address import ascii_domain
from postino.core.ids import Instant
from postino.core.limits import Limits
from postino.delivery.facts import derive_facts
from postino.mime.dates import format_date
from postino.mime.header import raw_fields
from postino.mime.part import move_index
from postino.store.content import ContentFacts

_BLIND: Final = re.compile(
    rb"^(?:resent-)?bcc[ \t]*+:[^\n]*+\n?(?:[ \t][^\n]*+\n?)*+", re.IGNORECASE | re.MULTILINE
)
# What mbox files and programs that write them put in front of a message.
_MBOX_LINE: Final = re.compile(rb">?From (?![ \t]*+:)[^\n]*+\n")
_LOOKED_AT: Final = frozenset({b"from", b"sender", b"date", b"message-id", b"bcc", b"resent-bcc"})


class Fields(NamedTuple):
    """What counts of a submitted header."""

    authors: tuple[bytes, ...]
    """The values of its From fields; there should be one."""
    senders: tuple[bytes, ...]
    """Likewise Sender."""
    has_date: bool
    has_message_id: bool
    has_blind: bool
    is_sound: bool = True
    """All of it is fields: others see the same header, and no other author, than we do."""


def without_mbox_line(header: bytes) -> bytes:
    """A header without the first line of an mbox file, which most servers take for the end of the header."""
    found = _MBOX_LINE.match(header)
    return header[found.end() :] if found is not None else header


def read_fields(header: bytes) -> Fields:
    """Look through a header once."""
    found: dict[bytes, list[bytes]] = {}
    octets = 2 if header == b"\r\n" or header.endswith(b"\r\n\r\n") else 0
    for whole, name, value in raw_fields(header):
        octets += len(whole)
        key = name.lower()
        if key in _LOOKED_AT:
            found.setdefault(key, []).append(value)
    return Fields(
        tuple(found.get(b"from", ())),
        tuple(found.get(b"sender", ())),
        b"date" in found,
        b"message-id" in found,
        b"bcc" in found or b"resent-bcc" in found,
        octets == len(header),
    )


class Mended(NamedTuple):
    """The two forms of a submitted header."""

    sent: bytes
    """As everybody gets it."""
    own: bytes
    """As its author keeps it: with the Bcc field."""


def mend(header: bytes, fields: Fields, *, now: Instant, message_id: str, domain: str) -> Mended:
    """Add what is missing, take out what is nobody else's. `message_id` is our name for the message.

    `domain` is the author's, under which a missing Message-ID is made.
    """
    missing = b""
    if not fields.has_date:
        missing += f"Date: {format_date(now)}\r\n".encode()
    if not fields.has_message_id:
        missing += f"Message-ID: <{message_id}@{ascii_domain(domain)}>\r\n".encode()
    own = missing + header if missing else header
    if not fields.has_blind:
        return Mended(own, own)
    return Mended(missing + _BLIND.sub(b"", header), own)


def facts_of_own(facts: ContentFacts, mended: Mended, limits: Limits) -> ContentFacts:
    """What was found out about the message as it is sent, for the form its author keeps."""
    if mended.own is mended.sent:
        return facts
    more = len(mended.own) - len(mended.sent)
    # Only Bcc fields differ, so the body and what the header says about it are the same.
    derived = derive_facts(mended.own, b"", limits)
    return msgspec.structs.replace(
        derived,
        size=facts.size + more,
        header_octets=facts.header_octets + more,
        bodystructure=facts.bodystructure,
        parts=move_index(facts.parts, more),
        preview=facts.preview,
    )
