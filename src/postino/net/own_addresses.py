"""The IP addresses of this machine, as the kernel lists them.

Exposure: reads two files of the kernel's.
Invariants: where the files are not there (another system) the answer is empty, not an error.
"""

import ipaddress
import re
from pathlib import Path
from typing import Final

_V4: Final = Path("/proc/net/fib_trie")
_V6: Final = Path("/proc/net/if_inet6")
_LOCAL: Final = re.compile(r"\|-- ([0-9.]+)\n +/32 host LOCAL")


def own_addresses(v4: Path = _V4, v6: Path = _V6) -> frozenset[str]:
    """Every address of every interface, as text."""
    found = set(_LOCAL.findall(_read(v4)))
    for line in _read(v6).splitlines():
        digits = line.partition(" ")[0]
        if len(digits) == 32:
            found.add(str(ipaddress.IPv6Address(int(digits, 16))))
    return frozenset(found)


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""
