"""What holds for the MIME index of any octets; shared by tests and fuzzing."""

from postino.core.limits import Limits
from postino.mime.header import header_octets
from postino.mime.index import Part, pack_index, unpack_index, walk


def shape(part: Part) -> object:
    """A part as its type, or (type, children)."""
    name = f"{part.media_type}/{part.media_subtype}"
    return (name, [shape(child) for child in part.parts]) if part.parts else name


def check_index(octets: bytes, root: Part, limits: Limits) -> None:
    """What holds for every index."""
    assert (root.header_start, root.end) == (0, len(octets))
    assert root.body_start == header_octets(octets)
    count = 0
    deepest = 0
    waiting = [(root, 1)]
    while waiting:
        part, depth = waiting.pop()
        count += 1
        deepest = max(deepest, depth)
        assert part.header_start <= part.body_start <= part.end
        if part.media_type == "text":
            assert part.lines == octets.count(b"\n", part.body_start, part.end)
        if part.media_type == "multipart":
            assert part.parts
        if part.is_message:
            assert len(part.parts) == 1
            assert part.lines == octets.count(b"\n", part.body_start, part.end)
            assert part.parts[0].end == part.end
        elif part.media_type != "multipart":
            assert not part.parts
        at = part.body_start
        # Parts and what is between them put together are the body again.
        pieces: list[bytes] = []
        for child in part.parts:
            assert child.header_start >= at
            pieces += [octets[at : child.header_start], octets[child.header_start : child.body_start]]
            pieces.append(octets[child.body_start : child.end])
            at = child.end
            waiting.append((child, depth + 1))
        assert at <= part.end
        pieces.append(octets[at : part.end])
        assert b"".join(pieces) == octets[part.body_start : part.end]
    assert count <= limits.mime_parts
    assert deepest <= limits.mime_depth + 1
    packed = pack_index(root)
    again = unpack_index(packed)
    assert pack_index(again) == packed
    assert shape(again) == shape(root)
    for one, other in zip(walk(again), walk(root), strict=True):
        assert (one.header_start, one.body_start, one.end, one.encoding) == (
            other.header_start, other.body_start, other.end, other.encoding,
        )  # fmt: skip
        if other.media_type == "text":
            assert one.charset == other.charset
