"""CREATE: make a mailbox.

RFC: 9051 §6.3.4, 6154 §3 (USE).
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Create:
    r"""`mailbox` without a trailing separator; `special_use` such as ("\\Sent",)."""

    name: ClassVar[str] = "CREATE"
    tag: bytes
    mailbox: str
    special_use: tuple[str, ...] = ()
