"""Make the ENVELOPE value of a message, once, at delivery.

RFC: 9051 §7.5.2 (ENVELOPE), §9 (envelope, address, nstring), 5322 §3.6 (fields).
Invariants: the result is a complete IMAP value, also for a client that never enabled UTF-8: octets that
    a quoted string of RFC 3501 cannot hold travel in a literal. NUL, which nothing can hold, is left out.
    Encoded words stay as received.
Not here: reading addresses (mime/address.py).
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from postino.mime.address import Group, Mailbox, parse_address_list
from postino.mime.header import raw_fields, unfold

ADDRESS_FIELDS: Final = frozenset({b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc"})

_QUOTE, _BACKSLASH, _CR, _LF = b'"\\\r\n'
_REPEATED_OCTETS: Final = 128
_GROUP_END: Final = b"(NIL NIL NIL NIL)"


def encode_envelope(header: bytes) -> bytes:
    """The ENVELOPE value for a header block, parentheses included."""
    return envelope_of(envelope_values(raw_fields(header)))


def envelope_values(found: list[tuple[bytes, bytes, bytes]]) -> dict[bytes, bytes]:
    """Folded values by lower-case name: the first field of each name; address fields are joined."""
    values: dict[bytes, bytes] = {}
    for _, name, value in found:
        key = name.lower()
        if key not in values:
            values[key] = value
        elif key in ADDRESS_FIELDS:
            # RFC 5322 §3.6 allows one of each, but the others name recipients, too.
            values[key] += b"," + value
    return values


def envelope_of(values: Mapping[bytes, bytes]) -> bytes:
    """The ENVELOPE value for fields that were read already (`envelope_values`)."""
    get = values.get
    sent_from, to = _addresses(get(b"from")), _addresses(get(b"to"))
    return envelope_with(values, sent_from, to, _addresses(get(b"cc")), _addresses(get(b"bcc")))


def envelope_with(
    values: Mapping[bytes, bytes], sent_from: bytes, to: bytes, copied_to: bytes, hidden_to: bytes
) -> bytes:
    """`envelope_of` for one of whose address fields these were read already (`encode_addresses`)."""
    get = values.get
    sent_from = sent_from or b"NIL"
    sender, reply_to = get(b"sender"), get(b"reply-to")
    follows = get(b"in-reply-to")
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        _text(get(b"date")),
        _text(get(b"subject")),
        sent_from,
        sent_from if sender is None else _addresses(sender) or sent_from,
        sent_from if reply_to is None else _addresses(reply_to) or sent_from,
        to or b"NIL",
        copied_to or b"NIL",
        hidden_to or b"NIL",
        b"NIL" if follows is None else _text(follows),
        _text(get(b"message-id")),
    )


def encode_string(value: bytes) -> bytes:
    """Write octets as an IMAP string: quoted where RFC 3501 allows it, else a literal."""
    # PERF: looking for a number takes an eighth of looking for one octet as bytes (bench: envelope).
    if (
        value.isascii()
        and _QUOTE not in value
        and _BACKSLASH not in value
        and _CR not in value
        and _LF not in value
        and 0 not in value
    ):
        return b'"%b"' % value
    value = value.replace(b"\0", b"")
    if value.isascii() and b"\r" not in value and b"\n" not in value:
        return b'"%b"' % value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b"{%d}\r\n%b" % (len(value), value)


def encode_nstring(value: bytes | None) -> bytes:
    """Write octets as an IMAP string, None as NIL."""
    return b"NIL" if value is None else encode_string(value)


def _text(value: bytes | None) -> bytes:
    return b"NIL" if value is None else encode_string(unfold(value))


def _addresses(value: bytes | None) -> bytes:
    if value is None:
        return b""
    # PERF: the same few people write to the same few people: 0.1 us instead of 2 for each field.
    return _repeated_list(value) if len(value) <= _REPEATED_OCTETS else _encode_list(value)


def _encode_list(value: bytes) -> bytes:
    return encode_addresses(parse_address_list(value))


def encode_addresses(found: list[Mailbox | Group]) -> bytes:
    """The addresses of a field as ENVELOPE shows them, or nothing if there are none."""
    if not found:
        return b""
    pieces: list[bytes] = []
    for entry in found:
        if isinstance(entry, Mailbox):
            pieces.append(_mailbox(entry))
        else:
            pieces.append(b"(NIL NIL %b NIL)" % encode_string(entry.name))
            pieces += [_mailbox(member) for member in entry.members]
            pieces.append(_GROUP_END)
    return b"(%b)" % b"".join(pieces)


_repeated_list = lru_cache(maxsize=4096)(_encode_list)


def _mailbox(mailbox: Mailbox) -> bytes:
    # A missing domain is "", since NIL in its place would begin a group.
    name, route = mailbox.name, mailbox.route
    return b"(%b %b %b %b)" % (
        b"NIL" if name is None else encode_string(name),
        b"NIL" if route is None else encode_string(route),
        encode_string(mailbox.local_part),
        encode_string(mailbox.domain),
    )
