"""STORE and UID STORE: change flags.

RFC: 9051 §6.4.6 and §6.4.9, 7162 §3.1.3 (UNCHANGEDSINCE).
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from postino.core.flags import FlagSet
from postino.imap.flag_list import flags_to_end
from postino.imap.numbers import Numbers
from postino.imap.scanner import Scanner


class FlagMode(Enum):
    """What happens with the flags given."""

    SET = "set"
    ADD = "add"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Store:
    """`flags` never holds Recent; a client that names it is answered as if it had not."""

    tag: bytes
    numbers: Numbers
    by_uid: bool
    mode: FlagMode
    silent: bool
    flags: FlagSet
    unchanged_since: int | None = None

    @property
    def name(self) -> str:
        """The command's name, for metrics."""
        return "UID STORE" if self.by_uid else "STORE"


USAGE: Final = r"STORE needs messages, FLAGS, +FLAGS or -FLAGS, and flags, such as STORE 2:4 +FLAGS (\Seen)"
_MODIFIER: Final = re.compile(rb"\(UNCHANGEDSINCE ", re.IGNORECASE)
_WHAT: Final = re.compile(rb"([+-]?)FLAGS(\.SILENT)? ", re.IGNORECASE)
_MODES: Final = {b"": FlagMode.SET, b"+": FlagMode.ADD, b"-": FlagMode.REMOVE}
_MAX_REMEMBERED: Final = 1024
_MAX_REMEMBERED_OCTETS: Final = 100

# PERF: clients end this command in the same few ways: 1 us less (bench: imap.store).
_remembered: dict[bytes, tuple[FlagMode, bool, FlagSet]] = {}


def parse(tag: bytes, scan: Scanner, by_uid: bool) -> Store:
    """`SP sequence-set [SP "(" UNCHANGEDSINCE SP n ")"] SP store-att-flags`."""
    scan.space()
    numbers = scan.numbers()
    end = scan.text[scan.at :]
    known = _remembered.get(end)
    if known is not None and len(known[2].keywords) <= scan.options.keywords:
        return Store(tag, numbers, by_uid, *known)
    scan.space()
    unchanged_since = None
    if scan.match(_MODIFIER) is not None:
        unchanged_since = scan.number64()
        scan.require(b") ")
    what = scan.match(_WHAT)
    if what is None:
        scan.fail()
    flags = flags_to_end(scan)
    scan.end()
    mode, silent = _MODES[what.group(1)], what.group(2) is not None
    if unchanged_since is None and len(end) <= _MAX_REMEMBERED_OCTETS:
        if len(_remembered) >= _MAX_REMEMBERED:
            _remembered.clear()
        _remembered[end] = mode, silent, flags
    return Store(tag, numbers, by_uid, mode, silent, flags, unchanged_since)
