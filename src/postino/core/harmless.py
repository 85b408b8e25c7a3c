"""Text of others for terminals and traces: without what moves cursors, begins lines or turns text around.

Exposure: subjects, addresses, names of mailboxes and scripts, reasons: anybody's.
Invariants: one line in, one line out; letters of every script, and what joins them, stay.
Not here: header fields (mime/encode_header.py), SMTP replies (smtp/reply.py), logs (app/logging.py).
"""

import re
from typing import Final

HARMFUL: Final = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
"""For classes of patterns: ends lines, moves cursors, turns text around, or is no text."""
_HARMFUL: Final = re.compile(f"[{HARMFUL}\ufffe\uffff]")


def harmless(text: str) -> str:
    """The text, with `?` for each such character."""
    return _HARMFUL.sub("?", text)


def printable(text: str) -> str:
    """The text with `?` for all that is not printable, joiners too: for a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def harmless_lines(text: str) -> str:
    """As harmless(), line by line."""
    return "\n".join(map(harmless, text.split("\n")))
