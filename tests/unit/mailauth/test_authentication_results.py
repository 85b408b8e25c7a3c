"""The Authentication-Results field: RFC 8601's examples, and that what is written is read again."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.errors import ProtocolViolation
from postino.mailauth.authentication_results import (
    AuthenticationResults,
    MethodResult,
    Property,
    parse_results,
    print_results,
)


def one(method: str, result: str, *properties: str, reason: str = "", version: int = 1) -> MethodResult:
    found = []
    for text in properties:
        name, _, value = text.partition("=")
        kind, _, name = name.partition(".")
        found.append(Property(kind, name, value))
    return MethodResult(method, result, tuple(found), reason, version=version)


EXAMPLES = [
    # RFC 8601 Appendix B.2
    (" example.org 1; none", AuthenticationResults("example.org")),
    # B.3
    (
        " example.com;\r\n          spf=pass smtp.mailfrom=example.net",
        AuthenticationResults("example.com", (one("spf", "pass", "smtp.mailfrom=example.net"),)),
    ),
    # B.4
    (
        " example.com;\r\n auth=pass (cram-md5) smtp.auth=sender@example.net;\r\n spf=pass smtp.mailfrom=example.net",
        AuthenticationResults(
            "example.com",
            (
                one("auth", "pass", "smtp.auth=sender@example.net"),
                one("spf", "pass", "smtp.mailfrom=example.net"),
            ),
        ),
    ),
    (
        " example.com; iprev=pass\r\n policy.iprev=192.0.2.200",
        AuthenticationResults("example.com", (one("iprev", "pass", "policy.iprev=192.0.2.200"),)),
    ),
    # B.6
    (
        (
            ' example.com;\r\n dkim=pass reason="good signature"\r\n header.i=@mail-router.example.net;\r\n'
            ' dkim=fail reason="bad signature"\r\n header.i=@newyork.example.com'
        ),
        AuthenticationResults(
            "example.com",
            (
                one("dkim", "pass", "header.i=@mail-router.example.net", reason="good signature"),
                one("dkim", "fail", "header.i=@newyork.example.com", reason="bad signature"),
            ),
        ),
    ),
    # B.7
    (
        (
            " foo.example.net (foobar) 1 (baz);\r\n"
            " dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n"
            " policy (A dot can go here) . (like that) expired\r\n"
            " (this surprised me) = (as I wasn't expecting it) 1362471462"
        ),
        AuthenticationResults("foo.example.net", (one("dkim", "fail", "policy.expired=1362471462"),)),
    ),
    # §2.4 and §2.7.4
    (
        "x; dkim=policy policy.dkim-rules=unsigned-subject",
        AuthenticationResults("x", (one("dkim", "policy", "policy.dkim-rules=unsigned-subject"),)),
    ),
    (
        "x; auth=pass smtp.auth=client@c.example smtp.mailfrom=bob@b.example",
        AuthenticationResults(
            "x", (one("auth", "pass", "smtp.auth=client@c.example", "smtp.mailfrom=bob@b.example"),)
        ),
    ),
    (' "a b" ; DKIM = PASS (a (nested \\) comment)) ', AuthenticationResults("a b", (one("dkim", "pass"),))),
    ("x; dkim/2=pass", AuthenticationResults("x", (one("dkim", "pass", version=2),))),
    (
        'x; a=b header.i="john doe"@example.org',
        AuthenticationResults("x", (one("a", "b", "header.i=john doe@example.org"),)),
    ),
    ("x;", AuthenticationResults("x")),
]


@pytest.mark.parametrize(("value", "expected"), EXAMPLES)
def test_fields_are_read(value: str, expected: AuthenticationResults) -> None:
    assert parse_results(value.encode()) == expected
    field = print_results(expected)
    assert parse_results(field.partition(b":")[2]) == expected


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"; none",
        b"x 2; dkim=pass",
        b"x dkim=pass",
        b"x; dkim",
        b"x; dkim=",
        b"x; dkim=pass header",
        b"x; dkim=pass header.d",
        b"x; dkim=pass header.d=",
        b"x; dkim=pass; none",
        b"x; dkim=pass (",
        b'x; dkim=pass reason="',
        b"x; dkim=pass\xff",
        b"x; " + b"; ".join([b"a=b"] * 101),
        b"x; a=b " + b"(" * 70_000,
    ],
)
def test_what_breaks_the_grammar_is_refused(value: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        parse_results(value)


def test_no_value_makes_a_line_that_servers_refuse() -> None:
    for letter in ("x", '"', "ä", "\U0001f600"):
        long = letter * 5_000
        properties = (Property("header", "d", "d" * 253), Property("header", "i", long))
        field = print_results(
            AuthenticationResults("mx", (MethodResult("dkim", "pass", properties, long, comment=long),))
        )
        assert max(map(len, field.split(b"\r\n"))) <= 998
        (found,) = parse_results(field.partition(b":")[2]).results
        assert found.properties == properties[:1]


def test_a_field_is_folded_and_comments_cannot_break_out() -> None:
    results = AuthenticationResults(
        "mx.example.org",
        (
            MethodResult(
                "dkim",
                "fail",
                (Property("header", "d", "a" * 60), Property("header", "b", "a/+=")),
                comment="a) (b\r\n",
            ),
            MethodResult("spf", "none", reason='not\r\nwanted "here"'),
        ),
    )
    field = print_results(results)
    assert b"(a   b  )" in field
    assert b'header.b="a/+="' in field
    assert all(line.startswith((b"\t", b"Authentication-Results: ")) for line in field.split(b"\r\n")[:-1])
    assert parse_results(field.partition(b":")[2]).results[1].reason == 'not  wanted "here"'


words = st.text("abcd-1", min_size=1, max_size=5).filter(lambda w: not (w.startswith("-") or w.endswith("-")))
texts = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x2AF, exclude_categories=["Cc"]), min_size=1, max_size=12
)
results = st.builds(
    MethodResult,
    words.filter(lambda w: w != "none"),
    words,
    st.lists(st.builds(Property, words.filter(lambda w: w != "reason"), words, texts), max_size=3).map(tuple),
    st.just("") | texts,
    version=st.integers(1, 99),
)


@given(st.builds(AuthenticationResults, texts, st.lists(results, max_size=3).map(tuple)))
@settings(max_examples=150)
def test_what_is_written_is_read_again(made: AuthenticationResults) -> None:
    printable = all(
        text.isprintable() for r in made.results for text in (r.reason, *(p.value for p in r.properties))
    )
    if printable and made.server.isprintable():
        assert parse_results(print_results(made).partition(b":")[2]) == made


@given(st.text('abc ();="\\./@1\r\n', max_size=40))
@settings(max_examples=200)
def test_any_octets_are_read_or_refused(text: str) -> None:
    with contextlib.suppress(ProtocolViolation):
        parse_results(text.encode())
