"""The quick way to an index: what it finds is what the general way finds, and it never finds more."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.limits import Limits
from postino.mime.content import read_content
from postino.mime.header import first_values, header_octets
from postino.mime.index import _Indexer, index_split
from postino.mime.part import Part
from postino.mime.usual_index import usual_index

LIMITS = Limits()
TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nWords.\r\n"
PDF = b"Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA"


def multipart(boundary: bytes, parts: list[bytes], preamble: bytes = b"", epilogue: bytes = b"\r\n") -> bytes:
    head = b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n%b" % (boundary, preamble)
    lines = b"".join([b"--%b\r\n%b\r\n" % (boundary, part) for part in parts])
    return head + lines + b"--%b--" % boundary + epilogue


def both(octets: bytes, limits: Limits = LIMITS, before: int = 0) -> tuple[Part | None, Part]:
    """The quick way's answer and the general one's; `before` octets stand before the body."""
    length = header_octets(octets)
    header, body = octets[:length], b"\n" * before + octets[length:]
    content = read_content(first_values(header))
    quick = usual_index(content, body, before, length - before, limits)
    return quick, _Indexer(body, before, length - before, limits).run(content)


INNER = multipart(b"in", [TEXT, TEXT])
USUAL = [
    TEXT,
    PDF,
    b"Subject: only\r\n\r\n",
    b"",
    b"Content-Type: text/plain; broken\r\n\r\nx",
    multipart(b"b", [TEXT]),
    multipart(b"b", [TEXT, PDF, b"\r\nno header"]),
    multipart(b"b", [TEXT], b"\r\npreamble\r\n\r\n"),
    multipart(b"b", [b"\r\n"], epilogue=b""),
    multipart(b"b", [INNER, PDF], epilogue=b"\r\nend --b\r\n--b\r\n"),
    multipart(b"b", [multipart(b"in", [multipart(b"deep", [TEXT]), PDF])]),
    multipart(b"b", [INNER, INNER]),
    multipart(b"b", [TEXT, PDF]).replace(b"\r\n", b"\n"),
]
UNUSUAL = [
    multipart(b"b", []),
    multipart(b"b", [TEXT])[:-6],
    multipart(b"b", [TEXT]).replace(b"--b\r\n", b"--b \r\n"),
    multipart(b"b", [b"Content-Type: text/plain"]),
    multipart(b"b", [b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ny"]),
    multipart(b"b", [multipart(b"b", [TEXT])]),
    multipart(b"b", [multipart(b"b2", [TEXT])]),
    multipart(b"b", [multipart(b"c", [multipart(b"d", [multipart(b"e", [TEXT])])])]),
    multipart(b"b", [TEXT] * 31),
    multipart(b"b", [INNER[:-8], PDF]),
    multipart(b"b", [TEXT]).replace(b"mixed", b"digest"),
    multipart(b"b", [b"X: %b\r\n\r\nx" % (b"y" * 2_000_000)]),
    b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ny",
]


@pytest.mark.parametrize("before", [0, 1, 7])
@pytest.mark.parametrize("octets", USUAL)
def test_usual_messages_are_indexed_at_once(octets: bytes, before: int) -> None:
    quick, general = both(octets, before=before)
    assert quick == general


@pytest.mark.parametrize("octets", UNUSUAL)
def test_all_others_are_left_to_the_general_way(octets: bytes) -> None:
    quick, general = both(octets)
    assert quick is None
    length = header_octets(octets)
    assert index_split(octets[:length], octets[length:], LIMITS) == general


@pytest.mark.parametrize("limits", [Limits(mime_depth=3), Limits(mime_parts=31)])
def test_close_limits_are_left_to_the_general_way(limits: Limits) -> None:
    assert both(multipart(b"b", [TEXT]), limits)[0] is None
    assert both(multipart(b"b", [TEXT]))[0] is not None


NOISE = st.sampled_from(
    [
        *(b"\r\n", b"\n", b"\r", b"--b", b"--in", b"--b--", b"\r\n--b\r\n", b"\r\n--in--\r\n", b"-", b" "),
        *(b"\r\n\r\n", b"Content-Type: multipart/related; boundary=in\r\n", b"Content-Type: text/html\r\n"),
    ]
)


@settings(max_examples=200)
@given(
    st.sampled_from([octets for octets in USUAL if b"--b" in octets]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), NOISE), max_size=4),
    st.sampled_from([0, 1, 5]),
)
def test_what_is_found_is_what_the_general_way_finds(
    octets: bytes, edits: list[tuple[float, int, bytes]], before: int
) -> None:
    for place, length, noise in edits:
        at = int(place * len(octets))
        octets = octets[:at] + noise + octets[at + length :]
    quick, general = both(octets, before=before)
    assert quick is None or quick == general
