"""Sets of flags, as strings of a script give them.

RFC: 5232 §2 (lists, validity), 9051 §9 (flag-keyword).
Invariants: a flag that a client cannot set is left out; no flag is there twice, in any case.
Not here: the commands (extensions/imap4flags.py), storing flags (delivery/).
"""

import re
from collections.abc import Iterable
from typing import Final

_SYSTEM: Final = {
    name.lower(): name for name in ("\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft")
}
_KEYWORD: Final = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]{1,255}")


def flags_in(texts: Iterable[str]) -> list[str]:
    """The flags of strings, each of which may hold several with spaces between."""
    found: dict[str, str] = {}
    for text in texts:
        for word in text.split(" "):
            folded = word.lower()
            if folded in _SYSTEM:
                found.setdefault(folded, _SYSTEM[folded])
            elif _KEYWORD.fullmatch(word) is not None:
                found.setdefault(folded, word)
    return list(found.values())


def without(flags: Iterable[str], removed: Iterable[str]) -> list[str]:
    """The flags but those, in any case."""
    gone = {flag.lower() for flag in removed}
    return [flag for flag in flags if flag.lower() not in gone]
