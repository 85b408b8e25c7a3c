"""What a script may be called.

RFC: 5804 §1.6 (names), 5198 §2 (Net-Unicode: normalization form C).
Exposure: sees what clients send.
Invariants: two names that look alike because of normalization are one name.
Not here: which names an account has (store/scripts.py).
"""

import re
import unicodedata
from typing import Final

from postino.core.errors import ProtocolViolation

MAX_CHARACTERS: Final = 128
_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def script_name(octets: bytes) -> str:
    """The name as it is stored. Raises ProtocolViolation saying what is wrong with it."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtocolViolation("A script's name is UTF-8") from None
    if not text:
        raise ProtocolViolation("A script's name has at least one character")
    if len(text) > 4 * MAX_CHARACTERS:
        raise ProtocolViolation(_TOO_LONG)
    if _FORBIDDEN.search(text):
        raise ProtocolViolation("A script's name has no control characters and no line ends")
    name = unicodedata.normalize("NFC", text)
    if len(name) > MAX_CHARACTERS:
        raise ProtocolViolation(_TOO_LONG)
    return name


_TOO_LONG: Final = f"A script's name has at most {MAX_CHARACTERS} characters"
