"""CANCELUPDATE: tell no more about the results of these searches.

RFC: 5267 §4.3.5.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class CancelUpdate:
    """`tags` are those of the commands that asked for updates."""

    name: ClassVar[str] = "CANCELUPDATE"
    tag: bytes
    tags: tuple[bytes, ...]


USAGE: Final = 'CANCELUPDATE needs the tags of searches, in quotes, such as CANCELUPDATE "B01"'


def parse(tag: bytes, scan: Scanner) -> CancelUpdate:
    """`1*(SP quoted)`."""
    tags: list[bytes] = []
    while not tags or not scan.at_end():
        scan.space()
        if tags and scan.at_end():
            break
        tags.append(scan.string())
    return CancelUpdate(tag, tuple(tags))
