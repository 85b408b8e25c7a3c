"""DNS messages: a question as octets, and what an answer says to it.

RFC: 1035 §4.1 (messages), 2308 §2 and §5 (that there is nothing, and for how long), 6891 §6.1 (EDNS0),
    6840 §5.7 (asking for AD), 2181 §5.2 (the lowest TTL holds).
Exposure: reads what any DNS server sent.
Invariants: any octets give a Reading, BadAnswer or NotTheAnswer, and nothing else; at most MOST_RECORDS
    records and MOST_ALIASES CNAMEs are looked at.
Not here: sending (transport.py), values of each type (records.py), remembering (cache.py).
"""

import struct
from dataclasses import dataclass
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from postino.core.address import ascii_domain
from postino.core.errors import PostinoError

UDP_OCTETS: Final = 1232
"""What we take in one datagram: passes every path without fragments."""
MOST_OCTETS: Final = 65_535
MOST_RECORDS: Final = 256
MOST_ALIASES: Final = 12
_HEADER: Final = struct.Struct(">HHHHHH")
_QR: Final = 0x8000
_OPCODE: Final = 0x7800
_TC: Final = 0x0200
_RD: Final = 0x0100
_RA: Final = 0x0080
_AD: Final = 0x0020
_OPT: Final = b"\x00" + struct.pack(">HHIH", 41, UDP_OCTETS, 0, 0)
_OPT_DO: Final = b"\x00" + struct.pack(">HHIH", 41, UDP_OCTETS, 0x8000, 0)


class BadName(PostinoError):
    """No such name can be in the DNS: a label is empty or too long, or the whole is."""


class BadAnswer(PostinoError):
    """The server answered, and the answer is of no use; another server may do better."""


class NotTheAnswer(PostinoError):
    """These octets are no answer to the question: a late one, or somebody's guess. Go on waiting."""


@dataclass(frozen=True, slots=True)
class Question:
    """One name and type. `name` is what encode_name takes, in lower case without a final dot."""

    name: str
    kind: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer says."""

    records: tuple[dns.rdata.Rdata, ...]
    name: str
    """At which the records are, or are not: the end of the CNAMEs."""
    ttl: int | None
    """Seconds it holds; None when nobody said (no SOA with a negative answer), so it is not to be kept."""
    name_exists: bool = True
    authentic: bool = False
    """AD was set. Worth what the server is worth."""
    is_whole: bool = True
    """False when CNAMEs lead to `name` and the server did not look there."""


class Truncated(PostinoError):
    """The answer does not fit a datagram; ask by TCP."""


class NeedsPlainQuestion(PostinoError):
    """The server does not know EDNS."""


def encode_name(name: str) -> bytes:
    """The name as labels. Raises BadName."""
    text = ascii_domain(name.removesuffix("."))
    out = bytearray()
    for label in text.split("."):
        # A backslash would be an escape elsewhere, and no host has control characters in its name.
        if not 1 <= len(label) <= 63 or not label.isascii() or not label.isprintable() or "\\" in label:
            raise BadName(f"{name!r} is no name the DNS can have")
        out.append(len(label))
        out += label.encode("ascii")
    out.append(0)
    if len(out) > 255:
        raise BadName(f"{name!r} is no name the DNS can have")
    return bytes(out)


def make_query(question: Question, message_id: int, *, edns: bool = True, dnssec: bool = False) -> bytes:
    """The octets that ask. `dnssec` asks for AD, which only a validating server sets."""
    flags = _RD | (_AD if dnssec else 0)
    header = _HEADER.pack(message_id, flags, 1, 0, 0, 1 if edns else 0)
    opt = (_OPT_DO if dnssec else _OPT) if edns else b""
    return header + encode_name(question.name) + struct.pack(">HH", question.kind, 1) + opt


def read_answer(octets: bytes, question: Question, message_id: int, *, edns: bool = True) -> Reading:
    """What the answer says. Raises NotTheAnswer, Truncated, NeedsPlainQuestion or BadAnswer."""
    if len(octets) < _HEADER.size:
        raise NotTheAnswer("Too short for an answer")
    answer_id, flags, questions, _, _, _ = _HEADER.unpack_from(octets)
    if answer_id != message_id or not flags & _QR or flags & _OPCODE:
        raise NotTheAnswer("The answer to something else")
    asked = encode_name(question.name) + struct.pack(">HH", question.kind, 1)
    rcode = flags & 0xF
    if edns and rcode in (dns.rcode.FORMERR, dns.rcode.NOTIMP):
        raise NeedsPlainQuestion("The server does not know EDNS")
    # SECURITY: names compare without case, and the question must be there exactly once; else a guess of the
    # id alone would do.
    if questions != 1 or octets[12 : 12 + len(asked)].lower() != asked.lower():
        raise NotTheAnswer("The answer to something else")
    if flags & _TC:
        raise Truncated("The answer is too large for a datagram")
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise BadAnswer(f"it answers {dns.rcode.to_text(dns.rcode.Rcode(rcode))}")
    try:
        message = dns.message.from_wire(octets, one_rr_per_rrset=False, ignore_trailing=True)
        if message.rcode() != rcode:
            raise BadAnswer(f"it answers {dns.rcode.to_text(message.rcode())}")
        return _read(message, question, bool(flags & _RA))
    except (dns.exception.DNSException, ValueError, struct.error, IndexError) as error:
        raise BadAnswer(f"its answer is damaged ({type(error).__name__})") from error


def _read(message: dns.message.Message, question: Question, recursed: bool) -> Reading:
    found = {
        (rrset.name, rrset.rdtype): rrset
        for rrset in message.answer
        if rrset.rdclass == dns.rdataclass.IN and rrset.rdtype in (question.kind, dns.rdatatype.CNAME)
    }
    # The very name asked, not one made from text again: its labels may hold anything.
    name = message.question[0].name
    authentic = bool(message.flags & dns.flags.AD)
    exists = message.rcode() == dns.rcode.NOERROR
    ttl: int | None = None
    seen = {name}
    while True:
        here = found.get((name, dns.rdatatype.RdataType(question.kind)))
        if here is not None:
            records = tuple(rdata for rdata, _ in zip(here, range(MOST_RECORDS), strict=False))
            return Reading(records, name_text(name), _lower(ttl, here.ttl), True, authentic)
        alias = found.get((name, dns.rdatatype.CNAME))
        if alias is None:
            break
        name = alias[0].target
        ttl = _lower(ttl, alias.ttl)
        if name in seen:
            raise BadAnswer("its CNAMEs go round in a circle")
        if len(seen) > MOST_ALIASES:
            raise BadAnswer("its CNAMEs do not end")
        seen.add(name)
    return _nothing(message, name, ttl, exists, authentic, recursed)


def _nothing(
    message: dns.message.Message,
    name: dns.name.Name,
    ttl: int | None,
    exists: bool,
    authentic: bool,
    recursed: bool,
) -> Reading:
    """RFC 2308 §2: no such name, no record of that type, or a server that does not know."""
    soa = next(
        (s for s in message.authority if s.rdtype == dns.rdatatype.SOA and name.is_subdomain(s.name)), None
    )
    if soa is not None:
        held = min(soa.ttl, soa[0].minimum)
        return Reading((), name_text(name), _lower(ttl, held), exists, authentic)
    if not exists:
        return Reading((), name_text(name), None, False, authentic)
    if ttl is not None:
        return Reading((), name_text(name), ttl, True, authentic, is_whole=False)
    if not recursed or any(rrset.rdtype == dns.rdatatype.NS for rrset in message.authority):
        raise BadAnswer("it only refers to other servers")
    return Reading((), name_text(name), None, True, authentic)


def _lower(ttl: int | None, other: int) -> int:
    return other if ttl is None else min(ttl, other)


def name_text(name: dns.name.Name) -> str:
    """A name as text, in lower case without a final dot; empty for the root."""
    return "" if len(name.labels) <= 1 else name.to_text(omit_final_dot=True).lower()
