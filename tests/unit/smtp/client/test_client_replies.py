"""What far servers say, cut into replies: the RFC's own, tolerated ones, hostile ones."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.smtp.client.replies import (
    MAX_LINE_OCTETS,
    MAX_REPLY_LINES,
    MAX_REPLY_OCTETS,
    MAX_TEXT,
    BadReply,
    FarReply,
    ReplyParser,
)


def read(*pieces: bytes) -> list[FarReply]:
    parser = ReplyParser()
    found = []
    for piece in pieces:
        parser.feed(piece)
        while (reply := parser.next_reply()) is not None:
            found.append(reply)
    return found


@pytest.mark.parametrize(
    ("wire", "code", "status", "lines"),
    [
        (b"250 OK\r\n", 250, "", ("OK",)),
        # RFC 5321 §4.2: a client must be prepared for a code without text, with and without the space.
        (b"250\r\n", 250, "", ("",)),
        (b"250 \r\n", 250, "", ("",)),
        # RFC 5321 §4.2.1
        (
            b"250-First line\r\n250-Second line\r\n250-234 Text beginning with numbers\r\n250 The last line\r\n",
            250,
            "",
            ("First line", "Second line", "234 Text beginning with numbers", "The last line"),
        ),
        (b"250-\r\n250 x\r\n", 250, "", ("", "x")),
        # RFC 2034 §4
        (b"550 5.1.1 Mailbox gone\r\n", 550, "5.1.1", ("5.1.1 Mailbox gone",)),
        (b"551-5.7.1 Forwarding to remote\r\n551 5.7.1 hosts disabled\r\n", 551, "5.7.1",
         ("5.7.1 Forwarding to remote", "5.7.1 hosts disabled")),
        (b"250 2.1.5\r\n", 250, "2.1.5", ("2.1.5",)),
        (b"250-x\r\n250 2.0.0 y\r\n", 250, "2.0.0", ("x", "2.0.0 y")),
        # The class must be the code's (RFC 2034 §4), and it must be a whole word.
        (b"450 5.1.1 odd\r\n", 450, "", ("5.1.1 odd",)),
        (b"250 2.0.0ok\r\n", 250, "", ("2.0.0ok",)),
        (b"250 2.1000.0 x\r\n", 250, "", ("2.1000.0 x",)),
        # Tolerated: a bare LF, a code that changes (the last counts), 8-bit and control octets in the text.
        (b"250 OK\n", 250, "", ("OK",)),
        (b"250-a\n250 b\n", 250, "", ("a", "b")),
        (b"250-a\r\n550 b\r\n", 550, "", ("a", "b")),
        ("550 Größe\r\n".encode(), 550, "", ("Größe",)),
        (b"550 \xff\x00\x1b[2J\rx\r\n", 550, "", ("\ufffd??[2J x",)),
        ("550 a\u00a0b\u202ec\u2028d\r\n".encode(), 550, "", ("a b?c d",)),
        (b"354\tx\r\n", None, "", ()),
        (b"599 x\r\n", 599, "", ("x",)),
        (b"199 x\r\n", None, "", ()),
        (b"600 x\r\n", None, "", ()),
        (b"25 x\r\n", None, "", ()),
        (b"250_x\r\n", None, "", ()),
        (b"2500 x\r\n", None, "", ()),
        (b" 250 x\r\n", None, "", ()),
        (b"\r\n", None, "", ()),
        (b"\n", None, "", ()),
        (b"HTTP/1.1 400 Bad Request\r\n", None, "", ()),
        (b"250-x\r\ngarbage\r\n", None, "", ()),
        ("２５０ x\r\n".encode(), None, "", ()),
    ],
)  # fmt: skip
def test_replies(wire: bytes, code: int | None, status: str, lines: tuple[str, ...]) -> None:
    if code is None:
        with pytest.raises(BadReply):
            read(wire)
        return
    assert read(wire) == [FarReply(code, status, lines)]
    assert read(*[wire[at : at + 1] for at in range(len(wire))]) == [FarReply(code, status, lines)]


def test_a_reply_is_told_in_one_line() -> None:
    (reply,) = read(b"550-5.7.1 First \r\n550-5.7.1 \r\n550 5.7.1 second\r\n")
    assert reply.text == "550 5.7.1 First second"
    assert read(b"250\r\n")[0].text == "250"
    assert len(read(b"250 " + b"x" * 3000 + b"\r\n")[0].text) == MAX_TEXT


def test_pipelined_replies_come_one_after_the_other() -> None:
    assert [reply.code for reply in read(b"250 a\r\n550-b\r\n550 c\r\n354 d\r\n2", b"21 e\r\n")] == [
        250,
        550,
        354,
        221,
    ]


def test_what_is_left_over_is_known() -> None:
    parser = ReplyParser()
    assert parser.is_empty
    parser.feed(b"220 go\r\n250")
    assert parser.next_reply() is not None
    assert not parser.is_empty
    parser = ReplyParser()
    parser.feed(b"250-x\r\n")
    assert parser.next_reply() is None
    assert not parser.is_empty


@pytest.mark.parametrize("piece", [1, 100, 1_000_000])
@pytest.mark.parametrize(
    "wire",
    [
        b"250 " + b"x" * MAX_LINE_OCTETS + b"\r\n",
        b"2" * (MAX_LINE_OCTETS + 1),
        b"250-x\r\n" * (MAX_REPLY_LINES + 1),
        (b"250-" + b"x" * 2000 + b"\r\n") * (MAX_REPLY_OCTETS // 2000 + 1),
    ],
)
def test_a_server_that_does_not_stop_is_stopped(wire: bytes, piece: int) -> None:
    with pytest.raises(BadReply):
        read(*[wire[at : at + piece] for at in range(0, len(wire), piece)])


def test_the_longest_that_is_taken() -> None:
    text = b"x" * (MAX_LINE_OCTETS - 6)
    assert len(read(b"250 " + text + b"\r\n")[0].lines[0]) == len(text)
    assert len(read(b"250-x\r\n" * (MAX_REPLY_LINES - 1) + b"250 x\r\n")[0].lines) == MAX_REPLY_LINES


OCTETS = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from(
            [b"\r\n", b"\n", b"\r", b"250 ", b"250-", b"550 5.1.1 no\r\n", b"250-a\r\n250 b\r\n", b"421\r\n"]
        ),
    ),
    max_size=20,
).map(b"".join)


@settings(max_examples=200, deadline=None)
@given(OCTETS, st.lists(st.integers(0, 400), max_size=5))
def test_the_cutting_of_the_network_does_not_matter(octets: bytes, cuts: list[int]) -> None:
    def outcome(pieces: list[bytes]) -> list[object]:
        parser = ReplyParser()
        seen: list[object] = []
        for piece in pieces:
            parser.feed(piece)
            try:
                while (reply := parser.next_reply()) is not None:
                    assert 200 <= reply.code <= 599
                    assert reply.text.isprintable()
                    seen.append(reply)
            except BadReply as error:
                return [*seen, type(error)]
        return seen

    places = sorted({min(cut, len(octets)) for cut in cuts} | {0, len(octets)})
    pieces = [octets[a:b] for a, b in pairwise(places)]
    assert outcome(pieces) == outcome([octets])
