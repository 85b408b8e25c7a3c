"""Other people's mail servers, with their habits: greylisting, refusals, dropped lines, slowness, broken TLS, lies.

A `FarServer` speaks what its `Habits` say to any number of clients, over loopback TCP (`listen()`), a Unix socket
(`listen_unix()`) or a pipe of memory (`network.servers[address] = far.serve`), and keeps what it was sent. It is
written from the RFCs with the standard library alone, so that it shares no mistake with what it tests.
"""

import asyncio
import base64
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

DEFAULT_EXTENSIONS = (
    "PIPELINING",
    "SIZE 10485760",
    "8BITMIME",
    "SMTPUTF8",
    "CHUNKING",
    "BINARYMIME",
    "DSN",
    "ENHANCEDSTATUSCODES",
)
Say = str | bytes
"""A reply: `250 2.1.0 Fine` (CRLF is added), or octets as they are."""


@dataclass(frozen=True)
class Habits:
    """How a server behaves. Stages are CONNECT, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, BODY, END, RSET, QUIT.

    The message comes to its END, and when it was taken to TAKEN, before the reply is said.
    """

    hostname: str = "mx.far.example"
    extensions: tuple[str, ...] = DEFAULT_EXTENSIONS
    lmtp: bool = False
    knows_ehlo: bool = True
    replies: Mapping[str, Say | Callable[[str], Say | None]] = field(default_factory=dict)
    """By stage, instead of the usual reply; a function is given the argument, None is the usual reply."""
    recipients: Mapping[str, Say] = field(default_factory=dict)
    """Replies to RCPT by address; in LMTP `END address` is the reply to the message."""
    only_recipients: frozenset[str] | None = None
    """Everybody else is 550."""
    greylist: int = 0
    """How many times each (sender, recipient) hears 451 first."""
    drop_at: str = ""
    """The connection ends at this stage, without a reply. BODY: after a few octets of it."""
    reset_at: str = ""
    """The same, as a machine that crashes."""
    stall_at: str = ""
    """Nothing is said at this stage, nor ever after."""
    slow_seconds: float = 0.0
    """Before each reply."""
    octet_by_octet: bool = False
    """Replies come one octet at a time."""
    stops_reading_at: str = ""
    """At BODY: no octet of the message is read, until the client hangs up."""
    early_reply: Say = b""
    """Said after 1,000 octets of a message; then the rest is read and thrown away."""
    most_recipients: int = 0
    most_messages: int = 0
    """421 to the MAIL after so many."""
    closes_after_message: bool = False
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    offers_tls: bool = True
    """With `tls`: whether STARTTLS is in the EHLO answer."""
    tls_breaks: bool = False
    """Agrees to STARTTLS and then talks nonsense."""
    before_tls: bytes = b""
    """Said in the clear behind the reply to STARTTLS."""
    extensions_in_tls: tuple[str, ...] | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    """Logins and passwords; then mail is only taken after AUTH."""
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")


@dataclass
class FarMessage:
    """One message that was taken, or refused at its end."""

    reverse_path: str
    mail_parameters: dict[str, str]
    recipients: list[tuple[str, dict[str, str]]]
    """Those that were taken."""
    octets: bytes = b""
    """Dot-stuffing undone."""
    by_bdat: bool = False
    tls: str = ""
    login: str = ""
    hello: str = ""
    connection: int = 0
    """Which of the server's connections brought it, from 1."""
    reply: str = ""
    """What was answered to it."""
    client: str = ""
    """The client's address."""
    habits: Habits | None = None
    """The server's, as they were when the connection began."""


class Gone(Exception):
    """The dialogue ends here."""


class FarServer:
    """One server. What it has seen is in `messages`, `commands` and `connections`."""

    def __init__(self, habits: Habits | None = None) -> None:
        self.habits = habits or Habits()
        self.messages: list[FarMessage] = []
        """Those taken with 250, in LMTP for one recipient at least."""
        self.refused: list[FarMessage] = []
        """Those that came whole and were refused."""
        self.commands: list[str] = []
        """Every command line of every client."""
        self.connections = 0
        self.open_connections = 0
        self.most_open = 0
        self.handshakes_failed = 0
        self.port = 0
        self._grey: dict[tuple[str, str], int] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak with one client until it goes."""
        self.connections += 1
        self.open_connections += 1
        self.most_open = max(self.most_open, self.open_connections)
        try:
            await _Conversation(self, reader, writer, self.connections).run()
        except (Gone, ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self.open_connections -= 1
            writer.close()

    def is_greylisted(self, reverse_path: str, recipient: str) -> bool:
        """Count this attempt, and say whether it comes too early."""
        seen = self._grey[reverse_path, recipient] = self._grey.get((reverse_path, recipient), 0) + 1
        return seen <= self.habits.greylist

    @asynccontextmanager
    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator["FarServer"]:
        """Serve on loopback; `port` is then where."""
        implicit = self.habits.tls if self.habits.implicit_tls else None
        server = await asyncio.start_server(self._accepted, host, port, ssl=implicit, limit=2**20)
        self.port = server.sockets[0].getsockname()[1]
        async with self._until_done(server):
            yield self

    @asynccontextmanager
    async def listen_unix(self, path: str) -> AsyncIterator["FarServer"]:
        """Serve on a Unix socket."""
        server = await asyncio.start_unix_server(self._accepted, path, limit=2**20)
        async with self._until_done(server):
            yield self

    @asynccontextmanager
    async def _until_done(self, server: asyncio.Server) -> AsyncIterator[None]:
        try:
            yield
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
            await server.wait_closed()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self.serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Conversation:
    def __init__(
        self, far: FarServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self.far = far
        self.habits = far.habits
        self.reader = reader
        self.writer = writer
        self.number = number
        self.hello = ""
        self.login = ""
        self.message: FarMessage | None = None
        self.chunks = b""
        self.count = 0

    async def run(self) -> None:
        habits = self.habits
        await self.reply("CONNECT", f"220 {habits.hostname} ESMTP ready")
        while True:
            line = await self.line()
            verb, _, argument = line.partition(" ")
            verb = verb.upper()
            match verb:
                case "EHLO" | "LHLO" | "HELO":
                    await self.greet(verb, argument)
                case "STARTTLS":
                    await self.start_tls()
                case "AUTH":
                    await self.authenticate(argument)
                case "MAIL":
                    await self.mail(argument)
                case "RCPT":
                    await self.rcpt(argument)
                case "DATA":
                    await self.data()
                case "BDAT":
                    await self.bdat(argument)
                case "RSET":
                    self.message, self.chunks = None, b""
                    await self.reply("RSET", "250 2.0.0 Reset")
                case "NOOP":
                    await self.reply("NOOP", "250 2.0.0 Here")
                case "QUIT":
                    await self.reply("QUIT", "221 2.0.0 Bye")
                    return
                case _:
                    await self.reply("UNKNOWN", "500 5.5.1 What?")

    # Wire

    async def line(self) -> str:
        octets = await self.reader.readline()
        if not octets.endswith(b"\r\n"):
            raise Gone
        assert octets.count(b"\r") == 1, octets
        assert b"\0" not in octets, octets
        line = octets[:-2].decode()
        self.far.commands.append(line)
        return line

    async def reply(self, stage: str, usual: str, argument: str = "") -> str:
        """Answer as the habits have it; gives what was said."""
        return await self.say(await self.decide(stage, usual, argument))

    async def decide(self, stage: str, usual: str, argument: str = "") -> Say:
        """What is to be answered, if anything is."""
        habits = self.habits
        if habits.stall_at == stage:
            await asyncio.Event().wait()
        if habits.reset_at == stage:
            transport = self.writer.transport
            getattr(transport, "reset", transport.abort)()
            raise Gone
        if habits.drop_at == stage:
            raise Gone
        own = habits.replies.get(stage)
        if callable(own):
            own = own(argument)
        return usual if own is None else own

    async def say(self, what: Say) -> str:
        if self.habits.slow_seconds:
            await asyncio.sleep(self.habits.slow_seconds)
        octets = what if isinstance(what, bytes) else what.encode() + b"\r\n"
        if self.habits.octet_by_octet:
            for at in range(len(octets)):
                self.writer.write(octets[at : at + 1])
                await asyncio.sleep(0)
        else:
            self.writer.write(octets)
        await self.writer.drain()
        return octets.decode("latin-1").strip()

    @property
    def tls(self) -> str:
        found = self.writer.get_extra_info("ssl_object")
        return found.version() or "" if found is not None else ""

    # Commands

    async def greet(self, verb: str, argument: str) -> None:
        habits = self.habits
        self.message, self.chunks = None, b""
        if (verb == "LHLO") != habits.lmtp or (verb == "EHLO" and not habits.knows_ehlo):
            await self.say("500 5.5.1 Not here")
            return
        self.hello = argument
        if verb == "HELO":
            await self.reply("HELO", f"250 {habits.hostname}")
            return
        words = list(habits.extensions)
        if self.tls and habits.extensions_in_tls is not None:
            words = list(habits.extensions_in_tls)
        if habits.tls is not None and habits.offers_tls and not self.tls:
            words.append("STARTTLS")
        if habits.users:
            words.append("AUTH " + " ".join(habits.mechanisms))
        lines = [habits.hostname, *words]
        text = "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}"
        await self.reply("EHLO", text)

    async def start_tls(self) -> None:
        habits = self.habits
        if habits.tls is None and not habits.tls_breaks:
            await self.reply("STARTTLS", "454 4.7.0 No TLS now")
            return
        said = await self.reply("STARTTLS", "220 2.0.0 Go ahead")
        if not said.startswith("220"):
            return
        if habits.before_tls:
            await self.say(habits.before_tls)
        if habits.tls_breaks:
            await self.say(b"500 What is this?\r\n")
            raise Gone
        assert habits.tls is not None
        try:
            await self.writer.start_tls(habits.tls)
        except (OSError, ssl.SSLError):
            self.far.handshakes_failed += 1
            raise Gone from None
        self.hello, self.login, self.message = "", "", None

    async def authenticate(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if mechanism == "PLAIN":
            if not initial:
                await self.say("334 ")
                initial = await self.line()
            _, login, password = base64.b64decode(initial).decode().split("\0")
        elif mechanism == "LOGIN":
            await self.say("334 VXNlcm5hbWU6")
            login = base64.b64decode(await self.line()).decode()
            await self.say("334 UGFzc3dvcmQ6")
            password = base64.b64decode(await self.line()).decode()
        else:
            await self.say("504 5.5.4 Unknown mechanism")
            return
        if self.habits.users.get(login) != password:
            await self.reply("AUTH", "535 5.7.8 Wrong")
            return
        said = await self.reply("AUTH", "235 2.7.0 Welcome")
        if said.startswith("235"):
            self.login = login

    async def mail(self, argument: str) -> None:
        habits = self.habits
        path, parameters = _path(argument, "FROM")
        usual = "250 2.1.0 Sender fine"
        if habits.users and not self.login:
            usual = "530 5.7.0 Log in first"
        elif self.message is not None:
            usual = "503 5.5.1 Nested MAIL"
        elif habits.most_messages and self.count >= habits.most_messages:
            await self.say("421 4.7.0 Enough for one connection")
            raise Gone
        elif unknown := [name for name in parameters if not self.offers(name)]:
            usual = f"555 5.5.4 Unknown: {unknown}"
        elif (size := self.limit()) and int(parameters.get("SIZE", "0")) > size:
            usual = "552 5.3.4 Too large"
        said = await self.reply("MAIL", usual, path)
        if said.startswith("2"):
            self.count += 1
            client = self.writer.get_extra_info("peername")
            self.message = FarMessage(
                path,
                parameters,
                [],
                tls=self.tls,
                login=self.login,
                hello=self.hello,
                connection=self.number,
                client=client[0] if isinstance(client, tuple) else "",
                habits=habits,
            )

    def offers(self, parameter: str) -> bool:
        words = [word.split()[0].upper() for word in self.habits.extensions]
        if self.tls and self.habits.extensions_in_tls is not None:
            words = [word.split()[0].upper() for word in self.habits.extensions_in_tls]
        needed = {
            "BODY": "8BITMIME",
            "RET": "DSN",
            "ENVID": "DSN",
            "NOTIFY": "DSN",
            "ORCPT": "DSN",
            "BY": "DELIVERBY",
        }
        return needed.get(parameter, parameter) in words

    def limit(self) -> int:
        found = [word.split() for word in self.habits.extensions if word.upper().startswith("SIZE ")]
        return int(found[0][1]) if found else 0

    async def rcpt(self, argument: str) -> None:
        habits = self.habits
        path, parameters = _path(argument, "TO")
        message = self.message
        usual: Say = "250 2.1.5 Recipient fine"
        if message is None:
            usual = "503 5.5.1 MAIL first"
        elif path in habits.recipients:
            usual = habits.recipients[path]
        elif habits.only_recipients is not None and path not in habits.only_recipients:
            usual = "550 5.1.1 No such user"
        elif unknown := [name for name in parameters if not self.offers(name)]:
            usual = f"555 5.5.4 Unknown: {unknown}"
        elif self.far.is_greylisted(message.reverse_path, path):
            usual = "451 4.7.1 Greylisted, try again later"
        elif habits.most_recipients and len(message.recipients) >= habits.most_recipients:
            usual = "452 4.5.3 Too many recipients"
        text = usual if isinstance(usual, str) else usual.decode("latin-1")
        said = await self.reply("RCPT", text, path)
        if said.startswith("2") and message is not None:
            message.recipients.append((path, parameters))

    async def data(self) -> None:
        message = self.message
        if message is None or not message.recipients:
            await self.reply(
                "DATA", "503 5.5.1 Nobody to send it to" if message is None else "554 5.5.1 Nobody"
            )
            return
        assert message.mail_parameters.get("BODY") != "BINARYMIME"
        said = await self.reply("DATA", "354 Go on")
        if not said.startswith("354"):
            return
        octets = b""
        while not (octets.endswith(b"\r\n.\r\n") or octets == b".\r\n"):
            octets += await self.piece(octets)
            # RFC 5321 §4.1.1.4: the end is found by this sequence and nothing else.
            end = (b"\r\n" + octets).find(b"\r\n.\r\n")
            if end >= 0:
                assert end + 3 == len(octets), "a command follows the message too early"
        assert re.search(rb"(?<!\r)\n|\r(?!\n)", octets) is None, "a bare CR or LF came by DATA"
        stuffed = b"\r\n" + octets[:-3]
        message.octets = stuffed.replace(b"\r\n..", b"\r\n.")[2:]
        assert re.search(rb"\r\n\.(?!\.)", stuffed) is None, "a dot was not stuffed"
        await self.end(message)

    async def bdat(self, argument: str) -> None:
        size, _, last = argument.partition(" ")
        octets = b""
        while len(octets) < int(size):
            octets += await self.piece(octets, int(size) - len(octets))
        message = self.message
        if message is None or not message.recipients:
            await self.reply("BDAT", "503 5.5.1 Nobody to send it to")
            return
        self.chunks += octets
        if last.upper() != "LAST":
            await self.reply("BDAT", "250 2.0.0 Chunk taken")
            return
        message.by_bdat = True
        message.octets, self.chunks = self.chunks, b""
        await self.end(message)

    async def piece(self, before: bytes, most: int = 2**16) -> bytes:
        """More of a message, as the habits let it come."""
        habits = self.habits
        if habits.stops_reading_at == "BODY":
            transport: Any = self.writer.transport
            transport.pause_reading()
            await asyncio.Event().wait()
        if habits.early_reply and len(before) > 1000:
            await self.say(habits.early_reply)
            while await self.reader.read(2**16):
                pass
            raise Gone
        if habits.drop_at == "BODY" and len(before) > 10:
            raise Gone
        if habits.reset_at == "BODY" and len(before) > 10:
            await self.reply("BODY", "")
        piece = await self.reader.read(min(most, 2**16))
        if not piece:
            raise Gone
        return piece

    async def end(self, message: FarMessage) -> None:
        self.message = None
        usual = "250 2.0.0 Taken as 4711"
        limit = self.limit()
        if limit and len(message.octets) > limit:
            usual = "552 5.3.4 Too large"
        if self.habits.lmtp:
            said = ""
            for address, _ in message.recipients:
                one = self.habits.recipients.get(f"END {address}", usual)
                text = await self.say(one)
                said = text if not said or text.startswith("2") else said
        else:
            # Whoever answers 250 has it, whether or not the answer arrives.
            what = await self.decide("END", usual)
            said = what.decode("latin-1").strip() if isinstance(what, bytes) else what
        message.reply = said
        (self.far.messages if said.startswith("2") else self.far.refused).append(message)
        if not self.habits.lmtp:
            if said.startswith("2"):
                await self.decide("TAKEN", "")
            await self.say(what)
        if self.habits.closes_after_message:
            raise Gone


def _path(argument: str, word: str) -> tuple[str, dict[str, str]]:
    """(address, parameters) of MAIL or RCPT, by RFC 5321 §4.1.2 and strictly."""
    found = re.fullmatch(rf'{word}:<((?:"(?:[^"\\]|\\.)*"|[^<>"\s])*)>((?: [^ ]+)*)', argument)
    assert found is not None, argument
    parameters = {}
    for parameter in found[2].split():
        name, _, value = parameter.partition("=")
        assert name.isupper() or "-" in name or name == "8BITMIME", parameter
        assert name not in parameters, parameter
        parameters[name] = value
    return found[1], parameters
