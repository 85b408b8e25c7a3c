"""Lines out of octets, however they are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.core.errors import ProtocolViolation
from postino.pop3.framer import LineFramer


def lines_of(pieces: list[bytes], line_octets: int = 10) -> list[bytes | None]:
    """Every line, None for one that was too long."""
    framer = LineFramer(line_octets)
    found: list[bytes | None] = []
    for piece in pieces:
        framer.feed(piece)
        while framer.has_line:
            try:
                found.append(framer.next_line())
            except ProtocolViolation:
                found.append(None)
        assert len(framer._rest) <= line_octets + 1
    assert framer.next_line() is None
    return found


@pytest.mark.parametrize(
    ("octets", "lines"),
    [
        (b"NOOP\r\n", [b"NOOP"]),
        (b"NOOP\nSTAT\r\n", [b"NOOP", b"STAT"]),
        (b"NO\rOP\r\n", [b"NO\rOP"]),
        (b"NOOP\r\r\n", [b"NOOP\r"]),
        (b"\r\n\r\n", [b"", b""]),
        (b"0123456789\r\n", [b"0123456789"]),
        (b"0123456789a\r\nX\r\n", [None, b"X"]),
        (b"0123456789abcdef\r\nX\r\n", [None, b"X"]),
        (b"half", []),
    ],
)
def test_table(octets: bytes, lines: list[bytes | None]) -> None:
    assert lines_of([octets]) == lines
    assert lines_of([octets[at : at + 1] for at in range(len(octets))]) == lines


@given(st.lists(st.binary(max_size=30)))
def test_any_cutting_gives_the_same_lines(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    assert lines_of(pieces) == lines_of([whole]) == lines_of([bytes([octet]) for octet in whole])


def test_peek_takes_nothing_and_clear_takes_all() -> None:
    framer = LineFramer(512)
    framer.feed(b"RETR 1\r\nRETR 2\r\nRE")
    assert [line.strip() for line in framer.peek(5)] == [b"RETR 1", b"RETR 2"]
    assert framer.next_line() == b"RETR 1"
    framer.clear()
    assert framer.next_line() is None
    framer.feed(b"NOOP\r\n")
    assert framer.next_line() == b"NOOP"


def test_the_rest_of_a_long_line_is_not_kept() -> None:
    framer = LineFramer(10)
    for _ in range(100):
        framer.feed(b"x" * 1000)
    assert framer._rest == b""
    with pytest.raises(ProtocolViolation):
        framer.next_line()
    assert not framer.has_line
