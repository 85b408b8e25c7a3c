"""Find out, once, everything about a message that lists, searches and fetches will ask for.

RFC: 9051 §7.5.2 (ENVELOPE, BODYSTRUCTURE), §6.4.4 (what SEARCH compares), 5322 §3.6.
Exposure: unauthenticated octets; any header and body give facts.
Invariants: the body is read in place and never copied whole.
Not here: where facts are kept (store/messages.py), what may be delivered (accept.py).
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from postino.core.ids import Instant
from postino.core.limits import Limits
from postino.imap.bodystructure import encode_bodystructure
from postino.imap.envelope import ADDRESS_FIELDS, encode_addresses, envelope_values, envelope_with
from postino.mime.address import parse_address_list
from postino.mime.base_subject import base_subject
from postino.mime.dates import parse_date
from postino.mime.encoded_word import decode_header_text
from postino.mime.header import LISTED_FIELDS, raw_fields
from postino.mime.index import index_body, pack_index
from postino.mime.octets import Buffer
from postino.mime.preview import preview_of
from postino.mime.sort_keys import LOOKED_AT, first_address, keys_of_first, normal_id, references
from postino.mime.text import fold
from postino.store.content import ContentFacts

_USUAL_MESSAGE_ID: Final = re.compile(rb" <([!#-;=?-\[\]-~]++)>\r?")
_MESSAGE_ID: Final = re.compile(rb"<\s*([^<>]*?)\s*>")
_SEARCHED: Final = frozenset({b"subject", b"from", b"to", b"cc", b"bcc"})
_NO_DATE: Final = (Instant(0), 0)
_NONE_SEVERAL: Final[dict[bytes, str]] = {}
_EQUALS: Final = ord("=")
_LF: Final = ord("\n")
_JOINED: Final = ADDRESS_FIELDS | _SEARCHED
"""Of these, all fields of one name count."""
_INTERESTING: Final = LISTED_FIELDS | {b"content-id", b"content-location", b"content-md5"}
_REPEATED_OCTETS: Final = 128


def _usual_names() -> dict[bytes, bytes]:
    """The usual spellings of the names of fields, to lower case; to nothing if they are of no interest."""
    names = {b"-".join([word.capitalize() for word in key.split(b"-")]): key for key in _INTERESTING}
    for name in (b"Message-ID", b"MIME-Version", b"Content-ID", b"List-ID", b"List-Id"):
        names[name] = name.lower()
    for name in (
        b"Received", b"Return-Path", b"DKIM-Signature", b"Authentication-Results", b"Received-SPF",
        b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results", b"X-Received",
        b"X-Google-DKIM-Signature", b"X-Google-Smtp-Source", b"X-Gm-Message-State", b"Feedback-ID",
    ):  # fmt: skip
        names[name] = b""
    return names


_KEYS: Final = _usual_names()


def derive_facts(header: bytes, body: Buffer, limits: Limits, body_start: int = 0) -> ContentFacts:
    """The facts of the message made of `header` and `body[body_start:]`."""
    found = raw_fields(header if len(header) <= limits.header_octets else header[: limits.header_octets])
    values, listed, has_several = _sorted_out(found)
    root = index_body(values, len(header), body, limits, body_start)
    get = values.get
    date = get(b"date")
    sent_at, sent_day = (parse_date(date) if date is not None else None) or _NO_DATE
    subject = _decoded(get(b"subject"))
    base, is_reply = base_subject(subject)
    sent_from, to = _people(get(b"from")), _people(get(b"to"))
    copied_to, hidden_to = _people(get(b"cc")), _people(get(b"bcc"))
    several = _several(found) if has_several else _NONE_SEVERAL
    # PERF: by position, in the order of the fields: by name they take 1 us, as Python makes a dict of many.
    return ContentFacts(
        len(header) + len(body) - body_start,
        len(header),
        envelope_with(values, sent_from.encoded, to.encoded, copied_to.encoded, hidden_to.encoded),
        encode_bodystructure(root),
        b"".join(listed),
        pack_index(root),
        sent_at,
        sent_day,
        several.get(b"subject") or fold(subject),
        several.get(b"from") or sent_from.searched,
        several.get(b"to") or to.searched,
        several.get(b"cc") or copied_to.searched,
        several.get(b"bcc") or hidden_to.searched,
        _message_id(get(b"message-id")),
        is_reply,
        base,
        from_sort=sent_from.sort,
        to_sort=to.sort,
        cc_sort=copied_to.sort,
        from_display=sent_from.display,
        to_display=to.display,
        refs=references(get(b"references"), get(b"in-reply-to")),
        preview=preview_of(root, body, len(header) - body_start),
    )


def _sorted_out(found: list[tuple[bytes, bytes, bytes]]) -> tuple[dict[bytes, bytes], list[bytes], bool]:
    """Values by name (as `envelope_values`), the fields kept for lists, and whether some need joining."""
    values: dict[bytes, bytes] = {}
    listed: list[bytes] = []
    has_several = False
    for whole, name, value in found:
        # PERF: one pass, and names mostly spelled as they should be: 2 us instead of 6.
        key = _KEYS.get(name)
        if key is None:
            key = name.lower()
            if key not in _INTERESTING:
                continue
        if not key:
            continue
        if key not in values:
            values[key] = value
        elif key in _JOINED:
            has_several = True
        if key in LISTED_FIELDS:
            listed.append(whole)
    return envelope_values(found) if has_several else values, listed, has_several


class _People(NamedTuple):
    """What is kept of an address field."""

    encoded: bytes
    """For ENVELOPE; empty if it holds no address."""
    sort: str
    display: str
    searched: str


_NOBODY: Final = _People(b"", "", "", "")


def _people(value: bytes | None) -> _People:
    if value is None:
        return _NOBODY
    # PERF: the same few people write to the same few people: 0.2 us instead of 6 for each field.
    return _repeated_people(value) if len(value) <= _REPEATED_OCTETS else _read_people(value)


def _read_people(value: bytes) -> _People:
    found = parse_address_list(value)
    sort, display = keys_of_first(found) if len(value) <= LOOKED_AT else first_address(value)
    return _People(encode_addresses(found), sort, display, fold(_decoded(value)))


_repeated_people = lru_cache(maxsize=4096)(_read_people)


def _several(found: list[tuple[bytes, bytes, bytes]]) -> dict[bytes, str]:
    """The searched text of fields that the header has more than once: SEARCH looks into each of them.

    NUL, which nobody can search for, parts them.
    """
    several: dict[bytes, list[str]] = {}
    for _, name, value in found:
        key = name.lower()
        if key in _SEARCHED:
            several.setdefault(key, []).append(fold(_decoded(value)))
    return {key: "\0".join(texts) for key, texts in several.items() if len(texts) > 1}


def _decoded(value: bytes | None) -> str:
    """A field's decoded value: names and addresses as they stand in it."""
    if value is None:
        return ""
    if value.isascii() and _LF not in value and (_EQUALS not in value or b"=?" not in value):
        # PERF: most fields are this plain: 0.2 us instead of 0.8, four times a message.
        return value.decode("ascii").strip(" \t\r")
    return decode_header_text(value)


def _message_id(value: bytes | None) -> str:
    if value is None:
        return ""
    usual = _USUAL_MESSAGE_ID.fullmatch(value)
    if usual is not None:
        return usual[1].decode("ascii")
    found = _MESSAGE_ID.search(value)
    return normal_id(found[1] if found else value)
