"""The framer: whole, byte by byte and in any pieces it sees the same commands, and stays bounded."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.core.limits import Limits
from postino.imap.bad_command import BadCommand
from postino.imap.framer import (
    AppendData,
    AppendRest,
    AppendStarted,
    CommandFrame,
    ContinuationNeeded,
    Frame,
    Framer,
    FramerLimits,
    LineFrame,
)
from tests.support.imap_frames import read_frames

SMALL = FramerLimits(
    line_octets=200,
    literal_octets=20,
    literals=3,
    literals_octets=40,
    discard_octets=100,
    streams_append=True,
)


def frames_of(chunks: list[bytes], limits: FramerLimits = SMALL, *, accept: bool = True) -> list[object]:
    return read_frames(chunks, limits, accept=accept)


def bytewise(octets: bytes) -> list[bytes]:
    return [octets[at : at + 1] for at in range(len(octets))]


NEEDED = ContinuationNeeded()
STREAMS: list[tuple[bytes, list[Frame]]] = [
    (b"a NOOP\r\n", [CommandFrame((b"a NOOP",))]),
    (b"\r\n", [CommandFrame((b"",))]),
    (b"a NOOP\r\nb NOOP\r\nc NO", [CommandFrame((b"a NOOP",)), CommandFrame((b"b NOOP",))]),
    # Bare CR and LF end nothing; the grammar refuses them.
    (b"a NO\nOP\rx\r\n", [CommandFrame((b"a NO\nOP\rx",))]),
    # RFC 9051 §6.2.3 and §4.3: synchronising literals.
    (
        b"A001 LOGIN {11}\r\nFRED FOOBAR {7}\r\nfat man\r\n",
        [
            NEEDED,
            NEEDED,
            CommandFrame((b"A001 LOGIN {11}", b"FRED FOOBAR", b" {7}", b"fat man", b"")),
        ],
    ),
    # RFC 7888 §3.
    (
        b"A001 LOGIN {11+}\r\nFRED FOOBAR {7+}\r\nfat man\r\n",
        [CommandFrame((b"A001 LOGIN {11+}", b"FRED FOOBAR", b" {7+}", b"fat man", b""))],
    ),
    (b"a LOGIN {0+}\r\n {0}\r\n\r\n", [NEEDED, CommandFrame((b"a LOGIN {0+}", b"", b" {0}", b"", b""))]),
    # A literal's octets are no lines and no markers.
    (
        b"a SELECT {12+}\r\nx\r\ny {3+}\r\nz\r\nb NOOP\r\n",
        [CommandFrame((b"a SELECT {12+}", b"x\r\ny {3+}\r\nz", b"")), CommandFrame((b"b NOOP",))],
    ),
    # RFC 9051 §6.3.12.
    (
        b"A003 APPEND saved-messages (\\Seen) {28}\r\nDate: Mon\r\n\r\nHello {5+}\r\n ok\r\nb NOOP\r\n",
        [
            AppendStarted(CommandFrame((b"A003 APPEND saved-messages (\\Seen) {28}",)), 28, False),
            AppendData(b"Date: Mon\r\n\r\nHello {5+}\r\n ok"),
            AppendRest(b""),
            CommandFrame((b"b NOOP",)),
        ],
    ),
    # The mailbox's literal is collected, the message's streamed; RFC 3502 for the second message.
    (
        b"a append {3+}\r\nbox {2+}\r\nhi (\\Seen) ~{0+}\r\n)\r\n",
        [
            AppendStarted(CommandFrame((b"a append {3+}", b"box", b" {2+}")), 2, True),
            AppendData(b"hi"),
            AppendStarted(CommandFrame((b"a append {3+}", b" (\\Seen) ~{0+}")), 0, True, is_first=False),
            AppendRest(b")"),
        ],
    ),
    # RFC 8508 §3.2 and §4.2: REPLACE streams too, its mailbox's literal apart; so do CATENATE's parts and URLs.
    (
        b"A003 REPLACE 4 Drafts {2+}\r\nhi\r\n",
        [
            AppendStarted(CommandFrame((b"A003 REPLACE 4 Drafts {2+}",)), 2, True),
            AppendData(b"hi"),
            AppendRest(b""),
        ],
    ),
    (
        b"a uid replace * {3+}\r\nbox CATENATE (TEXT {2}\r\n\r\n URL {4+}\r\n/x/y)\r\n",
        [
            AppendStarted(CommandFrame((b"a uid replace * {3+}", b"box", b" CATENATE (TEXT {2}")), 2, False),
            AppendData(b"\r\n"),
            AppendStarted(CommandFrame((b"a uid replace * {3+}", b" URL {4+}")), 4, True, is_first=False),
            AppendData(b"/x/y"),
            AppendRest(b")"),
        ],
    ),
    # Without a literal behind the mailbox it is a command like others.
    (
        b"a APPEND box CATENATE (URL /x/;UID=1)\r\n",
        [CommandFrame((b"a APPEND box CATENATE (URL /x/;UID=1)",))],
    ),
]


@pytest.mark.parametrize(("octets", "expected"), STREAMS)
def test_same_frames_whole_and_byte_by_byte(octets: bytes, expected: list[Frame]) -> None:
    assert frames_of([octets]) == expected
    assert frames_of(bytewise(octets)) == expected


PIECES = st.sampled_from(
    [
        b"a NOOP\r\n",
        b"a1 LOGIN {3}\r\nann {2+}\r\npw\r\n",
        b"x APPEND box {5+}\r\n12345\r\n",
        b"x APPEND box {5}\r\n12345 {2+}\r\nab\r\n",
        b"x APPEND {3+}\r\nbox CATENATE (TEXT ~{5}\r\n1\r\n\r\0 URL {2+}\r\nab UTF8 (~{1+}\r\n\xff) URL x)\r\n",
        b"x UID REPLACE 7 box {12+}\r\n123 {5+}\r\n45\r\n",
        b"x REPLACE 7 box {110+}\r\n",
        b"b SEARCH TEXT {30+}\r\n" + b"x" * 30 + b"\r\n",
        b"c SEARCH TEXT {28}\r\n",
        b"d F {2+}\r\nab{2+}\r\nab{2+}\r\nab{2+}\r\nab\r\n",
        b"e {999999999999999999999999999+}\r\n",
        b"{5+}\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b" ",
        b"\x00\xff{",
        b"y" * 150,
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=12), st.lists(st.integers(1, 40), min_size=1, max_size=20), st.booleans())
def test_chunking_makes_no_difference(pieces: list[bytes], cuts: list[int], accept: bool) -> None:
    octets = b"".join(pieces)
    chunks: list[bytes] = []
    at = turn = 0
    while at < len(octets):
        size = cuts[turn % len(cuts)]
        chunks.append(octets[at : at + size])
        at += size
        turn += 1
    whole = frames_of([octets], accept=accept)
    assert frames_of(chunks, accept=accept) == whole
    assert frames_of(bytewise(octets), accept=accept) == whole


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_octets_give_frames_or_a_refusal(chunks: list[bytes]) -> None:
    assert frames_of(chunks) == frames_of([b"".join(chunks)])


def test_literal_too_large_costs_the_command_only_when_the_client_waits() -> None:
    found = frames_of([b"a SELECT {21}\r\nb NOOP\r\n"])
    assert found == [(b"a", "The literal is larger than 20 octets", False), CommandFrame((b"b NOOP",))]


def test_literal_too_large_is_skipped_when_the_client_does_not_wait() -> None:
    found = frames_of([b"a SELECT {30+}\r\n" + b"x NOOP\r\n" * 3 + b"123456 {2+}\r\nxy\r\nb NOOP\r\n"])
    assert found == [(b"a", "The literal is larger than 20 octets", False), CommandFrame((b"b NOOP",))]


def test_literal_far_too_large_ends_the_session() -> None:
    assert frames_of([b"a SELECT {101+}\r\n"]) == [(b"a", "The literal announced is far too large", True)]
    assert frames_of([b"a SELECT {" + b"9" * 100 + b"+}\r\n"])[0][2] is True  # type: ignore[index]


def test_too_many_literals_are_refused() -> None:
    found = frames_of([b"a LIST {1+}\r\nx {1+}\r\nx {1+}\r\nx {1+}\r\nx {1+}\r\nx\r\nb NOOP\r\n"])
    assert found == [(b"a", "The command has more than 3 literals", False), CommandFrame((b"b NOOP",))]


def test_too_much_in_literals_is_refused() -> None:
    text = b"x" * 19
    found = frames_of([b"a LIST {19+}\r\n" + text + b" {19+}\r\n" + text + b" {19}\r\nb NOOP\r\n"])
    assert found[0] == (b"a", "The command's literals together are larger than 40 octets", False)
    assert found[1:] == [CommandFrame((b"b NOOP",))]


@pytest.mark.parametrize("octets", [b"a " + b"x" * 300, b"a " + b"x" * 300 + b"\r\n"])
def test_line_too_long_ends_the_session(octets: bytes) -> None:
    found = frames_of([octets])
    assert found == frames_of(bytewise(octets))
    assert found == [(b"a", "The line is longer than 200 octets; send long values as literals", True)]


def test_lines_of_one_command_count_together() -> None:
    line = b"a X " + b"y" * 150 + b" {1+}\r\nz" + b"y" * 60 + b"\r\n"
    assert frames_of([line])[-1] == (
        b"a",
        "The line is longer than 200 octets; send long values as literals",
        True,
    )


def test_message_larger_than_other_literals_streams_in_pieces() -> None:
    framer = Framer(SMALL)
    framer.feed(b"a APPEND box {1000}\r\n")
    started = framer.next()
    assert isinstance(started, AppendStarted)
    assert started.size == 1000
    assert framer.next() is None
    framer.accept_stream()
    for _ in range(10):
        framer.feed(b"z" * 100)
        assert framer.next() == AppendData(b"z" * 100)
    assert framer.next() is None
    framer.feed(b"\r\n")
    assert framer.next() == AppendRest(b"")
    assert framer.is_between_commands


def test_a_command_of_many_messages_may_have_many_texts_but_none_too_long() -> None:
    flags = b" (" + b" ".join(b"k%d" % number for number in range(30)) + b") {1+}\r\nx"
    found = frames_of([b"a APPEND box {1+}\r\nx" + 20 * flags + b"\r\nb NOOP\r\n"])
    assert found.count(AppendData(b"x")) == 21
    assert found[-2:] == [AppendRest(b""), CommandFrame((b"b NOOP",))]
    assert frames_of([b"a APPEND box {1+}\r\nx" + b" " * 202])[-1] == (
        b"a",
        "The line is longer than 200 octets; send long values as literals",
        True,
    )


def test_refused_append_of_a_waiting_client_brings_nothing_more() -> None:
    assert frames_of([b"a APPEND box {1000}\r\nb NOOP\r\n"], accept=False)[1:] == [CommandFrame((b"b NOOP",))]


def test_refused_append_of_a_hasty_client_is_skipped() -> None:
    octets = b"a APPEND box {9+}\r\nb NOOP\r\n! {2+}\r\nhi\r\nb NOOP\r\n"
    assert frames_of([octets], accept=False)[1:] == [CommandFrame((b"b NOOP",))]
    assert frames_of(bytewise(octets), accept=False)[1:] == [CommandFrame((b"b NOOP",))]


def test_append_given_up_in_the_middle_is_skipped() -> None:
    framer = Framer(SMALL)
    framer.feed(b"a APPEND box {10}\r\n")
    assert isinstance(framer.next(), AppendStarted)
    framer.accept_stream()
    framer.feed(b"12345")
    assert framer.next() == AppendData(b"12345")
    framer.discard_stream()
    framer.feed(b"67890\r\nb NOOP\r\n")
    assert framer.next() == CommandFrame((b"b NOOP",))


def test_refusing_far_too_much_ends_the_session() -> None:
    framer = Framer(SMALL)
    framer.feed(b"a APPEND box {101+}\r\n")
    assert isinstance(framer.next(), AppendStarted)
    with pytest.raises(BadCommand) as caught:
        framer.discard_stream()
    assert caught.value.fatal
    assert caught.value.tag == b"a"


def test_append_before_login_is_an_ordinary_small_literal() -> None:
    limits = FramerLimits.before_login(Limits())
    found = frames_of([b"a APPEND INBOX {5000}\r\nb NOOP\r\n"], limits)
    assert found == [(b"a", "The literal is larger than 4096 octets", False), CommandFrame((b"b NOOP",))]


def test_before_login_little_is_buffered() -> None:
    limits = FramerLimits.before_login(Limits())
    assert frames_of([b"a LOGIN {4096+}\r\n" + b"x" * 4096 + b" {1}\r\n"], limits)[-1] == (
        b"a",
        "The command's literals together are larger than 4096 octets",
        False,
    )
    assert frames_of([b"a LOGIN {100000+}\r\n"], limits)[-1][2] is True  # type: ignore[index]


def test_expected_line_is_not_looked_at() -> None:
    framer = Framer(SMALL)
    framer.expect_line()
    framer.feed(b"DONE {5+}\r\na NOOP\r\n")
    assert framer.next() == LineFrame(b"DONE {5+}")
    assert framer.next() == CommandFrame((b"a NOOP",))
    assert framer.next() is None


def test_clear_forgets_what_was_pipelined_behind_starttls() -> None:
    framer = Framer(SMALL)
    framer.feed(b"a STARTTLS\r\nb LOGIN ann pw\r\nc {5+}\r\n")
    assert framer.next() == CommandFrame((b"a STARTTLS",))
    assert framer.has_input
    framer.clear()
    assert framer.next() is None
    assert not framer.has_input
    framer.feed(b"d NOOP\r\n")
    assert framer.next() == CommandFrame((b"d NOOP",))
