"""Addresses as operators and envelopes write them (RFC 5321 §4.1.2, RFC 6531 §3.3)."""

import pytest

from postino.core.address import Address, BadAddress, domain_key, parse_address, parse_domain


@pytest.mark.parametrize(
    ("text", "local_part", "domain"),
    [
        ("ann@example.org", "ann", "example.org"),
        (" Ann@Example.ORG. ", "Ann", "example.org"),
        ("ann+shop@example.org", "ann+shop", "example.org"),
        ('"a b"@example.org', "a b", "example.org"),
        ("grå@räksmörgås.example", "grå", "räksmörgås.example"),
    ],
)
def test_parse_address(text: str, local_part: str, domain: str) -> None:
    assert parse_address(text) == Address(local_part, domain)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "@example.org",
        "ann@",
        "a b@example.org",
        "ann@-x.org",
        "ann@a..b",
        f"{'a' * 65}@example.org",
        # What would end the line of a command, or show as something else than it is.
        '"a\r\nRCPT TO:<x@y.example>"@example.org',
        '"a\nb"@example.org',
        '"a\\\nb"@example.org',
        '"a\0b"@example.org',
        '"a\x1b[31m"@example.org',
        "a\x9b31m@example.org",
        "a\u202eb@example.org",
        '"a\u2028b"@example.org',
        "a\udcffb@example.org",
        "a@example\u202e.org",
        "a@example\x85.org",
        "a@\udcff.org",
        "a@\udcff.xn--rksmrgs-5wao1o.org",
        "a@xn--ab-g4t.org",
    ],
)
def test_parse_address_says_what_is_wrong(text: str) -> None:
    with pytest.raises(BadAddress):
        parse_address(text)


def test_two_spellings_have_one_key() -> None:
    assert Address("Ann", "example.org").key == Address("ann", "example.org").key
    assert Address("e\u0301", "x.org").key == Address("\u00e9", "x.org").key


@pytest.mark.parametrize(
    ("local_part", "split"),
    [("ann+shop", ("ann", "shop")), ("ann", ("ann", "")), ("+x", ("+x", "")), ("a+b+c", ("a", "b+c"))],
)
def test_detail(local_part: str, split: tuple[str, str]) -> None:
    assert Address(local_part, "example.org").detail("+") == split
    assert Address(local_part, "example.org").detail("") == (local_part, "")


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address("a b", "x.org"), '"a b"@x.org'),
        (Address('q"\\', "x.org"), '"q\\"\\\\"@x.org'),
        (Address("a.b", "x.org"), "a.b@x.org"),
    ],
)
def test_an_address_prints_so_that_it_parses_again(address: Address, text: str) -> None:
    assert str(address) == text
    assert parse_address(text) == address


def test_domain_refuses_what_dns_could_not_hold() -> None:
    with pytest.raises(BadAddress, match="domain name"):
        parse_domain("exa mple.org")


@pytest.mark.parametrize(
    ("domain", "key"),
    [
        ("xn--bcher-kva.example", "bücher.example"),
        ("mail.xn--bcher-kva.xn--p1ai", "mail.bücher.рф"),
        ("bücher.example", "bücher.example"),
        ("example.org", "example.org"),
        # Not what any U-label gives: it stays what it is.
        ("xn--.example", "xn--.example"),
        ("xn--abc-.example", "xn--abc-.example"),
        ("xn--a-ecp.ru\u00df", "xn--a-ecp.ru\u00df"),
        ("xn--" + "9" * 60, "xn--" + "9" * 60),
    ],
)
def test_a_labels_and_u_labels_are_one_domain(domain: str, key: str) -> None:
    assert domain_key(domain) == key
    assert domain_key(key) == key
