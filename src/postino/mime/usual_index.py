"""Find the parts of a message of a usual shape, in half the time that any message takes.

RFC: 2046 §5.1 (multipart).
Exposure: unauthenticated octets. At most _PARTS parts in _DEPTH levels are looked at, and each octet once for
    each level, so time is linear.
Invariants: what is found here is what index.py finds; whatever could be read in two ways (a line that only
    begins like a delimiter, a delimiter inside a header, a missing end) gives None.
Not here: messages of any other shape, such as those with messages inside (index.py).
"""

import re
from typing import Final

from postino.core.limits import Limits
from postino.mime.content import TEXT_BY_DEFAULT, Content, part_content
from postino.mime.octets import Buffer, count_lines
from postino.mime.parameters import Parameters
from postino.mime.part import Part

_DEPTH: Final = 3
_PARTS: Final = 30
_MAX_BOUNDARY_OCTETS: Final = 1024  # RFC 2046 §5.1.1 allows 70
_EMPTY_LINE: Final = re.compile(rb"\n\r?\n")
_NOTHING_ELSE: Final = (None, None, "", (), (), None, None)
"""What a header says that names type and encoding at most."""

Media = tuple[str, str, Parameters]


def boundary_of(params: Parameters) -> bytes:
    """What the lines between a multipart's parts say; empty when that cannot be used."""
    boundary = b""
    for name, octets in params:
        if name in {"boundary", "boundary*"}:
            boundary = octets.rstrip()
    return boundary if len(boundary) <= _MAX_BOUNDARY_OCTETS and b"\n" not in boundary else b""


def usual_index(content: Content, buffer: Buffer, body_start: int, shift: int, limits: Limits) -> Part | None:
    """The index of the message with this content whose body is `buffer` from `body_start` on, if it is usual.

    Adding `shift` to a position in the buffer gives the one in the message.
    """
    media = content.media or TEXT_BY_DEFAULT
    end = max(len(buffer), body_start)
    if media[0] != "multipart":
        if media[0] == "message":
            return None
        lines = count_lines(buffer, body_start, end) if media[0] == "text" else 0
        return _made(content, media, 0, body_start + shift, end + shift, lines, ())
    if limits.mime_depth <= _DEPTH or limits.mime_parts <= _PARTS + 1:
        return None
    return _Reader(buffer, shift, limits.header_octets).multipart(content, media, -shift, body_start, end, ())


class _Reader:
    """Reads one message; its methods give None as soon as something is unusual."""

    __slots__ = ("buffer", "header_octets", "parts_left", "shift")

    def __init__(self, buffer: Buffer, shift: int, header_octets: int) -> None:
        self.buffer = buffer
        self.shift = shift
        self.header_octets = header_octets
        self.parts_left = _PARTS

    def multipart(
        self,
        content: Content,
        media: Media,
        header_start: int,
        body_start: int,
        end: int,
        around: tuple[bytes, ...],
    ) -> Part | None:
        """A multipart, inside others with the boundaries `around`."""
        boundary = boundary_of(media[2])
        if not boundary or media[1] == "digest" or len(around) == _DEPTH:
            return None
        for outer in around:
            if outer.startswith(boundary) or boundary.startswith(outer):
                return None
        around = (*around, boundary)
        buffer = self.buffer
        find = buffer.find
        needle = b"\n--" + boundary
        parts: list[Part] = []
        start = -1  # of the part being read
        if not body_start and buffer[: len(needle) - 1] == needle[1:]:
            found = -1  # where the line feed before the body would be
        else:
            found = find(needle, max(body_start - 1, 0), end)
            if found < 0:
                return None
        while True:
            if start >= 0:
                part = self.part(start, found, around)
                if part is None:
                    return None
                parts.append(part)
            mark = found + len(needle)
            rest = buffer[mark : mark + 4]
            if rest[:2] == b"\r\n":
                start = mark + 2
            elif rest[:1] == b"\n":
                start = mark + 1
            elif rest in {b"--\r\n", b"--"} or rest[:3] == b"--\n":
                break
            else:
                return None
            found = find(needle, start - 1, end)
            if found < 0:
                return None
        if not parts:
            return None
        shift = self.shift
        return _made(content, media, header_start + shift, body_start + shift, end + shift, 0, tuple(parts))

    def part(self, start: int, line_feed: int, around: tuple[bytes, ...]) -> Part | None:
        """The part from `start` to the line feed before a delimiter."""
        buffer = self.buffer
        header_end = _EMPTY_LINE.search(buffer, start - 1, line_feed + 1)
        if header_end is None or not self.parts_left:
            return None
        self.parts_left -= 1
        body_start = header_end.end()
        if body_start - start > self.header_octets:
            return None
        # The line break before a delimiter belongs to the delimiter, but not that of the empty line.
        end = line_feed - 1 if buffer[line_feed - 1 : line_feed] == b"\r" else line_feed
        end = max(end, body_start)
        content = part_content(buffer[start:body_start])
        media = content.media or TEXT_BY_DEFAULT
        if media[0] == "multipart":
            return self.multipart(content, media, start, body_start, end, around)
        if media[0] == "message" and media[1] in {"rfc822", "global"}:
            return None
        lines = count_lines(buffer, body_start, end) if media[0] == "text" else 0
        shift = self.shift
        return _made(content, media, start + shift, body_start + shift, end + shift, lines, ())


def _made(
    content: Content,
    media: Media,
    header_start: int,
    body_start: int,
    end: int,
    lines: int,
    parts: tuple[Part, ...],
) -> Part:
    # PERF: Python makes a dict of more than fifteen named arguments: 0.7 us where these take 0.1.
    if content[2:] == _NOTHING_ELSE:
        return Part(
            media_type=media[0],
            media_subtype=media[1],
            params=media[2],
            encoding=content.encoding,
            header_start=header_start,
            body_start=body_start,
            end=end,
            lines=lines,
            parts=parts,
        )
    return Part(
        media_type=media[0],
        media_subtype=media[1],
        params=media[2],
        encoding=content.encoding,
        header_start=header_start,
        body_start=body_start,
        end=end,
        lines=lines,
        parts=parts,
        content_id=content.content_id,
        description=content.description,
        disposition=content.disposition,
        disposition_params=content.disposition_params,
        language=content.language,
        location=content.location,
        md5=content.md5,
    )
