"""What answers say, octet by octet, and side by side with dnspython."""

import struct
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postino.core.ports import MxRecord, TlsaRecord
from postino.net.dns.message import (
    BadName,
    NeedsPlainQuestion,
    NotTheAnswer,
    Question,
    Reading,
    Truncated,
    encode_name,
    make_query,
    read_answer,
)
from postino.net.dns.records import kind_of, kind_text
from postino.net.dns.wire import BadAnswer
from tests.support.dns_reading import read_with_dnspython

ID = 0x1234
SOA = "example.net. 900 IN SOA ns.example.net. hostmaster.example.net. 1 3600 600 86400 300"


def answer(
    question: Question,
    *records: str,
    authority: tuple[str, ...] = (),
    rcode: int = 0,
    flags: int = dns.flags.RA,
) -> bytes:
    """The octets of an answer with these records."""
    message = dns.message.make_response(dns.message.from_wire(make_query(question, ID, dnssec=True)))
    message.flags |= flags
    message.set_rcode(dns.rcode.Rcode(rcode))
    for section, texts in ((message.answer, records), (message.authority, authority)):
        for text in texts:
            name, ttl, _, kind, data = text.split(" ", 4)
            # Each apart, or they are written in a random order.
            section.append(dns.rrset.from_text(name, int(ttl), "IN", kind, data))
    return message.to_wire(max_size=65_535)


MX = Question("example.net", kind_of("MX"))
CASES: dict[str, tuple[Question, tuple[str, ...], dict[str, Any], Reading | str]] = {
    "records, compressed": (
        MX,
        ("example.net. 300 IN MX 10 Mx1.Example.Net.", "example.net. 300 IN MX 20 mx2.example.net."),
        {},
        Reading((MxRecord(10, "mx1.example.net"), MxRecord(20, "mx2.example.net")), "example.net", 300),
    ),
    "authentic": (
        MX,
        ("example.net. 300 IN MX 0 .",),
        {"flags": dns.flags.RA | dns.flags.AD},
        Reading((MxRecord(0, ""),), "example.net", 300, authentic=True),
    ),
    "an alias, the lowest TTL": (
        MX,
        ("example.net. 60 IN CNAME other.example.", "other.example. 300 IN MX 1 mx.other.example."),
        {},
        Reading((MxRecord(1, "mx.other.example"),), "other.example", 60),
    ),
    "an alias after its target": (
        MX,
        ("other.example. 30 IN MX 1 mx.other.example.", "example.net. 60 IN CNAME other.example."),
        {},
        Reading((MxRecord(1, "mx.other.example"),), "other.example", 30),
    ),
    "an alias alone": (
        MX,
        ("example.net. 60 IN CNAME other.example.",),
        {},
        Reading((), "other.example", 60, is_whole=False),
    ),
    "records of another name": (
        MX,
        ("other.example. 60 IN MX 1 mx.example.",),
        {},
        Reading((), "example.net", None),
    ),
    "no such record": (MX, (), {"authority": (SOA,)}, Reading((), "example.net", 300)),
    "no such name": (
        MX,
        (),
        {"authority": (SOA,), "rcode": 3},
        Reading((), "example.net", 300, name_exists=False),
    ),
    "no such name at the end of an alias": (
        MX,
        ("example.net. 60 IN CNAME a.example.net.",),
        {"authority": (SOA,), "rcode": 3},
        Reading((), "a.example.net", 60, name_exists=False),
    ),
    "no such name, and nobody says for how long": (
        MX,
        (),
        {"rcode": 3},
        Reading((), "example.net", None, name_exists=False),
    ),
    "another zone's SOA": (
        MX,
        (),
        {"authority": ("elsewhere.example. 900 IN SOA a.b. c.d. 1 2 3 4 5",)},
        Reading((), "example.net", None),
    ),
    "a referral": (MX, (), {"authority": ("net. 900 IN NS ns.example.",)}, "refers"),
    "a server that does not recurse": (MX, (), {"flags": 0}, "refers"),
    "SERVFAIL": (MX, (), {"rcode": 2}, "SERVFAIL"),
    "REFUSED": (MX, (), {"rcode": 5}, "REFUSED"),
    "an extended code": (MX, (), {"rcode": 16}, "BADVERS"),
    "a circle": (
        MX,
        ("example.net. 60 IN CNAME b.example.", "b.example. 60 IN CNAME example.net."),
        {},
        "circle",
    ),
    "an alias of itself": (MX, ("example.net. 60 IN CNAME example.net.",), {}, "circle"),
    "too many aliases": (
        MX,
        (
            "example.net. 60 IN CNAME 0.example.",
            *(f"{number}.example. 60 IN CNAME {number + 1}.example." for number in range(30)),
        ),
        {},
        "do not end",
    ),
    "IPv4": (
        Question("a.example", 1),
        ("a.example. 9 IN A 192.0.2.1",),
        {},
        Reading(("192.0.2.1",), "a.example", 9),
    ),
    "IPv6": (
        Question("a.example", 28),
        ("a.example. 9 IN AAAA 2001:db8:0::1",),
        {},
        Reading(("2001:db8::1",), "a.example", 9),
    ),
    "TXT": (
        Question("a.example", 16),
        ('a.example. 9 IN TXT "v=spf1 " "" "-all\\195\\188\\255"',),
        {},
        Reading(("v=spf1 -allü\ufffd",), "a.example", 9),
    ),
    "TLSA": (
        Question("_25._tcp.a.example", 52),
        ("_25._tcp.a.example. 9 IN TLSA 3 1 1 " + "ab" * 32,),
        {},
        Reading((TlsaRecord(3, 1, 1, b"\xab" * 32),), "_25._tcp.a.example", 9),
    ),
    "PTR": (
        Question("1.2.0.192.in-addr.arpa", 12),
        (
            "1.2.0.192.in-addr.arpa. 9 IN CNAME 1.0/25.2.0.192.in-addr.arpa.",
            "1.0/25.2.0.192.in-addr.arpa. 9 IN PTR Mail.Example.",
        ),
        {},
        Reading(("mail.example",), "1.0/25.2.0.192.in-addr.arpa", 9),
    ),
    "any other type": (
        Question("a.example", kind_of("CAA")),
        ('a.example. 9 IN CAA 0 issue "ca.example"',),
        {},
        Reading(('0 issue "ca.example"',), "a.example", 9),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_an_answer_says(case: str) -> None:
    question, records, more, expected = CASES[case]
    octets = answer(question, *records, **more)
    if isinstance(expected, str):
        with pytest.raises(BadAnswer, match=expected):
            read_answer(octets, question, ID)
    else:
        assert read_answer(octets, question, ID) == expected


GOOD = answer(MX, "example.net. 300 IN MX 10 mx.example.net.", "example.net. 300 IN MX 20 example.net.")
NOT_OURS = {
    "another id": b"\x12\x35" + GOOD[2:],
    "a question": GOOD[:2] + bytes([GOOD[2] & 0x7F]) + GOOD[3:],
    "another opcode": GOOD[:2] + bytes([GOOD[2] | 0x20]) + GOOD[3:],
    "another name": answer(Question("example.org", MX.kind)),
    "a longer name": answer(Question("a.example.net", MX.kind)),
    "another type": answer(Question("example.net", 1)),
    "another class": GOOD.replace(b"\x00\x0f\x00\x01", b"\x00\x0f\x00\x03", 1),
    "no question": GOOD[:4] + b"\x00\x00" + GOOD[6:],
    "two questions": GOOD[:4] + b"\x00\x02" + GOOD[6:],
    "cut in the question": GOOD[:20],
    "nothing": b"",
    "half a header": GOOD[:11],
}


@pytest.mark.parametrize("case", NOT_OURS)
def test_octets_that_answer_something_else(case: str) -> None:
    with pytest.raises(NotTheAnswer):
        read_answer(NOT_OURS[case], MX, ID)


def test_the_question_compares_without_case() -> None:
    octets = GOOD.replace(b"\x07example\x03net", b"\x07ExAmPlE\x03nEt", 1)
    assert read_answer(octets, MX, ID).values[0] == MxRecord(10, "mx.example.net")


def test_truncated_and_without_edns() -> None:
    with pytest.raises(Truncated):
        read_answer(GOOD[:2] + bytes([GOOD[2] | 0x02]) + GOOD[3:], MX, ID)
    for rcode in (1, 4):
        octets = GOOD[:3] + bytes([GOOD[3] & 0xF0 | rcode]) + GOOD[4:]
        with pytest.raises(NeedsPlainQuestion):
            read_answer(octets, MX, ID)
        with pytest.raises(BadAnswer):
            read_answer(octets, MX, ID, edns=False)


def raw(question: Question, *records: bytes, count: int | None = None) -> bytes:
    header = struct.pack(">HHHHHH", ID, 0x8180, 1, len(records) if count is None else count, 0, 0)
    return header + encode_name(question.name) + struct.pack(">HH", question.kind, 1) + b"".join(records)


def record(kind: int, data: bytes, name: bytes = b"\xc0\x0c", kind_class: int = 1, ttl: int = 60) -> bytes:
    return name + struct.pack(">HHIH", kind, kind_class, ttl, len(data)) + data


DAMAGED = {
    "a pointer to itself": raw(MX, record(15, b"\x00\x0a\xc0\x0c", name=b"\xc0\x1d")),
    "a pointer forward": raw(MX, record(15, b"\x00\x0a\xc0\xff")),
    "two pointers at each other": raw(MX, record(15, b"\x00\x0a\xc0\x2f\xc0\x2d")),
    "a label of no type": raw(MX, record(15, b"\x00\x0a\x80abc")),
    "a name past the end": raw(MX, record(15, b"\x00\x0a\x05ab")),
    "a name longer than its record": raw(MX, record(15, b"\x00\x0a\x01"), b"a\x00"),
    "a name shorter than its record": raw(MX, record(15, b"\x00\x0a\x01a\x00x")),
    "a name of 256 octets": raw(MX, record(15, b"\x00\x0a" + b"\x01a" * 128 + b"\x00")),
    "an alias shorter than its record": raw(MX, record(5, b"\x01a\x00x")),
    "an alias longer than its record": raw(MX, record(5, b"\x01"), b"a\x00"),
    "an MX without a host": raw(MX, record(15, b"\x00\x0a")),
    "fewer records than said": raw(MX, record(15, b"\x00\x0a\x00"), count=2),
    "more records than anybody has": raw(MX, count=65_535),
    "data past the end": raw(MX, record(15, b"\x00\x0a\x00")[:-1]),
    "an address of three octets": raw(Question("a.example", 1), record(1, b"\x01\x02\x03")),
    "an address of five octets": raw(Question("a.example", 1), record(1, b"\x01\x02\x03\x04\x05")),
    "an IPv6 address of four octets": raw(Question("a.example", 28), record(28, b"\x01\x02\x03\x04")),
    "a string past the end": raw(Question("a.example", 16), record(16, b"\x05abc")),
    "no string": raw(Question("a.example", 16), record(16, b"")),
    "a TLSA without data": raw(Question("a.example", 52), record(52, b"\x03\x01\x01")),
    "an SRV cut off": raw(Question("a.example", 33), record(33, b"\x00\x01\x00")),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_answers(case: str) -> None:
    octets = DAMAGED[case]
    kind = struct.unpack_from(">H", octets, 12 + octets[12:].index(b"\x00") + 1)[0]
    question = MX if kind == MX.kind else Question("a.example", kind)
    with pytest.raises(BadAnswer):
        read_answer(octets, question, ID)


def test_records_of_other_classes_are_not_looked_at() -> None:
    octets = raw(MX, record(15, b"\x00\x0a\x00", kind_class=3), record(15, b"\x00\x14\x01a\x00"))
    assert read_answer(octets, MX, ID).values == (MxRecord(20, "a"),)


def test_names_with_octets_of_no_host_are_escaped() -> None:
    octets = raw(MX, record(15, b"\x00\x0a\x05a.b\x00\xff\x00"))
    assert read_answer(octets, MX, ID).values == (MxRecord(10, "a\\046b\\000\\255"),)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.integers(0, len(GOOD)), st.binary(max_size=6))
@example(b"", 12, b"\xc0\x0c")
def test_any_octets_give_a_reading_or_an_error_and_dnspython_agrees(
    junk: bytes, at: int, change: bytes
) -> None:
    for octets in (
        GOOD[:at] + change + GOOD[at + len(change) :],
        GOOD[:at] + change + GOOD[at:],
        GOOD[:29] + junk,
    ):
        try:
            found = read_answer(octets, MX, ID)
        except (BadAnswer, NotTheAnswer, NeedsPlainQuestion, Truncated):
            continue
        oracle = read_with_dnspython(octets, MX)
        assert oracle is None or oracle == (found.values, found.name, found.name_exists, found.authentic)


# Questions


@pytest.mark.parametrize("dnssec", [False, True])
def test_a_query_as_dnspython_reads_it(dnssec: bool) -> None:
    query = dns.message.from_wire(make_query(Question("_25._tcp.mx.example.net", 52), ID, dnssec=dnssec))
    assert query.id == ID
    assert query.flags == dns.flags.RD | (dns.flags.AD if dnssec else 0)
    assert (query.edns, query.payload, query.ednsflags) == (0, 1232, dns.flags.DO if dnssec else 0)
    [question] = query.question
    assert (question.name, question.rdtype) == (
        dns.name.from_text("_25._tcp.mx.example.net."),
        dns.rdatatype.TLSA,
    )
    plain = dns.message.from_wire(make_query(MX, ID, edns=False))
    assert plain.edns == -1


@pytest.mark.parametrize(
    ("name", "octets"),
    [
        ("a.example", b"\x01a\x07example\x00"),
        ("A.Example.", b"\x01a\x07example\x00"),
        ("bücher.example", b"\x0dxn--bcher-kva\x07example\x00"),
        ("*.a_b.example", b"\x01*\x03a_b\x07example\x00"),
        ("x" * 63, b"\x3f" + b"x" * 63 + b"\x00"),
    ],
)
def test_names_as_labels(name: str, octets: bytes) -> None:
    assert encode_name(name) == octets


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a..b",
        ".a",
        "x" * 64,
        "a." * 127 + "a",
        "a\\b",
        "a\x00b",
        "a\nb",
        "ü" * 60,
        "a.\u2603" + "x" * 80,
    ],
)
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(BadName):
        encode_name(name)


def test_types_by_name_and_number() -> None:
    for name in ("A", "MX", "TLSA", "SRV", "CAA", "TYPE65280"):
        assert kind_text(kind_of(name)) == name
    with pytest.raises(ValueError, match="NOPE"):
        kind_of("NOPE")
