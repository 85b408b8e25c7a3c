"""Find the fields of a header block, as received: names, values, and the octets themselves.

RFC: 5322 §2.2 (fields, folding), 4.5 (obsolete fields: blanks before the colon), 6532 §3.2 (8-bit values).
Exposure: unauthenticated octets; every expression is possessive, so time is linear in the header.
Invariants: lines end with LF, with or without CR before it, and a lone CR is an ordinary octet; a
    line that is no field is skipped together with its continuation lines, and never an error.
Not here: what values mean (address.py, dates.py, parameters.py, encoded_word.py).
"""

import re
from collections.abc import Callable, Collection
from itertools import islice
from typing import Final

from postino.mime.octets import Buffer

MAX_FIELDS: Final = 20_000
"""Fields of one header that are looked at; a header of 1 MiB could hold 350,000."""

LISTED_FIELDS: Final = frozenset(
    b"""
    date from sender reply-to to cc bcc subject message-id in-reply-to references newsgroups followup-to
    content-type content-transfer-encoding content-language content-disposition content-description
    mime-version
    priority x-priority importance x-msmail-priority
    list-id list-post list-unsubscribe list-unsubscribe-post list-help list-subscribe list-owner list-archive
    x-mailing-list mailing-list x-loop x-list x-beenthere originator mail-followup-to mail-reply-to
    x-tuid x-k9mail-identity chat-version x-chat-version x-microsoft-original-message-id
    x-uniform-type-identifier x-universally-unique-identifier
    x-mailer user-agent organization disposition-notification-to delivered-to
    resent-from resent-to resent-date auto-submitted precedence
    x-label x-keywords keywords comments lines archived-at
    x-spam-status x-spam-flag x-spam-level x-spam-score x-spam-checker-version x-bogosity
    x-mozilla-status x-mozilla-status2 x-mozilla-keys x-forwarded-message-id x-original-to x-draft-info
    """.split()
)
"""The names (lower case) whose fields are kept beside each message, ready for lists."""

_FIELD: Final = re.compile(rb"^(([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)\n?)", re.MULTILINE)
_EMPTY_LINE: Final = re.compile(rb"\n\r?\n")
_LF: Final = ord("\n")  # PERF: found in an eighth of the time that b"\n" takes
_SMALL_HEADER: Final = 64 * 1024

FieldSelector = Callable[[bytes], bytes]


def header_octets(octets: Buffer) -> int:
    """The length of a message's header, up to and with the empty line that ends it.

    A message without an empty line is all header.
    """
    if octets[:1] == b"\n":
        return 1
    if octets[:2] == b"\r\n":
        return 2
    found = _EMPTY_LINE.search(octets)
    return found.end() if found else len(octets)


def raw_fields(header: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Split a header into (whole field, name as spelled, value as folded), at most MAX_FIELDS."""
    if len(header) <= _SMALL_HEADER:
        return _FIELD.findall(header)
    return [(found[1], found[2], found[3]) for found in islice(_FIELD.finditer(header), MAX_FIELDS)]


def fields(header: bytes) -> list[tuple[bytes, int, int, int]]:
    """Each field as (name in lower case, start, end, start of the value); `end` is after its line end."""
    return [
        (found[2].lower(), found.start(), found.end(), found.start(3))
        for found in islice(_FIELD.finditer(header), MAX_FIELDS)
    ]


def field_selector(names: Collection[bytes], invert: bool = False) -> FieldSelector:
    """Compile a choice of fields once, to be run over many headers (FETCH, RFC 9051 §6.4.5.1).

    The function gives the original octets of the fields called one of `names`, in their order; with
    `invert` it gives all the others. Either way without the empty line that ends the header.
    """
    if not names:
        return _without_empty_line if invert else _nothing
    choice = b"|".join(re.escape(name) for name in sorted(names))
    # PERF: one findall with everything possessive is 2 us for the 12 listed fields of a usual message;
    # a loop over split lines is half as fast again.
    expression = re.compile(
        rb"^(?:%s)[ \t]*+:[^\n]*+\n?(?:[ \t][^\n]*+\n?)*+" % choice, re.IGNORECASE | re.MULTILINE
    )
    if invert:
        delete = expression.sub
        return lambda header: _without_empty_line(delete(b"", header))
    find, join = expression.findall, b"".join
    return lambda header: join(find(header))


def unfold(value: bytes) -> bytes:
    """Undo folding (RFC 5322 §2.2.3) and take off the white space around a field's value."""
    if _LF in value:
        value = value.replace(b"\r\n", b"").replace(b"\n", b"")
    return value.strip(b" \t\r")


def first_values(header: bytes) -> dict[bytes, bytes]:
    """The folded value of the first field of each name (lower case)."""
    values: dict[bytes, bytes] = {}
    for _, name, value in raw_fields(header):
        values.setdefault(name.lower(), value)
    return values


def _without_empty_line(header: bytes) -> bytes:
    if header.endswith(b"\r\n\r\n"):
        return header[:-2]
    if header.endswith(b"\n\n"):
        return header[:-1]
    return b"" if header in {b"\r\n", b"\n"} else header


def _nothing(header: bytes) -> bytes:
    return b""
