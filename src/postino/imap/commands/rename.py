"""RENAME: give a mailbox and its inferiors another name.

RFC: 9051 §6.3.6.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Rename:
    """From `source` to `target`."""

    name: ClassVar[str] = "RENAME"
    tag: bytes
    source: str
    target: str
