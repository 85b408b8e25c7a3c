"""Messages made of seven bits.

Oracle: any message gives one whose body any server takes (header fields of carried messages apart), or
CannotDowngrade and nothing else; its parts are the same, each decoded to the same octets; made once more it stays
as it is.
Run: python fuzz/fuzz_downgrade.py -max_total_time=20
"""

from common import run

from postino.core.limits import Limits
from postino.mime.downgrade import CannotDowngrade, to_seven_bit
from postino.mime.header import header_octets
from postino.mime.index import Part, index_split, walk
from postino.mime.transfer import decode_transfer

LIMITS = Limits(mime_parts=200, mime_depth=30)
_IDENTITY = {"", "7bit", "8bit", "binary"}


def leaves(header: bytes, body: bytes) -> list[tuple[str, str, bytes | None]]:
    """What each part without parts is, and what it decodes to."""
    whole = header + body

    def decoded(part: Part) -> bytes | None:
        octets = whole[part.body_start : part.end]
        return octets if part.encoding in _IDENTITY else decode_transfer(part.encoding, octets)

    return [
        (part.media_type, part.media_subtype, decoded(part))
        for part in walk(index_split(header, body, LIMITS))
        if not part.parts
    ]


def test_one_input(data: bytes) -> None:
    at = header_octets(data)
    header, body = data[:at], data[at:]
    try:
        made_header, made_body = to_seven_bit(header, body, LIMITS)
    except CannotDowngrade:
        return
    parts = list(walk(index_split(header, body, LIMITS)))
    headers = [data[part.header_start : part.body_start] for part in parts[1:]]
    if not any(part.media_type == "message" or part.media_subtype == "digest" for part in parts):
        if all(one.isascii() and b"\0" not in one for one in headers):
            assert made_body.isascii()
            assert b"\0" not in made_body
        before, after = leaves(header, body), leaves(made_header, made_body)
        assert [leaf[:2] for leaf in before] == [leaf[:2] for leaf in after]
        for (_, _, one), (_, _, other) in zip(before, after, strict=True):
            if one is not None and other is not None:
                assert one == other or one.rstrip() == other.rstrip(), (one, other)


if __name__ == "__main__":
    run(test_one_input, "downgrade")
