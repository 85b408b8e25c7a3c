"""ENVELOPE: RFC 9051 §7.5.2 and §9."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.imap.envelope import encode_envelope, encode_nstring, encode_string
from tests.support.strict_imap_value import read_value

RFC9051_8 = (
    b"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n"
    b"From: Terry Gray <gray@cac.washington.edu>\r\n"
    b"Subject: IMAP4rev2 WG mtg summary and minutes\r\n"
    b"To: imap@cac.washington.edu\r\n"
    b"cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n"
    b"Message-Id: <B27397-0100000@cac.washington.ed>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n"
    b"\r\n"
)


def test_rfc9051_8_sample_connection() -> None:
    assert encode_envelope(RFC9051_8) == (
        b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev2 WG mtg summary and minutes" '
        b'(("Terry Gray" NIL "gray" "cac.washington.edu")) '
        b'(("Terry Gray" NIL "gray" "cac.washington.edu")) '
        b'(("Terry Gray" NIL "gray" "cac.washington.edu")) '
        b'((NIL NIL "imap" "cac.washington.edu")) '
        b'((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL '
        b'"<B27397-0100000@cac.washington.ed>")'
    )


ANN = b'((NIL NIL "ann" "a.example"))'


@pytest.mark.parametrize(
    ("header", "envelope"),
    [
        (b"", b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
        # present but empty: "" for texts, NIL for addresses
        (
            b"Date:\r\nSubject: \r\nFrom: \r\nSender:\r\nReply-To:\r\nTo:\r\nCc: \r\nBcc:\r\nIn-Reply-To:\r\nMessage-ID:\r\n",
            b'("" "" NIL NIL NIL NIL NIL NIL "" "")',
        ),
        # Sender and Reply-To of their own, absent and empty
        (
            b"From: ann@a.example\r\nSender: bob@b.example\r\nReply-To:\r\n",
            b"(NIL NIL " + ANN + b' ((NIL NIL "bob" "b.example")) ' + ANN + b" NIL NIL NIL NIL NIL)",
        ),
        (b"from: ann@a.example\r\n", b"(NIL NIL " + ANN + b" " + ANN + b" " + ANN + b" NIL NIL NIL NIL NIL)"),
        # groups
        (
            b"To: A Group:Ed Jones <c@a.test>,joe@where.test;\r\nBcc: undisclosed-recipients:;\r\n",
            (b'(NIL NIL NIL NIL NIL ((NIL NIL "A Group" NIL)("Ed Jones" NIL "c" "a.test")(NIL NIL "joe" "where.test")'
            b'(NIL NIL NIL NIL)) NIL ((NIL NIL "undisclosed-recipients" NIL)(NIL NIL NIL NIL)) NIL NIL)'),
        ),
        # routes, quoting, missing domain
        (
            b'To: <@a.test,@b.test:c@d.test>, "Q \\"x\\" \\\\" <q@x>, root\r\n',
            (b'(NIL NIL NIL NIL NIL ((NIL "@a.test,@b.test" "c" "d.test")("Q \\"x\\" \\\\" NIL "q" "x")(NIL NIL "root" ""))'
            b" NIL NIL NIL NIL)"),
        ),
        # encoded words stay; folding goes
        (
            b"Subject: =?utf-8?Q?=C3=A4?=\r\n =?utf-8?Q?=C3=B6?=\r\n",
            b'(NIL "=?utf-8?Q?=C3=A4?= =?utf-8?Q?=C3=B6?=" NIL NIL NIL NIL NIL NIL NIL NIL)',
        ),
        (b'Subject: say "hi" \\o/\r\n', b'(NIL "say \\"hi\\" \\\\o/" NIL NIL NIL NIL NIL NIL NIL NIL)'),
        # 8-bit goes as a literal, NUL nowhere
        ("Subject: ü\r\n".encode(), b"(NIL {2}\r\n\xc3\xbc NIL NIL NIL NIL NIL NIL NIL NIL)"),
        (b"Subject: a\0b\r\n", b'(NIL "ab" NIL NIL NIL NIL NIL NIL NIL NIL)'),
        (b"Subject: a\rb\r\n", b"(NIL {3}\r\na\rb NIL NIL NIL NIL NIL NIL NIL NIL)"),
        # the first field counts, addresses are all of them
        (
            b"Subject: 1\r\nSubject: 2\r\nTo: a@x\r\nTo: b@x\r\n",
            b'(NIL "1" NIL NIL NIL ((NIL NIL "a" "x")(NIL NIL "b" "x")) NIL NIL NIL NIL)',
        ),
        (b"To: (nobody)\r\n", b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
    ],
)  # fmt: skip
def test_envelope(header: bytes, envelope: bytes) -> None:
    assert encode_envelope(header + b"\r\n") == envelope


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(b"", b'""'), (b"a", b'"a"'), (b'"', b'"\\""'), (b"\n", b"{1}\r\n\n"), (b"\xff", b"{1}\r\n\xff"), (b"\0", b'""'),
     (b"\0\xff", b"{1}\r\n\xff"), (b"\t\x7f", b'"\t\x7f"')],
)  # fmt: skip
def test_string(value: bytes, encoded: bytes) -> None:
    assert encode_string(value) == encoded
    assert encode_nstring(value) == encoded


def test_nil() -> None:
    assert encode_nstring(None) == b"NIL"


LINES = st.builds(
    lambda name, value: name + b": " + value,
    st.sampled_from([b"From", b"To", b"Subject", b"Date", b"Sender", b"Message-ID"]),
    st.binary(max_size=30)
    | st.sampled_from([b"a@b", b"G: a@b;", b'"x" <a@b>', b"\xc3\xa4 <a@b>", b"<@x:a@b>"]),
)


@given(st.lists(LINES, max_size=6))
def test_any_header_gives_one_strict_value(lines: list[bytes]) -> None:
    envelope = encode_envelope(b"\r\n".join(lines) + b"\r\n\r\n")
    value, end = read_value(envelope, 0)
    assert end == len(envelope)
    assert isinstance(value, list)
    assert len(value) == 10
    for addresses in value[2:8]:
        assert addresses == b"NIL" or (
            isinstance(addresses, list) and all(len(entry) == 4 for entry in addresses)
        )
