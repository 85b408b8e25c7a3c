"""POP3 framer, grammar and dot-stuffing.

Oracle: any octets, in any pieces, give the same lines; every line gives a command or ProtocolViolation
and nothing else; a message sent has one end, for a reader by CRLF and for one by LF, and comes back as
it was when its lines are sound; in pieces it is sent as it is whole.
Run: python fuzz/fuzz_pop3.py -max_total_time=20
"""

from common import run

from postino.core.errors import ProtocolViolation
from postino.pop3.commands import Auth, Command, Pass, parse_command, retr_number
from postino.pop3.framer import LineFramer
from postino.pop3.replies import Stuffer, err, stuffed
from postino.pop3.states import State, require_allowed

LINE_OCTETS = 64


def lines_of(pieces: list[bytes]) -> list[bytes | None]:
    """Every line, None for one that was too long."""
    framer = LineFramer(LINE_OCTETS)
    found: list[bytes | None] = []
    for piece in pieces:
        framer.feed(piece)
        while framer.has_line:
            try:
                line = framer.next_line()
                assert line is not None
                assert len(line) <= LINE_OCTETS
                found.append(line)
            except ProtocolViolation:
                found.append(None)
        assert len(framer._rest) <= LINE_OCTETS + 1
    return found


def pieces_of(data: bytes, size: int) -> list[bytes]:
    """`data` in pieces of `size` octets."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def check_lines(data: bytes, size: int) -> None:
    """Frame and parse."""
    lines = lines_of([data])
    assert lines == lines_of(pieces_of(data, size))
    for line in lines:
        if line is None:
            continue
        try:
            command = parse_command(line)
        except ProtocolViolation as error:
            told = err(str(error))
        else:
            check_command(line, command)
            continue
        assert told.count(b"\n") == 1


def check_command(line: bytes, command: Command) -> None:
    """What holds for each command."""
    number = retr_number(line)
    assert number in (0, getattr(command, "number", 0))
    if isinstance(command, Pass):
        assert command.password not in repr(command) or command.password in "Pass()"
    if isinstance(command, Auth) and command.initial:
        assert len(command.initial) < 12 or command.initial.decode() not in repr(command)
    for state in State:
        try:
            require_allowed(state, command)
        except ProtocolViolation:
            pass


def check_message(message: bytes, size: int) -> None:
    """Send."""
    sent = stuffed(message)
    stuffer = Stuffer()
    assert b"".join(stuffer.feed(piece) for piece in pieces_of(message, size)) + stuffer.finish() == sent
    strict = sent.split(b"\r\n")
    assert strict.index(b".") == len(strict) - 2
    lenient = [line.removesuffix(b"\r") for line in sent.split(b"\n")]
    assert lenient.index(b".") == len(lenient) - 2
    if message.count(b"\n") == message.count(b"\r\n"):
        back = b"".join((line[1:] if line[:1] == b"." else line) + b"\r\n" for line in strict[:-2])
        assert back == (message if message.endswith(b"\r\n") or not message else message + b"\r\n")


def test_one_input(data: bytes) -> None:
    """The first octet chooses what is checked and the size of pieces."""
    if not data:
        return
    size = 1 + data[0] // 2
    if data[0] & 1:
        check_lines(data[1:], size)
    else:
        check_message(data[1:], size)


run(test_one_input, "pop3")
