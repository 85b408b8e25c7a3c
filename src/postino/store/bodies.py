"""How a body lies in the database: as it is, compressed, shared between accounts, or in a blob.

Invariants: unpack(pack(octets)) is octets. A stored codec number never changes its meaning.
Not here: the blobs' files (store/blobs.py), reading many bodies at once (store/fetch.py).
"""

import threading
from enum import IntEnum
from typing import Final

import zstandard

from postino.core.errors import DatabaseDamaged

COMPRESS_FROM: Final = 32 * 1024
"""Bodies of fewer octets are stored as they are: decompressing them was a fifth of reading a mailbox whole,
for a tenth of the disk (bench: imap, whole messages)."""
SAMPLE_OCTETS: Final = 4096
LEVEL: Final = 1
ROW_OCTETS: Final = 128 * 1024
"""Bodies that stay larger than this when compressed belong in a blob."""


class Codec(IntEnum):
    """The column `octets.codec`."""

    RAW = 0
    ZSTD = 1
    SHARED = 2
    BLOB = 3


class _Tools(threading.local):
    """A compressor is not to be used by two threads at once."""

    def __init__(self) -> None:
        # The checksum, 2 us for 16 KB, tells a reader that the disk has changed a body.
        self.compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        self.decompressor = zstandard.ZstdDecompressor()


_tools: Final = _Tools()


def pack(octets: bytes, *, compress_from: int = COMPRESS_FROM) -> tuple[Codec, bytes]:
    """Compress a body if that is worth its reading time; give the codec and what to store."""
    if len(octets) < compress_from:
        return Codec.RAW, octets
    compress = _tools.compressor.compress
    # PERF: most of what is large is base64, and a look at its middle costs 10 us where compressing all of
    # 60 KB in vain costs 110 (bench: smtp).
    middle = len(octets) // 2
    sample = octets[middle : middle + SAMPLE_OCTETS]
    if len(compress(sample)) * 3 > len(sample) * 2:
        return Codec.RAW, octets
    packed = compress(octets)
    # Base64 shrinks by a quarter and no more: not worth decompressing at each reading.
    if len(packed) * 3 > len(octets) * 2:
        return Codec.RAW, octets
    return Codec.ZSTD, packed


def unpack(codec: int, stored: bytes, size: int) -> bytes:
    """The body of `size` octets that was stored. Raises DatabaseDamaged when it is not that."""
    if codec == Codec.RAW:
        octets = stored
    else:
        try:
            octets = _tools.decompressor.decompress(stored, max_output_size=size)
        except zstandard.ZstdError as error:
            raise DatabaseDamaged("A stored message cannot be decompressed; run `postino verify`") from error
    if len(octets) != size:
        raise DatabaseDamaged("A stored message has lost its length; run `postino verify`")
    return octets
