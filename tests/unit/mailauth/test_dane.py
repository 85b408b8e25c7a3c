"""TLSA records against certificates: RFC 7672 §3, RFC 7671 §9."""

import hashlib

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.ids import Instant
from postino.core.ports import TlsaRecord
from postino.mailauth.dane import DaneMismatch, check_chain, usable_records
from tests.support.certificates import NOW, Made, make

HOST = "mx.example.net"
ROOT = make("Root", ca=True)
MIDDLE = make("Middle", ROOT, ca=True, path_length=0)
LEAF = make(HOST, MIDDLE, names=(HOST, "*.wild.example"))
OTHER = make("Other", ca=True)
EXPIRED = make(HOST, MIDDLE, names=(HOST,), days=(-20, -10))
EARLY = make(HOST, MIDDLE, names=(HOST,), days=(5, 10))
COMMON_NAME = make(HOST, MIDDLE)
NOT_CA = make("No authority", ROOT, names=("x.example",))
UNDER_NOT_CA = make(HOST, NOT_CA, names=(HOST,))
DEEPER = make("Deeper", MIDDLE, ca=True)
TOO_DEEP = make(HOST, DEEPER, names=(HOST,))
SELF_SIGNED = make("anything", names=("elsewhere.example",), days=(-20, -10))


def tlsa(usage: int, selector: int, matching: int, made: Made) -> TlsaRecord:
    octets = made.spki if selector else made.der
    data = {0: octets, 1: hashlib.sha256(octets).digest(), 2: hashlib.sha512(octets).digest()}[matching]
    return TlsaRecord(usage, selector, matching, data)


def verdict(records: list[TlsaRecord], chain: list[Made], names: tuple[str, ...] = (HOST,)) -> str:
    try:
        check_chain(records, [made.der for made in chain], names, now=Instant(NOW))
    except DaneMismatch as mismatch:
        return "name" if mismatch.is_name else "expired" if mismatch.is_expired else "no"
    return "yes"


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_every_selector_and_matching_type(selector: int, matching: int) -> None:
    assert verdict([tlsa(3, selector, matching, LEAF)], [LEAF, MIDDLE]) == "yes"
    assert verdict([tlsa(3, selector, matching, OTHER)], [LEAF, MIDDLE]) == "no"
    assert verdict([tlsa(2, selector, matching, MIDDLE)], [LEAF, MIDDLE]) == "yes"
    assert verdict([tlsa(2, selector, matching, ROOT)], [LEAF, MIDDLE, ROOT]) == "yes"
    assert verdict([tlsa(2, selector, matching, OTHER)], [LEAF, MIDDLE, ROOT]) == "no"


def test_neither_names_nor_dates_matter_for_usage_3() -> None:
    # RFC 7672 §3.1.1
    assert verdict([tlsa(3, 1, 1, SELF_SIGNED)], [SELF_SIGNED]) == "yes"


CHAINS: dict[str, tuple[list[TlsaRecord], list[Made], tuple[str, ...], str]] = {
    "the anchor's certificate must be shown": ([tlsa(2, 0, 1, ROOT)], [LEAF, MIDDLE], (HOST,), "no"),
    "unless the record has it whole": ([tlsa(2, 0, 0, ROOT)], [LEAF, MIDDLE], (HOST,), "yes"),
    "in any order": ([tlsa(2, 0, 1, ROOT)], [LEAF, ROOT, OTHER, MIDDLE], (HOST,), "yes"),
    "a certificate shown but not in the path": ([tlsa(2, 0, 1, OTHER)], [LEAF, MIDDLE, OTHER], (HOST,), "no"),
    "the server's own is no anchor of itself": ([tlsa(2, 0, 1, LEAF)], [LEAF, MIDDLE], (HOST,), "no"),
    "another name": ([tlsa(2, 0, 1, MIDDLE)], [LEAF, MIDDLE], ("other.example",), "name"),
    "one of several names": ([tlsa(2, 0, 1, MIDDLE)], [LEAF, MIDDLE], ("o.example", HOST), "yes"),
    "a wildcard for one label": ([tlsa(2, 0, 1, MIDDLE)], [LEAF, MIDDLE], ("a.wild.example",), "yes"),
    "not for two": ([tlsa(2, 0, 1, MIDDLE)], [LEAF, MIDDLE], ("a.b.wild.example",), "name"),
    "nor for none": ([tlsa(2, 0, 1, MIDDLE)], [LEAF, MIDDLE], ("wild.example",), "name"),
    "the common name, without any other": ([tlsa(2, 0, 1, MIDDLE)], [COMMON_NAME, MIDDLE], (HOST,), "yes"),
    "expired": ([tlsa(2, 0, 1, MIDDLE)], [EXPIRED, MIDDLE], (HOST,), "expired"),
    "not valid yet": ([tlsa(2, 0, 1, MIDDLE)], [EARLY, MIDDLE], (HOST,), "no"),
    "signed by one that is no authority": (
        [tlsa(2, 0, 1, ROOT)],
        [UNDER_NOT_CA, NOT_CA, ROOT],
        (HOST,),
        "no",
    ),
    "a path too long": ([tlsa(2, 0, 1, ROOT)], [TOO_DEEP, DEEPER, MIDDLE, ROOT], (HOST,), "no"),
    "usage 3 or usage 2": ([tlsa(3, 1, 1, OTHER), tlsa(2, 0, 1, MIDDLE)], [LEAF, MIDDLE], (HOST,), "yes"),
    "no certificate": ([tlsa(3, 1, 1, LEAF)], [], (HOST,), "no"),
    "authorities of the web prove nothing": (
        [tlsa(0, 0, 1, ROOT), tlsa(1, 1, 1, LEAF)],
        [LEAF, MIDDLE, ROOT],
        (HOST,),
        "no",
    ),
    # RFC 7672 §3.2.2: names of exchange.example.org's servers.
    "the next-hop domain": (
        [tlsa(2, 0, 1, MIDDLE)],
        [make("x", MIDDLE, names=("example.com",)), MIDDLE],
        ("mx15.example.com", "exchange.example.org", "example.com"),
        "yes",
    ),
}


@pytest.mark.parametrize("case", CHAINS)
def test_chains(case: str) -> None:
    records, chain, names, expected = CHAINS[case]
    assert verdict(records, chain, names) == expected


def test_certificates_of_one_name_cost_a_limited_number_of_signatures() -> None:
    # By its name each may be the issuer of each, and is only of the next: tried in this order, 45 checks.
    chain = [make("Same", ca=True)]
    for _ in range(8):
        chain.append(make("Same", chain[-1], ca=True))
    leaf = make("Same", chain[-1], names=(HOST,))
    shown = [made.der for made in (leaf, *chain)]
    with pytest.raises(DaneMismatch, match="too many certificates of one name"):
        check_chain([tlsa(2, 1, 1, chain[0])], shown, (HOST,), now=Instant(NOW))
    # In the order that TLS asks for, it is one check for each.
    assert verdict([tlsa(2, 1, 1, chain[0])], [leaf, *reversed(chain)]) == "yes"


def limited(*extensions: tuple[x509.ExtensionType, bool]) -> list[Made]:
    authority = make("Limited", ca=True, extensions=extensions)
    return [make(HOST, authority, names=(HOST,)), authority]


def dns(name: str) -> x509.DNSName:
    return x509.DNSName(name)


@pytest.mark.parametrize(
    ("allowed", "excluded", "expected"),
    [
        (["example.net"], None, "yes"),
        (["example.org"], None, "name"),
        (["ample.net"], None, "name"),
        (None, ["example.net"], "name"),
        (None, ["example.org"], "yes"),
        (["example.net"], ["mx.example.net"], "name"),
    ],
)
def test_an_authority_limited_to_names(
    allowed: list[str] | None, excluded: list[str] | None, expected: str
) -> None:
    limits = x509.NameConstraints(
        [dns(one) for one in allowed] if allowed else None,
        [dns(one) for one in excluded] if excluded else None,
    )
    chain = limited((limits, True))
    assert verdict([tlsa(2, 0, 1, chain[1])], chain) == expected


def test_an_authority_that_may_not_sign() -> None:
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    chain = limited((usage, True))
    assert verdict([tlsa(2, 0, 1, chain[1])], chain) == "no"


def test_a_critical_extension_that_nobody_knows() -> None:
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    assert verdict([tlsa(2, 0, 1, (chain := limited((strange, True)))[1])], chain) == "no"
    assert verdict([tlsa(2, 0, 1, (chain := limited((strange, False)))[1])], chain) == "yes"


USABLE = [
    (TlsaRecord(3, 1, 1, bytes(32)), True),
    (TlsaRecord(3, 1, 2, bytes(64)), True),
    (TlsaRecord(2, 0, 1, bytes(32)), True),
    (TlsaRecord(3, 1, 0, LEAF.spki), True),
    (TlsaRecord(3, 0, 0, LEAF.der), True),
    (TlsaRecord(3, 1, 1, bytes(31)), False),
    (TlsaRecord(3, 1, 2, bytes(32)), False),
    (TlsaRecord(3, 1, 3, bytes(32)), False),
    (TlsaRecord(3, 2, 1, bytes(32)), False),
    (TlsaRecord(4, 1, 1, bytes(32)), False),
    (TlsaRecord(255, 1, 1, bytes(32)), False),
    (TlsaRecord(0, 0, 1, bytes(32)), False),
    (TlsaRecord(1, 0, 1, bytes(32)), False),
    (TlsaRecord(3, 1, 0, b""), False),
    (TlsaRecord(3, 0, 0, LEAF.spki), False),
    (TlsaRecord(3, 1, 0, LEAF.der), False),
]


@pytest.mark.parametrize(("record", "usable"), USABLE)
def test_usable_records(record: TlsaRecord, usable: bool) -> None:
    assert usable_records([record]) == ((record,) if usable else ())


def test_of_digests_the_strongest_counts() -> None:
    # RFC 7671 §9, its example: 3 1 2 and 3 1 0 are accepted, a key that matches 3 1 1 alone is not.
    strong, full, weak = tlsa(3, 1, 2, OTHER), tlsa(3, 1, 0, ROOT), tlsa(3, 1, 1, LEAF)
    assert usable_records([weak, strong, full]) == (strong, full)
    assert verdict([weak, strong, full], [LEAF]) == "no"
    assert verdict([weak, strong, full], [OTHER]) == "yes"
    assert verdict([weak, strong, full], [ROOT]) == "yes"
    # For each usage and selector apart, and only among those that are usable.
    assert verdict([weak, tlsa(2, 1, 2, OTHER)], [LEAF]) == "yes"
    assert verdict([weak, TlsaRecord(3, 1, 2, bytes(3))], [LEAF]) == "yes"


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=4), st.integers(0, 600), st.binary(max_size=3))
def test_any_octets_as_certificates_are_a_mismatch(chain: list[bytes], at: int, change: bytes) -> None:
    records = [tlsa(3, 1, 1, OTHER), tlsa(2, 0, 1, OTHER)]
    damaged = LEAF.der[:at] + change + LEAF.der[at + len(change) :]
    for shown in (chain, [damaged, MIDDLE.der], [damaged, *chain, ROOT.der]):
        with pytest.raises(DaneMismatch):
            check_chain(records, shown, (HOST,), now=Instant(NOW))
