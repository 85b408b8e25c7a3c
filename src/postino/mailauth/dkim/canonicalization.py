"""Bring header fields and bodies into the form that is hashed, octets as they pass by.

RFC: 6376 §3.4 (simple and relaxed), §3.7 (what is hashed, l=).
Exposure: unauthenticated octets of any length; linear time, memory bounded by one piece.
Invariants: any division of a body into pieces gives the same hash; CR and LF that do not stand together
    are ordinary octets.
Not here: which fields are hashed (sign.py, verify.py).
"""

import hashlib
import re
from collections.abc import Callable
from enum import Enum
from typing import Final

from postino.mime.octets import Buffer


class Canonicalization(Enum):
    """How much change on the way is forgiven."""

    SIMPLE = b"simple"
    RELAXED = b"relaxed"


_BLANKS: Final = re.compile(rb"[ \t]++")
_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)*+")
_TAIL: Final = re.compile(rb"(?:[ \t]*+\r\n)*+[ \t]*+\r?+\Z")
_LONE: Final = re.compile(rb"(?<!\r)\n|\r(?!\n)(?!\Z)")
_CRLF: Final = b"\r\n"
_LINES_AT_ONCE: Final = 4096
_TAB: Final = ord("\t")
# `bytes.split` without an argument divides at these too, which are no white space to DKIM.
_OTHER_SPACE: Final = re.compile(rb"[\x0b\x0c]|\r(?!\n)")


def relaxed_field(name: bytes, value: bytes) -> bytes:
    """One field, relaxed, without a line end. `value` is what follows the colon, folded or not."""
    value = value.removesuffix(b"\r")
    if _OTHER_SPACE.search(value):
        unfolded = value.replace(_CRLF, b"").replace(b"\n", b"")
        return name.lower() + b":" + _BLANKS.sub(b" ", unfolded).strip(b" ")
    return b"%b:%b" % (name.lower(), b" ".join(value.split()))


class BodyHash:
    """The hash of a body: update() with its octets in order, then digest()."""

    def __init__(self, canonicalization: Canonicalization, most_octets: int | None = None) -> None:
        """`most_octets` is l=: what lies behind them in canonical form is counted but not hashed."""
        self._relaxed = canonicalization is Canonicalization.RELAXED
        self._most = most_octets
        self._hash = hashlib.sha256()
        self._hash_update: Callable[[Buffer], None] = (
            self._hash.update if most_octets is None else self._update_limited
        )
        self.octets = 0
        """In canonical form, once digest() was called."""
        self._empty_lines = 0
        """Line ends seen that are hashed only when something else follows."""
        self._rest = b""
        """What followed those: blanks, and a CR that may be half of a line end."""
        self._has_content = False

    def update(self, piece: bytes) -> None:
        """Take the next octets."""
        octets = self._rest + piece if self._rest else piece
        end = len(octets.rstrip(b" \t\r\n" if self._relaxed else b"\r\n"))
        tail = octets[end:]
        if not _TAIL.match(tail):
            # There are CRs or LFs of their own, the last of which is no part of the tail.
            for lone in _LONE.finditer(tail):
                last = lone.end()
            end += last
            tail = octets[end:]
        if end:
            self._flush_lines()
            self._put(octets[:end] if tail else octets)
        if self._relaxed:
            tail = _relax(tail)
        lines = _EMPTY_LINES.match(tail)
        assert lines is not None
        self._empty_lines += lines.end() // 2
        self._rest = tail[lines.end() :]

    def digest(self) -> bytes:
        """The hash; nothing can be added after this."""
        rest = self._rest.rstrip(b" ") if self._relaxed else self._rest
        if rest:
            self._flush_lines()
            self._put(rest)
        if self._has_content or not self._relaxed:
            self.octets += 2
            self._hash_update(_CRLF)
        return self._hash.digest()

    def _put(self, octets: bytes) -> None:
        canonical = _relax(octets) if self._relaxed else octets
        self._has_content = True
        self.octets += len(canonical)
        self._hash_update(canonical)

    def _flush_lines(self) -> None:
        lines, self._empty_lines = self._empty_lines, 0
        if lines:
            self._has_content = True
        self.octets += 2 * lines
        while lines > 0:
            self._hash_update(_CRLF * min(lines, _LINES_AT_ONCE))
            lines -= _LINES_AT_ONCE

    def _update_limited(self, octets: Buffer) -> None:
        assert self._most is not None
        octets = octets[: self._most]
        self._most -= len(octets)
        self._hash.update(octets)


def _relax(octets: bytes) -> bytes:
    # PERF: these are 40 us for 16 KB of text where one pass of an expression is 100 to 170 (bench: signing).
    if _TAB in octets:
        octets = octets.replace(b"\t", b" ")
    while b"  " in octets:
        octets = octets.replace(b"  ", b" ")
    return octets.replace(b" \r\n", _CRLF) if b" \r\n" in octets else octets
