"""Answers as octets."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postino.pop3.replies import ResponseCode, Stuffer, err, first_lines, multi_line, numbered, ok, stuffed

LINES = st.lists(st.sampled_from([b".", b"\r\n", b"\n", b"\r", b"a", b"..", b"x" * 5000]), max_size=25)


def unstuffed(octets: bytes) -> bytes:
    """What a client that ends lines at CRLF makes of an answer; the line with the dot must be last."""
    lines = octets.split(b"\r\n")
    assert lines[-2:] == [b".", b""]
    assert b"." not in lines[:-2]
    return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines[:-2]) + (
        b"\r\n" if len(lines) > 2 else b""
    )


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b".\r\n.\r\n", b"..\r\n..\r\n.\r\n"),
        (b"a\r\n.b\r\n..\r\n", b"a\r\n..b\r\n...\r\n.\r\n"),
        (b"a\n.\nb\r\n", b"a\n..\nb\r\n.\r\n"),
        (b"a\n.\n.\n.\r\nb", b"a\n..\n..\n..\r\nb\r\n.\r\n"),
        (b"a\n.", b"a\n..\r\n.\r\n"),
        (b"a\n.b\r\n", b"a\n.b\r\n.\r\n"),
    ],
)
def test_stuffed(message: bytes, sent: bytes) -> None:
    assert stuffed(message) == sent


@given(LINES)
def test_no_reader_finds_the_end_too_early(pieces: list[bytes]) -> None:
    sent = stuffed(b"".join(pieces))
    assert sent.endswith(b".\r\n")
    # poplib and others read to LF and compare with a lone dot.
    lenient = [line.rstrip(b"\r") for line in sent.split(b"\n")]
    assert lenient.index(b".") == len(lenient) - 2


@given(st.lists(st.sampled_from([b".", b"\r\n", b"a", b".."]), max_size=25))
def test_a_sound_message_comes_back(pieces: list[bytes]) -> None:
    message = b"".join(pieces)
    complete = message if message.endswith(b"\r\n") or not message else message + b"\r\n"
    assert unstuffed(stuffed(message)) == complete


@settings(max_examples=200)
@given(LINES)
@example([b"x" * 5000, b".", b"\r\n"])
@example([b"x" * 5000, b"\r", b"\n", b".", b"\r", b"\n"])
def test_pieces_give_what_the_whole_gives(pieces: list[bytes]) -> None:
    stuffer = Stuffer()
    made = b"".join(stuffer.feed(piece) for piece in pieces) + stuffer.finish()
    assert made == stuffed(b"".join(pieces))


def test_status_lines_are_one_line() -> None:
    assert ok("fine") == b"+OK fine\r\n"
    assert err("no\r\n+OK really") == b"-ERR no +OK really\r\n"
    assert err("no", ResponseCode.AUTH) == b"-ERR [AUTH] no\r\n"
    assert multi_line(b"+OK\r\n", ["A", "B"]) == b"+OK\r\nA\r\nB\r\n.\r\n"


def test_numbered() -> None:
    assert numbered((10, 20, 30), b"%d %d\r\n", set()) == b"1 10\r\n2 20\r\n3 30\r\n"
    assert numbered((10, 20, 30), b"%d 5.%d\r\n", {2}) == b"1 5.10\r\n3 5.30\r\n"
    assert numbered((), b"%d %d\r\n", set()) == b""


@pytest.mark.parametrize(
    ("lines", "top"), [(0, b""), (1, b"a\r\n"), (2, b"a\r\nb\n"), (3, b"a\r\nb\nc"), (9, b"a\r\nb\nc")]
)
def test_first_lines(lines: int, top: bytes) -> None:
    assert first_lines(b"a\r\nb\nc", lines) == top
