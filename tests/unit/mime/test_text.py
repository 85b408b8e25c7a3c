"""Text for searching: transfer encodings, charsets, HTML."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.core.limits import Limits
from postino.mime.html import html_text
from postino.mime.index import index_message
from postino.mime.text import body_text, decoded_text, fold, header_text
from postino.mime.transfer import decode_transfer

LIMITS = Limits()


@pytest.mark.parametrize(
    ("encoding", "octets", "decoded"),
    [
        # RFC 2045 §6.7
        ("quoted-printable", b"Now's the time =\r\nfor all folk to come=\r\n to the aid of their country.",
         b"Now's the time for all folk to come to the aid of their country."),
        ("quoted-printable", b"a=20\r\nb \t\r\n=E4=e4", b"a \r\nb\r\n\xe4\xe4"),
        ("quoted-printable", b"soft= \r\nbreak", b"softbreak"),
        ("quoted-printable", b"=zz = 100%", b"=zz = 100%"),
        ("quoted-printable", b"end=", b"end"),
        # RFC 2045 §6.8
        ("base64", b"SGVsbG8s\r\nIHdvcmxk\r\n", b"Hello, world"),
        ("base64", b"SGVsbG8", b"Hello"),
        ("base64", b"SGVs!bG8=\r\n-- \r\nfooter", b"Hello"),
        ("base64", b"S", b""),
        ("base64", b"", b""),
        ("7bit", b"abc", b"abc"),
        ("binary", b"\0", b"\0"),
        ("x-uuencode", b"begin 644 x.txt\n%2&5L;&\\ \n`\nend\n", b"Hello"),
        ("x-uuencode", b"nothing here", b"nothing here"),
        ("x-nobody-knows", b"abc", None),
    ],
)  # fmt: skip
def test_transfer_encodings(encoding: str, octets: bytes, decoded: bytes | None) -> None:
    assert decode_transfer(encoding, octets) == decoded


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Hello,<br>world</p>", "Hello, world"),
        ("<b>H</b>ello <i>w</i>orld", "Hello world"),
        ("<style>p { color: red }</style>a<script>if (1<2) x()</SCRIPT>b", "a b"),
        ("a<!-- <p>unseen</p> -->b", "a b"),
        ("a<!-- never closed", "a"),
        ("a<script>never closed", "a"),
        ("&lt;tag&gt; &amp; &eacute; &#8364; &nbsp;", "<tag> & é €"),
        ('<a href="x" title="hidden">shown</a>', "shown"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("<td>a</td><td>b</td>", "a b"),
        ("a<unclosed", "a"),
        ("", ""),
    ],
)
def test_html_becomes_text(html: str, text: str) -> None:
    assert html_text(html) == text


@pytest.mark.parametrize(
    "html",
    ["<!--" * 250_000, "<script>" * 125_000, "<script " * 125_000, "<" * 1_000_000, "<a " * 300_000, "&" * 1_000_000,
     "&#" * 500_000, "<b" * 500_000, " " * 1_000_000, "</" * 500_000, "<!" * 500_000, "<style/" * 140_000],
)  # fmt: skip
def test_html_takes_linear_time(html: str) -> None:
    assert isinstance(html_text(html), str)


MESSAGE = (
    b"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nK=C3=A4se\r\n"
    b"--b\r\nContent-Type: text/html; charset=iso-8859-1\r\n\r\n<p>caf\xe9&nbsp;noir</p>\r\n"
    b"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\naGlkZGVu\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: =?utf-8?Q?Inn=C3=A9r?=\r\n\r\ninner body\r\n"
    b"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n"
    b"--b--\r\nepilogue\r\n"
)


def test_body_text_is_every_text_part_decoded() -> None:
    text = body_text(index_message(MESSAGE, LIMITS), MESSAGE)
    for shown in ("Käse", "café noir", "Subject: Innér", "inner body", "Reporting-MTA"):
        assert shown in text
    for unseen in ("preamble", "epilogue", "aGlkZGVu", "hidden", "Grüße", "<p>"):
        assert unseen not in text


def test_leaves_are_decoded() -> None:
    root = index_message(MESSAGE, LIMITS)
    assert decoded_text(root.parts[1], MESSAGE) == "café noir"


def test_text_is_limited() -> None:
    message = b"Content-Type: text/plain\r\n\r\n" + b"x" * 100
    assert body_text(index_message(message, LIMITS), message, octets_limit=10) == "x" * 10
    assert len(body_text(index_message(MESSAGE, LIMITS), MESSAGE, octets_limit=10)) <= 12


def test_header_text_has_decoded_fields() -> None:
    assert "Subject: Grüße" in header_text(MESSAGE.split(b"\r\n\r\n")[0])


def test_folding_makes_equal_what_reads_equal() -> None:
    assert fold("STRASSE") == fold("straße")
    assert fold("e\u0301") == fold("É")
    assert fold("ABC") == "abc"


def unicode_casemap(letter: str) -> str:
    """What RFC 5051 §2 makes of a letter: its simple title case, decomposed."""
    title = letter.title()
    return unicodedata.normalize("NFKD", title if len(title) == 1 else letter)


def test_folding_holds_equal_what_i_unicode_casemap_does() -> None:
    letters = [letter for letter in map(chr, range(0x110000)) if unicode_casemap(letter) != letter]
    assert len(letters) > 15_000
    for letter in letters:
        folded = fold(letter)
        assert fold(unicode_casemap(letter)) == folded
        assert fold(folded) == folded


@pytest.mark.parametrize(
    ("needle", "text"),
    [("cafe", "Café"), ("CAFÉ", "cafe\u0301"), ("strasse", "STRAẞE"), ("fine", "ﬁne"), ("IZMIR", "ızmır"), ("ΟΔΟΣ", "οδος"),
     ("ab", "ＡＢ"), ("i\u0307", "İ"), ("k", "\u212a"), ("1/2".replace("/", "\u2044"), "½")],
)  # fmt: skip
def test_what_reads_alike_is_found(needle: str, text: str) -> None:
    assert fold(needle) in fold(text)


@given(st.text(max_size=20), st.text(max_size=20))
def test_folding_a_line_is_folding_what_it_is_made_of(one: str, other: str) -> None:
    assert fold(f"{one}: {other}\n{one}") == f"{fold(one)}: {fold(other)}\n{fold(one)}"


@given(st.binary(max_size=300), st.sampled_from(["base64", "quoted-printable", "x-uuencode", "7bit", "?"]))
def test_any_octets_are_decoded(octets: bytes, encoding: str) -> None:
    decoded = decode_transfer(encoding, octets)
    assert decoded is None or len(decoded) <= len(octets) + 3
    html_text(octets.decode("latin-1"))


@given(st.binary(max_size=300))
def test_any_message_has_text(octets: bytes) -> None:
    for message in (octets, b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n" + octets):
        assert isinstance(body_text(index_message(message, LIMITS), message), str)
