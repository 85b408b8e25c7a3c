"""Read transcripts and play them against the server; README.md describes the format."""

import asyncio
import hashlib
import re
import ssl
import zlib
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from postino.core.limits import Limits
from postino.net.connection import Connection, Peer
from tests.support.memory_network import MemoryClient

HERE = Path(__file__).parent
MESSAGES = HERE / "messages"
PATIENCE_SECONDS = 5.0
KINDS = {"smtp", "submission", "lmtp", "imap", "pop3", "managesieve"}
LINE_PROTOCOLS = {"imap", "pop3", "managesieve"}
"""By their own names; all others are spoken as SMTP is."""
LITERAL_PROTOCOLS = {"imap", "managesieve"}


class Mode(Enum):
    """How the client's octets travel."""

    WHOLE = "whole"
    BYTES = "bytes"
    LINES = "lines"
    LIVE = "live"


class TranscriptError(Exception):
    """The file is not a transcript."""


class MismatchError(AssertionError):
    """The server did not say what the transcript expects."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line: `A` `>` `text`. `kind` is one of `:` `>` `-` `<` `*` `~` `!`; `-` is `>-`."""

    number: int
    client: str
    kind: str
    text: str


@dataclass(slots=True)
class Transcript:
    """A parsed file."""

    path: Path
    about: str = ""
    rfc: str = ""
    seed: str = "empty"
    limits: Limits = field(default_factory=Limits)
    modes: list[Mode] = field(default_factory=lambda: list(Mode))
    steps: list[Step] = field(default_factory=list)


_STEP = re.compile(r"([A-Z])(>-|[:><*~!])(?: (.*)|)")
_HEAD = re.compile(r"(about|rfc|seed|limits|modes):\s*(.*)")


def parse_transcript(path: Path) -> Transcript:
    """Read a file. Raises TranscriptError naming the line."""
    made = Transcript(path)
    for number, raw in enumerate(path.read_text("utf-8").split("\n"), 1):
        line = raw.rstrip()
        if not line or line.startswith("#"):
            continue
        head = _HEAD.fullmatch(line)
        if head and not made.steps:
            name, value = head[1], head[2].split("  #")[0].strip()
            if name == "limits":
                given = dict(item.split("=", 1) for item in value.split())
                made.limits = msgspec.convert(given, Limits, strict=False)
            elif name == "modes":
                made.modes = [Mode(word) for word in value.split()]
            else:
                setattr(made, name, value)
            continue
        step = _STEP.fullmatch(line)
        if step is None:
            raise TranscriptError(f"{path.name}:{number}: not a line of a transcript: {line!r}")
        kind = "-" if step[2] == ">-" else step[2]
        made.steps.append(Step(number, step[1], kind, step[3] or ""))
    if not made.about:
        raise TranscriptError(f"{path.name}: has no about:")
    return made


# Text of a transcript to octets and patterns

_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|([rnt0\\{]))")
_ESCAPED = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\", "{": b"{"}
_NAME = re.compile(r"\{([A-Za-z0-9_]*[A-Za-z_][A-Za-z0-9_]*)\}")
_FILE = re.compile(r"<<([=#]?)([A-Za-z0-9_.-]+)")


def message_octets(name: str) -> bytes:
    """A file of messages/ with CRLF line ends."""
    return (MESSAGES / name).read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _inserted(how: str, name: str, protocol: str, *, sent: bool) -> bytes:
    octets = message_octets(name)
    if how == "#":
        return b"%d" % len(octets)
    if how == "=":
        return octets
    if protocol in LITERAL_PROTOCOLS:
        return b"{%d%s}\r\n" % (len(octets), b"+" if sent else b"") + octets
    return re.sub(rb"(?m)^\.", b"..", octets).removesuffix(b"\r\n")


def sent_octets(text: str, protocol: str, known: dict[str, str]) -> bytes:
    """What a `>` line puts on the wire, without its CRLF."""
    text = _NAME.sub(lambda match: known.get(match[1], match[0]), text)
    made = bytearray()
    at = 0
    for match in _FILE.finditer(text):
        made += _unescaped(text[at : match.start()])
        made += _inserted(match[1], match[2], protocol, sent=True)
        at = match.end()
    return bytes(made + _unescaped(text[at:]))


def _unescaped(text: str) -> bytes:
    made = bytearray()
    at = 0
    for match in _ESCAPE.finditer(text):
        made += text[at : match.start()].encode()
        made += bytes([int(match[1], 16)]) if match[1] else _ESCAPED[match[2]]
        at = match.end()
    return bytes(made + text[at:].encode())


def rendered(octets: bytes) -> str:
    """A received line as transcripts write it."""
    text = octets.decode("utf-8", "backslashreplace")
    return "".join(c if c >= " " and c != "\x7f" else f"\\x{ord(c):02x}" for c in text)


def expected_lines(text: str, protocol: str) -> list[str]:
    """One `<` line as the lines it stands for: more than one when it inserts a file."""
    made = [""]
    at = 0
    for match in _FILE.finditer(text):
        made[-1] += text[at : match.start()]
        pieces = _inserted(match[1], match[2], protocol, sent=False).split(b"\r\n")
        for index, piece in enumerate(pieces):
            literal = rendered(piece).replace("{", "\\{").replace("...", "\\...")
            if index:
                made.append("")
            made[-1] += literal
        at = match.end()
    made[-1] += text[at:]
    return made


_TOKEN = re.compile(r"\\\.\.\.|\.\.\.|\\\{|" + _NAME.pattern)


def pattern(text: str, known: dict[str, str]) -> re.Pattern[str]:
    """The regular expression of an expected line; captured names become groups."""
    made = []
    text = text.replace("\\x20", " ")
    seen: set[str] = set()
    at = 0
    for match in _TOKEN.finditer(text):
        made.append(re.escape(text[at : match.start()]))
        token = match[0]
        if token == "...":
            made.append(".*")
        elif token == "\\...":
            made.append(re.escape("..."))
        elif token == "\\{":
            made.append(re.escape("{"))
        elif match[1] in known:
            made.append(re.escape(known[match[1]]))
        elif match[1] in seen:
            made.append(f"(?P=v_{match[1]})")
        else:
            seen.add(match[1])
            made.append(f"(?P<v_{match[1]}>\\S+?)")
        at = match.end()
    made.append(re.escape(text[at:]))
    return re.compile("".join(made))


# The clients

Serve = Callable[[Connection], Awaitable[None]]


class MemoryEnd:
    """A client without a socket, sending in the pieces its mode asks for."""

    def __init__(self, client: MemoryClient, mode: Mode) -> None:
        self.client = client
        self.mode = mode

    async def send(self, data: bytes) -> None:
        if self.mode is Mode.BYTES:
            pieces = [data[at : at + 1] for at in range(len(data))]
        elif self.mode is Mode.LINES:
            pieces = [piece for piece in re.split(rb"(?<=\r\n)", data) if piece]
        else:
            pieces = [data]
        for piece in pieces:
            self.client.send(piece)
            await asyncio.sleep(0)

    async def more(self) -> bytes:
        await self.client.wait_for_more(PATIENCE_SECONDS)
        return self.client.transport.client_takes()

    async def settled(self) -> bytes:
        return await self.client.quiet(PATIENCE_SECONDS)

    @property
    def is_closed(self) -> bool:
        return self.client.is_closed and not self.client.transport.written

    async def shake_hands(self) -> None:
        self.client.shake_hands()
        while not (self.client.connection.is_tls or self.client.is_closed):  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def end(self) -> None:
        self.client.end()

    def lose(self) -> None:
        self.client.lose()


class _LiveConnection(Connection):
    """A real connection that believes its client to be elsewhere, and serves itself."""

    def __init__(self, serve: Serve, peer: Peer, certificate_hash: bytes, *, tls: bool) -> None:
        super().__init__()
        self._serve = serve
        self._believed = peer
        self._hash = certificate_hash
        self._from_start = tls
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.peer = self._believed
        if self.task is None:
            if self._from_start:
                self.server_certificate_hash = self._hash
            self.task = asyncio.ensure_future(self._run())

    async def start_tls(self, context: ssl.SSLContext, *, timeout_seconds: float = 30.0) -> None:
        await super().start_tls(context, timeout_seconds=timeout_seconds)
        self.server_certificate_hash = self._hash

    async def _run(self) -> None:
        try:
            await self._serve(self)
        finally:
            self.close()


class LiveEnd:
    """A client over a loopback socket."""

    def __init__(
        self,
        server: asyncio.Server,
        connection: _LiveConnection,
        reader: asyncio.StreamReader,
        writer: Any,
        material: "TlsMaterial",
    ) -> None:
        self.server = server
        self.connection = connection
        self.reader = reader
        self.writer = writer
        self.material = material
        self.is_closed = False

    @classmethod
    async def connect(cls, serve: Serve, peer: Peer, *, tls: bool, material: "TlsMaterial") -> "LiveEnd":
        loop = asyncio.get_running_loop()
        connection = _LiveConnection(serve, peer, material.certificate_hash, tls=tls)
        context = material.server if tls else None
        server = await loop.create_server(lambda: connection, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            port,
            ssl=material.client if tls else None,
            server_hostname="mail.example.org" if tls else None,
        )
        return cls(server, connection, reader, writer, material)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def more(self) -> bytes:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                data = await self.reader.read(65536)
        except (ConnectionError, ssl.SSLError):
            data = b""
        self.is_closed = not data
        return data

    async def settled(self) -> bytes:
        return b""

    async def shake_hands(self) -> None:
        await self.writer.start_tls(self.material.client, server_hostname="mail.example.org")

    async def end(self) -> None:
        if self.writer.can_write_eof():
            self.writer.write_eof()
        else:
            self.writer.close()

    def lose(self) -> None:
        self.writer.transport.abort()

    async def shut(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (ConnectionError, ssl.SSLError):
            pass
        if self.connection.task is not None:
            await asyncio.wait_for(self.connection.task, PATIENCE_SECONDS)
        self.connection.abort()
        self.server.close()
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """Both sides' contexts and the hash of the certificate for channel binding."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    certificate_hash: bytes


def make_tls_material(directory: Path) -> TlsMaterial:
    """A throwaway certificate for mail.example.org."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.example.org")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("mail.example.org")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = directory / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    client = ssl.create_default_context(cafile=str(pem))
    der = certificate.public_bytes(serialization.Encoding.DER)
    return TlsMaterial(server, client, hashlib.sha256(der).digest())


# Playing


class Player:
    """One transcript being played in one mode."""

    def __init__(
        self,
        transcript: Transcript,
        mode: Mode,
        serve_function: Callable[[str], Serve],
        material: TlsMaterial,
    ) -> None:
        self.transcript = transcript
        self.mode = mode
        self.serve_function = serve_function
        self.material = material
        self.ends: dict[str, Any] = {}
        self.protocols: dict[str, str] = {}
        self.buffers: dict[str, bytes] = {}
        self.since_command: dict[str, list[str]] = {}
        self.forbidden: dict[str, list[Step]] = {}
        self.deflaters: dict[str, Any] = {}
        self.inflaters: dict[str, Any] = {}
        self.known: dict[str, str] = {}
        self.dialogue: list[str] = []
        self.stack = AsyncExitStack()

    async def play(self) -> None:
        """Raises MismatchError with the dialogue so far."""
        async with self.stack:
            steps = self.transcript.steps
            at = 0
            while at < len(steps):
                step = steps[at]
                group = 1
                if step.kind in ">-~":
                    alike = ">-" if step.kind in ">-" else "~"
                    while (
                        at + group < len(steps)
                        and steps[at + group].client == step.client
                        and steps[at + group].kind in alike
                    ):
                        group += 1
                await self._do(steps[at : at + group])
                at += group
            for client in self.ends:
                await self._no_more(client, steps[-1])
                self._check_forbidden(client)

    async def _do(self, steps: list[Step]) -> None:
        step = steps[0]
        client = step.client
        if step.kind != ":" and client not in self.ends:
            raise TranscriptError(f"{self._where(step)}: {client} has not connected")
        match step.kind:
            case ":":
                await self._directive(step)
            case ">" | "-":
                await self._no_more(client, step)
                self._check_forbidden(client)
                self.since_command[client] = []
                self.forbidden[client] = []
                data = b"".join(
                    sent_octets(s.text, self.protocols[client], self.known)
                    + (b"\r\n" if s.kind == ">" else b"")
                    for s in steps
                )
                self.dialogue.extend(f"{client}> {rendered(line)}" for line in data.split(b"\r\n"))
                if client in self.deflaters:
                    deflater = self.deflaters[client]
                    data = deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)
                await self.ends[client].send(data)
            case "<":
                for text in expected_lines(step.text, self.protocols[client]):
                    line = await self._line(step)
                    if not self._matches(text, line):
                        raise self._mismatch(step, line)
            case "*":
                while not self._matches(step.text, await self._line(step)):
                    pass
            case "~":
                wanted = list(steps)
                while wanted:
                    line = await self._line(wanted[0])
                    found = next((s for s in wanted if self._matches(s.text, line)), None)
                    if found is None:
                        raise self._mismatch(wanted[0], line)
                    wanted.remove(found)
            case "!":
                self.forbidden.setdefault(client, []).append(step)

    async def _directive(self, step: Step) -> None:
        word, *options = step.text.split()
        client = step.client
        if word in KINDS:
            await self._connect(step, word, dict(option.split("=", 1) for option in options))
        elif client not in self.ends:
            raise TranscriptError(f"{self._where(step)}: {client} has not connected")
        elif word == "tls":
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.ends[client].shake_hands()
        elif word == "close":
            await self._no_more(client, step)
            await self.ends[client].end()
        elif word == "deflate":
            self.deflaters[client] = zlib.compressobj(wbits=-15)
            self.inflaters[client] = zlib.decompressobj(-15)
            self.buffers[client] = self._heard(client, self.buffers[client])
        elif word == "lose":
            self.ends[client].lose()
        elif word == "closed":
            while not self.ends[client].is_closed:
                self.buffers[client] += await self._more(step)
            if self.buffers[client]:
                raise self._mismatch(step, rendered(self.buffers[client]))
        else:
            raise TranscriptError(f"{self._where(step)}: unknown word {word!r}")

    async def _connect(self, step: Step, kind: str, options: dict[str, str]) -> None:
        client = step.client
        tls = options.pop("tls", "yes") == "yes"
        peer = Peer(options.pop("peer", "192.0.2.1"), 40_000 + ord(client))
        serve = self.serve_function(kind)
        if self.mode is Mode.LIVE:
            live = await LiveEnd.connect(serve, peer, tls=tls, material=self.material)
            self.stack.push_async_callback(live.shut)
            self.ends[client] = live
        else:
            memory = await self.stack.enter_async_context(MemoryClient(serve, peer=peer, tls=tls))
            self.ends[client] = MemoryEnd(memory, self.mode)
        self.protocols[client] = kind if kind in LINE_PROTOCOLS else "smtp"
        self.buffers[client] = b""
        self.since_command[client] = []
        self.forbidden[client] = []
        if options.pop("greeting", "drop") == "drop":
            await self._answer(step, {"imap": "* ", "managesieve": "OK"}.get(kind))
        login, password = options.pop("login", ""), options.pop("password", "secret")
        select = options.pop("select", "")
        if options:
            raise TranscriptError(f"{self._where(step)}: unknown options {sorted(options)}")
        if login:
            await self._log_in(step, kind, login if "@" in login else f"{login}@example.org", password)
        if select:
            await self.ends[client].send(f'setup SELECT "{select}"\r\n'.encode())
            await self._answer(step, "setup OK")
        self.since_command[client] = []

    async def _log_in(self, step: Step, kind: str, login: str, password: str) -> None:
        import base64

        end = self.ends[step.client]
        if kind == "imap":
            await end.send(f"setup LOGIN {login} {password}\r\n".encode())
            await self._answer(step, "setup OK")
        elif kind == "pop3":
            await end.send(f"USER {login}\r\n".encode())
            await self._answer(step, "+OK")
            await end.send(f"PASS {password}\r\n".encode())
            await self._answer(step, "+OK")
        elif kind == "managesieve":
            plain = base64.b64encode(f"\0{login}\0{password}".encode()).decode()
            await end.send(f'AUTHENTICATE "PLAIN" "{plain}"\r\n'.encode())
            await self._answer(step, "OK")
        else:
            plain = base64.b64encode(f"\0{login}\0{password}".encode()).decode()
            await end.send(b"EHLO client.example\r\n")
            await self._answer(step, None)
            await end.send(f"AUTH PLAIN {plain}\r\n".encode())
            await self._answer(step, "235")

    async def _answer(self, step: Step, wanted: str | None) -> None:
        """Read one whole answer of a setting-up command; for SMTP with all its lines."""
        while True:
            line = await self._line(step)
            if wanted == "setup OK" and not line.startswith("setup "):
                continue
            if wanted == "OK" and line.startswith('"'):
                continue
            if wanted is not None and not line.startswith(wanted):
                raise self._mismatch(step, line)
            if wanted is None and line[3:4] == "-" and line[:3].isdigit():
                continue
            return

    async def _line(self, step: Step) -> str:
        client = step.client
        while b"\r\n" not in self.buffers[client]:
            if self.ends[client].is_closed:
                raise self._mismatch(step, "(the server closed)")
            self.buffers[client] += await self._more(step)
        octets, _, self.buffers[client] = self.buffers[client].partition(b"\r\n")
        line = rendered(octets)
        self.dialogue.append(f"{client}< {line}")
        self.since_command[client].append(line)
        return line

    async def _more(self, step: Step) -> bytes:
        try:
            more: bytes = await self.ends[step.client].more()
        except TimeoutError:
            had = rendered(self.buffers[step.client])
            raise self._mismatch(step, f"(nothing more{': ' + had if had else ''})") from None
        return self._heard(step.client, more)

    def _heard(self, client: str, data: bytes) -> bytes:
        """What came, inflated while the server compresses; it ends that with the end of its stream."""
        inflater = self.inflaters.get(client)
        if inflater is None:
            return data
        data = inflater.decompress(data)
        if inflater.eof:
            del self.deflaters[client], self.inflaters[client]
            data += inflater.unused_data
        return data

    def _matches(self, text: str, line: str) -> bool:
        match = pattern(text, self.known).fullmatch(line)
        if match is None:
            return False
        self.known.update((name[2:], value) for name, value in match.groupdict().items())
        return True

    async def _no_more(self, client: str, step: Step) -> None:
        self.buffers[client] += self._heard(client, await self.ends[client].settled())
        if self.buffers[client]:
            raise self._mismatch(
                Step(step.number, client, "<", "(nothing more)"), rendered(self.buffers[client])
            )

    def _check_forbidden(self, client: str) -> None:
        for step in self.forbidden[client]:
            for line in self.since_command[client]:
                if pattern(step.text, self.known).fullmatch(line):
                    raise self._mismatch(step, line)

    def _where(self, step: Step) -> str:
        return f"{self.transcript.path.name}:{step.number}"

    def _mismatch(self, step: Step, got: str) -> MismatchError:
        tail = "\n  ".join(self.dialogue[-25:])
        return MismatchError(
            f"{self._where(step)} ({self.mode.value})\n  expected {step.client}{step.kind} {step.text}\n"
            f"  got      {got}\nThe dialogue so far:\n  {tail}"
        )
