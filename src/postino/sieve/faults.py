"""What is wrong with a script, in plain words and with the place.

RFC: 5228 §2.10.6 (errors), 5804 §2.6 (errors and warnings of PUTSCRIPT).
Not here: finding faults (lexer.py, parser.py, compiler.py).
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from postino.core.errors import PostinoError
from postino.sieve.actions import Place

MOST_FAULTS: Final = 50
"""More are not told: nobody reads them, and replies and pages stay short."""


class Fault(msgspec.Struct, frozen=True):
    """One thing to correct, or with a warning, to think about."""

    place: Place
    words: str
    """A sentence that says what is wrong and what to do."""

    def __str__(self) -> str:
        return f"line {self.place.line}, column {self.place.column}: {self.words}"


class BadScript(PostinoError):
    """A script that cannot be run; lists everything that is wrong with it, in order."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, faults)))


class RunTimeFault(PostinoError):
    """A script had to be ended early: the message is kept (RFC 5228 §2.10.6)."""

    def __init__(self, place: Place, words: str) -> None:
        self.place = place
        self.words = words
        super().__init__(f"{place}: {words}")
