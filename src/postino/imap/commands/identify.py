"""ID: who the client says it is.

RFC: 2971 §3.1.
Exposure: before login; at most 30 fields, each value at most 1024 octets (RFC 2971 §3.3).
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Id:
    """`fields` is None for ID NIL; names in lower case, values None for NIL."""

    name: ClassVar[str] = "ID"
    tag: bytes
    fields: tuple[tuple[str, str | None], ...] | None
