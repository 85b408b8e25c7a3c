"""The framer: lines, DATA and chunks come out the same however the network cut them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.smtp import replies
from postino.smtp.framer import Framer, LineEndings
from postino.smtp.reply import BadCommand
from tests.support.strict_data import has_bare_cr_or_lf, read_data

# What matters to framing comes often enough to be found.
awkward = st.lists(
    st.sampled_from(
        [b"\r\n", b"\r", b"\n", b".", b"..", b"a", b"bc", b"\0", b"\r\n.\r\n", b"\r\n.", b"\n.\n"]
    ),
    max_size=30,
).map(b"".join)
cuts = st.lists(st.integers(min_value=1, max_value=7), min_size=1, max_size=20)


def pieces_of(data: bytes, sizes: list[int]) -> list[bytes]:
    found, at, turn = [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        found.append(data[at : at + size])
        at += size
        turn += 1
    return found


def all_lines(framer: Framer) -> list[bytes | str]:
    found: list[bytes | str] = []
    while True:
        try:
            line = framer.next_line()
        except BadCommand as error:
            found.append(str(error))
            continue
        if line is None:
            return found
        found.append(line)


def lines(chunks: list[bytes], limit: int = 20) -> list[bytes | str]:
    framer = Framer(limit)
    found: list[bytes | str] = []
    for chunk in chunks:
        framer.feed(chunk)
        found += all_lines(framer)
    return found


def data(chunks: list[bytes]) -> tuple[bytes, list[bytes | str]] | None:
    """The message and the lines after it; None when the end has not come."""
    framer = Framer(1000)
    framer.begin_data()
    message = b""
    done = False
    after: list[bytes | str] = []
    for chunk in chunks:
        framer.feed(chunk)
        while not done:
            piece, done = framer.next_piece()
            message += piece
            if not piece:
                break
        if done:
            after += all_lines(framer)
    return (message, after) if done else None


LINES = [
    (b"NOOP\r\n", [b"NOOP"]),
    (b"NOOP\r\nQUIT\r\n", [b"NOOP", b"QUIT"]),
    (b"\r\n", [b""]),
    (b"NOOP", []),
    (b"NOOP\n", [replies.BARE_LINE_END.lines[0]]),
    (b"\n", [replies.BARE_LINE_END.lines[0]]),
    (b"NO\rOP\r\n", [replies.BARE_LINE_END.lines[0]]),
    (b"NOOP\r\r\n", [replies.BARE_LINE_END.lines[0]]),
    (b"NO\0OP\r\n", [replies.BARE_LINE_END.lines[0]]),
    (b"NOOP\nQUIT\r\n", [replies.BARE_LINE_END.lines[0], b"QUIT"]),
    (b"x" * 18 + b"\r\nQUIT\r\n", [b"x" * 18, b"QUIT"]),
    (b"x" * 19 + b"\r\nQUIT\r\n", [replies.LINE_TOO_LONG.lines[0], b"QUIT"]),
    (b"x" * 500 + b"\r\nQUIT\r\n", [replies.LINE_TOO_LONG.lines[0], b"QUIT"]),
    (b"x" * 500, [replies.LINE_TOO_LONG.lines[0]]),
]


@pytest.mark.parametrize(("octets", "expected"), LINES)
def test_lines_are_cut_at_crlf_within_the_limit(octets: bytes, expected: list[bytes | str]) -> None:
    assert lines([octets]) == expected
    assert lines([octets[at : at + 1] for at in range(len(octets))]) == expected


@given(awkward, cuts)
def test_lines_do_not_depend_on_the_cutting(octets: bytes, sizes: list[int]) -> None:
    assert lines(pieces_of(octets, sizes), 6) == lines([octets], 6)


def test_an_overlong_line_is_not_kept() -> None:
    framer = Framer(20)
    framer.feed(b"x" * 30)
    with pytest.raises(BadCommand):
        framer.next_line()
    for _ in range(100):
        framer.feed(b"y" * 10_000)
        assert framer.next_line() is None
        assert framer._position == len(framer._buffer)


DATA = [
    (b".\r\n", b""),
    (b"a\r\n.\r\n", b"a\r\n"),
    (b"\r\n.\r\n", b"\r\n"),
    (b"..\r\n.\r\n", b".\r\n"),
    (b".a\r\n.\r\n", b"a\r\n"),
    (b"a\r\n..\r\n..b\r\n.c\r\n.\r\n", b"a\r\n.\r\n.b\r\nc\r\n"),
    (b"a.\r\n.\r\n", b"a.\r\n"),
    (b"...\r\n.\r\n", b"..\r\n"),
    (b".\r.\r\n\r\n.\r\n", b"\r.\r\n\r\n"),
    (b"..\r\n..\r\n.\r\n", b".\r\n.\r\n"),
]


@pytest.mark.parametrize(("octets", "expected"), DATA)
def test_data_ends_at_the_lone_dot_and_loses_stuffed_ones(octets: bytes, expected: bytes) -> None:
    for chunks in ([octets], [octets[at : at + 1] for at in range(len(octets))]):
        assert data(chunks) == (expected, [])
    assert data([octets + b"NOOP\r\nMAIL"]) == (expected, [b"NOOP"])


# Every end mark another server has been seen to take, or might.
SMUGGLING = [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r", b"\r.\n",
    b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\0\r\n.\0\r\n", b"\n\r.\r\n", b"\n\r.\n\r", b"\r\r\n.\r\r\n",
    b"\r\n.\r\r\n", b"\r\n.\n\r\n", b"\r\n. \r\n", b"\r\n .\r\n", b"\r\n\x0b.\r\n", b"\r\n\x85.\r\n",
    b"\r\n..\r\n", b"\r\n.\r\0\n", b"\r\0\n.\r\n", b"\r\n\xef\xbb\xbf.\r\n", b"\x0d\x8a.\x0d\x8a",
]  # fmt: skip


@pytest.mark.parametrize("mark", SMUGGLING)
def test_nothing_but_crlf_dot_crlf_ends_data(mark: bytes) -> None:
    stream = b"a" + mark + b"MAIL FROM:<evil@x.example>\r\n"
    whole = stream + b"b\r\n.\r\nNOOP\r\n"
    for chunks in ([whole], [whole[at : at + 1] for at in range(len(whole))]):
        found = data(chunks)
        assert found is not None
        assert found[1] == [b"NOOP"]
        assert b"MAIL FROM:<evil@x.example>" in found[0]
        endings = LineEndings()
        endings.feed(found[0])
        endings.finish()
        assert endings.are_broken == has_bare_cr_or_lf(found[0])


@settings(max_examples=200)
@given(awkward, cuts)
def test_data_agrees_with_the_strict_reader_however_it_is_cut(octets: bytes, sizes: list[int]) -> None:
    expected = read_data(octets)
    found = data(pieces_of(octets, sizes))
    if expected is None:
        assert found is None
        expected = read_data(octets + b"\r\n.\r\n")
        found = data(pieces_of(octets + b"\r\n.\r\n", sizes))
    assert expected is not None
    assert found is not None
    assert found[0] == expected[0]
    assert found[1] == lines([expected[1]], 1000)


def test_pieces_come_before_the_end_so_nothing_piles_up() -> None:
    framer = Framer(1000)
    framer.begin_data()
    total = 0
    for _ in range(100):
        framer.feed(b"x" * 60_000)
        piece, done = framer.next_piece()
        assert not done
        total += len(piece)
        assert len(framer._buffer) - framer._position <= 4
    assert total == 6_000_000


def test_chunks_are_counted_not_scanned() -> None:
    framer = Framer(1000)
    framer.begin_chunk(10)
    framer.feed(b"a\r\n.\r\nb\r\nNOOP\r\n")
    assert framer.next_piece() == (b"a\r\n.\r\nb\r\nN", True)
    assert framer.next_line() == b"OOP"
    framer.begin_chunk(0)
    assert framer.next_piece() == (b"", True)


def test_a_chunk_may_come_in_parts() -> None:
    framer = Framer(1000)
    framer.begin_chunk(5)
    assert framer.next_piece() == (b"", False)
    framer.feed(b"abc")
    assert framer.next_piece() == (b"abc", False)
    assert framer.next_piece() == (b"", False)
    framer.feed(b"deQUIT\r\n")
    assert framer.next_piece() == (b"de", True)
    assert framer.next_line() == b"QUIT"


@given(awkward, cuts)
def test_line_endings_do_not_depend_on_the_cutting(octets: bytes, sizes: list[int]) -> None:
    endings = LineEndings()
    for piece in pieces_of(octets, sizes):
        endings.feed(piece)
    endings.finish()
    assert endings.are_broken == has_bare_cr_or_lf(octets)
