"""SMTP framer, grammar, line endings and trace fields.

Oracle: any octets, in any pieces, give the same lines and pieces; every line gives a command or BadCommand
and nothing else; DATA ends where a strict reader ends it, with the same message and the same rest; the
watch for bare CR and LF agrees with the plain rule; whatever a greeting or path holds, the Received field is
of five lines, and an address that was taken is read back from what we write; what parameters hold can stand in
a report and in the queue.
Run: python fuzz/fuzz_smtp.py -max_total_time=20
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import run

from postino.core.ids import Instant
from postino.smtp.commands import (
    BdatCommand,
    HelloCommand,
    MailCommand,
    RcptCommand,
    SimpleCommand,
    parse_command,
)
from postino.smtp.framer import Framer, LineEndings
from postino.smtp.paths import parse_forward_path, path_text
from postino.smtp.received import Arrival, received_field, return_path_field
from postino.smtp.reply import BadCommand
from postino.store.queue.enqueue import packed_options, unpacked_options
from tests.support.strict_data import has_bare_cr_or_lf, read_data

LINE_OCTETS = 64
MOST_CHUNK = 1000


def session(pieces: list[bytes]) -> list[object]:
    """What a session that obeys every DATA and BDAT would see, with pieces of one message joined."""
    framer = Framer(LINE_OCTETS)
    seen: list[object] = []
    message: bytearray | None = None
    for piece in pieces:
        framer.feed(piece)
        while True:
            if message is not None:
                octets, is_last = framer.next_piece()
                message += octets
                if is_last:
                    seen.append(bytes(message))
                    message = None
                elif not octets:
                    break
                continue
            try:
                line = framer.next_line()
                if line is None:
                    break
                assert len(line) + 2 <= LINE_OCTETS
                command = parse_command(line)
            except BadCommand as error:
                seen.append(error.reply.wire)
                if error.fatal:
                    return seen
                continue
            seen.append(command)
            if command is SimpleCommand.DATA:
                framer.begin_data()
                message = bytearray()
            elif isinstance(command, BdatCommand):
                framer.begin_chunk(min(command.octets, MOST_CHUNK))
                message = bytearray()
    seen.append(bytes(message) if message is not None else None)
    return seen


def check_data(octets: bytes, pieces: list[bytes]) -> None:
    """The framer and the strict reader must agree on where a message ends and what it is."""
    octets += b"\r\n.\r\n"
    pieces = [*pieces, b"\r\n.\r\n"]
    expected = read_data(octets)
    assert expected is not None
    framer = Framer(10_000)
    framer.begin_data()
    endings = LineEndings()
    message = b""
    is_last = False
    for piece in pieces:
        framer.feed(piece)
        while not is_last:
            part, is_last = framer.next_piece()
            endings.feed(part)
            message += part
            if not part:
                break
    assert is_last
    endings.finish()
    rest = framer._buffer[framer._position :]
    assert (message, rest) == expected
    assert endings.are_broken == has_bare_cr_or_lf(message)


def check_trace(command: object) -> None:
    """Nothing a client says can add a line to a message."""
    if isinstance(command, HelloCommand):
        arrival = Arrival(command.host, "192.0.2.1", "ESMTP")
        field = received_field(
            arrival, hostname="x.example", message_id="a-1", for_address=None, date="Thu, 01 Jan 2026"
        )
        assert field.count(b"\r") == field.count(b"\n") == 4
    elif isinstance(command, MailCommand):
        assert return_path_field(command.reverse_path).count(b"\n") == 1
        options = command.options
        assert unpacked_options(packed_options(options)) == options
        assert options.envid.isascii()
        assert not set(options.envid + options.hold) & set("\r\n\0")
        assert -9 <= options.priority <= 9
        # HOLDUNTIL may name any year there is: those that passed are refused by the session, not by the grammar.
        assert command.hold is None or abs(command.hold.release_at(Instant(1))) < 1 << 38
    elif isinstance(command, RcptCommand) and command.forward_path.domain:
        assert not set(command.options.original) & set("\r\n\0")
        assert parse_forward_path(path_text(command.forward_path)) == command.forward_path


def test_one_input(data: bytes) -> None:
    if not data:
        return
    step, octets = data[0] % 16 + 1, data[1:]
    pieces = [octets[at : at + step] for at in range(0, len(octets), step)]
    whole = session([octets])
    assert session(pieces) == whole
    for seen in whole:
        check_trace(seen)
    check_data(octets, pieces)


if __name__ == "__main__":
    run(test_one_input, "smtp")
