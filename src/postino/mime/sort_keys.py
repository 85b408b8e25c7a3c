"""What SORT compares of an address field, and which messages a message says it follows.

RFC: 5256 §3 (FROM, TO, CC; references and normalized Message IDs), 5957 §3 (display value of an address).
Exposure: unauthenticated octets; the first address is read, and at most MAX_REFERENCES ids are kept.
Invariants: texts are sort keys already (collation.py); an id never holds a blank, so ids can be joined by
    spaces; two spellings of one id that differ in quoting become one.
Not here: the base subject (base_subject.py), dates (dates.py).
"""

import re
from typing import Final

from postino.mime.address import Group, Mailbox, parse_address_list
from postino.mime.collation import sort_key
from postino.mime.encoded_word import decode_header_text

MAX_REFERENCES: Final = 200
"""Ids kept of one message: its thread's first and the latest (as RFC 5537 §3.4.4 has clients cut them)."""

LOOKED_AT: Final = 4096
"""Octets of an address field in which the first address is looked for."""
_ID: Final = re.compile(rb"<([^<>@]*+@[^<>]*+)>")
_ODD: Final = re.compile(rb"[\t\n\v\f\r\"\\\x00\x80-\xff]")
_PLAIN_ID: Final = re.compile(rb"[!#-\[\]-~]*+")
_BLANKS: Final = re.compile(r"[\s\x00]+")
_QUOTING: Final = re.compile(r"\\(.)|\"", re.DOTALL)
_NOTHING: Final = ("", "")


def first_address(value: bytes | None) -> tuple[str, str]:
    """The keys of a field's first address: its local part; its name, or without one the whole address."""
    return keys_of_first(parse_address_list(value[:LOOKED_AT])) if value is not None else _NOTHING


def keys_of_first(found: list[Mailbox | Group]) -> tuple[str, str]:
    """`first_address` of a field of at most LOOKED_AT octets that was read already."""
    if not found:
        return _NOTHING
    first = found[0]
    if isinstance(first, Group):
        # ENVELOPE begins a group with an address whose mailbox is the group's name and that has no host.
        name = sort_key(decode_header_text(first.name))
        return name, name
    return sort_key(decode_header_text(first.local_part)), sort_key(first.display_name or first.addr_spec)


def references(references: bytes | None, in_reply_to: bytes | None) -> str:
    """The ids of References, eldest first, or else the first of In-Reply-To; spaces between."""
    found = _ID.findall(references) if references is not None else []
    if not found and in_reply_to is not None:
        found = _ID.findall(in_reply_to)[:1]
    if len(found) > MAX_REFERENCES:
        found = [found[0], *found[1 - MAX_REFERENCES :]]
    joined: bytes = b" ".join(found)
    if _ODD.search(joined) is None and joined.count(b" ") < max(1, len(found)):
        # PERF: mostly no id holds a blank, a quote or anything else to look at.
        return joined.decode("ascii")
    return " ".join(filter(None, map(normal_id, found)))


def normal_id(octets: bytes) -> str:
    """A Message ID without its `<>`, spelled as every other spelling of it is."""
    if _PLAIN_ID.fullmatch(octets):
        return octets.decode("ascii")
    text = _BLANKS.sub("", decode_header_text(octets))
    if '"' not in text and "\\" not in text:
        return text
    # Quotes make no difference to what they enclose (RFC 5322 §3.2.4).
    return _QUOTING.sub(lambda found: found[1] or "", text)
