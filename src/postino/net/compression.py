"""DEFLATE in both directions of a connection, in bounded memory.

RFC: 4978 (COMPRESS=DEFLATE), 1951 (the format; raw, without zlib's header).
Exposure: inflates what a client that has logged in sends; a piece at a time, never beyond a ratio.
Invariants: inflating gives at most PIECE_OCTETS a step and ends the session that sends a bomb; everything
    written so far can be read by the other side (Z_SYNC_FLUSH ends each write); a connection that rests
    holds no compressor.
Not here: when compression begins and ends (servers/imap/compress.py), the transport (connection.py).

What a session costs, measured (resident, with zlib 1.2 or later): 66 KiB for the compressor while it is in
use and nothing while the session rests; 10 KiB for the decompressor after a few commands, 40 KiB at most.
"""

import zlib
from collections.abc import Iterable
from typing import Final

from postino.core.errors import ProtocolViolation

PIECE_OCTETS: Final = 64 * 1024
FREE_OCTETS: Final = 4 * 1024 * 1024
"""What may come out before the ratio is looked at: a few lines of the same text compress very well."""

# PERF: a window of 8 KiB, less memory and level 1 cost a tenth of the compression of zlib's defaults (FETCH
# lists to 13 % of their size, not 10 %), a quarter of the memory and a third of the time.
_LEVEL: Final = 1
_WINDOW_BITS: Final = 13
_MEMORY_LEVEL: Final = 6
_CLIENT_WINDOW_BITS: Final = 15
_BULKY_OCTETS: Final = 32 * 1024
_PROBE_OCTETS: Final = 2048
_BARELY: Final = 0.70
_HARDLY: Final = 0.97
_SYNC_MARK: Final = b"\x00\x00\xff\xff"
"""What Z_SYNC_FLUSH ends with: an empty stored block."""
_LAST_FLUSH_OCTETS: Final = 7
"""What may follow the last octet that says something: the end of its block (18 bits) and _SYNC_MARK."""


class Deflater:
    """Compresses what is written. Each call's result is whole: the other side can read all of it."""

    __slots__ = ("_compressor",)

    def __init__(self) -> None:
        self._compressor: zlib._Compress | None = None

    def compress(self, pieces: Iterable[bytes]) -> bytes:
        """`pieces` one after the other, flushed; nothing for nothing."""
        made: list[bytes] = []
        for piece in pieces:
            if not piece:
                continue
            if len(piece) >= _BULKY_OCTETS and (special := _for_bulk(piece)) is not None:
                # A segment that another compressor makes may stand between two of ours: blocks that
                # end in a flush share no state but the window, which the next one then starts anew.
                self._end_segment(made)
                made += (special.compress(piece), special.flush(zlib.Z_SYNC_FLUSH))
                continue
            if self._compressor is None:
                self._compressor = _compressor()
            made.append(self._compressor.compress(piece))
        if self._compressor is not None and made:
            made.append(self._compressor.flush(zlib.Z_SYNC_FLUSH))
        return b"".join(made)

    def finish(self, data: bytes) -> bytes:
        """`data` and the end of the compressed stream; what is sent after it is plain again."""
        compressor = self._compressor or _compressor()
        self._compressor = None
        return compressor.compress(data) + compressor.flush(zlib.Z_FINISH)

    def rest(self) -> None:
        """Give the memory back. The next write begins with an empty window and so compresses less well."""
        self._compressor = None

    def _end_segment(self, made: list[bytes]) -> None:
        if self._compressor is not None:
            if made:
                made.append(self._compressor.flush(zlib.Z_SYNC_FLUSH))
            self._compressor = None


def _compressor(level: int = _LEVEL, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> "zlib._Compress":
    return zlib.compressobj(level, zlib.DEFLATED, -_WINDOW_BITS, _MEMORY_LEVEL, strategy)


def _for_bulk(piece: bytes) -> "zlib._Compress | None":
    """A compressor of its own for many octets that compress badly; None for those that compress well.

    PERF: looking for repetitions in base64 finds none at 43 MB/s; coding its 64 letters in 6 bits each is
    done at 130 MB/s and makes it as small. What is compressed already is stored.
    """
    middle = len(piece) // 2
    probe = _compressor()
    left = len(probe.compress(piece[middle : middle + _PROBE_OCTETS])) + len(probe.flush())
    if left > _HARDLY * _PROBE_OCTETS:
        return _compressor(0)
    if left > _BARELY * _PROBE_OCTETS:
        return _compressor(_LEVEL, zlib.Z_HUFFMAN_ONLY)
    return None


class Inflater:
    """Inflates what is received: add() what came, take() until it gives nothing.

    Input is inflated only up to the client's next flush, so that what follows the command that ends
    compression is not taken for compressed octets (RFC 8437 §4.1 lets clients pipeline it).
    """

    __slots__ = (
        "_at",
        "_before",
        "_ended",
        "_has_output",
        "_input",
        "_is_flushed",
        "_ratio",
        "_stream",
        "_taken",
        "_used",
        "is_over",
    )

    def __init__(self, ratio: int) -> None:
        self._ratio = ratio
        self._stream = zlib.decompressobj(-_CLIENT_WINDOW_BITS)
        self._input = b""
        self._at = 0
        self._before = b""
        """The last octets before `_input`: a flush may be cut in two by the network."""
        self._has_output = False
        self._is_flushed = False
        self._ended = False
        self.is_over = False
        """After end(): whether everything from here on is plain, and need not come through here."""
        self._used = 0
        self._taken = 0

    @property
    def has_more(self) -> bool:
        """Whether take() may have something without further input."""
        if self._ended:
            return len(self._input) >= _LAST_FLUSH_OCTETS
        return self._has_output or self._at < len(self._input) or bool(self._stream.unused_data)

    def add(self, data: bytes) -> None:
        """Octets as they were received."""
        if self._ended or self._at < len(self._input):
            self._input = self._input[self._at :] + data
        else:
            self._input = data
        self._at = 0

    def take(self) -> bytes:
        """The next octets, at most PIECE_OCTETS; none when more input is needed.

        Raises ProtocolViolation (fatal) for what is not DEFLATE, goes on after its end, or is a bomb.
        """
        if self._ended:
            return self._take_plain()
        stream = self._stream
        while self.has_more:
            piece = stream.unconsumed_tail if self._has_output else self._next_segment()
            try:
                octets = stream.decompress(piece, PIECE_OCTETS)
            except zlib.error:
                raise ProtocolViolation("What came is not a DEFLATE stream", fatal=True) from None
            # Behind its end the stream counts what is left twice, as unconsumed and as unused.
            left = 0 if stream.eof else len(stream.unconsumed_tail)
            self._used += len(piece) - left
            # A full piece may have left output inside the stream even where all input was taken.
            self._has_output = left > 0 or (len(octets) == PIECE_OCTETS and not stream.eof)
            self._taken += len(octets)
            if self._taken > FREE_OCTETS + self._ratio * self._used:
                raise ProtocolViolation(
                    f"One compressed octet stands for more than {self._ratio} (imap_compression_ratio); "
                    "send this without COMPRESS",
                    fatal=True,
                )
            if octets:
                return octets
        return b""

    def _next_segment(self) -> bytes:
        if self._stream.eof:
            raise ProtocolViolation("The compressed stream has ended, and more came", fatal=True)
        at, before = self._at, self._before if self._at == 0 else b""
        if before and (split := (before + self._input[:3]).find(_SYNC_MARK)) >= 0:
            end = split + len(_SYNC_MARK) - len(before)
            self._is_flushed = True
        else:
            found = self._input.find(_SYNC_MARK, at)
            end = len(self._input) if found < 0 else found + len(_SYNC_MARK)
            self._is_flushed = found >= 0
        segment = self._input[at:end]
        self._at = end
        self._before = (before + segment)[-3:]
        return segment

    def end(self) -> None:
        """The client compresses no more; take() gives its plain octets until `is_over`."""
        stream = self._stream
        left = stream.unused_data if stream.eof else stream.unconsumed_tail
        self._input = left + self._input[self._at :]
        self._at = 0
        self._ended = True

    def _take_plain(self) -> bytes:
        data = self._input
        compressed = 0 if self._is_flushed or self._stream.eof else self._end_of_flush(data)
        if compressed is None:
            return b""
        self.is_over = True
        return data[compressed:]

    def _end_of_flush(self, data: bytes) -> int | None:
        """How many octets of `data` end the client's last flush; None while that cannot be told.

        The last command could be read before the flush behind it had come whole. Each command has more
        octets than the end of a flush, so waiting for those holds no plain one up.
        """
        stream = self._stream.copy()
        for count, octet in enumerate(data[:_LAST_FLUSH_OCTETS], 1):
            try:
                if stream.decompress(bytes((octet,)), 1):
                    return 0
            except zlib.error:
                return 0
            if stream.eof:
                return count - len(stream.unused_data)
            if (self._before + data[:count]).endswith(_SYNC_MARK):
                return count
        return None if len(data) < _LAST_FLUSH_OCTETS else 0
