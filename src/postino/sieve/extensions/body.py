"""body: look into what the message says, part by part.

RFC: 5173 §4 (the test), §5.1 (:raw), §5.2 (:content), §5.3 (:text), §6 (no matched pieces).
Exposure: strangers' messages; at most the budget's body_octets of one are looked at; decoding costs steps.
Invariants: a message without an empty line has no body, and every body test of it fails.
Not here: finding parts (mime/index.py), undoing encodings (mime/transfer.py, mime/text.py).
"""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from postino.mime.charset import decode
from postino.mime.part import Part, walk
from postino.mime.text import decoded_text
from postino.mime.transfer import decode_transfer
from postino.sieve.message import SieveMessage
from postino.sieve.texts import values_of
from postino.sieve.vocabulary import Check, Extension, TagSpec, Takes, TestSpec

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_MOST_KEPT: Final = 8
"""Ways to take one message's body apart whose outcome is kept for the next test."""
_DELIMITER: Final = re.compile(rb"(?:\A|\n)--[^\n]*(?:\n|\Z)")
_LAST_LINE: Final = re.compile(rb"(?:\A|\r?\n)--[^\n]*\n?\Z")


class _Octets:
    """The whole message by ranges, without putting header and body together."""

    __slots__ = ("_message", "_start")

    def __init__(self, message: SieveMessage) -> None:
        self._message = message
        self._start = len(message.header)

    def __getitem__(self, wanted: slice) -> bytes:
        start = self._start
        return bytes(self._message.body[max(wanted.start - start, 0) : max(wanted.stop - start, 0)])


def has_body(message: SieveMessage) -> bool:
    """Whether there is an empty line with a body behind it, be it an empty one."""
    return len(message.body) > 0 or re.search(rb"(?:\A|\n)\r?\n\Z", message.header) is not None


def _as_text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")


def raw_body(message: SieveMessage, most: int) -> list[str]:
    """:raw: the body as it came."""
    return [_as_text(bytes(message.body[:most]))]


def text_of(message: SieveMessage, most: int) -> list[str]:
    """:text: every part that is text, HTML without its marks."""
    octets = _Octets(message)
    found: list[str] = []
    for part in walk(message.root):
        if most <= 0:
            break
        if not part.parts and part.media_type == "text":
            found.append(decoded_text(part, octets, octets_limit=most))
            most -= part.end - part.body_start
    return found


def is_of(part: Part, wanted: str) -> bool:
    """Whether a part has the type that :content names."""
    if not wanted:
        return True
    media_type, slash, subtype = wanted.lower().partition("/")
    if slash:
        return bool(media_type and subtype) and (media_type, subtype) == (
            part.media_type,
            part.media_subtype,
        )
    return media_type == part.media_type


def contents(message: SieveMessage, types: Sequence[str], most: int) -> list[str]:
    """:content: what each part of these types has of its own, decoded."""
    octets = _Octets(message)
    found: list[str] = []
    for part in walk(message.root):
        if most <= 0:
            break
        if any(is_of(part, wanted) for wanted in types):
            for piece in _own(part, octets, most):
                found.append(piece)
                most -= len(piece)
    return found


def _own(part: Part, octets: _Octets, most: int) -> Iterator[str]:
    if part.is_multipart and part.parts:
        yield from _around(part, octets, most)
    elif part.is_message:
        inner = part.parts[0]
        header = octets[inner.header_start : min(inner.body_start, inner.header_start + most)]
        yield _as_text(header.removesuffix(b"\n").removesuffix(b"\r"))
    else:
        raw = octets[part.body_start : min(part.end, part.body_start + most)]
        decoded = decode_transfer(part.encoding, raw)
        plain = raw if decoded is None else decoded
        yield decode(plain, part.charset) if part.media_type == "text" else _as_text(plain)


def _around(part: Part, octets: _Octets, most: int) -> Iterator[str]:
    """What stands before the first part of a multipart, and behind its last."""
    first, last = part.parts[0], part.parts[-1]
    before = octets[part.body_start : min(first.header_start, part.body_start + most)]
    yield _as_text(_LAST_LINE.sub(b"", before))
    behind = octets[last.end : min(part.end, last.end + most)]
    close = _DELIMITER.search(behind)
    yield _as_text(behind[close.end() :] if close is not None else b"")


def _body(compiling: "Compiling", bound: "Bound") -> Check:
    # RFC 5173 §6: wildcards of this test set no matched pieces.
    matching = compiling.matching(bound, bound.texts["keys"], sets_matches=False)
    types = bound.texts.get("content")
    transform = bound.one_of("raw", "content") or "text"
    compare = matching.values

    def body(run: "Run") -> bool:
        message = run.message
        if not has_body(message):
            return False
        most = run.budget.body_octets
        asked = tuple(values_of(types, run)) if types is not None else ()
        known = message.bodies.get((transform, asked))
        if known is None:
            run.spend(min(len(message.body), most) >> 7)
            if transform == "raw":
                known = raw_body(message, most)
            elif transform == "content":
                known = contents(message, asked, most)
            else:
                known = text_of(message, most)
            if len(message.bodies) < _MOST_KEPT:
                message.bodies[transform, asked] = known
        return compare(run, known)

    return body


BODY: Final = Extension(
    name="body",
    tests=(
        TestSpec(
            name="body",
            params=(("keys", Takes.STRINGS),),
            tags=(
                TagSpec(name="raw", group="transform"),
                TagSpec(name="content", takes=Takes.STRINGS, group="transform"),
                TagSpec(name="text", group="transform"),
            ),
            matches=True,
            compile=_body,
        ),
    ),
)
