"""Flag lists of STORE and APPEND.

RFC: 9051 §2.3.2 and §9 (flag-list, flag).
"""

import re
from typing import Final, NoReturn

from postino.core.flags import FlagSet, flag_set
from postino.imap.bad_command import BadCommand
from postino.imap.scanner import Scanner

MAX_KEYWORD_OCTETS: Final = 255
_MAX_REMEMBERED: Final = 4096
_LIST: Final = re.compile(rb"\(([^()\x00-\x1f\x7f-\xff]*)\)")
_BARE: Final = re.compile(rb"[^()\x00-\x1f\x7f-\xff]+")

# PERF: clients send the same few lists for ever; bounded, and clearing only costs re-parsing.
_remembered: dict[bytes, FlagSet] = {}


def flag_list(scan: Scanner) -> FlagSet:
    r"""`(\Seen $Forwarded)`, perhaps empty."""
    found = scan.match(_LIST)
    if found is None:
        scan.fail(r"Flags are a list such as (\Seen \Flagged $Forwarded)")
    return _flags(found.group(1), scan)


def flags_to_end(scan: Scanner) -> FlagSet:
    r"""A flag list, or bare flags up to the end of the command: `STORE 1 +FLAGS \Seen \Draft`."""
    if scan.peek() == 0x28:
        return flag_list(scan)
    found = scan.match(_BARE)
    if found is None:
        scan.fail()
    return _flags(found.group().rstrip(b" "), scan)


def _flags(octets: bytes, scan: Scanner) -> FlagSet:
    found = _remembered.get(octets)
    if found is None:
        found = _parse(octets, scan)
        if len(_remembered) >= _MAX_REMEMBERED:
            _remembered.clear()
        if len(octets) <= 256:
            _remembered[octets] = found
    elif len(found.keywords) > scan.options.keywords:
        _too_many(scan)
    return found


def _parse(octets: bytes, scan: Scanner) -> FlagSet:
    names = octets.decode("ascii").split(" ") if octets else []
    # QUIRK(clients that copy a FETCH's flags back): Recent is the server's and is left out.
    names = [name for name in names if name.lower() != "\\recent"]
    if any(len(name) > MAX_KEYWORD_OCTETS for name in names):
        raise BadCommand(
            f"A keyword may have at most {MAX_KEYWORD_OCTETS} characters", status="NO", code=b"LIMIT"
        )
    try:
        flags = flag_set(names)
    except ValueError:
        raise BadCommand(
            r"A flag is \Seen, \Answered, \Flagged, \Deleted, \Draft or a keyword such as $Forwarded"
        ) from None
    if len(flags.keywords) > scan.options.keywords:
        _too_many(scan)
    return flags


def _too_many(scan: Scanner) -> NoReturn:
    # NO, not BAD: nothing is wrong with the command (RFC 5530 §3, LIMIT).
    raise BadCommand(
        f"A message may have at most {scan.options.keywords} keywords", status="NO", code=b"LIMIT"
    )
