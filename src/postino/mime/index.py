"""Find the parts of a message in one pass, and remember where each begins and ends.

RFC: 2045 §5.2 (defaults), 2046 §5.1 (multipart), 5.1.5 (digest), 5.2 (message), 6532 §3.7 (message/global).
Exposure: unauthenticated octets; must stay bounded for any input.
Invariants: every input gives an index. Time is linear in the octets: each octet is searched once for
    the end of a header and once for delimiters, and at most MAX_DELIMITER_LINES lines are looked at.
    Beyond Limits.mime_depth a container is kept as one plain leaf; beyond Limits.mime_parts
    no further part is begun, and the last one takes the rest.
Not here: splitting fields (header.py), what content fields say (content.py), the shapes that most messages
    have (usual_index.py).
"""

import re
from collections.abc import Mapping
from typing import Final

from postino.core.limits import Limits
from postino.mime.content import TEXT_BY_DEFAULT, Content, part_content, read_content
from postino.mime.header import header_octets, raw_fields
from postino.mime.octets import Buffer, count_lines
from postino.mime.parameters import Parameters
from postino.mime.part import Part, pack_index, unpack_index, walk
from postino.mime.usual_index import boundary_of, usual_index

__all__ = ["MimeLimits", "Part", "index_message", "index_split", "pack_index", "unpack_index", "walk"]

MimeLimits = Limits
"""The index obeys mime_depth, mime_parts and header_octets."""

MAX_DELIMITER_LINES: Final = 1_000_000
"""Lines that begin like a delimiter, true ones or not, that are looked at in one message."""
MAX_DEPTH: Final = 250
"""Whatever the settings say: encoding an index recurses."""

_MAX_DELIMITER_OCTETS: Final = 4096  # with the blanks that mail systems put behind it
_EMBEDDED_HEADERS: Final = 4
"""How many times Limits.header_octets the embedded messages' headers together are kept for envelopes."""
_EMPTY_LINE: Final = re.compile(rb"\n\r?\n")
_IN_PLACE: Final = frozenset({"7bit", "8bit", "binary"})


class _Open:
    """A part whose end has not been seen."""

    __slots__ = (
        "body_start",
        "boundary",
        "content",
        "header",
        "header_start",
        "kind",
        "lines",
        "media",
        "parts",
    )

    def __init__(self, content: Content, header_start: int, body_start: int, header: bytes) -> None:
        self.content = content
        self.header_start = header_start
        self.body_start = body_start
        self.header = header
        self.parts: list[Part] = []
        self.boundary = b""
        self.kind = _LEAF
        self.media: tuple[str, str, Parameters] = _TEXT
        self.lines = 0


_LEAF: Final = 0
_MULTIPART: Final = 1
_MESSAGE: Final = 2
_TEXT: Final = ("text", "plain", ())
_MESSAGE_BY_DEFAULT: Final = ("message", "rfc822", ())
_PLAIN_OCTETS: Final = ("application", "octet-stream", ())


def index_message(octets: Buffer, limits: MimeLimits) -> Part:
    """Index a whole message."""
    header_length = header_octets(octets)
    header = octets[: min(header_length, limits.header_octets)]
    return _index(read_content(_root_fields(header)), octets, header_length, 0, limits)


def index_split(header: bytes, body: Buffer, limits: MimeLimits, body_start: int = 0) -> Part:
    """Index a message whose header is held apart; the body is `body` from `body_start` on.

    Ranges are those of the header and the body put together.
    """
    return index_body(_root_fields(header[: limits.header_octets]), len(header), body, limits, body_start)


def index_body(
    fields: Mapping[bytes, bytes], header_length: int, body: Buffer, limits: MimeLimits, body_start: int = 0
) -> Part:
    """`index_split` for a header that was read already: `fields` has its values by lower-case name."""
    return _index(read_content(fields), body, body_start, header_length - body_start, limits)


def _index(content: Content, buffer: Buffer, body_start: int, shift: int, limits: MimeLimits) -> Part:
    usual = usual_index(content, buffer, body_start, shift, limits)
    return _Indexer(buffer, body_start, shift, limits).run(content) if usual is None else usual


def _root_fields(header: bytes) -> dict[bytes, bytes]:
    return {name.lower(): value for _, name, value in reversed(raw_fields(header))}


class _Indexer:
    """One pass over one buffer. `shift` turns positions in the buffer into positions in the message."""

    __slots__ = (
        "active", "body_start", "buffer", "count", "delimiter_lines", "depth", "embedded_octets",
        "empty_line", "end", "limits", "lines", "lines_at", "needle", "shift", "stack",
    )  # fmt: skip

    def __init__(self, buffer: Buffer, body_start: int, shift: int, limits: MimeLimits) -> None:
        self.buffer = buffer
        self.body_start = body_start
        self.shift = shift
        self.end = len(buffer)
        self.limits = limits
        self.depth = min(limits.mime_depth, MAX_DEPTH)
        self.stack: list[_Open] = []
        # Where each boundary in force belongs in the stack. The innermost of two equal ones counts.
        self.active: dict[bytes, list[int]] = {}
        self.needle = b""
        self.count = 0
        self.delimiter_lines = 0
        self.empty_line: tuple[int, int] = (-1, -1)
        self.lines = 0
        self.lines_at = 0
        self.embedded_octets = _EMBEDDED_HEADERS * limits.header_octets

    def run(self, content: Content) -> Part:
        self.open(_Open(content, -self.shift, self.body_start, b""), TEXT_BY_DEFAULT)
        stack = self.stack
        at = self.body_start - 1
        delimiter: tuple[int, int, int, bool] | None = None
        while True:
            top = stack[-1]
            if top.kind == _MESSAGE and delimiter is None:
                at, delimiter = self.enter(top.body_start, TEXT_BY_DEFAULT, is_message=True)
                continue
            if delimiter is None:
                delimiter = self.next_delimiter(at, self.end) if self.active else None
                if delimiter is None:
                    break
            line_start, after, level, is_last = delimiter
            if not is_last and self.count >= self.limits.mime_parts:
                break
            delimiter = None
            # The line break before a delimiter belongs to the delimiter (RFC 2046 §5.1.1).
            cut = line_start - 1
            if cut > 0 and self.buffer[cut - 1 : cut] == b"\r":
                cut -= 1
            while len(stack) - 1 > level:
                cut = self.close(cut)
            if is_last:
                self.deactivate(stack[level])
                at = after - 1
            else:
                is_digest = stack[level].media[1] == "digest"
                default = _MESSAGE_BY_DEFAULT if is_digest else TEXT_BY_DEFAULT
                at, delimiter = self.enter(after, default, is_message=False)
        while len(stack) > 1:
            self.close(self.end)
        return self.finished(stack.pop(), self.end)

    def enter(
        self, start: int, default: tuple[str, str, Parameters], *, is_message: bool
    ) -> tuple[int, tuple[int, int, int, bool] | None]:
        """Open the part at `start`. Gives where to search on, and the delimiter if one cut its header."""
        buffer = self.buffer
        body_start = self.body_after(start)
        delimiter = None
        if self.active and (start == 0 or buffer.find(self.needle, start - 1, body_start) >= 0):
            delimiter = self.next_delimiter(start - 1, body_start)
            if delimiter is not None:
                body_start = delimiter[0]
        header_end = min(body_start, start + self.limits.header_octets)
        header = buffer[start:header_end]
        content = part_content(header)
        kept = b""
        if is_message:
            kept = header[: self.embedded_octets]
            self.embedded_octets -= len(kept)
        self.open(_Open(content, start, body_start, kept), default)
        return body_start - 1, delimiter

    def body_after(self, start: int) -> int:
        """Where the header that begins at `start` is over: behind its empty line, or at the very end."""
        if start == 0:  # only here is no line break in front of the first line
            if self.buffer[:1] == b"\n":
                return 1
            if self.buffer[:2] == b"\r\n":
                return 2
        at = max(start - 1, 0)
        if self.empty_line[0] < at:
            # Remembered, because many parts without an empty line must not each search to the end.
            found = _EMPTY_LINE.search(self.buffer, at)
            self.empty_line = found.span() if found else (self.end, self.end)
        return self.empty_line[1]

    def next_delimiter(self, at: int, limit: int) -> tuple[int, int, int, bool] | None:
        """The first delimiter line behind the line feed at or after `at`, ending its mark before `limit`.

        As (start of its line, start of the next line, place in the stack, whether it is the last one).
        `at` -1 means that the buffer itself begins a line.
        """
        buffer, active, needle = self.buffer, self.active, self.needle
        while self.delimiter_lines < MAX_DELIMITER_LINES:
            if at < 0:
                found, at = -1, 0
                if buffer[: len(needle) - 1] != needle[1:]:
                    continue
            else:
                found = buffer.find(needle, at, limit)
                if found < 0:
                    return None
            self.delimiter_lines += 1
            mark = found + 3
            line_end = buffer.find(b"\n", mark)
            after = line_end + 1
            if line_end < 0:
                line_end = after = self.end
            if line_end - mark <= _MAX_DELIMITER_OCTETS:
                # DEVIATION: RFC 2046 §5.1.1 lets any line that only begins with the delimiter count; then no
                # boundary could be the beginning of another one, which real mail has.
                line = buffer[mark:line_end].rstrip(b" \t\r")
                levels = active.get(line)
                if levels:
                    return found + 1, after, levels[-1], False
                if line.endswith(b"--"):
                    levels = active.get(line[:-2])
                    if levels:
                        return found + 1, after, levels[-1], True
            at = line_end
        return None

    def open(self, part: _Open, default: tuple[str, str, Parameters]) -> None:
        """Decide what a part is, and put it on the stack."""
        media = part.content.media or default
        kind = _LEAF
        if media[0] == "multipart":
            boundary = boundary_of(media[2])
            if not boundary:
                media = _TEXT
            elif len(self.stack) >= self.depth:
                media = _PLAIN_OCTETS
            else:
                kind = _MULTIPART
                part.boundary = boundary
                self.active.setdefault(boundary, []).append(len(self.stack))
                self.set_needle()
        elif media[0] == "message" and media[1] in {"rfc822", "global"}:
            # RFC 2046 §5.2.1 forbids encoding message/rfc822; one that is, has no parts to point at.
            if (
                len(self.stack) >= self.depth
                or part.content.encoding not in _IN_PLACE
                or self.count + 2 > self.limits.mime_parts
            ):
                media = _PLAIN_OCTETS
            else:
                kind = _MESSAGE
                part.lines = self.lines_before(part.body_start)
        part.kind = kind
        part.media = media
        self.count += 1
        self.stack.append(part)

    def close(self, end: int) -> int:
        """Take the innermost part off the stack. Gives its end: behind its header, if `end` lies before."""
        part = self.stack.pop()
        self.stack[-1].parts.append(self.finished(part, end))
        return max(end, part.body_start)

    def finished(self, part: _Open, end: int) -> Part:
        if part.boundary:
            self.deactivate(part)
        body_start = part.body_start
        if end < body_start:  # a delimiter directly behind the header
            end = body_start
        shift = self.shift
        media_type, media_subtype, params = part.media
        lines = 0
        if part.kind == _MESSAGE:
            lines = self.lines_before(end) - part.lines
            if not part.parts:
                at = body_start + shift
                part.parts.append(Part(header_start=at, body_start=at, end=end + shift))
        else:
            if part.kind == _MULTIPART and not part.parts:
                # Without a single delimiter there is only text to show, and IMAP has no empty multipart.
                media_type, media_subtype, params = _TEXT
            if media_type == "text":
                lines = count_lines(self.buffer, body_start, end)
        content = part.content
        return Part(
            media_type=media_type,
            media_subtype=media_subtype,
            params=params,
            encoding=content.encoding,
            header_start=part.header_start + shift,
            body_start=body_start + shift,
            end=end + shift,
            lines=lines,
            parts=tuple(part.parts),
            content_id=content.content_id,
            description=content.description,
            disposition=content.disposition,
            disposition_params=content.disposition_params,
            language=content.language,
            location=content.location,
            md5=content.md5,
            header=part.header,
        )

    def lines_before(self, at: int) -> int:
        """Line feeds before `at`, counted on from the last place asked for.

        Messages nested in each other end together; each counting all of itself would be quadratic.
        """
        if at >= self.lines_at:
            self.lines += count_lines(self.buffer, self.lines_at, at)
        else:
            self.lines -= count_lines(self.buffer, at, self.lines_at)
        self.lines_at = at
        return self.lines

    def deactivate(self, part: _Open) -> None:
        """Take a multipart's boundary out of force: at its last delimiter, or when it ends without."""
        levels = self.active[part.boundary]
        levels.pop()
        if not levels:
            del self.active[part.boundary]
        part.boundary = b""
        self.set_needle()

    def set_needle(self) -> None:
        """What all delimiters in force begin with: the longer, the faster `find` skips."""
        if not self.active:
            return
        if len(self.active) == 1:
            (shared,) = self.active
        else:
            # Any common beginning will do, and the least and greatest share what all share.
            shared, last = min(self.active), max(self.active)
            while not last.startswith(shared):
                shared = shared[: len(shared) * 3 // 4]
        self.needle = b"\n--" + shared
