"""Read the content fields of a message's or a part's header.

RFC: 2045 §5-§8, 2183 (disposition), 3282 (language), 2557 (location), 1864 (md5).
Exposure: unauthenticated octets; linear time.
Not here: which part a header belongs to (index.py), the grammar of values (parameters.py).
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from postino.mime.header import unfold
from postino.mime.parameters import Parameters, parse_content_type, parse_disposition, parse_token

TEXT_BY_DEFAULT: Final = ("text", "plain", (("charset", b"us-ascii"),))

_MAX_LANGUAGES: Final = 100
_CONTENT_FIELD: Final = re.compile(
    rb"^(content-(?:type|transfer-encoding|id|description|disposition|language|location|md5))[ \t]*+:"
    rb"([^\n]*+(?:\n[ \t][^\n]*+)*+)",
    re.IGNORECASE | re.MULTILINE,
)
_REPEATED_OCTETS: Final = 120


class Content(NamedTuple):
    """What the content fields of one header say; `media` is None where the default counts."""

    media: tuple[str, str, Parameters] | None
    encoding: str
    content_id: bytes | None
    description: bytes | None
    disposition: str
    disposition_params: Parameters
    language: tuple[bytes, ...]
    location: bytes | None
    md5: bytes | None


def read_content(fields: Mapping[bytes, bytes]) -> Content:
    """What fields, given by their lower-case names, say."""
    get = fields.get
    media = None
    value = get(b"content-type")
    if value is not None:
        media = parse_content_type(value) or TEXT_BY_DEFAULT
    value = get(b"content-transfer-encoding")
    encoding = (value is not None and parse_token(value)) or "7bit"
    disposition: str = ""
    disposition_params: Parameters = ()
    value = get(b"content-disposition")
    if value is not None:
        disposition, disposition_params = parse_disposition(value) or ("", ())
    language: tuple[bytes, ...] = ()
    value = get(b"content-language")
    if value is not None:
        tags = unfold(value).split(b",", _MAX_LANGUAGES)[:_MAX_LANGUAGES]
        language = tuple([tag.strip() for tag in tags if tag.strip()])
    return Content(
        media,
        encoding,
        None if (value := get(b"content-id")) is None else unfold(value),
        None if (value := get(b"content-description")) is None else unfold(value),
        disposition,
        disposition_params,
        language,
        None if (value := get(b"content-location")) is None else unfold(value),
        None if (value := get(b"content-md5")) is None else unfold(value),
    )


def part_content(header: bytes) -> Content:
    """What a part's header says."""
    # PERF: senders use few different headers for text parts, so most are known already: 0.3 us, not 3.
    if len(header) <= _REPEATED_OCTETS and b"oundary" not in header and b"ame" not in header:
        return _repeated_content(header)
    return _part_content(header)


def _part_content(header: bytes) -> Content:
    return read_content({name.lower(): value for name, value in reversed(_CONTENT_FIELD.findall(header))})


_repeated_content = lru_cache(maxsize=1024)(_part_content)
