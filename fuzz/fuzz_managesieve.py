"""ManageSieve framer, grammar and answers.

Oracle: any octets, in any pieces, give the same frames and hold no more than the limits allow; every frame
gives a command or ProtocolViolation and nothing else; a name that was taken is taken again as it is stored;
whatever is put into an answer, a client that reads by RFC 5804 §4 finds it and the line's end behind it.
Run: python fuzz/fuzz_managesieve.py -max_total_time=20
"""

from common import run

from postino.core.errors import ProtocolViolation
from postino.managesieve import commands
from postino.managesieve.commands import parse_answer, parse_command
from postino.managesieve.framer import CommandFrame, Framer, FramerLimits
from postino.managesieve.replies import ResponseCode, listing, no, noop_done, ok, string
from postino.managesieve.script_name import MAX_CHARACTERS, script_name
from postino.managesieve.states import State, require_allowed

LIMITS = FramerLimits(line_octets=64, literals_octets=48, skipped_octets=512)
ENDED = "ended"


def frames_of(pieces: list[bytes]) -> list[object]:
    """Every frame, and ENDED where the session would."""
    framer = Framer(LIMITS)
    found: list[object] = []
    for piece in pieces:
        framer.feed(piece)
        try:
            while (frame := framer.next_frame()) is not None:
                found.append(frame)
        except ProtocolViolation as error:
            return [*found, ENDED if error.fatal else "not fatal"]
        assert len(framer._buffer) <= LIMITS.line_octets + LIMITS.literals_octets
        assert sum(map(len, framer._parts)) <= LIMITS.line_octets + LIMITS.literals_octets
    return found


def check_frames(data: bytes, size: int) -> None:
    """Frame and parse."""
    frames = frames_of([data])
    assert "not fatal" not in frames
    assert frames == frames_of([data[at : at + size] for at in range(0, len(data), size)])
    for frame in frames:
        if not isinstance(frame, CommandFrame):
            continue
        for parse in (parse_answer, parse_command):
            refusal = None
            try:
                made = parse(frame)
            except ProtocolViolation as error:
                refusal = error
            if refusal is None:
                check_command(made)
                continue
            assert not refusal.fatal
            assert no(str(refusal)).count(b"\n") == 1


def check_command(command: commands.Command | bytes) -> None:
    """What holds for each command, and nothing for an answer within a SASL exchange."""
    if isinstance(command, bytes):
        return
    for name in (getattr(command, field, None) for field in ("name", "old", "new")):
        if name:
            assert len(name) <= MAX_CHARACTERS
            assert script_name(name.encode()) == name
    if isinstance(command, commands.HaveSpace):
        assert 0 <= command.octets <= commands.MAX_NUMBER
    if isinstance(command, commands.Noop) and command.tag is not None:
        before, _, rest = noop_done(command.tag).partition(b"(TAG ")
        assert before == b"OK "
        assert read_string(rest) == (command.tag, b') "Done"\r\n')
    for state in State:
        try:
            require_allowed(state, command)
        except ProtocolViolation:
            pass


def read_string(octets: bytes) -> tuple[bytes, bytes]:
    """A string, and what stands behind it."""
    if octets[:1] == b"{":
        size, _, rest = octets[1:].partition(b"}\r\n")
        return rest[: int(size)], rest[int(size) :]
    assert octets[:1] == b'"'
    made = bytearray()
    at = 1
    while octets[at] != ord('"'):
        at += octets[at] == ord("\\")
        assert octets[at] not in b"\r\n\0"
        made.append(octets[at])
        at += 1
    return bytes(made), octets[at + 1 :]


def check_answers(data: bytes) -> None:
    """Say it, and read it as a client would."""
    assert read_string(string(data) + b" x") == (data, b" x")
    text = data.decode("utf-8", "replace")
    for answer, start in ((ok(text, ResponseCode.WARNINGS), b"OK (WARNINGS)"), (no(text), b"NO")):
        assert answer.startswith(start)
        rest = answer[len(start) :]
        if text:
            said, rest = read_string(rest[1:])
            assert said.decode().split() == text.split() or len(data) > 1000 or "\r" in text
        assert rest == b"\r\n"
    try:
        name = script_name(data)
    except ProtocolViolation:
        return
    for active, end in ((name, b" ACTIVE\r\n"), ("", b"\r\n")):
        assert read_string(listing([name], active)) == (name.encode(), end)


def test_one_input(data: bytes) -> None:
    """The first octet chooses what is checked and the size of pieces."""
    if not data:
        return
    if data[0] & 1:
        check_frames(data[1:], 1 + data[0] // 2)
    else:
        check_answers(data[1:])


run(test_one_input, "managesieve")
