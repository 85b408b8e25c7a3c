"""What the tests with real mail programs share: finding the program, a corpus, a server with mail in it."""

import os
import shutil
import smtplib
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.support.live_server import LiveServer

PASSWORD = "open sesame 1"
ANN, BOB = "ann@example.org", "bob@example.org"


def require_program(name: str) -> str:
    """The program's path; missing is a failure in CI and a skip elsewhere."""
    found = shutil.which(name)
    if found:
        return found
    if os.environ.get("CI"):
        pytest.fail(f"{name} is not installed: .ci/run must install it")
    pytest.skip(f"{name} is not installed here")


@contextmanager
def running_server(directory: Path, *, workers: int = 1) -> Iterator[LiveServer]:
    """A real server on loopback with ann and bob; ends with its data verified."""
    with LiveServer(directory, accounts={ANN: PASSWORD, BOB: PASSWORD}, workers=workers) as server:
        yield server
    server.verify()


def run_program(
    command: list[str], *, cwd: Path, env: dict[str, str] | None = None, ok: tuple[int, ...] = (0,)
) -> str:
    """Run to the end, at most a minute; gives what it printed, and fails with it."""
    environment = {**os.environ, "HOME": str(cwd), "LC_ALL": "C.UTF-8", **(env or {})}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    output = done.stdout + done.stderr
    assert done.returncode in ok, f"{' '.join(command)} ended with {done.returncode}:\n{output}"
    return output


def sample(number: int) -> EmailMessage:
    """A message with text, an umlaut in the subject and, each third one, an attachment."""
    message = EmailMessage()
    message["From"] = f"Böb Sender <{BOB}>"
    message["To"] = f"Ann <{ANN}>"
    message["Subject"] = f"Grüße Nummer {number}"
    message["Message-ID"] = f"<sample-{number}@example.org>"
    message["Date"] = f"Mon, {number % 28 + 1:02d} Jun 2026 10:00:00 +0200"
    message.set_content(f"Hello Ann,\n\n.this line begins with a dot\nand this is sample {number}.\n")
    if number % 3 == 0:
        message.add_attachment(
            bytes(range(256)) * 40, maintype="application", subtype="octet-stream", filename="data.bin"
        )
    return message


def client_tls(server: LiveServer) -> ssl.SSLContext:
    """A context that trusts exactly this server."""
    return ssl.create_default_context(cafile=str(server.cafile))


def deliver(server: LiveServer, count: int, *, first: int = 1) -> list[bytes]:
    """Send `count` samples from bob to ann by submission; gives the octets sent."""
    sent = []
    with smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=client_tls(server)) as smtp:
        smtp.login(BOB, PASSWORD)
        for number in range(first, first + count):
            message = sample(number)
            octets = message.as_bytes(policy=message.policy.clone(linesep="\r\n", cte_type="7bit"))
            smtp.sendmail(BOB, [ANN], octets)
            sent.append(octets)
    return sent
