""":value and :count (RFC 5231), :user and :detail (5233), :index and :last (5260 6): their examples."""

import pytest

from postino.sieve import BadScript, Circumstances, compile_script, run
from tests.unit.sieve.scripting import MESSAGE, done

NAMES = (
    '"relational", "comparator-i;ascii-numeric", "comparator-i;unicode-casemap", '
    '"envelope", "subaddress", "index"'
)
COUNTED = (
    b"Received: ...\r\nReceived: ...\r\nSubject: example\r\n"
    b"To: foo@example.com, baz@example.com\r\nCc: qux@example.com\r\nX-Priority: 2 (high)\r\n"
    b"From: Nina <nina@example.org>\r\n\r\n"
)
NUMERIC = ':comparator "i;ascii-numeric"'


def holds(test: str, message: bytes = COUNTED, circumstances: Circumstances | None = None) -> bool:
    """Whether a test is true."""
    found = done(f"require [{NAMES}]; if {test} {{ discard; }}", message, circumstances)
    assert found in (["discard"], ["keep"]), found
    return found == ["discard"]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        (f'address :count "ge" {NUMERIC} ["to", "cc"] ["3"]', True),
        (f'address :count "ge" {NUMERIC} ["to"] ["3"]', False),
        (f'header :count "ge" {NUMERIC} ["received"] ["3"]', False),
        (f'header :count "ge" {NUMERIC} ["received", "subject"] ["3"]', True),
        (f'header :count "ge" {NUMERIC} ["to", "cc"] ["3"]', False),
        (f'header :count "eq" {NUMERIC} "x-none" "0"', True),
        (f'header :count "lt" {NUMERIC} "received" ["1", "3"]', True),
        ('header :count "eq" "received" "2"', True),
        # 7
        (f'header :value "lt" {NUMERIC} ["x-priority"] ["3"]', True),
        (f'address :count "gt" {NUMERIC} ["to"] ["5"]', False),
        ('address :value "gt" :all :comparator "i;ascii-casemap" ["from"] ["M"]', True),
        ('address :value "gt" :all ["from"] ["o"]', False),
        ('header :value "le" "subject" "EXAMPLE"', True),
        ('header :value "ne" "subject" "EXAMPLE"', False),
        ('header :value "ne" :comparator "i;octet" "subject" "EXAMPLE"', True),
        ('header :value "gt" :comparator "i;octet" "subject" "EXAMPLE"', True),
        ('header :value "ge" :comparator "i;unicode-casemap" "subject" "Éxample"', False),
        (f'header :value "gt" {NUMERIC} "subject" "99999999999"', True),
        (f'header :value "eq" {NUMERIC} "subject" "words"', True),
        ('header :value "lt" "x-none" "z"', False),
    ],
)
def test_rfc_5231(test: str, expected: bool) -> None:
    """Sections 4, 6 and 7."""
    assert holds(test) is expected


@pytest.mark.parametrize(("letter", "relation"), [("a", "lt"), ("A", "lt"), ("^", "lt"), ("~", "gt")])
def test_order_of_letters_is_that_of_capitals(letter: str, relation: str) -> None:
    """RFC 4790 9.2.1: small letters are taken for capitals, so that _ comes behind them."""
    assert holds(f'header :value "{relation}" "x-one" "_"', f"X-One: {letter}\r\n\r\n".encode())


@pytest.mark.parametrize(
    ("sender", "test", "expected"),
    [
        ("", f'envelope :count "eq" {NUMERIC} "from" "0"', True),
        ("", 'envelope "from" ""', True),
        ("ann@example.org", f'envelope :count "eq" {NUMERIC} "from" "1"', True),
        ("ann@example.org", f'envelope :count "eq" {NUMERIC} ["from", "to"] "2"', True),
    ],
)
def test_rfc_5231_section_4_2_envelope(sender: str, test: str, expected: bool) -> None:
    """The null reverse-path is an empty string, and counts as nothing."""
    circumstances = Circumstances(envelope_from=sender, envelope_to="bob@example.com")
    assert holds(test, COUNTED, circumstances) is expected


@pytest.mark.parametrize("relation", ["", "GTE", "=", "greater"])
def test_rfc_5231_relations_are_six(relation: str) -> None:
    """Others are told while compiling."""
    with pytest.raises(BadScript, match='one of "gt"'):
        compile_script(f'require "relational"; if header :value "{relation}" "a" "b" {{ keep; }}'.encode())


@pytest.mark.parametrize(
    ("to", "separator", "test", "expected"),
    [
        ("postmaster@example.com", "+", 'envelope :user "to" "postmaster"', True),
        ("ken+mta-filters@example.com", "+", 'envelope :detail "to" "mta-filters"', True),
        ("ken+foo@example.com", "+", 'envelope :detail "to" "foo"', True),
        ("ken+foo@example.com", "+", 'envelope :user "to" "ken"', True),
        ("ken+foo@example.com", "+", 'envelope :localpart "to" "ken+foo"', True),
        ("ken@example.com", "+", 'envelope :detail :contains "to" ""', False),
        ("ken+@example.com", "+", 'envelope :detail "to" ""', True),
        ("ken+a+b@example.com", "+", 'envelope :detail "to" "a+b"', True),
        ("+ken@example.com", "+", 'envelope :user "to" "+ken"', True),
        ("ken--foo@example.com", "--", 'envelope :detail "to" "foo"', True),
        ("ken+foo@example.com", "", 'envelope :user "to" "ken+foo"', True),
        ("ken+foo@example.com", "", 'envelope :detail :contains "to" ""', False),
    ],
)
def test_rfc_5233(to: str, separator: str, test: str, expected: bool) -> None:
    """Section 4, and addresses divided as they are when mail is delivered."""
    assert holds(test, COUNTED, Circumstances(envelope_to=to, separator=separator)) is expected


def test_rfc_5233_in_headers() -> None:
    """address has the parts too."""
    assert holds('address :detail "to" "shop"', MESSAGE)
    assert not holds('address :detail "to" "carl"', MESSAGE)


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('header :index 1 "x" "one"', True),
        ('header :index 1 "x" "two"', False),
        ('header :index 2 "x" "two"', True),
        ('header :index 1 :last "x" "three"', True),
        ('header :index 3 :last "x" "one"', True),
        ('header :index 4 "x" "one"', False),
        ('header :index 4 :last "x" "one"', False),
        # More than one name: all fields are counted, in the order of the names.
        ('header :index 1 ["y", "x"] "why"', True),
        ('header :index 2 ["y", "x"] "one"', True),
        ('header :index 1 :last ["y", "x"] "three"', True),
        ('header :index 4 ["x", "y"] "why"', True),
        # Fields are counted, not addresses.
        ('address :index 1 "to" "b@example.org"', True),
        ('address :index 2 "to" "b@example.org"', False),
        ('address :index 2 :domain "to" "example.net"', True),
        ('header :index 9 :count "eq" "x" "0"', True),
    ],
)
def test_rfc_5260_section_6(test: str, expected: bool) -> None:
    """One of several fields."""
    message = (
        b"X: one\r\nY: why\r\nX: two\r\nX: three\r\nTo: a@example.org, b@example.org\r\n"
        b"To: c@example.net\r\n\r\n"
    )
    assert holds(test, message) is expected


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ('header :last "x" "y"', "counts for :index"),
        ('header :index 0 "x" "y"', "counts from 1"),
        ('exists :index 1 "x"', "exists has no :index"),
    ],
)
def test_rfc_5260_section_6_errors(test: str, words: str) -> None:
    """What is found out while compiling."""
    with pytest.raises(BadScript, match=words):
        compile_script(f'require "index"; if {test} {{ keep; }}'.encode())


def test_long_values_are_counted() -> None:
    script = compile_script(b'require ["body", "relational"]; if body :raw :value "gt" "z" {}')
    found = run(script, b"Subject: x\r\n\r\n" + b"a" * 1_000_000)
    assert found.steps > 8500
