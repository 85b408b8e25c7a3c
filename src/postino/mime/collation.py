"""Make text comparable as i;unicode-casemap has it: SORT and THREAD put messages in this order.

RFC: 5051 §2 (i;unicode-casemap), 5255 §4.2 (which comparator SORT and THREAD use).
Invariants: two texts are equal under the collation exactly when their keys are equal, and the order of keys
    by code point is the order of the texts.
Not here: what SEARCH compares (text.fold), which of a message's texts are compared (sort_keys.py).
"""

import unicodedata
from functools import lru_cache


def sort_key(text: str) -> str:
    """The text in title case letter by letter, then decomposed."""
    if text.isascii():
        # Title case of one ASCII letter is its upper case; `_` sorts behind letters because of it.
        return text.upper()
    return unicodedata.normalize("NFKD", "".join(map(_title_case, text)))


@lru_cache(maxsize=4096)
def _title_case(letter: str) -> str:
    title = letter.title()
    # RFC 5051 uses Unicode's simple mappings, which never make two letters of one.
    return title if len(title) == 1 else letter
