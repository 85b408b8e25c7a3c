"""Make text comparable as i;unicode-casemap has it: SORT and THREAD put messages in this order.

RFC: 5051 §2 (i;unicode-casemap), 5255 §4.2 (which comparator SORT and THREAD use).
Invariants: two texts are equal under the collation exactly when their keys are equal, and the order of keys
    by code point is the order of the texts.
Not here: what SEARCH compares (text.fold), which of a message's texts are compared (sort_keys.py).
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

_OTHER_TITLE: Final = re.compile("[ßŉǄ-ǌǰǱ-ǳΐΰև\u10d0-\u10ff\u1e96-\u1e9a\u1f50-\u1fff\ufb00-\ufb17]")
"""Letters whose upper case is not their title case, and some of which it is."""


def sort_key(text: str) -> str:
    """The text in title case letter by letter, then decomposed."""
    if text.isascii():
        # Title case of one ASCII letter is its upper case; `_` sorts behind letters because of it.
        return text.upper()
    # PERF: letter by letter costs ten times as much, and only for few letters the title case is another.
    title = text.upper() if _OTHER_TITLE.search(text) is None else "".join(map(_title_case, text))
    return unicodedata.normalize("NFKD", title)


@lru_cache(maxsize=4096)
def _title_case(letter: str) -> str:
    title = letter.title()
    # RFC 5051 uses Unicode's simple mappings, which never make two letters of one.
    return title if len(title) == 1 else letter
