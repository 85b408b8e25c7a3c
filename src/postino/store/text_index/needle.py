"""A text to be found, and what it says about the words of any text that contains it.

A text is divided into words at white space. One that contains a needle has, for each piece of the needle
between white space, a word that contains, begins with, ends with or is that piece.
Invariants: no text that contains the needle fails a pattern; when `is_exact`, no other text passes.
"""

from dataclasses import dataclass

from postino.store.text_index.document import octets_of


@dataclass(frozen=True, slots=True)
class Needle:
    """Made by needle_of."""

    octets: bytes
    patterns: tuple[bytes, ...]
    """Octets to find in words that lie between line feeds; the longest, which is the rarest, first."""
    is_exact: bool
    """Whether passing the patterns is proof: the needle is a piece of one word."""


def needle_of(folded: str) -> Needle:
    """The needle for a text that fold() has gone through."""
    octets = octets_of(folded)
    pieces = octets.split()
    last = len(pieces) - 1
    patterns = [
        (b"\n" if at > 0 or octets[:1].isspace() else b"")
        + piece
        + (b"\n" if at < last or octets[-1:].isspace() else b"")
        for at, piece in enumerate(pieces)
    ]
    return Needle(
        octets,
        tuple(sorted(set(patterns), key=len, reverse=True)),
        is_exact=len(pieces) == 1 and pieces[0] == octets,
    )
