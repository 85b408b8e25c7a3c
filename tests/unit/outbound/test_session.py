"""Messages over sessions: what arrives, and what every habit of a far server comes to for each recipient."""

import asyncio
from typing import Any

import pytest

from postino.net.connection import ConnectionLost
from postino.outbound.client.outgoing import RecipientReply
from postino.outbound.targeting.target import Host, NotNow, Target
from postino.smtp.client.transaction import Phase
from postino.smtp.envelope import BodyType, MailOptions, Notify, RcptOptions
from tests.support.far_server import DEFAULT_EXTENSIONS, Habits
from tests.support.virtual_time import VirtualTime
from tests.unit.outbound.sessions import BODY, HEADER, NOW, REMOTE, outgoing, place

PLAIN = ("SIZE", "8BITMIME")
PIPELINING = ("PIPELINING", "SIZE", "8BITMIME", "DSN")
NOTHING: tuple[str, ...] = ()
BINARY = MailOptions(body=BodyType.BINARY_MIME)
EIGHT = MailOptions(body=BodyType.EIGHT_BIT_MIME)


class Reader:
    """A body that lies elsewhere."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.reads: list[int] = []

    @property
    def size(self) -> int:
        return len(self.octets)

    def read(self, start: int, length: int) -> bytes:
        self.reads.append(length)
        return self.octets[start : start + length]


# What arrives


@pytest.mark.parametrize("extensions", [DEFAULT_EXTENSIONS, PIPELINING, PLAIN, NOTHING])
@pytest.mark.parametrize(
    "body",
    [
        BODY,
        b"",
        b".\r\n",
        b".",
        b"\r\n.\r\n",
        b"no line end",
        b"..\r\n.\r\n\r\n.",
        (b"x" * 70 + b"\r\n.\r\n") * 3000,
        b".\r\n" * 100_000,
        (b"\r\n." * 87_382) + b"\r\n",
    ],
)
@pytest.mark.parametrize("as_reader", [False, True])
async def test_what_arrives_is_what_was_sent(
    extensions: tuple[str, ...], body: bytes, as_reader: bool
) -> None:
    async with place(Habits(extensions=extensions)) as there:
        session = await there.open()
        for _ in range(2):
            replies = await session.send(outgoing(body=Reader(body) if as_reader else body))
            assert replies == [RecipientReply(250, "2.0.0", "250 2.0.0 Taken as 4711", REMOTE, Phase.MESSAGE)]
            assert session.usable
        await session.quit()
        assert there.far.commands[-1] == "QUIT"
        by_bdat = "CHUNKING" in extensions
        for message in there.far.messages:
            sent = HEADER + body
            assert message.octets == sent + (b"" if by_bdat or sent.endswith(b"\r\n") else b"\r\n")
            assert message.by_bdat == by_bdat
            assert message.reverse_path == "ann@example.org"
            assert message.recipients == [("bob@far.example", {})]


async def test_a_large_body_is_read_in_pieces() -> None:
    reader = Reader(b"x" * 70 * 20_000)
    async with place(Habits(extensions=("SIZE",))) as there:
        session = await there.open()
        await session.send(outgoing(body=reader))
        assert len(reader.reads) == 6
        assert max(reader.reads) == 256 * 1024


async def test_every_parameter_that_is_offered_is_said() -> None:
    options = MailOptions(body=BodyType.EIGHT_BIT_MIME, smtputf8=True, envid="e1")
    async with place() as there:
        session = await there.open()
        message = outgoing(header="Subject: Grüße\r\n\r\n".encode(), body=b"x\r\n", options=options)
        message.recipients[:] = [("jörg@far.example", RcptOptions(notify=Notify.NEVER))]  # type: ignore[index]
        (reply,) = await session.send(message)
        assert reply.code == 250
        (taken,) = there.far.messages
        assert taken.mail_parameters == {
            "SIZE": str(message.size),
            "BODY": "8BITMIME",
            "SMTPUTF8": "",
            "ENVID": "e1",
        }
        assert taken.recipients == [("jörg@far.example", {"NOTIFY": "NEVER"})]


async def test_one_round_trip_for_a_small_message() -> None:
    async with place() as there:
        session = await there.open()
        connection = session._dialogue.connection
        writes: list[int] = []
        write = connection._transport.write  # type: ignore[union-attr]
        connection._transport.write = lambda data: (writes.append(len(data)), write(data))[1]  # type: ignore[method-assign, union-attr, func-returns-value]
        await session.send(outgoing())
        assert len(writes) == 1


# Octets beyond ASCII


@pytest.mark.parametrize(
    ("extensions", "body", "options", "expected"),
    [
        (("8BITMIME",), "ä\r\n".encode(), MailOptions(), {"BODY": "8BITMIME"}),
        (("8BITMIME",), b"a\r\n", EIGHT, {}),
        (("8BITMIME",), Reader(b"a\r\n"), EIGHT, {"BODY": "8BITMIME"}),
        (("8BITMIME",), Reader("ä\r\n".encode()), MailOptions(), {"BODY": "8BITMIME"}),
        (NOTHING, Reader("ä\r\n".encode()), MailOptions(), {}),
        (NOTHING, b"a\r\n", EIGHT, {}),
        # Nobody said that it holds any: sent as it came.
        (NOTHING, "ä\r\n".encode(), MailOptions(), {}),
        (NOTHING, "ä\r\n".encode(), EIGHT, "5.6.3"),
        (NOTHING, Reader(b"a\r\n"), EIGHT, "5.6.3"),
        (("8BITMIME",), Reader(b"a\nb\r\n"), BINARY, "5.6.3"),
        (("8BITMIME",), b"a\nb\r\n", BINARY, "5.6.1"),
        (("8BITMIME",), b"a\rb\r\n", MailOptions(), "5.6.1"),
        (("8BITMIME",), b"a\0\r\n", BINARY, "5.6.3"),
        (("8BITMIME",), b"x" * 1500 + b"\r\n", BINARY, "5.6.3"),
        # Said to be binary, and is not.
        (("8BITMIME",), "ä\r\n".encode(), BINARY, {"BODY": "8BITMIME"}),
        (("8BITMIME", "CHUNKING", "BINARYMIME"), b"a\nb", BINARY, {"BODY": "BINARYMIME"}),
        (("8BITMIME", "CHUNKING", "BINARYMIME"), b"a\nb", MailOptions(), {"BODY": "BINARYMIME"}),
        (("8BITMIME", "CHUNKING", "BINARYMIME"), Reader(b"a\nb"), BINARY, {"BODY": "BINARYMIME"}),
        (("CHUNKING",), b"a\nb", BINARY, "5.6.1"),
    ],
)
async def test_what_is_in_a_message_decides_its_body_type(
    extensions: tuple[str, ...], body: Any, options: MailOptions, expected: dict[str, str] | str
) -> None:
    async with place(Habits(extensions=extensions)) as there:
        session = await there.open()
        (reply,) = await session.send(outgoing(body=body, options=options))
        if isinstance(expected, str):
            assert (reply.code, reply.status, reply.phase) == (554, expected, Phase.OURS)
            # No code in front: the server said nothing.
            assert reply.text.startswith("The message ")
            assert there.far.commands == ["EHLO mail.example.org"]
        else:
            assert reply.code == 250
            assert there.far.messages[0].mail_parameters == expected
        assert session.usable


@pytest.mark.parametrize("octets", [b"a\nb\r\n", b"\n.\n", b"\r.\r", b"\r\n.\r", b"\n.\r\nMAIL FROM:<x>\r\n"])
async def test_no_message_can_smuggle_another(octets: bytes) -> None:
    # The far server of the tests has an assertion for each bare CR and LF that comes by DATA.
    for padding in (0, 256 * 1024 - len(HEADER) - 1, 256 * 1024 - 1, 256 * 1024):
        body = b"x\r\n" * (padding // 3) + b"x" * (padding % 3) + octets
        async with place(Habits(extensions=PLAIN)) as there:
            session = await there.open()
            (reply,) = await session.send(outgoing(body=body))
            assert (reply.code, reply.status) == (554, "5.6.1")
            session = await there.open()
            (reply,) = await session.send(outgoing(body=Reader(body)))
            assert (reply.code, reply.status, reply.phase) == (554, "5.6.1", Phase.OURS)
            # Where it was begun, it was never ended.
            assert not session.usable
            assert not there.far.messages


@pytest.mark.parametrize("path", ["ann@example.org", "jörg@example.org"])
async def test_an_alias_may_lead_to_an_address_that_needs_smtputf8(path: str) -> None:
    async with place() as there:
        session = await there.open()
        (reply,) = await session.send(outgoing("jörg@far.example", reverse_path=path))
        assert reply.code == 250
        assert there.far.messages[0].mail_parameters == {"SIZE": str(len(HEADER + BODY)), "SMTPUTF8": ""}
        await session.send(outgoing("bob@bücher.example"))
        assert "SMTPUTF8" not in there.far.messages[1].mail_parameters


async def test_addresses_beyond_ascii_only_where_they_are_taken() -> None:
    utf8 = MailOptions(smtputf8=True)
    async with place(Habits(extensions=PIPELINING)) as there:
        session = await there.open()
        replies = await session.send(outgoing("jörg@far.example", "bob@bücher.example", options=utf8))
        assert [(reply.code, reply.status, reply.phase) for reply in replies] == [
            (554, "5.6.7", Phase.OURS),
            (250, "2.0.0", Phase.MESSAGE),
        ]
        assert there.far.messages[0].recipients == [("bob@xn--bcher-kva.example", {})]
        (reply,) = await session.send(outgoing(reverse_path="jörg@example.org", options=utf8))
        assert (reply.status, reply.phase) == ("5.6.7", Phase.OURS)
        (reply,) = await session.send(outgoing(header="Subject: ü\r\n\r\n".encode(), options=utf8))
        assert (reply.status, reply.phase) == ("5.6.7", Phase.OURS)
        (reply,) = await session.send(outgoing("a\r\nDATA@far.example"))
        assert (reply.status, reply.phase) == ("5.1.3", Phase.OURS)
        assert session.usable


# What replies come to


@pytest.mark.parametrize("extensions", [DEFAULT_EXTENSIONS, PIPELINING, PLAIN])
@pytest.mark.parametrize(
    ("habits", "expected"),
    [
        ({"replies": {"MAIL": "451 4.7.1 Not yet"}}, (451, "4.7.1", Phase.MAIL)),
        ({"replies": {"MAIL": "550 Go away"}}, (550, "5.0.0", Phase.MAIL)),
        ({"replies": {"RCPT": "550 5.1.1 Unknown"}}, (550, "5.1.1", Phase.RCPT)),
        ({"replies": {"RCPT": "354 What"}}, (451, "4.5.0", Phase.RCPT)),
        ({"replies": {"RCPT": "252 2.1.5 Perhaps"}}, (250, "2.0.0", Phase.MESSAGE)),
        ({"greylist": 1}, (451, "4.7.1", Phase.RCPT)),
        ({"replies": {"END": "451 4.3.0 Later"}}, (451, "4.3.0", Phase.MESSAGE)),
        ({"replies": {"END": "554 5.7.1 Spam"}}, (554, "5.7.1", Phase.MESSAGE)),
        ({"replies": {"END": "354 More"}}, (451, "4.5.0", Phase.MESSAGE)),
        ({"extensions": ("SIZE 20",)}, (552, "5.3.4", Phase.MAIL)),
        ({"extensions": ("SIZE 20", "PIPELINING")}, (552, "5.3.4", Phase.MAIL)),
    ],
)
async def test_a_refused_message_leaves_a_session_that_is_of_use(
    extensions: tuple[str, ...], habits: dict[str, Any], expected: tuple[int, str, Phase]
) -> None:
    async with place(Habits(**{"extensions": extensions, **habits})) as there:
        session = await there.open()
        (reply,) = await session.send(outgoing())
        assert (reply.code, reply.status, reply.phase) == expected
        assert session.usable
        there.far.habits = Habits(extensions=extensions)
        session._dialogue.connection  # noqa: B018
        await session.send(outgoing())
        assert session.usable


@pytest.mark.parametrize("extensions", [DEFAULT_EXTENSIONS, PIPELINING, PLAIN])
async def test_after_a_refusal_the_next_message_goes_through(extensions: tuple[str, ...]) -> None:
    refused = {"gone@far.example": "550 5.1.1 Gone", "late@far.example": "450 4.2.1 Later"}
    async with place(Habits(extensions=extensions, recipients=refused)) as there:
        session = await there.open()
        replies = await session.send(outgoing("gone@far.example", "late@far.example"))
        assert [reply.code for reply in replies] == [550, 450]
        replies = await session.send(outgoing("gone@far.example", "bob@far.example", "late@far.example"))
        assert [(reply.code, reply.phase) for reply in replies] == [
            (550, Phase.RCPT),
            (250, Phase.MESSAGE),
            (450, Phase.RCPT),
        ]
        assert "RSET" in there.far.commands
        assert there.far.messages[0].recipients == [("bob@far.example", {})]


async def test_data_refused_for_all() -> None:
    async with place(Habits(extensions=PIPELINING, replies={"DATA": "451 4.3.0 No room"})) as there:
        session = await there.open()
        replies = await session.send(outgoing("a@far.example", "b@far.example"))
        assert {(reply.code, reply.phase) for reply in replies} == {(451, Phase.DATA)}
        assert session.usable


@pytest.mark.parametrize("extensions", [PIPELINING, PLAIN])
async def test_a_server_that_never_asks_for_the_message_has_not_taken_it(extensions: tuple[str, ...]) -> None:
    async with place(Habits(extensions=extensions, replies={"DATA": "250 2.0.0 Fine"})) as there:
        session = await there.open()
        replies = await session.send(outgoing("a@far.example", "b@far.example"))
        assert {(reply.code, reply.phase) for reply in replies} == {(451, Phase.DATA)}
        assert not session.usable


async def test_too_many_recipients_are_told_apart() -> None:
    async with place(Habits(most_recipients=2)) as there:
        session = await there.open()
        replies = await session.send(outgoing(*[f"{number}@far.example" for number in range(4)]))
        assert [(reply.code, reply.status) for reply in replies] == [
            (250, "2.0.0"),
            (250, "2.0.0"),
            (452, "4.5.3"),
            (452, "4.5.3"),
        ]


async def test_recipients_beyond_those_a_server_takes_are_not_asked_for() -> None:
    async with place(Habits(extensions=(*DEFAULT_EXTENSIONS, "LIMITS RCPTMAX=2"))) as there:
        session = await there.open()
        replies = await session.send(outgoing(*[f"{number}@far.example" for number in range(3)]))
        assert [(reply.code, reply.status, reply.phase) for reply in replies] == [
            (250, "2.0.0", Phase.MESSAGE),
            (250, "2.0.0", Phase.MESSAGE),
            (452, "4.5.3", Phase.OURS),
        ]
        assert len(there.far.messages[0].recipients) == 2


# Connections that end


@pytest.mark.parametrize("how", ["drop_at", "reset_at"])
@pytest.mark.parametrize("extensions", [DEFAULT_EXTENSIONS, PIPELINING, PLAIN])
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "BODY", "END"])
async def test_a_connection_that_is_lost(how: str, extensions: tuple[str, ...], stage: str) -> None:
    habits: dict[str, Any] = {"extensions": extensions, how: stage}
    async with place(Habits(**habits)) as there:
        session = await there.open()
        body = b"x" * 78 + b"\r\n"
        message = outgoing("a@far.example", "b@far.example", body=body * 40_000)
        may_have_it = stage == "END"
        if may_have_it:
            replies = await session.send(message)
            assert {(reply.code, reply.status, reply.phase) for reply in replies} == {
                (451, "4.4.2", Phase.LOST)
            }
            assert replies[0].text == "The connection was lost before the server answered"
            assert len(there.far.messages) == 0
        elif stage == "DATA" and "CHUNKING" in extensions:
            assert {reply.code for reply in await session.send(message)} == {250}
            return
        else:
            with pytest.raises(ConnectionLost):
                await session.send(message)
        assert not session.usable


async def test_what_was_refused_before_the_connection_was_lost_stays_refused() -> None:
    habits = Habits(extensions=PLAIN, recipients={"gone@far.example": "550 5.1.1 Gone"}, drop_at="DATA")
    async with place(habits) as there:
        session = await there.open()
        replies = await session.send(outgoing("gone@far.example", "bob@far.example"))
        assert [(reply.code, reply.phase) for reply in replies] == [(550, Phase.RCPT), (451, Phase.LOST)]


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "END"])
async def test_421_at_any_time(stage: str) -> None:
    async with place(Habits(extensions=PIPELINING, replies={stage: "421 4.3.2 Closing"})) as there:
        session = await there.open()
        replies = await session.send(outgoing("a@far.example", "b@far.example"))
        assert {(reply.code, reply.status) for reply in replies} == {(421, "4.3.2")}
        assert not session.usable


async def test_a_server_that_says_421_to_one_recipient_and_goes_on() -> None:
    habits = Habits(recipients={"b@far.example": "421 4.7.0 Too many connections"})
    async with place(habits) as there:
        session = await there.open()
        replies = await session.send(outgoing("a@far.example", "b@far.example"))
        assert [(reply.code, reply.phase) for reply in replies] == [(250, Phase.MESSAGE), (421, Phase.RCPT)]
        assert len(there.far.messages) == 1
        assert not session.usable


async def test_a_server_that_says_goodbye_between_messages_is_noticed() -> None:
    async with place(Habits(closes_after_message=True)) as there:
        session = await there.open()
        assert (await session.send(outgoing()))[0].code == 250
        for _ in range(3):
            await asyncio.sleep(0)
        assert not session.usable
        with pytest.raises(ConnectionLost):
            await session.send(outgoing())


async def test_a_server_with_enough_messages() -> None:
    async with place(Habits(extensions=(*DEFAULT_EXTENSIONS, "LIMITS MAILMAX=1"))) as there:
        session = await there.open()
        await session.send(outgoing())
        assert not session.usable


@pytest.mark.parametrize("extensions", [DEFAULT_EXTENSIONS, PIPELINING])
@pytest.mark.parametrize(
    ("early", "expected"),
    [
        ("552 5.3.4 Too large", (552, "5.3.4", Phase.MESSAGE)),
        ("421 4.3.2 Closing", (421, "4.3.2", Phase.MESSAGE)),
        ("250 2.0.0 Taken", (451, "4.5.0", Phase.MESSAGE)),
    ],
)
async def test_an_answer_while_we_are_still_sending(
    extensions: tuple[str, ...], early: str, expected: tuple[int, str, Phase]
) -> None:
    extensions = tuple(word for word in extensions if not word.startswith("SIZE"))
    async with place(Habits(extensions=extensions, early_reply=early)) as there:
        session = await there.open()
        (reply,) = await session.send(outgoing(body=Reader(b"x" * 78 + b"\r\n") and b"y\r\n" * 5_000_000))
        assert (reply.code, reply.status, reply.phase) == expected
        assert not session.usable
        assert not there.far.messages


@pytest.mark.parametrize(
    "garbage",
    [
        b"What?\r\n",
        b"250 " + b"x" * 10_000,
        b"250-x\r\n" * 5_000,
        b"\x16\x03\x01\x02\x00",
        b"250-a\r\n251 \xff\n999\n",
    ],
)
async def test_replies_that_are_none(garbage: bytes) -> None:
    for stage in ("CONNECT", "EHLO") if not garbage.startswith(b"250-a") else ():
        async with place(Habits(replies={stage: garbage})) as there:
            with pytest.raises(NotNow) as caught:
                await there.open()
            assert caught.value.remote == REMOTE
    async with place(Habits(extensions=PIPELINING, replies={"MAIL": garbage})) as there:
        session = await there.open()
        (reply,) = await session.send(outgoing())
        assert (reply.code, reply.status, reply.phase) == (451, "4.5.0", Phase.LOST)
        assert not session.usable


async def test_replies_one_octet_at_a_time() -> None:
    async with place(Habits(octet_by_octet=True)) as there:
        session = await there.open()
        assert session.extensions.pipelining
        assert (await session.send(outgoing()))[0].code == 250


# Time


@pytest.mark.parametrize("stage", ["CONNECT", "EHLO"])
def test_a_server_that_does_not_greet(stage: str) -> None:
    async def scenario() -> None:
        async with place(Habits(stall_at=stage)) as there:
            with pytest.raises(NotNow) as caught:
                await there.open()
            assert caught.value.status == "4.4.2"
            assert str(caught.value) == f"{REMOTE} did not answer in time"

    with VirtualTime(NOW) as time:
        time.run(scenario())
        assert 300 <= time.seconds < 301


@pytest.mark.parametrize(
    ("habits", "seconds"),
    [
        ({"stall_at": "MAIL"}, 300),
        ({"stall_at": "RCPT"}, 300),
        ({"stall_at": "DATA"}, 300),
        ({"stall_at": "END"}, 600),
        ({"stops_reading_at": "BODY"}, 180),
    ],
)
def test_a_server_that_stops(habits: dict[str, Any], seconds: int) -> None:
    async def scenario() -> None:
        async with place(Habits(extensions=PIPELINING, **habits)) as there:
            session = await there.open()
            message = outgoing(body=b"x\r\n" * 2_000_000)
            if "stops_reading_at" in habits:
                with pytest.raises(ConnectionLost, match="does not read"):
                    await session.send(message)
            else:
                (reply,) = await session.send(message)
                assert (reply.code, reply.status, reply.phase) == (451, "4.4.2", Phase.LOST)
            assert not session.usable

    with VirtualTime(NOW) as time:
        time.run(scenario())
        assert seconds <= time.seconds < seconds + 1


def test_a_reply_that_dribbles_in_has_no_more_time_than_another() -> None:
    async def scenario() -> None:
        dribble = b"250-x\r\n" * 400 + b"250 x\r\n"

        async with place(Habits(extensions=PLAIN)) as there:
            session = await there.open()
            there_writer: list[asyncio.StreamWriter] = []

            async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                there_writer.append(writer)
                writer.write(b"220 x\r\n")
                await reader.readline()
                writer.write(b"250 x\r\n")
                await reader.readline()
                for octet in dribble:
                    await asyncio.sleep(100)
                    writer.write(bytes([octet]))

            there.network.servers["198.51.100.8"] = slow
            session = await there.open(addresses=["198.51.100.8"])
            (reply,) = await session.send(outgoing())
            assert (reply.status, reply.phase) == ("4.4.2", Phase.LOST)

    with VirtualTime(NOW) as time:
        time.run(scenario())
        assert 300 <= time.seconds < 301


def test_saying_goodbye_takes_a_moment_at_most() -> None:
    async def scenario() -> None:
        async with place(Habits(stall_at="QUIT")) as there:
            session = await there.open()
            await session.quit()
            assert not session.usable

    with VirtualTime(NOW) as time:
        time.run(scenario())
        assert time.seconds < 5


# Beginning


async def test_a_server_that_knows_helo_only() -> None:
    async with place(Habits(knows_ehlo=False)) as there:
        session = await there.open()
        assert (await session.send(outgoing()))[0].code == 250
        assert there.far.commands[:3] == [
            "EHLO mail.example.org",
            "HELO mail.example.org",
            "MAIL FROM:<ann@example.org>",
        ]


@pytest.mark.parametrize(
    ("habits", "status", "words"),
    [
        ({"replies": {"CONNECT": "554 No SMTP service here"}}, "4.3.2", "took no connection: 554 No SMTP"),
        ({"replies": {"CONNECT": "421 4.7.0 Too busy"}}, "4.7.0", "421 4.7.0 Too busy"),
        ({"replies": {"EHLO": "550 5.7.1 Not you"}, "knows_ehlo": True}, None, ""),
        (
            {"replies": {"EHLO": "550 5.7.1 Not you", "HELO": "550 5.7.1 Never"}},
            "4.7.1",
            "did not take our EHLO",
        ),
        ({"replies": {"EHLO": "450 4.3.2 Later"}}, "4.3.2", "did not take our EHLO: 450 4.3.2 Later"),
        ({"drop_at": "CONNECT"}, "4.4.2", "hung up"),
        ({"reset_at": "EHLO"}, "4.4.2", "hung up"),
    ],
)
async def test_a_server_that_does_not_want_us(habits: dict[str, Any], status: str | None, words: str) -> None:
    async with place(Habits(**habits)) as there:
        if status is None:
            assert (await there.open()).extensions.pipelining is False
            return
        with pytest.raises(NotNow) as caught:
            await there.open()
        assert caught.value.status == status
        assert words in str(caught.value)
        assert caught.value.remote == REMOTE


async def test_the_next_address_of_a_host_is_tried() -> None:
    async with place() as there:
        busy = type(there.far)(Habits(replies={"CONNECT": "421 4.3.2 Busy"}))
        there.network.servers["198.51.100.8"] = busy.serve
        session = await there.open(addresses=["198.51.100.8", "198.51.100.7"])
        assert session.remote == REMOTE
        assert busy.connections == 1
        with pytest.raises(NotNow, match="Busy"):
            await there.open(addresses=["198.51.100.8"])


@pytest.mark.parametrize("addresses", [[], ["203.0.113.9"]])
async def test_no_connection(addresses: list[str]) -> None:
    async with place() as there:
        with pytest.raises(NotNow) as caught:
            await there.open(addresses=addresses)
        assert caught.value.status == "4.4.1"
        assert caught.value.remote == ""


async def test_where_we_connect_from() -> None:
    async with place(source_addresses=("192.0.2.25",)) as there:
        await there.open()
        await there.open(source_addresses=("192.0.2.26",))
        assert [sources for _, _, sources in there.network.connects] == [("192.0.2.25",), ("192.0.2.26",)]


# LMTP


async def test_lmtp_answers_for_each_recipient() -> None:
    habits = Habits(
        lmtp=True,
        recipients={
            "full@far.example": "250 2.1.5 Fine",
            "END full@far.example": "452 4.2.2 Full",
            "gone@far.example": "550 5.1.1 Gone",
        },
    )
    async with place(habits) as there:
        session = await there.open(is_lmtp=True)
        for _ in range(2):
            replies = await session.send(
                outgoing("ann@far.example", "gone@far.example", "full@far.example", "bob@far.example")
            )
            assert [(reply.code, reply.phase) for reply in replies] == [
                (250, Phase.MESSAGE),
                (550, Phase.RCPT),
                (452, Phase.MESSAGE),
                (250, Phase.MESSAGE),
            ]
            assert session.usable
        assert there.far.commands[0] == "LHLO mail.example.org"
        (first, _) = there.far.messages
        assert not first.by_bdat


async def test_lmtp_over_a_unix_socket() -> None:
    async with place(Habits(lmtp=True)) as there:
        there.network.servers["/run/lmtp"] = there.far.serve
        host = Host("/run/lmtp", 0, unix_path="/run/lmtp")
        from postino.outbound.client.session import ClientSession

        target = Target("k", (host,), "mail.example.org", is_lmtp=True)
        session = await ClientSession.open(host, target, there.settings, now=NOW, network=there.network)
        assert session.remote == "/run/lmtp"
        assert (await session.send(outgoing()))[0].code == 250


async def test_lmtp_has_no_helo() -> None:
    async with place(Habits(lmtp=False)) as there:
        with pytest.raises(NotNow, match="did not take our LHLO"):
            await there.open(is_lmtp=True)
        await there.network.settle()
        assert there.far.commands == ["LHLO mail.example.org", "QUIT"]
