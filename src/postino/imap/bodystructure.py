"""Make BODYSTRUCTURE and BODY values of a message.

RFC: 9051 §7.5.2 (BODY, BODYSTRUCTURE), §9 (body), 2231 §3-§4 as §7.5.2 asks for it.
Invariants: the result is a complete IMAP value with all extension data, or with none.
    Sizes and line counts are of the octets as they are, before any decoding.
Not here: finding parts (mime/index.py).
"""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote_from_bytes

from postino.imap.envelope import encode_envelope, encode_nstring, encode_string
from postino.mime.parameters import Parameters
from postino.mime.part import Part

_TOKEN: Final = re.compile(rb"\"(?:[^\"\\]++|\\.)*+\"|\{(\d+)\}\r\n|[()]|[^\s()\"{]++", re.DOTALL)
_BASIC_FIELDS: Final = 7  # type, subtype, parameters, id, description, encoding, octets
_UNRESERVED: Final = "!#$&+.^_`|~-"  # RFC 2231 §7, attribute-char


def encode_bodystructure(part: Part, extended: bool = True) -> bytes:
    """The BODYSTRUCTURE value of a message or part; without `extended`, its BODY value."""
    if part.is_multipart:
        children = b"".join([encode_bodystructure(child, extended) for child in part.parts])
        subtype = encode_string(part.media_subtype.encode())
        if not extended:
            return b"(%b %b)" % (children, subtype)
        return b"(%b %b %b %b)" % (children, subtype, _parameters(part.params), _placement(part))
    octets = part.end - part.body_start
    params = part.params
    # PERF: text parts come with few different types; names of files hardly repeat.
    if not params or (len(params) == 1 and params[0][0] == "charset"):
        if (
            extended
            and part.content_id is part.description is part.md5 is part.location is None
            and part.media_type == "text"
            and not (part.disposition or part.language)
        ):
            head = _repeated_head(part.media_subtype, params, part.encoding)
            return b"%b %d %d NIL NIL NIL NIL)" % (head, octets, part.lines)
        media = _repeated_media(part.media_type, part.media_subtype, params)
    else:
        media = _media(part.media_type, part.media_subtype, params)
    basic = b"%b %b %b %b %d" % (
        media,
        b"NIL" if part.content_id is None else encode_string(part.content_id),
        b"NIL" if part.description is None else encode_string(part.description),
        b'"%b"' % part.encoding.encode(),
        octets,
    )
    if part.is_message:
        (embedded,) = part.parts
        body = encode_bodystructure(embedded, extended)
        basic = b"%b %b %b %d" % (basic, encode_envelope(embedded.header), body, part.lines)
    elif part.media_type == "text":
        basic = b"%b %d" % (basic, part.lines)
    if not extended:
        return b"(%b)" % basic
    return b"(%b %b %b)" % (basic, encode_nstring(part.md5), _placement(part))


def body_of(bodystructure: bytes) -> bytes:
    """The BODY value, from a BODYSTRUCTURE value made here: the same without extension data."""
    return _Basic(bodystructure).body()


def _media(media_type: str, media_subtype: str, params: Parameters) -> bytes:
    return b'"%b" "%b" %b' % (media_type.encode(), media_subtype.encode(), _parameters(params))


_repeated_media = lru_cache(maxsize=1024)(_media)


@lru_cache(maxsize=1024)
def _repeated_head(media_subtype: str, params: Parameters, encoding: str) -> bytes:
    """What a text part with nothing else to tell begins with."""
    return b'(%b NIL NIL "%b"' % (_media("text", media_subtype, params), encoding.encode())


def _parameters(params: Parameters) -> bytes:
    if not params:
        return b"NIL"
    pieces: list[bytes] = []
    for name, value in params:
        if name[-1:] == "*":
            # DEVIATION: RFC 9051 §7.5.2 asks for the joined UTF-8 value under this name. Clients take what is
            # called name* for an extended value and decode it, so it stays in that form, in one piece.
            value = b"utf-8''" + quote_from_bytes(value, _UNRESERVED).encode()
        pieces.append(b"%b %b" % (encode_string(name.encode()), encode_string(value)))
    return b"(%b)" % b" ".join(pieces)


def _placement(part: Part) -> bytes:
    """Disposition, language and location."""
    if not (part.disposition or part.language or part.location):
        return b"NIL NIL NIL" if part.location is None else b'NIL NIL ""'
    disposition = b"NIL"
    if part.disposition:
        disposition = b'("%b" %b)' % (part.disposition.encode(), _parameters(part.disposition_params))
    language = b"NIL"
    if len(part.language) == 1:
        language = encode_string(part.language[0])
    elif part.language:
        language = b"(%b)" % b" ".join([encode_string(tag) for tag in part.language])
    return b"%b %b %b" % (disposition, language, encode_nstring(part.location))


class _Basic:
    """Walks over a BODYSTRUCTURE value and keeps the spans that BODY has, too."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.at = 0

    def body(self) -> bytes:
        """Read one body structure, from its opening parenthesis."""
        self.token()
        children: list[bytes] = []
        while self.octets[self.at : self.at + 1] == b"(":
            children.append(self.body())
        if children:
            kept = b"%b %b" % (b"".join(children), self.value())
        else:
            basic = [self.value() for _ in range(_BASIC_FIELDS)]
            media_type, media_subtype = basic[0], basic[1]
            if media_type == b'"text"':
                basic.append(self.value())
            elif media_type == b'"message"' and media_subtype in {b'"rfc822"', b'"global"'}:
                basic.append(self.value())
                self.blank()
                basic.append(self.body())
                basic.append(self.value())
            kept = b" ".join(basic)
        while self.octets[self.at : self.at + 1] != b")":
            self.value()
        self.at += 1
        return b"(%b)" % kept

    def value(self) -> bytes:
        """Read one value, parenthesised or not, as it stands."""
        self.blank()
        start = self.at
        depth = 0
        while True:
            token = self.token()
            depth += (token == b"(") - (token == b")")
            if not depth:
                return self.octets[start : self.at]
            self.blank()

    def blank(self) -> None:
        if self.octets[self.at : self.at + 1] == b" ":
            self.at += 1

    def token(self) -> bytes:
        found = _TOKEN.match(self.octets, self.at)
        if found is None:
            raise ValueError("This is not a BODYSTRUCTURE value; rebuild it from the message")
        self.at = found.end() + int(found[1] or 0)
        return found[0]
