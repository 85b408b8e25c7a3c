"""ENABLE: switch on extensions that change what the server says.

RFC: 9051 §6.3.1, 5161.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Enable:
    """`capabilities` in upper case, in the order asked; unknown ones are for the session to ignore."""

    name: ClassVar[str] = "ENABLE"
    tag: bytes
    capabilities: tuple[str, ...]


USAGE: Final = "ENABLE needs names of capabilities, such as CONDSTORE"


def parse(tag: bytes, scan: Scanner) -> Enable:
    """`1*(SP capability)`."""
    names: list[str] = []
    while not scan.at_end():
        scan.space()
        if names and scan.at_end():
            break
        names.append(scan.keyword().decode("ascii"))
    if not names:
        scan.fail()
    return Enable(tag, tuple(dict.fromkeys(names)))
