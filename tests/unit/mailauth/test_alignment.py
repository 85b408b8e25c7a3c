"""Whose name a From field bears, as anybody may read it (RFC 7489 §3.1)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.mailauth.alignment import are_aligned, claimed_domains


@pytest.mark.parametrize(
    ("header", "domains"),
    [
        (b"From: ann@example.org\r\n\r\n", {"example.org"}),
        (b"FROM : Ann <ann@EXAMPLE.org.>\r\n\r\n", {"example.org"}),
        (b"From: =?utf-8?q?Ann?= <ann@xn--bcher-kva.example>\r\n\r\n", {"bücher.example"}),
        ("From: ann@bücher.example\r\n\r\n".encode(), {"bücher.example"}),
        (b"Subject: from: a@b.example\r\nTo: from@c.example\r\n\r\n", set()),
        # A name that looks like an address is none.
        (b'From: "ann@example.org" <x@evil.example>\r\n\r\n', {"evil.example"}),
        (b"From: (ann@example.org) <x@evil.example>\r\n\r\n", {"evil.example"}),
        # Every author, every field, and every way to read them.
        (b"From: x@evil.example, ann@example.org\r\n\r\n", {"evil.example", "example.org"}),
        (b"From: x@evil.example\r\nfrom: ann@example.org\r\n\r\n", {"evil.example", "example.org"}),
        (b"From: x@evil.example\r\nno field\r\nFrom: ann@example.org\r\n", {"evil.example", "example.org"}),
        (b"From: ann@example.org <x@evil.example>\r\n\r\n", {"evil.example", "example.org"}),
        (b"From: <x@evil.example> <ann@example.org>\r\n\r\n", {"evil.example", "example.org"}),
        (b"From: <@evil.example:ann@example.org>\r\n\r\n", {"evil.example", "example.org"}),
        (b"From: friends: ann@example.org, x@evil.example;\r\n\r\n", {"evil.example", "example.org"}),
        (b'From: "a\\"b"@example.org\r\n\r\n', {"example.org"}),
        (b"From: ann@ (c) example . org\r\n\r\n", {"example.org"}),
        (b"From:\r\n ann@\r\n\texample.org\r\n\r\n", {"example.org"}),
        (b"From: ann\r\n\r\n", set()),
        (b"\r\n", set()),
    ],
)
def test_every_domain_that_may_be_the_authors_is_found(header: bytes, domains: set[str]) -> None:
    assert claimed_domains(header) == domains


@pytest.mark.parametrize(
    ("one", "other", "aligned"),
    [
        ("example.org", "example.org", True),
        ("mail.example.org", "example.org", True),
        ("example.org", "a.b.example.org", True),
        ("badexample.org", "example.org", False),
        ("example.org", "org", False),
        ("a.example.org", "b.example.org", False),
        ("", "example.org", False),
    ],
)
def test_alignment(one: str, other: str, aligned: bool) -> None:
    assert are_aligned(one, other) is aligned
    assert are_aligned(other, one) is aligned


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_no_header_is_too_odd(octets: bytes) -> None:
    assert "example.org" in claimed_domains(b"From: ann@example.org\r\n" + octets)
    claimed_domains(b"From: " + octets)
