"""Our client with Postfix's smtp-sink: what arrives, and every way it can be told to misbehave."""

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from postino.core.ids import Instant
from postino.net.connection import ConnectionLost
from postino.outbound.client.session import ClientSession, Outgoing, Phase
from postino.outbound.settings import OutboundSettings
from postino.outbound.targeting.target import Host, HostTls, NotNow, Target, TlsLevel
from postino.smtp.envelope import NO_RCPT_OPTIONS, BodyType, MailOptions
from tests.support.live_server import free_ports

SINK = Path("/usr/sbin/smtp-sink")
HEADER = b"From: ann@example.org\r\nSubject: Hello\r\n\r\n"
BODY = b".hidden\r\n.\r\n..\r\nlast\r\n"

pytestmark = [
    pytest.mark.skipif(not SINK.exists() and not os.environ.get("CI"), reason="Postfix is not installed"),
]


@asynccontextmanager
async def sink(*options: str, is_lmtp: bool = False) -> AsyncIterator["Sink"]:
    (port,) = free_ports(1)
    user = ["-u", "root"] if os.geteuid() == 0 else []
    process = await asyncio.create_subprocess_exec(
        str(SINK), *user, *options, *(["-L"] if is_lmtp else []), f"127.0.0.1:{port}", "20",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    there = Sink(port, is_lmtp)
    try:
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.02)
        yield there
    finally:
        for session in there.sessions:
            session.close()
        process.kill()
        await process.wait()
        # What was still closing sees the end of the stream now.
        await asyncio.sleep(0.01)


class Sink:
    def __init__(self, port: int, is_lmtp: bool) -> None:
        self.host = Host("sink.example", port, HostTls(TlsLevel.NONE), ("127.0.0.1",))
        self.target = Target("sink", (self.host,), "mail.example.org", is_lmtp=is_lmtp)
        self.sessions: list[ClientSession] = []

    async def open(self) -> ClientSession:
        settings = OutboundSettings(reply_seconds=20, data_seconds=20)
        session = await ClientSession.open(self.host, self.target, settings, now=Instant(0))
        self.sessions.append(session)
        return session


def message(*recipients: str, body: bytes = BODY, options: MailOptions = MailOptions()) -> Outgoing:  # noqa: B008
    return Outgoing(
        reverse_path="ann@example.org",
        options=options,
        recipients=[(address, NO_RCPT_OPTIONS) for address in recipients or ("bob@example.net",)],
        header=HEADER,
        body=body,
    )


@pytest.mark.parametrize("option", ["-v", "-p", "-8", "-e", "-E", "-N", "-P"])
@pytest.mark.parametrize("is_lmtp", [False, True])
async def test_what_arrives(option: str, is_lmtp: bool, tmp_path: Path) -> None:
    if is_lmtp and option in {"-e", "-P"}:
        pytest.skip("there is no LMTP without LHLO's extensions")
    large = (b"x" * 76 + b"\r\n.\r\n") * 20_000
    async with sink(option, "-d", f"{tmp_path}/%M.", is_lmtp=is_lmtp) as there:
        session = await there.open()
        assert session.extensions.pipelining == (option not in {"-p", "-e", "-P"})
        assert session.extensions.eight_bit_mime == (option not in {"-8", "-e", "-P"})
        for body in (BODY, large):
            replies = await session.send(message("bob@example.net", "carl@example.net", body=body))
            assert [(reply.code, reply.phase) for reply in replies] == [(250, Phase.MESSAGE)] * 2
            assert session.usable
        await session.quit()
    dumped = sorted((file.read_bytes() for file in tmp_path.iterdir()), key=len)  # noqa: ASYNC240
    assert len(dumped) == 2
    for text, body in zip(dumped, (BODY, large), strict=True):
        assert re.findall(rb"X-Rcpt-Args: <([^>]*)>", text) == [b"bob@example.net", b"carl@example.net"]
        # It writes lines as this system has them, and an empty one at the end.
        assert text.partition(b"\nSubject: Hello\n\n")[2].rstrip(b"\n") == body.replace(
            b"\r\n", b"\n"
        ).rstrip(b"\n")


@pytest.mark.parametrize(
    ("option", "code", "phase"),
    [
        (("-r", "MAIL"), 450, Phase.MAIL),
        (("-f", "MAIL"), 500, Phase.MAIL),
        (("-r", "RCPT"), 450, Phase.RCPT),
        (("-f", "RCPT"), 500, Phase.RCPT),
        (("-r", "DATA"), 450, Phase.DATA),
        (("-f", "DATA"), 500, Phase.DATA),
        (("-r", "."), 450, Phase.MESSAGE),
        (("-f", "."), 500, Phase.MESSAGE),
        (("-Q", "MAIL"), 421, Phase.MAIL),
        (("-Q", "RCPT"), 421, Phase.RCPT),
        (("-Q", "DATA"), 421, Phase.DATA),
        (("-Q", "."), 421, Phase.MESSAGE),
        (("-q", "."), 451, Phase.LOST),
        (("-A", "0"), 550, Phase.MESSAGE),
    ],
)
async def test_refusals(option: tuple[str, str], code: int, phase: Phase) -> None:
    async with sink(*option) as there:
        session = await there.open()
        (reply,) = await session.send(
            message(body=(b"x" * 76 + b"\r\n") * 100_000 if option[0] == "-A" else BODY)
        )
        assert (reply.code, reply.phase) == (code, phase)
        assert session.usable == (option[0] in {"-r", "-f"})
        if session.usable:
            (again,) = await session.send(message())
            assert again.code == code


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
async def test_lines_that_are_cut(stage: str) -> None:
    async with sink("-q", stage) as there:
        session = await there.open()
        with pytest.raises(ConnectionLost):
            await session.send(message())


@pytest.mark.parametrize(
    ("option", "opens"),
    [
        (("-r", "CONNECT"), False),
        (("-q", "CONNECT"), False),
        (("-q", "EHLO"), False),
        (("-Q", "EHLO"), False),
        (("-f", "EHLO"), True),
        (("-f", "EHLO,HELO"), False),
    ],
)
async def test_greetings(option: tuple[str, str], opens: bool) -> None:
    async with sink(*option) as there:
        if opens:
            assert (await (await there.open()).send(message()))[0].code == 250
        else:
            with pytest.raises(NotNow):
                await there.open()


async def test_8_bit_octets_for_a_server_without_8bitmime() -> None:
    async with sink("-8") as there:
        session = await there.open()
        options = MailOptions(body=BodyType.EIGHT_BIT_MIME)
        (reply,) = await session.send(message(body="ü\r\n".encode(), options=options))
        assert (reply.status, reply.phase) == ("5.6.3", Phase.OURS)
