"""A message as scripts see it: decoded header values, addresses, parts; each found out once, when asked.

RFC: 5228 §2.4.2.2 (header names), §5.1 (address), §5.7 (header: decoded, without white space around), 2047.
Exposure: unauthenticated octets; any header and body can be asked about.
Invariants: asking changes nothing; editing makes another message (edited()).
Not here: comparing (matching.py), which parts :mime looks at (extensions/).
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from postino.core.limits import Limits
from postino.mime.address import Group, Mailbox, parse_address_list
from postino.mime.encoded_word import decode_header_text
from postino.mime.header import header_octets, raw_fields, unfold
from postino.mime.index import index_split
from postino.mime.octets import Buffer
from postino.mime.part import Part
from postino.sieve.folding import fold_ascii

if TYPE_CHECKING:
    from postino.sieve.parts import AddressPart

_LIMITS: Final = Limits()


class SieveMessage:
    """One message; `body` may be a file's octets that are mapped."""

    __slots__ = (
        "_address_parts",
        "_addresses",
        "_decoded",
        "_fields",
        "_folded",
        "_part_fields",
        "_root",
        "_whole",
        "bodies",
        "body",
        "header",
        "limits",
    )

    def __init__(
        self, header: bytes, body: Buffer, root: Part | None = None, *, limits: Limits = _LIMITS
    ) -> None:
        """`root` is the index of header and body together, when it is known already."""
        self.header = header
        self.body = body
        self.limits = limits
        self._root = root
        self._fields: dict[str, list[bytes]] | None = None
        self._decoded: dict[str, list[str]] = {}
        self._folded: dict[str, list[str]] = {}
        self._addresses: dict[str, list[Mailbox]] = {}
        self._address_parts: dict[tuple[str, AddressPart, str, bool], list[str]] = {}
        self._part_fields: dict[tuple[int, int], dict[str, list[bytes]]] = {}
        self._whole: bytes | None = None
        self.bodies: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        """What the body test found already, by transform and types (extensions/body.py)."""

    @classmethod
    def of(cls, octets: bytes) -> "SieveMessage":
        """A message that is in one piece."""
        end = header_octets(octets)
        return cls(octets[:end], octets[end:])

    @property
    def size(self) -> int:
        """Octets of the whole message."""
        return len(self.header) + len(self.body)

    @property
    def fields(self) -> dict[str, list[bytes]]:
        """Raw values by lower-case name, in their order."""
        found = self._fields
        if found is None:
            found = self._fields = fields_of(self.header)
        return found

    def values(self, name: str) -> list[str]:
        """The decoded values of the fields of a lower-case name."""
        known = self._decoded.get(name)
        if known is None:
            known = self._decoded[name] = [decoded_value(value) for value in self.fields.get(name, ())]
        return known

    def folded(self, name: str) -> list[str]:
        """values() as i;ascii-casemap compares them."""
        known = self._folded.get(name)
        if known is None:
            known = self._folded[name] = [fold_ascii(value) for value in self.values(name)]
        return known

    def addresses(self, name: str) -> list[Mailbox]:
        """Every address of the fields of a lower-case name, members of groups too."""
        known = self._addresses.get(name)
        if known is None:
            known = self._addresses[name] = [
                mailbox for value in self.fields.get(name, ()) for mailbox in addresses_in(value)
            ]
        return known

    def address_parts(
        self, name: str, part: "AddressPart", separator: str, *, is_folded: bool = False
    ) -> list[str]:
        """One part of every address of addresses(); folded as by folded()."""
        key = (name, part, separator, is_folded)
        known = self._address_parts.get(key)
        if known is None:
            # PERF: scripts ask for the same part of the same addresses again and again.
            known = parts_of(self.addresses(name), part, separator)
            if is_folded:
                known = [fold_ascii(value) for value in known]
            self._address_parts[key] = known
        return known

    def part_fields(self, part: Part) -> dict[str, list[bytes]]:
        """Fields of one part's header."""
        if part.header_start == 0:
            return self.fields
        key = (part.header_start, part.body_start)
        known = self._part_fields.get(key)
        if known is None:
            known = self._part_fields[key] = fields_of(self.octets(*key))
        return known

    def octets(self, start: int, end: int) -> bytes:
        """Those of a range, as `root` counts them."""
        shift = len(self.header)
        if start >= shift:
            return bytes(self.body[start - shift : end - shift])
        if end <= shift:
            return self.header[start:end]
        return self.header[start:] + bytes(self.body[: end - shift])

    @property
    def whole(self) -> bytes:
        """Header and body in one piece."""
        if self._whole is None:
            self._whole = self.header + bytes(self.body)
        return self._whole

    @property
    def is_indexed(self) -> bool:
        """Whether its parts were found."""
        return self._root is not None

    @property
    def root(self) -> Part:
        """The message's parts; ranges count from the first octet of the header."""
        if self._root is None:
            self._root = index_split(self.header, self.body, self.limits)
        return self._root


def fields_of(header: bytes) -> dict[str, list[bytes]]:
    """The raw values of a header by lower-case name, in their order."""
    found: dict[str, list[bytes]] = {}
    for _, name, value in raw_fields(header):
        found.setdefault(name.decode("latin-1").lower(), []).append(value)
    return found


def decoded_value(value: bytes) -> str:
    """A field's value as scripts compare it."""
    if b"=?" not in value and value.isascii() and b"\n" not in value:
        # PERF: most values are this plain.
        return value.decode("ascii").strip(" \t\r")
    return decode_header_text(unfold(value)).strip(" \t\r\n")


def parts_of(mailboxes: Iterable[Mailbox], part: "AddressPart", separator: str) -> list[str]:
    """One part of each address; those that have none are left out."""
    found = []
    for mailbox in mailboxes:
        local, domain = decode_header_text(mailbox.local_part), decode_header_text(mailbox.domain)
        value = part(local, domain, separator)
        if value is not None:
            found.append(value)
    return found


def addresses_in(value: bytes) -> list[Mailbox]:
    """The addresses of one field's value; a group gives its members."""
    found: list[Mailbox] = []
    for one in parse_address_list(value):
        if isinstance(one, Group):
            found.extend(one.members)
        else:
            found.append(one)
    return found
