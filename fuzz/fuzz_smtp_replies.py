"""What far servers say: replies, extensions, and the transactions and logins they steer.

Oracle: any octets, in any pieces, give the same replies, or BadReply at the same place, and nothing else; a reply's
text is printable; extensions can always be read, and whatever was offered, a command is one line; any sequence of
replies brings a transaction to an answer for each recipient, of which none is a success unless the message was
sent; a challenge is answered or refused as documented.
Run: python fuzz/fuzz_smtp_replies.py -max_total_time=20
"""

from common import run

from postino.core.errors import AuthenticationFailed, ProtocolViolation
from postino.sasl.client import ClientMechanism, begin_as_client
from postino.smtp.client.commands import CannotBeSaid, bdat_line, mail_line, rcpt_line
from postino.smtp.client.extensions import Extensions, read_extensions
from postino.smtp.client.replies import MAX_REPLY_OCTETS, BadReply, FarReply, ReplyParser
from postino.smtp.client.transaction import Need, Phase, Transaction
from postino.smtp.envelope import BodyType, MailOptions, RcptOptions

LOST = FarReply(451, "4.4.2", ("lost",))


def replies_of(pieces: list[bytes]) -> list[object]:
    """Every reply, and BadReply where the dialogue broke off."""
    parser = ReplyParser()
    found: list[object] = []
    for piece in pieces:
        parser.feed(piece)
        try:
            while (reply := parser.next_reply()) is not None:
                assert 200 <= reply.code <= 599
                assert reply.text.isprintable()
                assert all("\n" not in line and "\r" not in line for line in reply.lines)
                assert not reply.status or reply.status[0] == str(reply.code)[0]
                found.append(reply)
        except BadReply:
            return [*found, BadReply]
        assert parser._octets <= MAX_REPLY_OCTETS
    return found


def check_transaction(replies: list[FarReply], flags: int) -> None:
    """Follow the server wherever it leads."""
    count = flags % 3 + 1
    transaction = Transaction(
        b"MAIL FROM:<a@b>\r\n",
        [b"RCPT TO:<%d@x>\r\n" % number for number in range(count)],
        pipelining=bool(flags & 4),
        is_lmtp=bool(flags & 8),
        bdat=bdat_line(10) if flags & 16 else b"",
        eager=bool(flags & 32),
        reset=bool(flags & 64),
    )
    transaction.start()
    coming = iter(replies)
    while transaction.need is not Need.OVER:
        if transaction.need is Need.BODY:
            transaction.body_sent()
            continue
        reply = next(coming, None)
        if reply is None:
            transaction.lose(LOST, Phase.LOST)
        else:
            transaction.take(reply)
    assert len(transaction.answers) == count
    for answer in transaction.answers:
        assert answer is not None
        if answer[0].is_positive:
            assert answer[1] is Phase.MESSAGE
            assert transaction.was_body_sent


def check_commands(offered: Extensions, text: str) -> None:
    """Nothing that stands in an address or parameter makes a second line."""
    options = MailOptions(envid=text, priority=3, require_tls=True)
    for utf8 in (False, True):
        try:
            line = mail_line(text, options, offered, size=1, body=BodyType.SEVEN_BIT, smtputf8=utf8)
            assert line.endswith(b"\r\n")
            assert not {0, 10, 13} & set(line[:-2])
            line = rcpt_line(f"{text}@x.example", RcptOptions(original=text), offered, smtputf8=utf8)
            assert line.endswith(b"\r\n")
            assert not {0, 10, 13} & set(line[:-2])
        except CannotBeSaid:
            pass


def check_login(challenge: bytes) -> None:
    """Only a password's owner gets to the end."""
    if b",i=" in challenge and len(challenge.partition(b",i=")[2].partition(b",")[0]) > 4:
        return  # It would be computed, slowly.
    exchange = begin_as_client(
        ClientMechanism.SCRAM_SHA_256, "ann", "pencil", nonce="fyko", binding=b"", offers_plus=False
    )
    try:
        exchange.answer(challenge)
        assert not exchange.is_complete
        exchange.answer(challenge)
        raise AssertionError("a server proved what it cannot know")
    except (ProtocolViolation, AuthenticationFailed):
        assert not exchange.is_complete


def test_one_input(data: bytes) -> None:
    if len(data) < 2:
        return
    step, flags, octets = data[0] % 16 + 1, data[1], data[2:]
    whole = replies_of([octets])
    assert replies_of([octets[at : at + step] for at in range(0, len(octets), step)]) == whole
    replies = [reply for reply in whole if isinstance(reply, FarReply)]
    check_transaction(replies, flags)
    text = octets[:200].decode("utf-8", "replace")
    for reply in replies[:3]:
        check_commands(read_extensions(reply), text)
    check_login(octets)


if __name__ == "__main__":
    run(test_one_input, "smtp_replies")
