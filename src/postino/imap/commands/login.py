"""LOGIN: name and password in the clear.

RFC: 9051 §6.2.3.
Exposure: before login.
"""

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Login:
    """The password stays out of repr(), and so out of every log and traceback."""

    name: ClassVar[str] = "LOGIN"
    tag: bytes
    user: str
    password: str = field(repr=False)
