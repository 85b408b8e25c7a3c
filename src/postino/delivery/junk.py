"""What a scanner in front of this server has judged junk, by the header fields it puts on top.

Exposure: anybody can write such a field; they then file their own message into Junk.
Not here: judging; where junk goes (accept.py), that it is not sent on (forwarding.py).
"""

from collections.abc import Sequence

from postino.core.errors import SettingsError
from postino.mime.header import raw_fields

Marks = tuple[tuple[bytes, bytes], ...]
"""(name, beginning of the value), both in lower case."""


def parse_marks(texts: Sequence[str]) -> Marks:
    """The fields that mark junk, as the settings write them: `X-Spam-Flag: YES`. Raises SettingsError."""
    marks = []
    for text in texts:
        name, colon, value = text.partition(":")
        if not (colon and name.strip() and value.strip() and text.isascii()):
            raise SettingsError(
                f"{text!r} in delivery.junk_fields is not a field; write one such as X-Spam-Flag: YES"
            )
        marks.append((name.strip().lower().encode(), value.strip().lower().encode()))
    return tuple(marks)


def is_junk(header: bytes, marks: Marks) -> bool:
    """Whether a field of the header marks the message as junk."""
    # PERF: nearly no message has one: 1 us for 2 KB instead of 15 for looking at each field.
    folded = header.lower()
    if not any(name in folded for name, _ in marks):
        return False
    return any(
        name.lower().rstrip(b" \t") == wanted and value.strip(b" \t\r\n").lower().startswith(beginning)
        for _, name, value in raw_fields(header)
        for wanted, beginning in marks
    )
