"""Which domains a message's author may be read to be of, and whether one domain may speak for another.

A receiver that checks DMARC lets a message pass as its author's when SPF or DKIM vouches for a domain that is
aligned with the author's. Which domain that is it finds out in its own way, so that here every way counts.
RFC: 7489 §3.1 (alignment), §6.6.1 (several authors), 5322 §4.4 (obsolete addresses).
DEVIATION: organizational domains are not looked up in a list: one domain is aligned with another when they
    are equal or one is below the other, which leaves out siblings.
Exposure: headers that anybody wrote.
Invariants: pure; every domain that stands behind an @ outside of quotes and comments is among the claimed.
Not here: proving who wrote it (dkim/verify.py), what follows (servers/smtp/authorship.py).
"""

import re
from typing import Final

from postino.core.address import domain_key
from postino.mime.address import Group, parse_address_list

# Wherever it stands: others may see fields behind what ends the header for us.
_FROM: Final = re.compile(rb"^from[ \t]*+:((?:[^\n]|\n[ \t])*+)", re.IGNORECASE | re.MULTILINE)
_ASIDE: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|\((?:[^()\\]++|\\.)*+\)', re.DOTALL)
_DOTS: Final = re.compile(rb"[ \t\r\n]*+\.[ \t\r\n]*+")
_DOMAIN: Final = re.compile(rb"@[ \t\r\n]*+([0-9A-Za-z\x80-\xff_.-]+)")


def claimed_domains(header: bytes) -> set[str]:
    """The domains its From fields may name as the author's, as the store has domains."""
    found: set[bytes] = set()
    for value in _FROM.findall(header):
        for entry in parse_address_list(value):
            found.update(one.domain for one in (entry.members if isinstance(entry, Group) else (entry,)))
        plain = value
        for _ in range(2):
            # Comments may hold quotes, and quotes what looks like a comment.
            plain = _ASIDE.sub(b"", plain)
        found.update(_DOMAIN.findall(_DOTS.sub(b".", plain)))
    texts = {domain.decode("utf-8", "replace").lower().strip(".") for domain in found}
    return {domain_key(text) for text in texts if text}


def are_aligned(one: str, other: str) -> bool:
    """Whether mail that `one` vouches for may pass as that of an author at `other`."""
    short, long = sorted((one, other), key=len)
    return one == other or ("." in short and long.endswith(f".{short}"))
