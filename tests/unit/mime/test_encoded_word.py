"""Encoded words and charsets: RFC 2047, 2231 §5, 6532."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.mime.charset import codec_name, decode
from postino.mime.encoded_word import base64_octets, decode_header_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        # RFC 2047 §8
        (b"=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
        (b"=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?= <keld@dkuug.dk>", "Keld Jørn Simonsen <keld@dkuug.dk>"),
        (b"=?ISO-8859-1?Q?Andr=E9?= Pirard <PIRARD@vm1.ulg.ac.be>", "André Pirard <PIRARD@vm1.ulg.ac.be>"),
        (
            (
                b"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r\n"
                b" =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?="
            ),
            "If you can read this you understand the example.",
        ),
        (b"(=?iso-8859-8?b?7eXs+SDv4SDp7Oj08A==?=)", "(םולש ןב ילטפנ)"),
        (b"(=?ISO-8859-1?Q?a?=)", "(a)"),
        (b"(=?ISO-8859-1?Q?a?= b)", "(a b)"),
        (b"(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"),
        (b"(=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=)", "(ab)"),
        (b"(=?ISO-8859-1?Q?a?=\r\n       =?ISO-8859-1?Q?b?=)", "(ab)"),
        (b"(=?ISO-8859-1?Q?a_b?=)", "(a b)"),
        (b"(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)"),
        # RFC 2231 §5
        (b"=?US-ASCII*EN?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
        # RFC 6532 §3.2
        ("Grüße aus 東京".encode(), "Grüße aus 東京"),
        # A character cut in two by the sender, against RFC 2047 §5.
        (b"=?utf-8?Q?=E2=82?= =?utf-8?Q?=AC?=", "€"),
        (b"=?utf-8?B?4oI=?= =?UTF-8?B?rA==?=", "€"),
        # Broken, but seen
        (b"=?utf-8?B?w6TDtsO8?", "=?utf-8?B?w6TDtsO8?"),
        (b"=?utf-8?B?w6TDtsO8====?=", "äöü"),
        (b"=?utf-8?B?w6T DtsO8?=", "äöü"),
        (b"=?utf-8?B?w6TDtsO?=", "äö\ufffd"),
        (b"=?utf-8?Q?really??=", "really?"),
        (b"=?utf-8?Q?100%=zz?=", "100%=zz"),
        (b"=?x-nobody-knows?Q?=E9t=E9?=", "été"),
        (b"=?utf-8?Q??=", ""),
        (b"a =?utf-8?Q?b?= c", "a b c"),
        (b"=?utf-8?X?b?=", "=?utf-8?X?b?="),
        (b"\xe9t\xe9", "été"),
        (b"", ""),
        (b"  plain \r\n text ", "plain  text"),
    ],
)
def test_header_text_is_decoded(value: bytes, text: str) -> None:
    assert decode_header_text(value) == text


@pytest.mark.parametrize(
    ("charset", "octets", "text"),
    [
        ("us-ascii", b"abc", "abc"),
        ("us-ascii", "ü".encode(), "ü"),
        ("ISO-8859-1", b"\x93x\x94", "“x”"),
        ("iso-8859-15", b"\xa4", "€"),
        ("windows-1252", b"\x80", "€"),
        ("koi8-r", b"\xf0\xd2\xc9", "При"),
        ("iso-2022-jp", b"\x1b$B$3\x1b(B", "こ"),
        ("Shift_JIS", b"\x82\xb1", "こ"),
        ("gb2312", b"\xc4\xe3", "你"),
        ("big5", b"\xa7A", "你"),
        ("euc-kr", b"\xbe\xc8", "안"),
        ("ks_c_5601-1987", b"\xbe\xc8", "안"),
        ("utf-16le", b"a\0b\0", "ab"),
        ("utf-7", b"+AOQ-", "ä"),
        ("unknown-8bit", b"\xe4", "ä"),
        ("", "ä".encode(), "ä"),
        ("utf8", b"\xff", "\ufffd"),
    ],
)
def test_charsets(charset: str, octets: bytes, text: str) -> None:
    assert decode(octets, charset) == text


@pytest.mark.parametrize(
    "name",
    ["idna", "punycode", "unicode_escape", "rot13", "zlib", "undefined", "os.path", "../x", "mbcs", "hex"],
)
def test_codecs_that_are_no_charsets_are_not_used(name: str) -> None:
    assert codec_name(name) is None


@given(st.binary(max_size=200), st.text(max_size=20))
def test_any_octets_in_any_charset_are_text(octets: bytes, charset: str) -> None:
    assert isinstance(decode(octets, charset), str)


@given(st.binary(max_size=200))
def test_any_octets_are_header_text_and_base64(octets: bytes) -> None:
    assert isinstance(decode_header_text(octets), str)
    assert isinstance(decode_header_text(b"=?utf-8?B?" + octets + b"?="), str)
    assert isinstance(base64_octets(octets), bytes)
