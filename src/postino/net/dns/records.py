"""Records of each type as the values the inside works with.

RFC: 1035 §3.3 (MX, TXT, PTR), 3596 §2.2 (AAAA), 6698 §2.1 (TLSA).
Exposure: reads what any DNS server sent.
Invariants: a record that makes no sense makes the answer a bad one; it is never guessed at.
Not here: where records lie in a message (wire.py).
"""

import socket
from typing import Any, Final

from postino.core.ports import MxRecord, TlsaRecord
from postino.net.dns.wire import BadAnswer, name_text, read_name

A: Final = 1
CNAME: Final = 5
SOA: Final = 6
PTR: Final = 12
MX: Final = 15
TXT: Final = 16
AAAA: Final = 28
OPT: Final = 41
TLSA: Final = 52
NS: Final = 2
_NAMES: Final = {A: "A", CNAME: "CNAME", PTR: "PTR", MX: "MX", TXT: "TXT", AAAA: "AAAA", TLSA: "TLSA"}
_NUMBERS: Final = {name: number for number, name in _NAMES.items()}
_MOST_TEXT: Final = 16 * 1024


def kind_of(text: str) -> int:
    """The number of a record type by its name. Raises ValueError for an unknown one."""
    number = _NUMBERS.get(text)
    if number is not None:
        return number
    import dns.rdatatype

    try:
        return int(dns.rdatatype.from_text(text))
    except (dns.rdatatype.UnknownRdatatype, ValueError) as error:
        raise ValueError(f"{text!r} is no type of DNS record") from error


def kind_text(kind: int) -> str:
    """The name of a record type by its number."""
    name = _NAMES.get(kind)
    if name is not None:
        return name
    import dns.rdatatype

    return dns.rdatatype.to_text(dns.rdatatype.RdataType.make(kind))


def read_value(kind: int, octets: bytes, at: int, length: int) -> Any:
    """MxRecord, TlsaRecord, or text: addresses, names and TXT as they are, other types in zone file form.

    `octets` is the whole message, which names may point into. Raises BadAnswer.
    """
    match kind:
        case 1 if length == 4:
            return socket.inet_ntop(socket.AF_INET, octets[at : at + 4])
        case 28 if length == 16:
            return socket.inet_ntop(socket.AF_INET6, octets[at : at + 16])
        case 15 if length > 2:
            return MxRecord(octets[at] << 8 | octets[at + 1], _name(octets, at + 2, at + length))
        case 16 if length > 0:
            return _text(octets[at : at + length])
        case 52 if length > 3:
            return TlsaRecord(octets[at], octets[at + 1], octets[at + 2], octets[at + 3 : at + length])
        case 12:
            return _name(octets, at, at + length)
        case 1 | 28 | 15 | 16 | 52:
            raise BadAnswer("a record in its answer is damaged")
        case _:
            return _any_type(kind, octets, at, length)


def _name(octets: bytes, at: int, end: int) -> str:
    name, after = read_name(octets, at)
    if after != end:
        raise BadAnswer("a record in its answer is damaged")
    return name_text(name)


def _text(data: bytes) -> str:
    """The strings of a TXT record, joined (RFC 7208 §3.3)."""
    strings: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + 1 + data[at]
        if end > len(data):
            raise BadAnswer("a record in its answer is damaged")
        strings.append(data[at + 1 : end])
        at = end
    return b"".join(strings)[:_MOST_TEXT].decode("utf-8", "replace")


def _any_type(kind: int, octets: bytes, at: int, length: int) -> str:
    # Only commands for operators ask for other types: no server pays for loading what knows them all.
    import dns.exception
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype

    try:
        record = dns.rdata.from_wire(
            dns.rdataclass.IN, dns.rdatatype.RdataType.make(kind), octets, at, length
        )
        return str(record.to_text())
    except (dns.exception.DNSException, ValueError, IndexError, OverflowError) as error:
        raise BadAnswer("a record in its answer cannot be read") from error


def octets_of(value: Any) -> int:
    """About what such a value takes in memory."""
    if isinstance(value, str):
        return 60 + len(value)
    return 150 + len(value.host if isinstance(value, MxRecord) else value.data)


def zone_text(value: Any) -> str:
    """A value of read_value as text; MX and TLSA as a zone file has them."""
    if isinstance(value, MxRecord):
        return f"{value.preference} {value.host}."
    if isinstance(value, TlsaRecord):
        return f"{value.usage} {value.selector} {value.matching_type} {value.data.hex()}"
    return str(value)
