"""Sections: RFC 9051 §6.4.5.1."""

import pytest

from postino.core.limits import Limits
from postino.imap.section import SectionText, find_section, section_range
from postino.mime.index import index_message, pack_index, unpack_index

ALL, HEADER, TEXT, MIME = SectionText.ALL, SectionText.HEADER, SectionText.TEXT, SectionText.MIME

# The example of §6.4.5.1; each body and header tells its place.
EXAMPLE = b"""Subject: top
Content-Type: multipart/mixed; boundary=a

--a
Content-Type: text/plain

body 1
--a
Content-Type: application/octet-stream

body 2
--a
Content-Type: message/rfc822
X-Place: 3

Subject: in 3
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

body 3.1
--b
Content-Type: application/octet-stream

body 3.2
--b--

--a
Content-Type: multipart/mixed; boundary=c

--c
Content-Type: image/gif

body 4.1
--c
Content-Type: message/rfc822

Subject: in 4.2
Content-Type: multipart/mixed; boundary=d

--d
Content-Type: text/plain

body 4.2.1
--d
Content-Type: multipart/alternative; boundary=e

--e
Content-Type: text/plain

body 4.2.2.1
--e
Content-Type: text/richtext

body 4.2.2.2
--e--

--d--

--c--

--a--
""".replace(b"\n", b"\r\n")


def section(octets: bytes, part: tuple[int, ...], text: SectionText = ALL) -> bytes | None:
    root = index_message(octets, Limits())
    found = section_range(root, part, text)
    # The stored index finds the same.
    assert section_range(unpack_index(pack_index(root)), part, text) == found
    return None if found is None else octets[found[0] : found[1]]


def numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("."))) if text else ()


@pytest.mark.parametrize("place", ["1", "2", "3.1", "3.2", "4.1", "4.2.1", "4.2.2.1", "4.2.2.2"])
def test_leaf_is_found_by_its_numbers(place: str) -> None:
    assert section(EXAMPLE, numbers(place)) == f"body {place}".encode()


@pytest.mark.parametrize(
    ("place", "text", "begin"),
    [
        ("", ALL, b"Subject: top\r\n"),
        ("", HEADER, b"Subject: top\r\n"),
        ("", TEXT, b"--a\r\n"),
        ("3", ALL, b"Subject: in 3\r\n"),
        ("3", HEADER, b"Subject: in 3\r\n"),
        ("3", TEXT, b"--b\r\n"),
        ("3", MIME, b"Content-Type: message/rfc822\r\nX-Place: 3\r\n\r\n"),
        ("3.1", MIME, b"Content-Type: text/plain\r\n\r\n"),
        ("4", ALL, b"--c\r\n"),
        ("4", MIME, b"Content-Type: multipart/mixed; boundary=c\r\n\r\n"),
        ("4.1", MIME, b"Content-Type: image/gif\r\n\r\n"),
        ("4.2", HEADER, b"Subject: in 4.2\r\n"),
        ("4.2", TEXT, b"--d\r\n"),
        ("4.2.2", ALL, b"--e\r\n"),
    ],
)
def test_texts_of_parts(place: str, text: SectionText, begin: bytes) -> None:
    found = section(EXAMPLE, numbers(place), text)
    assert found is not None
    assert found.startswith(begin)


def test_header_and_text_are_the_whole() -> None:
    header, text = section(EXAMPLE, (), HEADER), section(EXAMPLE, (), TEXT)
    assert header is not None
    assert text is not None
    assert header + text == EXAMPLE == section(EXAMPLE, ())
    assert header.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("place", "text"),
    [("0", ALL), ("5", ALL), ("1.1", ALL), ("2.1", ALL), ("3.3", ALL), ("4.2.3", ALL), ("1", HEADER), ("1", TEXT), ("4", HEADER),
     ("4", TEXT), ("", MIME), ("3.1.1", ALL), ("4.1.1", MIME)],
)  # fmt: skip
def test_missing_sections_are_none(place: str, text: SectionText) -> None:
    assert section(EXAMPLE, numbers(place), text) is None


def test_message_that_is_not_multipart_has_only_part_1() -> None:
    octets = b"Subject: x\r\n\r\nbody"
    assert section(octets, (1,)) == b"body"
    assert section(octets, (1,), MIME) == b"Subject: x\r\n\r\n"
    for missing in ((2,), (1, 1), (0,)):
        assert section(octets, missing) is None
    assert section(octets, (1,), HEADER) is None
    assert section(octets, (1,), TEXT) is None


def test_embedded_message_that_is_not_multipart_has_part_1() -> None:
    octets = (
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: message/rfc822\r\n\r\n"
        b"Subject: in\r\n\r\ninner\r\n--a--\r\n"
    )
    assert section(octets, (1,)) == b"Subject: in\r\n\r\ninner"
    assert section(octets, (1, 1)) == b"inner"
    assert section(octets, (1, 1), MIME) == b"Subject: in\r\n\r\n"
    assert section(octets, (1,), HEADER) == b"Subject: in\r\n\r\n"
    assert section(octets, (1,), TEXT) == b"inner"
    assert section(octets, (1, 1, 1)) is None
    assert section(octets, (1, 2)) is None


def test_message_that_is_itself_a_message() -> None:
    octets = b"Content-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\nX: 1\r\n\r\nSubject: 2\r\n\r\nbody"
    assert section(octets, (1,)) == octets[32:]
    assert section(octets, (1,), HEADER) == b"Content-Type: message/rfc822\r\nX: 1\r\n\r\n"
    assert section(octets, (1, 1), HEADER) == b"Subject: 2\r\n\r\n"
    assert section(octets, (1, 1, 1)) == b"body"
    assert section(octets, (1, 1, 1, 1)) is None


def test_numbers_give_the_part() -> None:
    root = index_message(EXAMPLE, Limits())
    assert find_section(root, ()) is root
    part = find_section(root, (4, 2, 2, 2))
    assert part is not None
    assert (part.media_type, part.media_subtype) == ("text", "richtext")
    assert find_section(root, (4, 2, 2, 3)) is None
