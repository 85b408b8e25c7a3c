"""Previews: what a list shows of a message."""

import base64
import quopri

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.limits import Limits
from postino.mime.index import index_message, index_split
from postino.mime.preview import PREVIEW_CHARACTERS, _cut, preview_of

LIMITS = Limits()


def preview(message: bytes) -> str:
    return preview_of(index_message(message, LIMITS), message)


def of_text(body: str, *, subtype: str = "plain", encoding: str = "8bit", charset: str = "utf-8") -> str:
    octets = body.replace("\n", "\r\n").encode(charset)
    if encoding == "base64":
        octets = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    elif encoding == "quoted-printable":
        octets = quopri.encodestring(octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    head = f"Content-Type: text/{subtype}; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return preview(head.encode() + octets)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Hello,\n\n  the   meeting is\tat ten.\n", "Hello, the meeting is at ten."),
        ("> old\n> older\n\nMy answer.\n", "My answer."),
        ("On Monday Ann wrote:\n> old\n>> older\n\nMy answer.\n", "My answer."),
        ("Am 3.4. schrieb Ann:\n\n> alt\nNeu.\n", "Neu."),
        ("> only\n> quoted\n", "> only > quoted"),
        ("---------------\nNews\n===============\nFirst.\n", "News First."),
        ("https://example.org/very/long?x=1\nSee above.\n", "See above."),
        ("See https://example.org/ for more.\n", "See https://example.org/ for more."),
        ("Short.\n-- \nAnn Example\nhttps://example.org\n", "Short."),
        ("-- \nAnn\n", "-- Ann"),
        ("Three things:\nfirst\n", "Three things: first"),
        ("\n\n \t\n", ""),
        ("", ""),
        ("a\0b\x07c\x85d\u200be\ufefff", "abc def"),
        ("\u202eevil\u202c text", "evil text"),
        ("Привет, мир", "Привет, мир"),
        ("👩\u200d👩\u200d👧 family", "👩\u200d👩\u200d👧 family"),
        ("offer \u200c \u034f \u200c now", "offer now"),
    ],
)
def test_text(body: str, expected: str) -> None:
    assert of_text(body) == expected
    assert of_text(body, encoding="base64") == expected
    assert of_text(body, encoding="quoted-printable") == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<p>Hello&nbsp;<b>W</b>orld</p>", "Hello World"),
        ("<html><head><title>T</title><style>p{}</style></head><body><p>Hi</p></body>", "Hi"),
        ("<html><head><style>" + "p { color: red }\n" * 900 + "</style></head><BODY >Hi", "Hi"),
        ("<script>x</script><!-- no -->yes", "yes"),
    ],
)
@pytest.mark.parametrize("encoding", ["8bit", "base64", "quoted-printable"])
def test_html_is_shown_as_text(body: str, expected: str, encoding: str) -> None:
    assert of_text(body, subtype="html", encoding=encoding) == expected


def test_long_text_ends_with_a_word() -> None:
    found = of_text("word " * 100)
    assert found == ("word " * 40).strip()
    assert of_text("x" * 1000) == "x" * PREVIEW_CHARACTERS
    assert len(of_text("ä " * 1000)) <= PREVIEW_CHARACTERS


@pytest.mark.parametrize("encoding", ["8bit", "base64", "quoted-printable"])
@pytest.mark.parametrize("shift", range(4))
def test_a_character_cut_at_the_end_spoils_nothing(encoding: str, shift: int) -> None:
    # 3 octets each and no blank: wherever reading stops, it is mostly inside of one.
    text = "x" * shift + "漢" * 5000
    assert of_text(text, encoding=encoding) == text[:PREVIEW_CHARACTERS]


def test_much_quoted_text_is_read_past() -> None:
    assert of_text("> quoted line\n" * 300 + "My answer.\n") == "My answer."


def multipart(kind: str, *parts: str) -> bytes:
    text = f"Content-Type: multipart/{kind}; boundary=b\n\n"
    text += "".join(f"--b\n{part}\n" for part in parts) + "--b--\n"
    return text.replace("\n", "\r\n").encode()


PLAIN = "Content-Type: text/plain\n\nPlain"
HTML = "Content-Type: text/html\n\n<p>Html"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (multipart("alternative", PLAIN, HTML), "Plain"),
        (multipart("alternative", "Content-Type: text/plain\n\n \n", HTML), "Html"),
        (multipart("mixed", "Content-Type: image/png\n\nPNG", PLAIN), "Plain"),
        (multipart("mixed", "Content-Disposition: attachment\n\nA file", PLAIN), "Plain"),
        (multipart("mixed", "Content-Type: text/calendar\n\nBEGIN:VCALENDAR", HTML), "Html"),
        (multipart("mixed", "Content-Type: image/png\n\nPNG"), ""),
        (multipart("mixed", "Content-Type: message/rfc822\n\nSubject: x\n\nInner"), "Inner"),
        (multipart("encrypted", "Content-Type: application/pgp-encrypted\n\nVersion: 1"), ""),
        (b"Content-Type: application/pdf\r\n\r\n%PDF", ""),
        (b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-odd\r\n\r\nas it is", "as it is"),
        (b"Subject: header alone", ""),
        (b"", ""),
    ],
)
def test_which_part(message: bytes, expected: str) -> None:
    assert preview(message) == expected


def test_a_body_held_apart_gives_the_same() -> None:
    message = multipart("mixed", "Content-Type: image/png\n\nPNG", PLAIN)
    cut = message.index(b"\r\n\r\n") + 4
    root = index_split(message[:cut], message[cut:], LIMITS)
    assert preview_of(root, message[cut:], cut) == "Plain"
    root = index_split(message[:cut], message, LIMITS, cut)
    assert preview_of(root, message, 0) == "Plain"


@settings(max_examples=200)
@given(
    st.binary(max_size=3000),
    st.sampled_from(["plain", "html", "x"]),
    st.sampled_from(["7bit", "base64", "quoted-printable", "x-uuencode"]),
    st.sampled_from(["", "utf-8", "utf-7", "utf-16", "iso-2022-jp", "big5", "nonsense"]),
)
def test_any_octets_give_one_line(body: bytes, subtype: str, encoding: str, charset: str) -> None:
    head = f"Content-Type: text/{subtype}; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    found = preview(head.encode() + body)
    assert len(found) <= PREVIEW_CHARACTERS
    assert found == " ".join(found.split())
    assert not any(character < " " or "\x7f" <= character < "\xa0" for character in found)
    found.encode()


def test_long_html_gives_what_it_would_in_one_piece() -> None:
    """Only the start is read where that is enough: the same text comes out, wherever it was cut."""
    for pad in range(90):
        padding = "<i></i>" * 100 + "x" * pad
        text = f"<body>{padding} " + "<b>wo</b>rds &amp; m&eacute;re <!-- - --> <td title='a'>" * 200
        whole = f"{'x' * pad} " + "words & mére " * 40
        assert of_text(text, subtype="html") == _cut(whole.strip())


@pytest.mark.parametrize(
    "rule", ["<!-- ", "<style>", "<script type='x'>", "<style></sty", "<!-- --- ", "<style><"]
)
def test_what_is_not_ended_is_left_out(rule: str) -> None:
    assert of_text(f"<p>Seen {rule}" + "unseen " * 900, subtype="html") == "Seen"
