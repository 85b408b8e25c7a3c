"""Mail of another server through a real worker to the next one, and its report back."""

import asyncio
import smtplib
from pathlib import Path

from click.testing import CliRunner

from postino.cli.main import main
from tests.support.far_server import FarServer, Habits
from tests.support.live_server import LiveServer

MESSAGE = b"From: Sue <sue@client.example>\r\nSubject: hello\r\n\r\nSome words.\r\n"


def send(port: int, reverse_path: str, recipient: str) -> tuple[int, bytes]:
    """What is answered to the message, or to what was refused before it."""
    with smtplib.SMTP("127.0.0.1", port, "client.example") as client:
        client.ehlo()
        client.mail(reverse_path)
        code, text = client.rcpt(recipient)
        return client.data(MESSAGE) if code == 250 else (code, text)


async def test_forwarded_mail_goes_on_and_reports_come_back(tmp_path: Path) -> None:
    far = FarServer(Habits(recipients={"gone@far.example": "550 5.1.1 Gone"}))
    async with far.listen():
        route = f'[[outbound.routes]]\nhost = "127.0.0.1:{far.port}"\ntls = "none"\n'
        with LiveServer(tmp_path, accounts={"ann@example.org": "secret"}, settings=route) as server:

            def add(name: str, target: str) -> None:
                words = ["alias", "add", f"{name}@example.org", target, "--data", str(server.data)]
                done = CliRunner().invoke(main, words)
                assert done.exit_code == 0, done.output

            add("team", "bob@far.example")
            add("old", "gone@far.example")
            port = server.ports["smtp"]
            code, text = await asyncio.to_thread(send, port, "sue@client.example", "team@example.org")
            assert (code, text[:15]) == (250, b"2.0.0 Passed on")
            (message,) = far.messages
            assert message.reverse_path.startswith("SRS0=")
            assert message.octets.endswith(MESSAGE)
            code, text = await asyncio.to_thread(send, port, "sue@client.example", "old@example.org")
            assert (code, text[-20:]) == (550, b"said: 550 5.1.1 Gone")
            # Whoever reports on it reaches Sue.
            code, _ = await asyncio.to_thread(send, port, "", message.reverse_path)
            assert code == 250
            assert [to for to, _ in far.messages[1].recipients] == ["sue@client.example"]
