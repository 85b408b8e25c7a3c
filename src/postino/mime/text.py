"""The text of a message as a person reads it, for SEARCH and previews.

RFC: 2045 §6 (transfer encodings), 2046 §4.1 (text, charset), 9051 §6.4.4 (BODY, TEXT), 5051 (comparing).
Exposure: unauthenticated octets; at most `octets_limit` of a message are decoded.
Invariants: any part gives text; a charset nobody knows is read as UTF-8 or Windows-1252.
Not here: comparing (store/search.py); `fold` is what both sides of a comparison go through.
"""

import unicodedata
from typing import Final

from postino.core.limits import Limits
from postino.mime.charset import decode
from postino.mime.encoded_word import decode_header_text
from postino.mime.header import raw_fields
from postino.mime.html import html_text
from postino.mime.octets import Slices
from postino.mime.part import Part, walk
from postino.mime.transfer import decode_transfer

SEARCHED_OCTETS: Final = 16 * 1024 * 1024
"""Text of one message that is looked into; beyond it BODY and TEXT no longer match."""

_HTML: Final = frozenset({"html", "xhtml", "xhtml+xml"})


def fold(text: str) -> str:
    """Make text comparable without regard to case and form (RFC 5051, i;unicode-casemap, and a little more).

    What that comparator holds equal is equal here; so are ß and ss. Letters are taken apart from their marks,
    so that `cafe` is found in `café`. Folding twice changes nothing.
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKD", text).upper().casefold()


def decoded_text(
    part: Part, octets: Slices, limits: Limits | None = None, *, octets_limit: int = SEARCHED_OCTETS
) -> str:
    """A leaf's body as text, HTML without its marks. `octets` is the whole message."""
    raw = octets[part.body_start : min(part.end, part.body_start + octets_limit)]
    decoded = decode_transfer(part.encoding, raw)
    text = decode(raw if decoded is None else decoded, part.charset)
    if part.media_subtype in _HTML:
        return html_text(text)
    return text


def body_text(
    root: Part, octets: Slices, limits: Limits | None = None, *, octets_limit: int = SEARCHED_OCTETS
) -> str:
    """Everything in a message's body that is text, one part a paragraph; what SEARCH BODY looks into.

    Messages inside it count with their header, as part of the body they are.
    """
    if not root.parts and root.media_type == "text":
        return decoded_text(root, octets, octets_limit=octets_limit)
    texts: list[str] = []
    left = octets_limit
    for part in walk(root):
        if left <= 0:
            break
        if part.is_message:
            embedded = part.parts[0]
            header_end = min(embedded.body_start, embedded.header_start + left)
            texts.append(header_text(octets[embedded.header_start : header_end]))
            left -= header_end - embedded.header_start
        elif not part.parts and (part.media_type == "text" or part.media_type == "message"):
            texts.append(decoded_text(part, octets, octets_limit=left))
            left -= part.end - part.body_start
    return "\n".join(texts)


def header_text(header: bytes) -> str:
    """A header's fields, decoded, one a line; what SEARCH TEXT looks into before the body."""
    return "\n".join(
        [f"{name.decode('ascii')}: {decode_header_text(value)}" for _, name, value in raw_fields(header)]
    )
