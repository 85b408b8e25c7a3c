"""A strict reader of IMAP values, to check what the server writes.

RFC: 3501 §9 and 9051 §9 (nstring, number, parenthesised lists), without UTF-8 in quoted strings.
"""

import re

_STRING = re.compile(rb'"(?:[^"\\\r\n\x00\x80-\xff]|\\["\\])*"|NIL|\d+')


def read_value(octets: bytes, at: int = 0) -> tuple[object, int]:
    """Read one list, string, number or NIL at `at`; gives it and where it ends. Fails on anything else.

    Lists are lists; the rest are octets, quoted strings with their quotes, literals without their count.
    """
    if octets[at : at + 1] == b"(":
        at += 1
        entries: list[object] = []
        while octets[at : at + 1] != b")":
            if entries and octets[at : at + 1] == b" ":
                at += 1
            entry, at = read_value(octets, at)
            entries.append(entry)
        return entries, at + 1
    if octets[at : at + 1] == b"{":
        end = octets.index(b"}\r\n", at)
        start = end + 3
        length = int(octets[at + 1 : end])
        assert len(octets) >= start + length
        assert b"\0" not in octets[start : start + length]
        return octets[start : start + length], start + length
    found = _STRING.match(octets, at)
    assert found is not None, octets[at : at + 100]
    return found[0], found.end()
