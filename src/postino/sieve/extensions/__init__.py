"""One file an extension; ALL is what this server knows, in the order in which it is announced."""

from collections.abc import Sequence
from typing import Final

from postino.sieve.basics.actions import ACTIONS, FILEINTO
from postino.sieve.basics.control import CONTROL
from postino.sieve.basics.envelope import ENVELOPE
from postino.sieve.basics.headers import HEADERS
from postino.sieve.extensions.comparators import NUMERIC, UNICODE
from postino.sieve.extensions.copy import COPY
from postino.sieve.extensions.encoded_character import ENCODED_CHARACTER
from postino.sieve.matching import MATCH_TYPES
from postino.sieve.vocabulary import Extension

ALL: Final[Sequence[Extension]] = (
    Extension(name="", match_types=MATCH_TYPES),
    CONTROL,
    HEADERS,
    ACTIONS,
    FILEINTO,
    ENVELOPE,
    ENCODED_CHARACTER,
    NUMERIC,
    UNICODE,
    COPY,
)
