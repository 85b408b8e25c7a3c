"""BODYSTRUCTURE and BODY: RFC 9051 §7.5.2 and §9."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.core.limits import Limits
from postino.imap.bodystructure import body_of, encode_bodystructure
from postino.mime.index import index_message

LIMITS = Limits()


def structures(octets: bytes) -> tuple[bytes, bytes]:
    """(BODYSTRUCTURE, BODY), having checked that the second can be had from the first."""
    root = index_message(octets, LIMITS)
    full, basic = encode_bodystructure(root), encode_bodystructure(root, extended=False)
    assert body_of(full) == basic
    return full, basic


def test_rfc9051_7_5_2_simple_text() -> None:
    line = b"x" * 45 + b"\r\n"
    octets = b"Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n" + line * 47 + b"x" * 68 + b"\r\n"
    full, basic = structures(octets)
    assert basic == b'("text" "plain" ("charset" "US-ASCII") NIL NIL "7bit" 2279 48)'
    assert full == b'("text" "plain" ("charset" "US-ASCII") NIL NIL "7bit" 2279 48 NIL NIL NIL NIL)'


def test_rfc9051_7_5_2_two_parts() -> None:
    def body(octets: int, lines: int) -> bytes:
        return b"\r\n" * (lines - 1) + b"x" * (octets - 2 * lines) + b"\r\n"

    octets = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
        + body(1152, 23)
        + b"\r\n--b\r\nContent-Type: text/plain; charset=us-ascii; name=cc.diff\r\n"
        b"Content-ID: <960723163407.20117h@cac.washington.edu>\r\nContent-Description: Compiler diff\r\n"
        b"Content-Transfer-Encoding: BASE64\r\n\r\n" + body(4554, 73) + b"\r\n--b--\r\n"
    )
    _, basic = structures(octets)
    assert basic == (
        b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1152 23)'
        b'("text" "plain" ("charset" "us-ascii" "name" "cc.diff")'
        b' "<960723163407.20117h@cac.washington.edu>" "Compiler diff" "base64" 4554 73) "mixed")'
    )


@pytest.mark.parametrize(
    ("octets", "full"),
    [
        (b"", b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0 NIL NIL NIL NIL)'),
        (b"\r\nabc", b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 0 NIL NIL NIL NIL)'),
        (b"Content-Type: image/png\r\n\r\nabc\n", b'("image" "png" NIL NIL NIL "7bit" 4 NIL NIL NIL NIL)'),
        (
            (b'Content-Type: a/b\r\nContent-MD5: Q2hl==\r\nContent-Disposition: attachment; filename="a b"\r\n'
            b"Content-Language: en, fr\r\nContent-Location: http://x/\r\nContent-ID:\r\n\r\n"),
            b'("a" "b" NIL "" NIL "7bit" 0 "Q2hl==" ("attachment" ("filename" "a b")) ("en" "fr") "http://x/")',
        ),
        (
            b"Content-Type: a/b\r\nContent-Disposition: inline\r\nContent-Language: en\r\n\r\n",
            b'("a" "b" NIL NIL NIL "7bit" 0 NIL ("inline" NIL) "en" NIL)',
        ),
        # RFC 2231 §3: sections are joined; §4: a value with a charset stays an extended value, in one piece
        (
            b'Content-Type: a/b; URL*0="ftp://"; URL*1="x"\r\n\r\n',
            b'("a" "b" ("url" "ftp://x") NIL NIL "7bit" 0 NIL NIL NIL NIL)',
        ),
        (
            b"Content-Type: a/b; name*0*=iso-8859-1''%E4; name*1*=%20x\r\n\r\n",
            b'("a" "b" ("name*" "utf-8\'\'%C3%A4%20x") NIL NIL "7bit" 0 NIL NIL NIL NIL)',
        ),
        # encoded words stay, 8-bit goes as a literal
        (
            b'Content-Type: a/b; name="=?utf-8?Q?=C3=A4?="\r\nContent-Description: \xc3\xa4\r\n\r\n',
            b'("a" "b" ("name" "=?utf-8?Q?=C3=A4?=") NIL {2}\r\n\xc3\xa4 "7bit" 0 NIL NIL NIL NIL)',
        ),
        (
            b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\nFrom: a@b\r\n\r\nx\r\n",
            (b'("message" "rfc822" NIL NIL NIL "7bit" 29 (NIL "in" ((NIL NIL "a" "b")) ((NIL NIL "a" "b"))'
            b' ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL)'
            b' ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1 NIL NIL NIL NIL) 4 NIL NIL NIL NIL)'),
        ),
        (b"Content-Type: message/partial; id=x\r\n\r\n", b'("message" "partial" ("id" "x") NIL NIL "7bit" 0 NIL NIL NIL NIL)'),
        # a multipart without parts is a text, since IMAP cannot say it
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\nx", b'("text" "plain" NIL NIL NIL "7bit" 1 0 NIL NIL NIL NIL)'),
        (
            b"Content-Type: multipart/digest; boundary=b\r\nContent-Language: en\r\n\r\n--b\r\n\r\n\r\n\r\n--b--",
            (b'(("message" "rfc822" NIL NIL NIL "7bit" 2 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)'
            b' ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0 NIL NIL NIL NIL) 1 NIL NIL NIL NIL)'
            b' "digest" ("boundary" "b") NIL "en" NIL)'),
        ),
    ],
)  # fmt: skip
def test_bodystructure(octets: bytes, full: bytes) -> None:
    assert structures(octets)[0] == full


def test_deepest_structure_can_be_written() -> None:
    octets = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(500)
    )
    full, basic = structures(octets)
    assert full.count(b"(") == full.count(b")")
    assert basic.count(b"mixed") == LIMITS.mime_depth


def test_damaged_structure_is_refused() -> None:
    with pytest.raises(ValueError, match="rebuild"):
        body_of(b'("text" "plain"')


PIECES = st.sampled_from(
    [b"\r\n--b\r\n", b"\r\n--b--\r\n", b"\r\n", b"\r\n\r\n", b"Content-Type: multipart/mixed; boundary=b", b"Content-Type: message/rfc822",
     b'Content-Type: a/b; c=\xff; d="(\\")"', b'Subject: ) ( " {3}', b"From: \xff <a@b>", b"Content-ID: {9}\r\n ab", b"text",
     b"Content-Disposition: x; y*=a''%ff"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=25).map(b"".join))
def test_body_is_bodystructure_without_extension_data(octets: bytes) -> None:
    structures(octets)
