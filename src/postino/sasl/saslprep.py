"""Make one password out of its many spellings in Unicode.

RFC: 4013 (SASLprep), 3454 (tables); tolerant where RFC 4013 §2.3 would refuse.
Invariants: the same text always gives the same result; printable ASCII is unchanged.
"""

import re
import stringprep
import unicodedata
from typing import Final

_PLAIN: Final = re.compile(r"[ -~]*")
_PROHIBITED: Final = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str:
    """Prepare a password or a login for comparing.

    DEVIATION (RFC 4013 §2.3): text the profile prohibits (control characters, mixed directions) is
    only NFC normalised, for a password that worked in one mail program must work in the other.
    """
    if _PLAIN.fullmatch(text):
        return text
    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c))
    prepared = unicodedata.normalize("NFKC", mapped)
    if not prepared or any(check(c) for c in prepared for check in _PROHIBITED) or not _bidi_holds(prepared):
        return unicodedata.normalize("NFC", text)
    return prepared


def _bidi_holds(text: str) -> bool:
    """RFC 3454 §6: text with right-to-left characters has no left-to-right ones and begins and ends so."""
    if not any(stringprep.in_table_d1(c) for c in text):
        return True
    if any(stringprep.in_table_d2(c) for c in text):
        return False
    return stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
