"""LIST and LSUB: which mailboxes are there?

RFC: 9051 §6.3.9, 5258 (LIST-EXTENDED), 5819 (LIST-STATUS), 6154 §2 (SPECIAL-USE), 3501 §6.3.9 (LSUB).
Not here: which mailboxes match (list_pattern.py, list_selection.py).
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class List:
    """Names and options in upper case; patterns and reference decoded, with `*` and `%` as they came."""

    name: ClassVar[str] = "LIST"
    tag: bytes
    reference: str
    patterns: tuple[str, ...]
    selection: frozenset[str] = frozenset()
    """SUBSCRIBED, REMOTE, RECURSIVEMATCH, SPECIAL-USE."""
    returning: frozenset[str] = frozenset()
    """SUBSCRIBED, CHILDREN, SPECIAL-USE."""
    status_items: tuple[str, ...] | None = None
    """What RETURN (STATUS (...)) asks for, in the order asked."""
    extended: bool = False
    """Whether the client used RFC 5258 syntax, and so can read extended answers."""


@dataclass(frozen=True, slots=True)
class Lsub:
    """RFC 3501's list of subscriptions."""

    name: ClassVar[str] = "LSUB"
    tag: bytes
    reference: str
    pattern: str
