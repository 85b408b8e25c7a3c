"""Find the octets that a FETCH section names.

RFC: 9051 §6.4.5.1 (section specification).
Invariants: a section that the message does not have gives None, which is answered as NIL.
Not here: reading section specifications (commands/), choosing header fields (mime/header.py).
"""

from enum import Enum
from typing import assert_never

from postino.mime.part import Part


class SectionText(Enum):
    """The last word of a section specification; HEADER.FIELDS chooses from HEADER."""

    ALL = ""
    HEADER = "HEADER"
    TEXT = "TEXT"
    MIME = "MIME"


def find_section(root: Part, section_part: tuple[int, ...]) -> Part | None:
    """The part with these numbers; no numbers give the message itself."""
    part = root
    # What the next number counts in: a multipart, or a message, whose own body is number 1 unless
    # it is multipart. A leaf has nothing to number.
    scope: Part | None = root
    for number in section_part:
        if scope is None or number < 1:
            return None
        if scope.is_multipart:
            if number > len(scope.parts):
                return None
            part = scope.parts[number - 1]
        elif number == 1:
            part = scope
        else:
            return None
        scope = None
        if part.is_message:
            scope = part.parts[0]
        elif part.is_multipart:
            scope = part
    return part


def section_range(
    root: Part, section_part: tuple[int, ...], text: SectionText = SectionText.ALL
) -> tuple[int, int] | None:
    """Where the section's octets are in the message, as (start, end)."""
    part = find_section(root, section_part)
    if part is None:
        return None
    match text:
        case SectionText.ALL:
            return (part.body_start if section_part else part.header_start, part.end)
        case SectionText.MIME:
            return (part.header_start, part.body_start) if section_part else None
        case SectionText.HEADER | SectionText.TEXT:
            message = part
            if section_part:
                if not part.is_message:
                    return None
                message = part.parts[0]
            if text is SectionText.HEADER:
                return message.header_start, message.body_start
            return message.body_start, message.end
        case _:
            assert_never(text)
