"""MTA-STS records and policies: the examples of RFC 8461, its grammar, and what breaks it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.mailauth.mta_sts import (
    LONGEST_AGE,
    MOST_PATTERNS,
    BadPolicy,
    Mode,
    StsPolicy,
    parse_policy,
    parse_record,
)

RECORDS: list[tuple[tuple[str, ...], str | None]] = [
    (("v=STSv1; id=20160831085700Z;",), "20160831085700Z"),  # §3.1
    (("v=STSv1;id=1",), "1"),
    (("v=STSv1 ; id=1 ; ",), "1"),
    (("v=STSv1; more=x; id=abc; id=second",), "abc"),
    (("other", "v=STSv1; id=1;", "v=spf1 -all"), "1"),
    ((), None),
    (("v=STSv1; id=1;", "v=STSv1; id=1;"), None),
    (("v=STSv1",), None),
    (("v=STSv1;",), None),
    (("v=STSv10; id=1;",), None),
    (("V=STSv1; id=1;",), None),
    ((" v=STSv1; id=1;",), None),
    (("id=1; v=STSv1;",), None),
    (("v=STSv1; id=;",), None),
    (("v=STSv1; id=a-b;",), None),
    (("v=STSv1; id=" + "a" * 32,), "a" * 32),
    (("v=STSv1; id=" + "a" * 33,), None),
    (("v=STSv1; ID=1;",), None),
    (("v=STSv1; id=1; nonsense",), None),
    (("v=STSv1; id=1; _x=1",), None),
    (("v=STSv1; id=1; x=ü",), None),
    (("v=STSv1; id = 1",), None),
]


@pytest.mark.parametrize(("texts", "policy_id"), RECORDS)
def test_records(texts: tuple[str, ...], policy_id: str | None) -> None:
    assert parse_record(texts) == policy_id


EXAMPLE = (
    b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\n"
    b"mx: backupmx.example.com\r\nmax_age: 604800\r\n"
)
ENFORCE = StsPolicy(Mode.ENFORCE, 604_800, ("mail.example.com", "*.example.net", "backupmx.example.com"))
MX = b"mx: a.example\n"

APPENDIX_A = (
    b"version: STSv1\r\nmode: testing\r\nmx: mx1.example.com\r\nmx: mx2.example.com\r\n"
    b"mx: mx.backup-example.com\r\nmax_age: 1296000\r\n"
)

POLICIES: list[tuple[bytes, StsPolicy]] = [
    (EXAMPLE, ENFORCE),  # §3.2
    (EXAMPLE.replace(b"\r\n", b"\n"), ENFORCE),
    (EXAMPLE.removesuffix(b"\r\n"), ENFORCE),
    (EXAMPLE.replace(b": ", b":"), ENFORCE),
    (EXAMPLE.replace(b": ", b": \t "), ENFORCE),
    (EXAMPLE.replace(b"\r\n", b"  \r\n"), ENFORCE),
    (EXAMPLE + b"\r\n\r\n", ENFORCE),
    (EXAMPLE + b"more: \xc3\xbc and more\r\nmode: none\r\nversion: STSv9\r\nmax_age: x\r\n", ENFORCE),
    (EXAMPLE.replace(b"mail.example.com", b"Mail.Example.COM."), ENFORCE),
    # Appendix A
    (
        APPENDIX_A,
        StsPolicy(Mode.TESTING, 1_296_000, ("mx1.example.com", "mx2.example.com", "mx.backup-example.com")),
    ),
    (b"version: STSv1\nmode: none\nmax_age: 86400", StsPolicy(Mode.NONE, 86_400, ())),
    (b"max_age: 0\n" + MX + b"mode: testing\nversion: STSv1", StsPolicy(Mode.TESTING, 0, ("a.example",))),
    (
        b"version: STSv1\nmode: enforce\nmax_age: 9999999999\n" + MX,
        StsPolicy(Mode.ENFORCE, LONGEST_AGE, ("a.example",)),
    ),
    (
        b"version: STSv1\nmode: enforce\nmax_age: 1\nmx: xn--bcher-kva.example",
        StsPolicy(Mode.ENFORCE, 1, ("xn--bcher-kva.example",)),
    ),
]


@pytest.mark.parametrize(("octets", "policy"), POLICIES)
def test_policies(octets: bytes, policy: StsPolicy) -> None:
    assert parse_policy(octets) == policy


BAD = [
    b"",
    b"<html>",
    b"\xff" + EXAMPLE,
    EXAMPLE.replace(b"STSv1", b"STSv2"),
    EXAMPLE.replace(b"version: STSv1\r\n", b""),
    EXAMPLE.replace(b"version", b"Version"),
    EXAMPLE.replace(b"enforce", b"Enforce"),
    EXAMPLE.replace(b"mode: enforce\r\n", b""),
    EXAMPLE.replace(b"604800", b"-1"),
    EXAMPLE.replace(b"604800", b"1e3"),
    EXAMPLE.replace(b"604800", b"12345678901"),
    EXAMPLE.replace(b"604800", "٣".encode()),
    EXAMPLE.replace(b"max_age: 604800\r\n", b""),
    b"version: STSv1\nmode: enforce\nmax_age: 1\n",
    EXAMPLE.replace(b"*.example.net", b"*"),
    EXAMPLE.replace(b"*.example.net", b"a.*.net"),
    EXAMPLE.replace(b"*.example.net", b"**.example.net"),
    EXAMPLE.replace(b"*.example.net", b"a..example.net"),
    EXAMPLE.replace(b"*.example.net", "bücher.example".encode()),
    EXAMPLE.replace(b"*.example.net", b"a b"),
    EXAMPLE.replace(b"*.example.net", b"[192.0.2.1]"),
    EXAMPLE.replace(b"*.example.net", b"x" * 64 + b".example"),
    EXAMPLE + b"nonsense\r\n",
    EXAMPLE + b"x: \r\n",
    EXAMPLE + b"x: a\x00b\r\n",
    EXAMPLE + b"-x: a\r\n",
    EXAMPLE + MX * (MOST_PATTERNS + 1),
]


@pytest.mark.parametrize("octets", BAD)
def test_what_is_no_policy(octets: bytes) -> None:
    with pytest.raises(BadPolicy):
        parse_policy(octets)


@pytest.mark.parametrize(
    ("pattern", "host", "allowed"),
    [
        # §4.1
        ("*.example.com", "mail.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "foo.bar.example.com", False),
        ("mail.example.com", "mail.example.com", True),
        ("mail.example.com", "MAIL.example.COM", True),
        ("mail.example.com", "other.example.com", False),
        ("mail.example.com", "x.mail.example.com", False),
        ("*.example.com", ".example.com", False),
        ("xn--bcher-kva.example", "bücher.example", True),
    ],
)
def test_which_hosts_a_policy_allows(pattern: str, host: str, allowed: bool) -> None:
    assert StsPolicy(Mode.ENFORCE, 1, ("unlikely.example", pattern)).allows(host) is allowed


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text("vmodexST1:* \r\n.-\t", max_size=120).map(str.encode)))
def test_any_octets_are_a_policy_or_bad(octets: bytes) -> None:
    for text in (octets, EXAMPLE + octets, octets + EXAMPLE):
        try:
            policy = parse_policy(text)
        except BadPolicy:
            continue
        assert 0 <= policy.max_age <= LONGEST_AGE
        assert policy.mx or policy.mode is Mode.NONE


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=60), st.text(max_size=60).map("v=STSv1;".__add__)), max_size=3))
def test_any_texts_are_a_record_or_none(texts: list[str]) -> None:
    found = parse_record(texts)
    assert found is None or (found.isalnum() and found.isascii())
