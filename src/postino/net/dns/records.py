"""Records of each type as the values the inside works with.

RFC: 1035 §3.3 (MX, TXT, PTR), 3596 §2.2 (AAAA), 6698 §2.1 (TLSA).
Invariants: a record that makes no sense is left out, never guessed at.
"""

from typing import Any, Final

import dns.rdatatype

from postino.core.ports import MxRecord, TlsaRecord
from postino.net.dns.message import BadAnswer, name_text

A: Final = int(dns.rdatatype.A)
AAAA: Final = int(dns.rdatatype.AAAA)
MX: Final = int(dns.rdatatype.MX)
TXT: Final = int(dns.rdatatype.TXT)
TLSA: Final = int(dns.rdatatype.TLSA)
PTR: Final = int(dns.rdatatype.PTR)
_MOST_TEXT: Final = 16 * 1024


def kind_of(text: str) -> int:
    """The number of a record type by its name. Raises ValueError for an unknown one."""
    try:
        return int(dns.rdatatype.from_text(text))
    except (dns.rdatatype.UnknownRdatatype, ValueError) as error:
        raise ValueError(f"{text!r} is no type of DNS record") from error


def kind_text(kind: int) -> str:
    """The name of a record type by its number."""
    return dns.rdatatype.to_text(dns.rdatatype.RdataType.make(kind))


def value_of(kind: int, rdata: Any) -> Any:
    """Text for addresses, PTR and TXT; MxRecord; TlsaRecord; the record itself of all others."""
    if kind in (A, AAAA):
        return rdata.address
    if kind == MX:
        return MxRecord(rdata.preference, name_text(rdata.exchange))
    if kind == TXT:
        return b"".join(rdata.strings)[:_MOST_TEXT].decode("utf-8", "replace")
    if kind == TLSA:
        return TlsaRecord(rdata.usage, rdata.selector, rdata.mtype, rdata.cert)
    if kind == PTR:
        return name_text(rdata.target)
    return zone_text(rdata)


def octets_of(value: Any) -> int:
    """About what such a value takes in memory."""
    if isinstance(value, str):
        return 60 + len(value)
    return 150 + len(value.host if isinstance(value, MxRecord) else value.data)


def zone_text(value: Any) -> str:
    """A value of value_of, or a record, as a zone file has it."""
    if isinstance(value, MxRecord):
        return f"{value.preference} {value.host}."
    if isinstance(value, TlsaRecord):
        return f"{value.usage} {value.selector} {value.matching_type} {value.data.hex()}"
    if isinstance(value, str):
        return value
    try:
        return str(value.to_text())
    except (ValueError, UnicodeError) as error:
        raise BadAnswer("a record in its answer cannot be written as text") from error
