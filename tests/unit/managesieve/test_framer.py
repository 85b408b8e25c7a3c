"""Commands out of octets, however they are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.core.errors import ProtocolViolation
from postino.core.limits import Limits
from postino.managesieve.framer import CommandFrame, Frame, Framer, FramerLimits, TooLarge

LIMITS = FramerLimits(line_octets=40, literals_octets=20, skipped_octets=100)
ENDED = "ended"


def frames_of(pieces: list[bytes], limits: FramerLimits = LIMITS) -> list[object]:
    """Every frame; ENDED where the session would."""
    framer = Framer(limits)
    found: list[object] = []
    for piece in pieces:
        framer.feed(piece)
        try:
            while (frame := framer.next_frame()) is not None:
                found.append(frame)
        except ProtocolViolation:
            return [*found, ENDED]
        assert len(framer._buffer) <= limits.line_octets + limits.literals_octets + 2
    return found


def command(*parts: bytes) -> Frame:
    return CommandFrame(parts)


@pytest.mark.parametrize(
    ("octets", "frames"),
    [
        (b"NOOP\r\n", [command(b"NOOP")]),
        (b"NOOP\nLOGOUT\r\n", [command(b"NOOP\nLOGOUT")]),
        (b"\r\n\r\n", [command(b""), command(b"")]),
        (b"NOOP\r\r\n", [command(b"NOOP\r")]),
        (b"half", []),
        (b"half\r", []),
        (b"CHECKSCRIPT {5+}\r\na\r\nb\n\r\n", [command(b"CHECKSCRIPT {5+}", b"a\r\nb\n", b"")]),
        (b"CHECKSCRIPT {5}\r\nkeep;\r\n", [command(b"CHECKSCRIPT {5}", b"keep;", b"")]),
        (b"CHECKSCRIPT {0+}\r\n\r\n", [command(b"CHECKSCRIPT {0+}", b"", b"")]),
        (
            b"PUTSCRIPT {1+}\r\na {5+}\r\nkeep;\r\nNOOP\r\n",
            [command(b"PUTSCRIPT {1+}", b"a", b" {5+}", b"keep;", b""), command(b"NOOP")],
        ),
        # A literal alone, as within a SASL exchange.
        (b"{4+}\r\n{3+}\r\n", [command(b"{4+}", b"{3+}", b"")]),
        # A marker only where it ends the line.
        (b'NOOP "{5+}"\r\nNOOP\r\n', [command(b'NOOP "{5+}"'), command(b"NOOP")]),
        (b"NOOP {+}\r\n", [command(b"NOOP {+}")]),
        (b"NOOP {-1+}\r\n", [command(b"NOOP {-1+}")]),
        # Too large, but worth skipping: what follows is sound.
        (
            b"CHECKSCRIPT {21+}\r\n" + b"x" * 21 + b"\r\nNOOP\r\n",
            [TooLarge(b"CHECKSCRIPT {21+}"), command(b"NOOP")],
        ),
        (
            b"PUTSCRIPT {10+}\r\n" + b"x" * 10 + b" {11+}\r\n" + b"\r\n" * 5 + b"y\r\nNOOP\r\n",
            [TooLarge(b"PUTSCRIPT {10+}"), command(b"NOOP")],
        ),
        (b"CHECKSCRIPT {30+}\r\n" + b"x" * 30 + b" {3+}\r\nabc\r\n", [TooLarge(b"CHECKSCRIPT {30+}")]),
        # Too large to skip, too many, too long: nobody knows where the next command begins.
        (b"CHECKSCRIPT {101+}\r\nNOOP\r\n", [ENDED]),
        (b"CHECKSCRIPT {9999999999999999999+}\r\n", [ENDED]),
        (b"X {1+}\r\na {1+}\r\na {1+}\r\na {1+}\r\na\r\n", [ENDED]),
        (b"X {30+}\r\n" + b"x" * 30 + b" {71+}\r\n", [ENDED]),
        (b"x" * 40 + b"\r\n" + b"x" * 41 + b"\r\n", [command(b"x" * 40), ENDED]),
        (b"x" * 50, [ENDED]),
        (b"x" * 30 + b" {1+}\r\na" + b"y" * 10, [ENDED]),
    ],
)
def test_table(octets: bytes, frames: list[object]) -> None:
    assert frames_of([octets]) == frames
    assert frames_of([octets[at : at + 1] for at in range(len(octets))]) == frames


PIECE = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b"\r\n", b"\r", b"\n", b"{3+}\r\n", b"{25+}\r\n", b'NOOP "a"\r\n', b" {0+}\r\n"]),
)


@given(st.lists(PIECE, max_size=12))
def test_any_cutting_gives_the_same_frames(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    assert frames_of(pieces) == frames_of([whole]) == frames_of([bytes([octet]) for octet in whole])


def test_clear_forgets_what_was_begun() -> None:
    framer = Framer(LIMITS)
    framer.feed(b"CHECKSCRIPT {10+}\r\nabc")
    assert framer.next_frame() is None
    framer.clear()
    framer.feed(b"NOOP\r\n")
    assert framer.next_frame() == command(b"NOOP")


def test_an_endless_literal_is_not_kept_while_it_is_skipped() -> None:
    framer = Framer(FramerLimits(line_octets=40, literals_octets=20, skipped_octets=1_000_000))
    framer.feed(b'PUTSCRIPT "a" {1000000+}\r\n')
    for _ in range(1000):
        framer.feed(b"x" * 1000)
        assert framer.next_frame() is None
        assert len(framer._buffer) == 0
    framer.feed(b"\r\n")
    assert framer.next_frame() == TooLarge(b'PUTSCRIPT "a" {1000000+}')


def test_more_is_taken_after_a_login() -> None:
    limits = Limits()
    before, after = FramerLimits.before_login(limits), FramerLimits.after_login(limits, 100_000)
    assert before.literals_octets < 100_000 < after.literals_octets < after.skipped_octets
    assert before.line_octets == after.line_octets == limits.managesieve_line_octets
