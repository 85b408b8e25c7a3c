r"""Say in a line what a message begins with, so that a list can show it.

RFC: 8970 §3.3 (format: text, at most 256 characters, 200 recommended).
Exposure: unauthenticated octets; at most _TRIES parts and a few KiB of each are looked at, whatever the size.
Invariants: any message gives text of at most PREVIEW_CHARACTERS characters on one line, without control
    characters; "" when there is nothing to show. Deterministic.
Not here: all text of a message (text.py), how FETCH says it (imap/fetch_plan.py).
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from postino.mime.charset import decode
from postino.mime.html import html_text
from postino.mime.octets import Buffer
from postino.mime.parameters import Parameters
from postino.mime.part import Part, walk
from postino.mime.transfer import decode_transfer

PREVIEW_CHARACTERS: Final = 200

# PERF: half a kilobyte gives 200 characters of most texts, in 5 us; only where it does not, more is read.
_FIRST_OCTETS: Final = 640
_SHOWN_OCTETS: Final = 232
_MOST_OCTETS: Final = 8 * 1024
_HTML_OCTETS: Final = 3 * 1024
_MOST_HTML_OCTETS: Final = 48 * 1024
"""Newsletters begin with a style sheet."""
_HTML_CHARACTERS: Final = (1000, 5000, 15_000)
_TRIES: Final = 3
"""Text parts that are looked at until one says something."""

_HTML: Final = frozenset({"html", "xhtml", "xhtml+xml"})
_IN_PLACE: Final = frozenset({"7bit", "8bit", "binary"})
_USUAL_CHARSETS: Final = frozenset(
    ("charset", spelled)
    for name in (b"utf-8", b"us-ascii", b"iso-8859-1", b"windows-1252")
    for spelled in (name, name.upper())
)
"""In which ASCII is ASCII."""
_UNREAD: Final = frozenset(
    {"calendar", "css", "csv", "directory", "vcard", "x-vcard", "rfc822-headers", "x-amp-html"}
)
# Lines that tell nothing: quoted text, rules, addresses of web pages alone.
_NOISE: Final = re.compile(r"^[ \t]*+(?:>[^\n]*+|[<\[(]?https?://\S*+[ \t\r]*+|[^\w\n]++)$", re.MULTILINE)
# And the line above a quotation that says whose it is.
_QUOTE_ABOVE: Final = re.compile(r"^[^\r\n]*+(?<=:)\r?\n(?:[ \t]*+\r?\n)?(?=>)", re.MULTILINE)
_SIGNATURE: Final = re.compile(r"^-- ?\r?$", re.MULTILINE)
# Nothing to see: control characters, marks of direction, joiners that join nothing (newsletters fill up with
# them).
_UNSEEN: Final = re.compile(
    "[\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffd\ud800-\udfff]++|[\u200c\u200d]++(?=[\\s\u034f\u200b-\u200d\ufeff]|\\Z)|(?<=\\s)[\u200c\u200d]++"
)
_BODY: Final = re.compile(r"<body[\s>]", re.IGNORECASE)


def preview_of(root: Part, octets: Buffer, shift: int = 0) -> str:
    """The preview of the message with this index; `octets[n - shift]` is the message's octet `n`."""
    if root.parts:
        for part in islice(_texts(root), _TRIES):
            text = _part_preview(part, octets, shift)
            if text:
                return text
        return ""
    return _part_preview(root, octets, shift) if _is_text(root) else ""


def _texts(root: Part) -> Iterator[Part]:
    return (part for part in walk(root) if not part.parts and _is_text(part))


def _is_text(part: Part) -> bool:
    return (
        part.media_type == "text" and part.media_subtype not in _UNREAD and part.disposition != "attachment"
    )


def _part_preview(part: Part, octets: Buffer, shift: int) -> str:
    if part.media_subtype == "plain" and part.encoding in _IN_PLACE:
        start = part.body_start - shift
        plain = _plain_line(octets[start : min(start + _FIRST_OCTETS, part.end - shift)], part.params)
        if plain:
            return _cut(plain)
    if part.media_subtype in _HTML:
        return _cut(_html_preview(part, octets, shift))
    text, is_all = _start(part, octets, shift, _FIRST_OCTETS)
    line = _telling_line(text)
    if len(line) < PREVIEW_CHARACTERS and not is_all:
        text, _ = _start(part, octets, shift, _MOST_OCTETS)
        line = _telling_line(text)
    return _cut(line or _folded(text))


def _html_preview(part: Part, octets: Buffer, shift: int) -> str:
    """The line an HTML part begins with."""
    html, is_all = _start(part, octets, shift, _HTML_OCTETS)
    body = _body_start(html)
    line = _html_line(html, body)
    if len(line) >= PREVIEW_CHARACTERS or is_all:
        return line
    html, _ = _start(part, octets, shift, _MOST_HTML_OCTETS)
    return _html_line(html, _body_start(html) if body < 0 else body)


def _body_start(html: str) -> int:
    """Where the document's body begins; -1 if that is not said."""
    # PERF: a search without regard to case goes letter by letter; letters that get longer in lower case would
    # move what follows.
    at = html.lower().find("<body") if html.isascii() else 0
    body = _BODY.search(html, at) if at >= 0 else None
    return -1 if body is None else body.start()


def _html_line(html: str, body: int) -> str:
    """The text of a document from there on, as far as it is shown or farther."""
    start = max(body, 0)
    # PERF: what a text begins with does not depend on what follows, but for the last word: marks and names of
    # letters may be cut there. So as little as possible is read.
    for most in _HTML_CHARACTERS:
        if most >= len(html) - start:
            break
        line = _folded(html_text(html[start : start + most]))
        line = line[: max(line.rfind(" "), 0)]
        if len(line) > PREVIEW_CHARACTERS + 1:
            return line
    return _folded(html_text(html[start:]))


def _plain_line(octets: bytes, params: Parameters) -> str:
    """What most texts begin with, at once; "" when this one has to be looked at more closely."""
    # PERF: enough ASCII of a usual charset without any noise: 1.5 us instead of 6. All is looked through
    # for noise, but no more put on one line than is shown.
    if not octets.isascii() or (params and not _is_usual(params)):
        return ""
    text = octets.decode("ascii")
    if _is_noisy(text):
        return ""
    line = text[:_SHOWN_OCTETS].replace("\r\n", " ")
    if "  " in line or not line.isprintable():
        line = " ".join(text[: 2 * _SHOWN_OCTETS].split())
        if not line.isprintable():
            return ""
    elif line.startswith(" "):
        line = line[1:]
    return line if len(line) > PREVIEW_CHARACTERS + 1 else ""


def _is_usual(params: Parameters) -> bool:
    """Whether ASCII is ASCII in the charset named."""
    return params[0] in _USUAL_CHARSETS and (len(params) == 1 or "charset*" not in dict(params))


def _is_noisy(text: str) -> bool:
    """Whether there may be anything in it that tells nothing."""
    # PERF: one letter is found eight times as fast as two are, and mostly it is not there.
    return (
        ">" in text
        or ("-" in text and "--" in text)
        or ("/" in text and "://" in text)
        or ("=" in text and "==" in text)
        or ("_" in text and "__" in text)
        or ("*" in text and "**" in text)
    )


def _start(part: Part, octets: Buffer, shift: int, most: int) -> tuple[str, bool]:
    """The first octets of a part as text, and whether that is all of it."""
    start = part.body_start - shift
    end = part.end - shift
    is_all = end - start <= most
    raw = octets[start:end] if is_all else octets[start : start + most]
    encoding = part.encoding
    if encoding not in _IN_PLACE:
        if not is_all and encoding == "quoted-printable":
            raw = raw[: raw.rfind(b"\n") + 1] or raw
        decoded = decode_transfer(encoding, raw)
        if decoded is not None:
            raw = decoded
    if not is_all and not raw.isascii():
        raw = _whole_characters(raw)
    return decode(raw, part.charset), is_all


def _whole_characters(octets: bytes) -> bytes:
    """Without the beginning of a UTF-8 character that was cut at the end."""
    for back in range(1, min(5, len(octets) + 1)):
        octet = octets[-back]
        if octet < 0x80:
            return octets[: len(octets) - back + 1]
        if octet >= 0xC0:
            return octets[: len(octets) - back]
    return octets


def _telling_line(text: str) -> str:
    """Plain text on one line, without what tells nothing."""
    # PERF: most texts have no noise, and looking for these is a tenth of looking for it (bench: facts).
    if _is_noisy(text):
        if "\n>" in text:
            text = _QUOTE_ABOVE.sub("", text)
        signature = _SIGNATURE.search(text)
        if signature is not None:
            text = text[: signature.start()]
        text = _NOISE.sub("", text)
    return _folded(text)


def _folded(text: str) -> str:
    # PERF: what is cut away in the end need not be looked through: white space rarely doubles a text.
    line = " ".join(text[: 3 * PREVIEW_CHARACTERS].split())
    if len(line) >= PREVIEW_CHARACTERS and line.isascii() and line.isprintable():
        return line
    return " ".join(_UNSEEN.sub("", text).split())


def _cut(line: str) -> str:
    """At most PREVIEW_CHARACTERS, and no half word where there are words."""
    if len(line) <= PREVIEW_CHARACTERS:
        return line
    at = line.rfind(" ", PREVIEW_CHARACTERS - 25, PREVIEW_CHARACTERS + 1)
    return line[: at if at > 0 else PREVIEW_CHARACTERS]
