"""IMAP framer and grammar.

Oracle: any octets, in any pieces, give the same frames; every frame gives a command or BadCommand and nothing else;
no frame is larger than its limits; a mailbox name that was read is read again from what we would write.
Run: python fuzz/fuzz_imap.py -max_total_time=20
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import run

from postino.imap import commands
from postino.imap.bad_command import BadCommand
from postino.imap.framer import (
    AppendRest,
    AppendStarted,
    CommandFrame,
    FramerLimits,
)
from postino.imap.mailbox_name import decode_mailbox, encode_mailbox
from postino.imap.url import BadUrl, parse_message_url
from tests.support.imap_frames import read_frames

LIMITS = FramerLimits(
    line_octets=2000,
    literal_octets=100,
    literals=5,
    literals_octets=300,
    discard_octets=500,
    streams_append=True,
)
OPTIONS = [
    commands.ParseOptions(utf8=utf8, sequence_parts=100, search_keys=50, search_depth=10)
    for utf8 in (False, True)
]


def check_frames(frames: list[object]) -> None:
    """Give every frame to the grammar."""
    readers: dict[bool, commands.AppendReader | None] = {False: None, True: None}
    for frame in frames:
        for options in OPTIONS:
            try:
                match frame:
                    case CommandFrame(parts):
                        assert sum(map(len, parts)) <= LIMITS.line_octets + LIMITS.literals_octets
                        command = commands.parse_command(frame, options)
                        if isinstance(command, commands.AppendUrls):
                            check_items(command.items, ends=True)
                        assert command.tag
                        repr(command)
                        check_names(command, options.utf8)
                    case AppendStarted(head, is_first=is_first):
                        reader, readers[options.utf8] = readers[options.utf8], None
                        if is_first:
                            reader = commands.AppendReader(options)
                            check_items(reader.first(head), ends=False)
                        elif reader is not None:
                            check_items(reader.next(head.parts[-1]), ends=False)
                        readers[options.utf8] = reader
                    case AppendRest(line):
                        reader, readers[options.utf8] = readers[options.utf8], None
                        if reader is not None:
                            check_items(reader.next(line), ends=True)
                            assert reader.is_complete
                    case _:
                        pass
            except BadCommand as error:
                refusal = error
            else:
                continue
            assert "\n" not in str(refusal)
            assert refusal.status in {"BAD", "NO"}
            assert not refusal.fatal


def check_items(items: Sequence[object], *, ends: bool) -> None:
    """A text that does not end the command ends with a literal, and no other item is one."""
    literals = [at for at, item in enumerate(items, 1) if isinstance(item, commands.LiteralPart)]
    assert literals == ([] if ends else [len(items)])
    for item in items:
        if isinstance(item, commands.UrlPart):
            with suppress(BadUrl):
                assert parse_message_url(item.url).mailbox


def check_names(command: commands.Command, utf8: bool) -> None:
    """A name comes back from what we write; only a quoted or bare one can be read without a framer."""
    name = getattr(command, "mailbox", None)
    if isinstance(name, str) and name:
        wire = encode_mailbox(name, utf8)
        if not wire.startswith(b"{"):
            again = commands.parse_command(CommandFrame((b"a DELETE " + wire,)), OPTIONS[utf8])
            assert again == commands.Delete(b"a", name)
        else:
            assert decode_mailbox(wire.partition(b"\r\n")[2], utf8) == name


def test_one_input(data: bytes) -> None:
    """The first octet says how to cut the rest."""
    if not data:
        return
    size, accept, octets = (data[0] >> 1) + 1, bool(data[0] & 1), data[1:]
    whole = read_frames([octets], LIMITS, accept=accept)
    cut = read_frames([octets[at : at + size] for at in range(0, len(octets), size)], LIMITS, accept=accept)
    assert cut == whole, (whole, cut)
    check_frames(whole)


if __name__ == "__main__":
    run(test_one_input, "imap")
