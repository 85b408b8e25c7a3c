"""An answer as dnspython reads it: the other opinion for postino.net.dns.message."""

from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from postino.core.ports import MxRecord, TlsaRecord
from postino.net.dns.message import MOST_VALUES, Question


def _text(name: dns.name.Name) -> str:
    labels = [label.lower() for label in name.labels if label]
    return ".".join(
        "".join(
            chr(octet) if 33 <= octet <= 126 and octet not in b'.\\"();@$' else f"\\{octet:03}"
            for octet in label
        )
        for label in labels
    )


def _value(rdata: Any) -> Any:
    match rdata.rdtype:
        case dns.rdatatype.MX:
            return MxRecord(rdata.preference, _text(rdata.exchange))
        case dns.rdatatype.TXT:
            return b"".join(rdata.strings)[: 16 * 1024].decode("utf-8", "replace")
        case dns.rdatatype.TLSA:
            return TlsaRecord(rdata.usage, rdata.selector, rdata.mtype, rdata.cert)
        case dns.rdatatype.PTR:
            return _text(rdata.target)
        case dns.rdatatype.A | dns.rdatatype.AAAA:
            return rdata.address
    return rdata.to_text()


def read_with_dnspython(octets: bytes, question: Question) -> tuple[Any, str, bool, bool] | None:
    """(values, name, whether it exists, AD) of an answer; None when dnspython refuses it.

    Records that dnspython keeps once are there once; the caller compares answers without doubles.
    """
    try:
        message = dns.message.from_wire(octets, ignore_trailing=True, one_rr_per_rrset=True)
    except (dns.exception.DNSException, ValueError, IndexError):
        return None
    kind = dns.rdatatype.RdataType.make(question.kind)
    name = message.question[0].name
    exists, ad = message.rcode() == dns.rcode.NOERROR, bool(message.flags & dns.flags.AD)

    def at(where: dns.name.Name, what: int) -> list[Any]:
        return [
            rrset[0]
            for rrset in message.answer
            if (rrset.name, rrset.rdtype, rrset.rdclass) == (where, what, dns.rdataclass.IN)
        ]

    for _ in range(50):
        found = at(name, kind)
        if found:
            return tuple(_value(rdata) for rdata in found[:MOST_VALUES]), _text(name), True, ad
        aliases = at(name, dns.rdatatype.CNAME)
        if not aliases:
            break
        name = aliases[0].target
    return (), _text(name), exists, ad
