"""One part of a message: what its header says, and where its octets are.

RFC: 2045 §5-§8 (content fields), 2046 §5 (containers), 2183, 3282, 2557, 1864 (the extension fields).
Invariants: 0 <= header_start <= body_start <= end; children lie inside [body_start, end), in order and
    without overlap; a multipart has at least one child, an embedded message exactly one, a leaf none.
Not here: finding parts (index.py), decoding them (text.py), IMAP's view of them (imap/bodystructure.py).
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from postino.mime.encoded_word import decode_header_text
from postino.mime.parameters import Parameters


class Part(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A message, or a part of one. Ranges are in octets of the whole message."""

    media_type: str = "text"
    media_subtype: str = "plain"
    params: Parameters = ()
    encoding: str = "7bit"
    header_start: int
    body_start: int
    end: int
    lines: int = 0
    """Line feeds in the body; counted for text and embedded messages only, where IMAP shows them."""
    parts: tuple["Part", ...] = ()
    content_id: bytes | None = None
    description: bytes | None = None
    disposition: str = ""
    disposition_params: Parameters = ()
    language: tuple[bytes, ...] = ()
    location: bytes | None = None
    md5: bytes | None = None
    header: bytes = b""
    """The header block of an embedded message, from which its envelope is read; else empty."""

    @property
    def is_multipart(self) -> bool:
        """Whether its children are numbered as its own (RFC 9051 §6.4.5.1)."""
        return self.media_type == "multipart"

    @property
    def is_message(self) -> bool:
        """Whether its one child is the message it carries."""
        return self.media_type == "message" and bool(self.parts)

    @property
    def charset(self) -> str:
        """The charset parameter, lower case; "" when there is none."""
        return self.param("charset").decode("ascii", "replace").lower()

    @property
    def filename(self) -> str:
        """The name the sender gave to the file, decoded; "" when there is none."""
        for params, name in ((self.disposition_params, "filename"), (self.params, "name")):
            for wanted in (f"{name}*", name):
                for found, value in params:
                    if found == wanted:
                        return decode_header_text(value)
        return ""

    def param(self, name: str) -> bytes:
        """A parameter of Content-Type by its lower-case name, the RFC 2231 form first; b"" if missing."""
        plain = b""
        extended = f"{name}*"
        for found, value in self.params:
            if found == extended:
                return value
            if found == name:
                plain = value
        return plain


def walk(root: Part) -> Iterator[Part]:
    """Every part, each before its children, in the order of the message."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        yield part
        waiting.extend(reversed(part.parts))


class _Packed(msgspec.Struct, frozen=True, gc=False, array_like=True, omit_defaults=True):
    """What section lookup and decoding of text need of a Part, and no more.

    Fields are positional in the stored form: new ones go to the end, none is ever taken out.
    """

    header_start: int
    body_start: int
    end: int
    parts: tuple["_Packed", ...] = ()
    media_type: str = "text"
    media_subtype: str = "plain"
    charset: bytes = b""
    encoding: str = "7bit"


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Packed)


def pack_index(root: Part) -> bytes:
    """The index as octets for the store: about 20 for each part."""
    return _ENCODER.encode(_pack(root))


def unpack_index(packed: bytes) -> Part:
    """The index back from `pack_index`, without descriptive fields. Raises ValueError on anything else."""
    return _unpack(_DECODER.decode(packed))


def move_index(packed: bytes, octets: int) -> bytes:
    """The index, as octets, of the same message with that many octets put on top of its header."""
    root = _DECODER.decode(packed)
    return _ENCODER.encode(_move(root, octets, header_start=root.header_start))


def _move(part: _Packed, octets: int, *, header_start: int) -> _Packed:
    return _Packed(
        header_start,
        part.body_start + octets,
        part.end + octets,
        tuple([_move(child, octets, header_start=child.header_start + octets) for child in part.parts])
        if part.parts
        else (),
        part.media_type,
        part.media_subtype,
        part.charset,
        part.encoding,
    )


def _pack(part: Part) -> _Packed:
    return _Packed(
        part.header_start,
        part.body_start,
        part.end,
        tuple([_pack(child) for child in part.parts]) if part.parts else (),
        part.media_type,
        part.media_subtype,
        part.param("charset") if part.media_type == "text" else b"",
        part.encoding,
    )


def _unpack(packed: _Packed) -> Part:
    return Part(
        media_type=packed.media_type,
        media_subtype=packed.media_subtype,
        params=(("charset", packed.charset),) if packed.charset else (),
        encoding=packed.encoding,
        header_start=packed.header_start,
        body_start=packed.body_start,
        end=packed.end,
        parts=tuple([_unpack(child) for child in packed.parts]),
    )
