"""SMTP and IMAP framing and grammar, on what mail programs really send."""

from collections.abc import Iterator
from functools import partial

from bench import corpus
from bench.drivers.smtp import ready_to_send
from bench.micro.timing import Timing, time_call
from postino.core.limits import Limits
from postino.imap.commands import ParseOptions
from postino.imap.commands import parse_command as parse_imap_command
from postino.imap.framer import CommandFrame, FramerLimits
from postino.imap.framer import Framer as ImapFramer
from postino.smtp.commands import parse_command
from postino.smtp.framer import Framer as SmtpFramer

_PIECE_OCTETS = 65_536
_SMTP_LINES = (
    b"EHLO mail.example.org",
    b"MAIL FROM:<ann@example.org> SIZE=4096 BODY=8BITMIME",
    b"RCPT TO:<bob@example.net>",
    b"DATA",
)
_IMAP_LINES = (
    b"a1 NOOP",
    b"a2 SELECT INBOX",
    b"a3 UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Subject Date Message-ID)])",
    b"a4 UID STORE 17:23,42 +FLAGS.SILENT (\\Seen $Label1)",
    b'a5 UID SEARCH UNDELETED SINCE 1-Feb-2025 OR FROM "ann" SUBJECT "minutes of the meeting"',
)


def timings() -> Iterator[Timing]:
    """SMTP, then IMAP."""
    yield from _smtp()
    yield from _imap()


def _smtp() -> Iterator[Timing]:
    limits = Limits()
    for line in _SMTP_LINES:
        yield time_call(f"smtp parse: {line.decode()[:40]}", partial(parse_command, line))
    for octets in (4096, 61_440):
        data = ready_to_send(corpus.sized_message(1, octets))

        def frame(data: bytes = data) -> None:
            framer = SmtpFramer(limits.smtp_line_octets)
            framer.begin_data()
            for at in range(0, len(data), _PIECE_OCTETS):
                framer.feed(data[at : at + _PIECE_OCTETS])
                framer.next_piece()

        yield time_call(f"smtp framer: DATA of {octets // 1024} KB", frame, octets=octets)


def _imap() -> Iterator[Timing]:
    limits = FramerLimits.after_login(Limits())
    pipelined = b"".join(line + b"\r\n" for line in _IMAP_LINES) * 20

    def frame() -> None:
        framer = ImapFramer(limits)
        framer.feed(pipelined)
        while framer.next() is not None:
            pass

    yield time_call("imap framer: a pipelined command", frame, calls=len(_IMAP_LINES) * 20)
    for line in _IMAP_LINES:
        parse = partial(parse_imap_command, CommandFrame((line,)), ParseOptions())
        yield time_call(f"imap grammar: {line.decode()[:40]}", parse)
