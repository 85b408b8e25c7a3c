"""What the server says of itself: CAPABILITY, ENABLED, ID, LANGUAGE.

RFC: 9051 §7.2.1 (ENABLED), §7.2.2 (CAPABILITY), 2971 §3.2 (ID), 5255 §3.3 (LANGUAGE).
"""

from collections.abc import Iterable

from postino.imap.responses.string import nstring, quote


def capability_response(capabilities: Iterable[str]) -> bytes:
    """`* CAPABILITY IMAP4rev2 ...`."""
    return b"* CAPABILITY " + " ".join(capabilities).encode("ascii") + b"\r\n"


def capability_code(capabilities: Iterable[str]) -> bytes:
    """The code CAPABILITY, for the greeting and the OK to a login."""
    return b"CAPABILITY " + " ".join(capabilities).encode("ascii")


def enabled_response(capabilities: Iterable[str]) -> bytes:
    """`* ENABLED ...`; sent even when nothing was switched on (RFC 5161 §3.2)."""
    names = " ".join(capabilities).encode("ascii")
    return b"* ENABLED " + names + b"\r\n" if names else b"* ENABLED\r\n"


def id_response(fields: Iterable[tuple[str, str | None]]) -> bytes:
    """`* ID ("name" "Postino" ...)`, or `* ID NIL` for no fields."""
    pairs = [quote(name) + b" " + nstring(value) for name, value in fields]
    return b"* ID (" + b" ".join(pairs) + b")\r\n" if pairs else b"* ID NIL\r\n"


def language_response(tags: Iterable[str]) -> bytes:
    """`* LANGUAGE (EN)`: the one that is spoken now, or all there are."""
    return b"* LANGUAGE (" + b" ".join([quote(tag) for tag in tags]) + b")\r\n"
