"""What the MIME parser reads: a whole message in memory, or mapped from a file, never copied.

Not here: where the octets come from (store/blobs.py, delivery/).
"""

import mmap
from typing import Final, Protocol

Buffer = bytes | mmap.mmap
"""Both have `find` and slices, and compiled expressions search both in place."""


class Slices(Protocol):
    """Octets that can be had by ranges: a Buffer, or a message of which only some parts are ever read."""

    def __getitem__(self, wanted: slice, /) -> bytes:
        """The octets from start to stop; both are given, and within the message."""
        ...


_STEP_OCTETS: Final = 1024 * 1024


def count_lines(octets: Buffer, start: int, end: int) -> int:
    """Count line feeds in a range; an unfinished last line is not counted, as other servers do."""
    if isinstance(octets, bytes):
        return octets.count(b"\n", start, end)
    # A map has no count of its own; stepping keeps the copies small.
    return sum(
        octets[at : min(at + _STEP_OCTETS, end)].count(b"\n") for at in range(start, end, _STEP_OCTETS)
    )
