"""DNS messages: a question as octets, and what an answer says to it.

RFC: 1035 §4.1 (messages), 2308 §2 and §5 (that there is nothing, and for how long), 6891 §6.1 (EDNS0),
    6840 §5.7 (asking for AD), 2181 §5.2 (the lowest TTL holds).
Exposure: reads what any DNS server sent.
Invariants: any octets give a Reading or one of the errors here, and nothing else; at most MOST_VALUES records
    and MOST_ALIASES CNAMEs are looked at.
Not here: sending (transport.py), values of each type (records.py), remembering (cache.py).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from postino.core.address import ascii_domain
from postino.core.errors import PostinoError
from postino.net.dns.records import CNAME, NS, OPT, SOA, read_value
from postino.net.dns.wire import BadAnswer, Name, Record, name_text, read_name, read_records

UDP_OCTETS: Final = 1232
"""What we take in one datagram: passes every path without fragments."""
MOST_VALUES: Final = 256
MOST_ALIASES: Final = 12
_IN: Final = 1
_HEADER: Final = struct.Struct(">HHHHHH")
_QR: Final = 0x8000
_OPCODE: Final = 0x7800
_TC: Final = 0x0200
_RD: Final = 0x0100
_RA: Final = 0x0080
_AD: Final = 0x0020
_OPT: Final = b"\x00" + struct.pack(">HHIH", OPT, UDP_OCTETS, 0, 0)
_OPT_DO: Final = b"\x00" + struct.pack(">HHIH", OPT, UDP_OCTETS, 0x8000, 0)
_RCODES: Final = {
    1: "FORMERR",
    2: "SERVFAIL",
    4: "NOTIMP",
    5: "REFUSED",
    9: "NOTAUTH",
    16: "BADVERS",
}
_NOERROR: Final = 0
_FORMERR: Final = 1
_NXDOMAIN: Final = 3
_NOTIMP: Final = 4


class BadName(PostinoError):
    """No such name can be in the DNS: a label is empty or too long, or the whole is."""


class NotTheAnswer(PostinoError):
    """These octets are no answer to the question: a late one, or somebody's guess. Go on waiting."""


class Truncated(PostinoError):
    """The answer does not fit a datagram; ask by TCP."""


class NeedsPlainQuestion(PostinoError):
    """The server does not know EDNS."""


@dataclass(frozen=True, slots=True)
class Question:
    """One name and type. `name` is what encode_name takes, in lower case without a final dot."""

    name: str
    kind: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer says."""

    values: tuple[Any, ...]
    """As records.read_value gives them."""
    name: str
    """At which the records are, or are not: the end of the CNAMEs."""
    ttl: int | None
    """Seconds it holds; None when nobody said (no SOA with a negative answer), so it is not to be kept."""
    name_exists: bool = True
    authentic: bool = False
    """AD was set. Worth what the server is worth."""
    is_whole: bool = True
    """False when CNAMEs lead to `name` and the server did not look there."""


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
    answer_id, flags, questions, answers, authorities, more = _HEADER.unpack_from(octets)
    if answer_id != message_id or not flags & _QR or flags & _OPCODE:
        raise NotTheAnswer("The answer to something else")
    asked = encode_name(question.name) + struct.pack(">HH", question.kind, 1)
    rcode = flags & 0xF
    if edns and rcode in (_FORMERR, _NOTIMP):
        raise NeedsPlainQuestion("The server does not know EDNS")
    at = _HEADER.size + len(asked)
    # SECURITY: names compare without case, and the question must be there exactly once; else a guess of the
    # id alone would do.
    if questions != 1 or octets[_HEADER.size : at].lower() != asked.lower():
        raise NotTheAnswer("The answer to something else")
    if flags & _TC:
        raise Truncated("The answer is too large for a datagram")
    if rcode in (_NOERROR, _NXDOMAIN):
        found, at = read_records(octets, at, answers)
        authority, at = read_records(octets, at, authorities)
        additional, _ = read_records(octets, at, more)
        # RFC 6891 §6.1.3: the upper bits of the code are in the OPT record's TTL.
        rcode |= next((record.ttl >> 20 & 0xFF0 for record in additional if record.kind == OPT), 0)
    if rcode not in (_NOERROR, _NXDOMAIN):
        raise BadAnswer(f"it answers {_RCODES.get(rcode, rcode)}")
    return _read(octets, question, found, authority, flags, exists=rcode == _NOERROR)


def _read(
    octets: bytes,
    question: Question,
    found: Sequence[Record],
    authority: Sequence[Record],
    flags: int,
    *,
    exists: bool,
) -> Reading:
    by_name: dict[tuple[Name, int], list[Record]] = {}
    for record in found:
        if record.kind_class == _IN and record.kind in (question.kind, CNAME):
            by_name.setdefault((record.name, record.kind), []).append(record)
    name, _ = read_name(octets, _HEADER.size)
    ttl: int | None = None
    seen = {name}
    while True:
        here = by_name.get((name, question.kind))
        if here is not None:
            values = tuple(
                read_value(question.kind, octets, record.at, record.length) for record in here[:MOST_VALUES]
            )
            held = min(record.ttl for record in here)
            ttl = held if ttl is None else min(ttl, held)
            return Reading(values, name_text(name), ttl, True, bool(flags & _AD))
        alias = by_name.get((name, CNAME))
        if alias is None:
            break
        ttl = alias[0].ttl if ttl is None else min(ttl, alias[0].ttl)
        name, end = read_name(octets, alias[0].at)
        if end != alias[0].at + alias[0].length:
            raise BadAnswer("a record in its answer is damaged")
        if name in seen:
            raise BadAnswer("its CNAMEs go round in a circle")
        if len(seen) > MOST_ALIASES:
            raise BadAnswer("its CNAMEs do not end")
        seen.add(name)
    authentic, text = bool(flags & _AD), name_text(name)
    soa = next((record for record in authority if _is_soa_of(record, name)), None)
    if soa is not None:
        held = _held(octets, soa)
        return Reading((), text, held if ttl is None else min(ttl, held), exists, authentic)
    if not exists:
        return Reading((), text, None, False, authentic)
    if ttl is not None:
        return Reading((), text, ttl, True, authentic, is_whole=False)
    if not flags & _RA or any(record.kind == NS for record in authority):
        raise BadAnswer("it only refers to other servers")
    return Reading((), text, None, True, authentic)


def _is_soa_of(record: Record, name: Name) -> bool:
    zone = record.name
    return record.kind == SOA and record.kind_class == _IN and name[max(0, len(name) - len(zone)) :] == zone


def _held(octets: bytes, record: Record) -> int:
    """How long a negative answer holds: the lesser of the SOA's TTL and MINIMUM (RFC 2308 §5)."""
    _, at = read_name(octets, record.at)
    _, at = read_name(octets, at)
    if at + 20 != record.at + record.length:
        raise BadAnswer("a record in its answer is damaged")
    return min(record.ttl, int.from_bytes(octets[at + 16 : at + 20]))
