"""How much a script may do for one message.

RFC: 5228 §10 (limits against runaway scripts).
Not here: counting (run.py).
"""

from collections.abc import Callable
from typing import Annotated, Final

import msgspec

from postino.core.limits import Count, Octets, Seconds, about


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The limits of `[sieve]` that hold while a script is compiled and run."""

    script_octets: Annotated[Octets, about("Largest Sieve script (Pigeonhole: 1 MiB).")] = 1024 * 1024
    depth: Annotated[Count, about("Deepest nesting of blocks and tests in a Sieve script.")] = 64
    steps: Annotated[
        Count,
        about("Commands, tests and comparisons a script may make for one message; long texts count more."),
    ] = 1_000_000
    seconds: Annotated[Seconds, about("Time a script may take for one message.")] = 2.0
    actions: Annotated[Count, about("Actions a script may take for one message (Pigeonhole: 32).")] = 32
    redirects: Annotated[Count, about("Addresses a script may send one message on to (Pigeonhole: 4).")] = 4
    body_octets: Annotated[
        Octets, about("Octets of a message's body that the body test of Sieve looks at.")
    ] = 1024 * 1024
    variable_octets: Annotated[Octets, about("Longest value of a Sieve variable (RFC 5229 §3).")] = 64 * 1024
    variables: Annotated[Count, about("Most variables of a Sieve script.")] = 256
    include_depth: Annotated[Count, about("Deepest chain of scripts that include others (RFC 6609).")] = 10
    includes: Annotated[Count, about("Most scripts included by one.")] = 100


DEFAULT_BUDGET: Final = Budget()

Steady = Callable[[], float]
"""A clock that only goes forward, in seconds: how a pure package learns that time is up."""
