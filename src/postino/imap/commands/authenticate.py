"""AUTHENTICATE: start a SASL exchange.

RFC: 9051 §6.2.2, 4959 (SASL-IR).
Exposure: before login.
Not here: the exchange itself (sasl/), the lines that follow (Framer.expect_line).
"""

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Authenticate:
    """`mechanism` in upper case; `initial_response` decoded, None when none was sent, b"" for `=`."""

    name: ClassVar[str] = "AUTHENTICATE"
    tag: bytes
    mechanism: str
    initial_response: bytes | None = field(repr=False)
