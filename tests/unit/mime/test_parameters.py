"""Content-Type and Content-Disposition: RFC 2045 §5.1, 2183, 2231."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.mime.parameters import parse_content_type, parse_disposition, parse_token, strip_comments


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        # RFC 2045 §5.1: the two spellings are the same
        (b'text/plain; charset="us-ascii"', ("text", "plain", (("charset", b"us-ascii"),))),
        (b"text/plain; charset=us-ascii (Plain text)", ("text", "plain", (("charset", b"us-ascii"),))),
        # RFC 2231 §3
        (
            (
                b'message/external-body; access-type=URL;\r\n URL*0="ftp://";\r\n'
                b' URL*1="cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar"'
            ),
            (
                "message",
                "external-body",
                (("access-type", b"URL"), ("url", b"ftp://cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar")),
            ),
        ),
        # RFC 2231 §4
        (
            b"application/x-stuff;\r\n title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A",
            ("application", "x-stuff", (("title*", b"This is ***fun***"),)),
        ),
        # RFC 2231 §4.1
        (
            (
                b"application/x-stuff;\r\n title*0*=us-ascii'en'This%20is%20even%20more%20;\r\n"
                b' title*1*=%2A%2A%2Afun%2A%2A%2A%20;\r\n title*2="isn\'t it!"'
            ),
            ("application", "x-stuff", (("title*", b"This is even more ***fun*** isn't it!"),)),
        ),
        # sections in any order (RFC 2231 §3), and another charset
        (
            b"a/b; n*1*=%E4; n*0*=iso-8859-1''x",
            ("a", "b", (("n*", "xä".encode()),)),
        ),
        (b"a/b; n*0=x; n*2=z", ("a", "b", (("n", b"x"),))),
        (b"a/b; n*=utf-8''%E2%82%AC; n=EUR", ("a", "b", (("n", b"EUR"), ("n*", "€".encode())))),
        (b"TEXT/HTML", ("text", "html", ())),
        (b"text/html;", ("text", "html", ())),
        (b" text / plain ; Charset = utf-8 ", ("text", "plain", (("charset", b"utf-8"),))),
        (b'a/b; name="a\\"b\\\\c"', ("a", "b", (("name", b'a"b\\c'),))),
        (b'a/b; name="x (1).pdf"', ("a", "b", (("name", b"x (1).pdf"),))),
        (b'a/b; name="x;y=z"; q=1', ("a", "b", (("name", b"x;y=z"), ("q", b"1")))),
        (b'a/b; name="unfinished', ("a", "b", (("name", b"unfinished"),))),
        (b"a/b; name=with blanks.txt; q=1", ("a", "b", (("name", b"with blanks.txt"), ("q", b"1")))),
        (b"a/b; name=", ("a", "b", (("name", b""),))),
        (b"a/b; ; x; q=1", ("a", "b", (("q", b"1"),))),
        (b"a/b; q=1; q=2", ("a", "b", (("q", b"1"),))),
        ("a/b; name=ü".encode(), ("a", "b", (("name", "ü".encode()),))),
        (b"a/b; name*0*=x", ("a", "b", (("name", b"x"),))),
        (b"a/b; name*=%41", ("a", "b", (("name", b"A"),))),
        # RFC 2045 §5.2: what has no readable type is left to the default
        (b"", None),
        (b"text", None),
        (b"/plain", None),
        (b"text/", None),
        (b";charset=utf-8", None),
        (b"\xff/\xff", None),
    ],
)
def test_content_type(value: bytes, parsed: object) -> None:
    assert parse_content_type(value) == parsed


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        # RFC 2183 §2.10
        (b"inline", ("inline", ())),
        (
            b'attachment; filename=genome.jpeg;\r\n modification-date="Wed, 12 Feb 1997 16:29:51 -0500"',
            (
                "attachment",
                (("filename", b"genome.jpeg"), ("modification-date", b"Wed, 12 Feb 1997 16:29:51 -0500")),
            ),
        ),
        (b'ATTACHMENT; filename="a b"', ("attachment", (("filename", b"a b"),))),
        (b"attachment (with a comment); filename=x", ("attachment", (("filename", b"x"),))),
        (b"", None),
        (b'"x"', None),
    ],
)
def test_disposition(value: bytes, parsed: object) -> None:
    assert parse_disposition(value) == parsed


@pytest.mark.parametrize(
    ("value", "token"),
    [(b" Base64 ", "base64"), (b"(no) 8BIT (yes)", "8bit"), (b"", ""), (b"\r\n 7bit", "7bit"), (b"[x]", "")],
)
def test_transfer_encoding_is_one_word(value: bytes, token: str) -> None:
    assert parse_token(value) == token


@pytest.mark.parametrize(
    ("value", "rest"),
    [
        (b"a (b (c) d) e", b"a  e"),
        (b'"(not a comment)" x', b'"(not a comment)" x'),
        (b"a (unfinished", b"a "),
        (b"a ) b", b"a ) b"),
        (b'a (it"s) b', b"a  b"),
        (rb"a (\)) b", b"a  b"),
    ],
)
def test_comments_are_taken_out(value: bytes, rest: bytes) -> None:
    assert strip_comments(value) == rest


def test_endless_sections_are_read_up_to_the_limit() -> None:
    value = b"a/b" + b"".join(b";n*%d=x" % number for number in range(100_000))
    parsed = parse_content_type(value)
    assert parsed is not None
    assert len(parsed[2]) == 1
    assert set(parsed[2][0][1]) == {ord("x")}


TOKENS = st.text("abcdefghijklmnopqrstuvwxyz-0123456789", min_size=1, max_size=10)


@given(
    TOKENS, TOKENS, st.dictionaries(TOKENS, st.text(st.characters(codec="ascii", exclude_categories=["C"])))
)
def test_written_parameters_are_read_back(
    media_type: str, media_subtype: str, params: dict[str, str]
) -> None:
    value = f"{media_type}/{media_subtype}" + "".join(
        '; {}="{}"'.format(name, text.replace("\\", "\\\\").replace('"', '\\"'))
        for name, text in params.items()
    )
    expected = tuple((name, text.encode()) for name, text in params.items())
    assert parse_content_type(value.encode()) == (media_type, media_subtype, expected)


@given(st.binary(max_size=200))
def test_any_octets_are_read(octets: bytes) -> None:
    for value in (octets, b"text/plain;" + octets, b"a/b; n*0*=" + octets):
        parse_content_type(value)
        parse_disposition(value)
        parse_token(value)
