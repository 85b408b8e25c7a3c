"""Make strings comparable: one key for all strings a comparator takes to be equal.

RFC: 5228 §2.7.3 (i;octet, i;ascii-casemap), 4790 §9 (both, and i;ascii-numeric), 5051 (i;unicode-casemap).
Not here: order of numbers, and match types (matching.py).
"""

from collections.abc import Callable
from typing import Final

from postino.mime.collation import sort_key

_TO_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def fold_ascii(text: str) -> str:
    """Lower case for ASCII letters alone; as long as it was."""
    return text.lower() if text.isascii() else text.translate(_TO_LOWER)


def fold_nothing(text: str) -> str:
    """The string itself."""
    return text


FOLDS: Final[dict[str, Callable[[str], str]]] = {
    "i;octet": fold_nothing,
    "i;ascii-casemap": fold_ascii,
    "i;unicode-casemap": sort_key,
}
