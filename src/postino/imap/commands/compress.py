"""COMPRESS: compress everything from here on.

RFC: 4978 §3.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from postino.imap.bad_command import BadCommand
from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Compress:
    """With DEFLATE, the one algorithm there is."""

    name: ClassVar[str] = "COMPRESS"
    tag: bytes


USAGE: Final = "COMPRESS needs an algorithm: DEFLATE"


def parse(tag: bytes, scan: Scanner) -> Compress:
    """`SP algorithm`."""
    scan.space()
    if scan.keyword() != b"DEFLATE":
        raise BadCommand("The only compression here is DEFLATE")
    scan.end()
    return Compress(tag)
