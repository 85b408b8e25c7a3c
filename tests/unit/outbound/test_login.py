"""Logging in to a smarthost: which mechanism, inside what, and what a server's lies come to."""

import asyncio
import base64
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from postino.net.tls import end_point_hash
from postino.outbound.targeting.target import HostTls, NotNow, TlsLevel
from postino.sasl.exchange import Challenge, FindScramKeys, ReportProof, Success
from postino.sasl.mechanisms import Mechanism, begin
from postino.sasl.scram import ChannelBinding, derive_keys
from tests.support.certificates import make
from tests.support.far_server import DEFAULT_EXTENSIONS, Habits
from tests.unit.outbound.sessions import NOW, outgoing, place, server_context

USERS = {"ann": "pencil", "jörg": "geheim, ja="}
REQUIRED = HostTls(TlsLevel.REQUIRED)


@pytest.mark.parametrize("mechanisms", [("PLAIN", "LOGIN"), ("LOGIN",), ("X-OWN", "PLAIN")])
@pytest.mark.parametrize("login", USERS)
async def test_a_password(mechanisms: tuple[str, ...], login: str, tmp_path: Path) -> None:
    context = server_context(tmp_path, make("mx.far.example", now=NOW))
    async with place(Habits(tls=context, users=USERS, mechanisms=mechanisms)) as there:
        session = await there.open(REQUIRED, login=login, password=USERS[login])
        assert (await session.send(outgoing()))[0].code == 250
        assert there.far.messages[0].login == login
        with pytest.raises(NotNow, match="correct the route's login") as caught:
            await there.open(REQUIRED, login=login, password="wrong")
        assert caught.value.status == "4.7.8"
        assert "wrong" not in str(caught.value).lower().replace("535 5.7.8 wrong", "")


async def test_a_password_is_never_said_in_the_clear() -> None:
    async with place(Habits(users=USERS)) as there:
        with pytest.raises(NotNow, match="inside TLS only"):
            await there.open(login="ann", password="pencil")
        assert not any(command.startswith("AUTH") for command in there.far.commands)


async def test_a_long_password_waits_to_be_asked_for(tmp_path: Path) -> None:
    # RFC 4954 §4: an initial response must not make the command longer than a command may be.
    context = server_context(tmp_path, make("mx.far.example", now=NOW))
    async with place(Habits(tls=context, users={"ann": "x" * 500})) as there:
        session = await there.open(REQUIRED, login="ann", password="x" * 500)
        assert "AUTH PLAIN" in there.far.commands
        assert (await session.send(outgoing()))[0].code == 250


async def test_a_server_without_a_way_we_know(tmp_path: Path) -> None:
    context = server_context(tmp_path, make("mx.far.example", now=NOW))
    async with place(Habits(tls=context, users=USERS, mechanisms=("CRAM-MD5",))) as there:
        with pytest.raises(NotNow, match="no way to log in that we know: CRAM-MD5"):
            await there.open(REQUIRED, login="ann", password="pencil")


class ScramServer:
    """A far server with SCRAM; its exchange is that of our own server, which is tested against the RFC."""

    def __init__(self, offered: str, binding: bytes, spoil: Callable[[bytes], bytes] | None = None) -> None:
        self.offered = offered
        self.binding = ChannelBinding(binding)
        self.spoil = spoil or (lambda octets: octets)
        self.commands: list[bytes] = []
        self.is_in = False
        self.context: ssl.SSLContext
        self.writer: asyncio.StreamWriter

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        writer.write(b"220 x\r\n")
        while line := await reader.readline():
            self.commands.append(line)
            if line.startswith(b"EHLO"):
                secure = writer.get_extra_info("ssl_object") is not None
                offers = f"AUTH {self.offered}" if secure else "STARTTLS"
                writer.write(f"250-x\r\n250 {offers}\r\n".encode())
            elif line.startswith(b"STARTTLS"):
                writer.write(b"220 go\r\n")
                await writer.start_tls(self.context)
            elif line.startswith(b"AUTH"):
                _, name, initial = line.split()
                await self.exchange(reader, Mechanism(name.decode()), base64.b64decode(initial))
        writer.close()

    async def exchange(self, reader: asyncio.StreamReader, mechanism: Mechanism, initial: bytes) -> None:
        running = begin(mechanism, initial, nonce=b"server-nonce", binding=self.binding)
        answer: Any = None
        try:
            while True:
                step = running.send(answer)
                if isinstance(step, FindScramKeys):
                    answer = derive_keys(USERS.get(step.login, "-"), b"salt" * 4, 4096)
                elif isinstance(step, ReportProof):
                    answer = step.holds
                else:
                    assert isinstance(step, Challenge)
                    spoiled = self.spoil(step.octets)
                    if spoiled == b"235":
                        self.writer.write(b"235 2.7.0 In\r\n")
                        return
                    self.writer.write(b"334 " + base64.b64encode(spoiled) + b"\r\n")
                    line = (await reader.readline()).strip()
                    if line == b"*":
                        self.writer.write(b"501 5.7.0 Cancelled\r\n")
                        return
                    answer = base64.b64decode(line)
        except StopIteration as done:
            self.is_in = isinstance(done.value, Success)
            self.writer.write(b"235 2.7.0 In\r\n")
        except Exception:
            self.writer.write(b"535 5.7.8 No\r\n")


async def log_in(
    tmp_path: Path, offered: str, *, binding: bytes | None = None, password: str = "pencil", **more: Any
) -> ScramServer:
    """`binding` is what the server believes to be its certificate's hash; None for what it is."""
    made = make("mx.far.example", now=NOW)
    server = ScramServer(offered, end_point_hash(made.certificate) if binding is None else binding, **more)
    server.context = server_context(tmp_path, made)
    async with place() as there:
        there.network.servers["198.51.100.7"] = server.serve
        await there.open(REQUIRED, login="ann", password=password)
    return server


async def test_scram_is_preferred_and_bound_to_the_connection(tmp_path: Path) -> None:
    offered = "PLAIN LOGIN SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-256-PLUS"
    server = await log_in(tmp_path, offered)
    assert server.is_in
    assert server.commands[3].startswith(b"AUTH SCRAM-SHA-256-PLUS ")


async def test_scram_with_a_server_that_cannot_bind(tmp_path: Path) -> None:
    server = await log_in(tmp_path, "PLAIN SCRAM-SHA-256", binding=b"")
    assert server.is_in
    # "y": we could have.
    assert base64.b64decode(server.commands[3].split()[2]).startswith(b"y,,n=ann,r=")


async def test_a_mechanism_taken_out_of_the_list_shows(tmp_path: Path) -> None:
    with pytest.raises(NotNow, match=r"535 5\.7\.8 No"):
        await log_in(tmp_path, "PLAIN SCRAM-SHA-256")


async def test_somebody_in_between_shows_in_the_binding(tmp_path: Path) -> None:
    with pytest.raises(NotNow, match=r"535 5\.7\.8 No"):
        await log_in(tmp_path, "SCRAM-SHA-256-PLUS", binding=b"\1" * 32)


async def test_a_wrong_password(tmp_path: Path) -> None:
    with pytest.raises(NotNow, match="does not let 'ann' in"):
        await log_in(tmp_path, "SCRAM-SHA-256-PLUS", password="other")


def _spoil(begins: bytes, replace: bytes) -> Callable[[bytes], bytes]:
    return lambda octets: replace if octets.startswith(begins) else octets


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_spoil(b"v=", b"v=" + base64.b64encode(b"x" * 32)), "not who it should be"),
        (_spoil(b"v=", b"e=invalid-proof"), "login or the password is wrong"),
        (_spoil(b"v=", b"235"), "without having proved"),
        (_spoil(b"r=", b"235"), "without having proved"),
        (_spoil(b"r=", b"r=replayed,s=c2FsdA==,i=4096"), "server-first-message"),
        (_spoil(b"r=", b"what"), "server-first-message"),
        (lambda octets: octets.replace(b"i=4096", b"i=999999999"), "not reasonable"),
        (lambda octets: octets.replace(b"i=4096", b"i=1"), "not reasonable"),
    ],
)
async def test_a_server_that_does_not_know_the_password(
    spoil: Callable[[bytes], bytes], why: str, tmp_path: Path
) -> None:
    with pytest.raises(NotNow, match=why):
        await log_in(tmp_path, "SCRAM-SHA-256-PLUS", spoil=spoil)


async def test_a_challenge_that_is_not_base64(tmp_path: Path) -> None:
    context = server_context(tmp_path, make("mx.far.example", now=NOW))
    habits = Habits(tls=context, extensions=(*DEFAULT_EXTENSIONS, "AUTH LOGIN"))
    async with place(habits) as there:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 x\r\n")
            while line := await reader.readline():
                if line.startswith(b"AUTH"):
                    writer.write("334 ü?\r\n".encode())
                elif line == b"*\r\n":
                    writer.write(b"501 5.7.0 Cancelled\r\n")
                elif line.startswith(b"STARTTLS"):
                    writer.write(b"220 go\r\n")
                    await writer.start_tls(context)
                else:
                    writer.write(b"250-x\r\n250-STARTTLS\r\n250 AUTH LOGIN\r\n")
            writer.close()

        there.network.servers["198.51.100.7"] = serve
        with pytest.raises(NotNow, match="not base64"):
            await there.open(REQUIRED, login="ann", password="pencil")
