"""LANGUAGE: in which language shall texts for people be?

RFC: 5255 §3.2 and §3.5, 4647 §3.4 (finding a language for a range).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Language:
    """`ranges` are what the client would understand, best first; None asks which languages there are."""

    name: ClassVar[str] = "LANGUAGE"
    tag: bytes
    ranges: tuple[str, ...] | None


USAGE: Final = "LANGUAGE takes languages such as EN or DE-AT, best first, or nothing"
MAX_RANGES: Final = 50
LANGUAGES: Final = ("EN", "i-default")
_KNOWN: Final = {language.lower(): language for language in LANGUAGES}


def parse(tag: bytes, scan: Scanner) -> Language:
    """`*(SP lang-range-quoted)`."""
    ranges: list[str] = []
    while not scan.at_end():
        scan.space()
        if scan.at_end():
            break
        # `*` is a range of its own, and no astring.
        ranges.append("*" if scan.accept(b"*") else scan.astring().decode("latin-1"))
        if len(ranges) > MAX_RANGES:
            scan.fail(f"LANGUAGE takes at most {MAX_RANGES} languages")
    return Language(tag, tuple(ranges) or None)


def choose_language(ranges: Iterable[str]) -> str | None:
    """The first of the client's languages that is spoken here; the server's own for `default` and `*`."""
    for wanted in ranges:
        tag = wanted.lower()
        if tag in ("default", "*"):
            return "i-default"
        while tag:
            if tag in _KNOWN:
                return _KNOWN[tag]
            tag = tag.rpartition("-")[0]
    return None
