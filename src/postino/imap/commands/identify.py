"""ID: who the client says it is.

RFC: 2971 §3.1.
Exposure: before login; at most 30 fields, each value at most 1024 octets (RFC 2971 §3.3).
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Id:
    """`fields` is None for ID NIL; names in lower case, values None for NIL."""

    name: ClassVar[str] = "ID"
    tag: bytes
    fields: tuple[tuple[str, str | None], ...] | None


USAGE: Final = 'ID needs NIL or a list of names and values such as ("name" "mutt" "version" "2.2")'
MAX_FIELDS: Final = 30
MAX_NAME_OCTETS: Final = 30
MAX_VALUE_OCTETS: Final = 1024


def parse(tag: bytes, scan: Scanner) -> Id:
    """`SP (NIL / "(" *(string SP nstring) ")")`."""
    scan.space()
    if not scan.accept(b"("):
        if scan.keyword() != b"NIL":
            scan.fail()
        scan.end()
        return Id(tag, None)
    fields: dict[str, str | None] = {}
    while not scan.accept(b")"):
        if fields:
            scan.space()
        name = scan.string()
        scan.space()
        value = scan.nstring()
        if len(name) > MAX_NAME_OCTETS or len(value or b"") > MAX_VALUE_OCTETS or len(fields) == MAX_FIELDS:
            scan.fail("ID takes at most 30 fields, names of 30 and values of 1024 octets")
        key = name.decode("utf-8", "replace").lower()
        if key in fields:
            scan.fail("ID names each field only once")
        fields[key] = None if value is None else value.decode("utf-8", "replace")
    scan.end()
    return Id(tag, tuple(fields.items()))
