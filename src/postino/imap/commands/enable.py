"""ENABLE: switch on extensions that change what the server says.

RFC: 9051 §6.3.1, 5161.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Enable:
    """`capabilities` in upper case, in the order asked; unknown ones are for the session to ignore."""

    name: ClassVar[str] = "ENABLE"
    tag: bytes
    capabilities: tuple[str, ...]
