"""Keep the large, mostly untouched buffer of each TLS connection out of the heap.

The event loop gives every TLS connection a buffer of 256 KiB, of which an idle one uses a page or two. Fresh
from the kernel only those count. glibc, once it has seen a few large blocks come and go, makes such a buffer
of memory that was used before, and then all of that counts, as do the holes it leaves: 19 KiB of the 53 that
an idle TLS session took. Large blocks in general must stay on the heap: mapping them costs 0.5 ms a MiB.
Invariants: changes nothing where the C library is another than glibc.
"""

import asyncio
import ctypes
from collections.abc import Callable
from functools import cache
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_TLS_BUFFER_OCTETS: Final = 256 * 1024
_LARGE_OCTETS: Final = 4 * 1024 * 1024

_Mallopt = Callable[[int, int], int]


@cache
def _mallopt() -> _Mallopt | None:
    try:
        found: _Mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return None
    found(_M_TRIM_THRESHOLD, 2 * _LARGE_OCTETS)
    return found


def tls_begins(loop: asyncio.AbstractEventLoop) -> None:
    """Call before the loop is asked for TLS, with nothing awaited in between: it takes the buffer at once."""
    mallopt = _mallopt()
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _TLS_BUFFER_OCTETS)
        loop.call_soon(mallopt, _M_MMAP_THRESHOLD, _LARGE_OCTETS)
