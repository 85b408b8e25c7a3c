"""Mail on its way out of a real server: many submit, workers are killed meanwhile, everything arrives."""

import asyncio
import os
import signal
import smtplib
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.far_server import FarServer, Habits
from tests.support.live_server import LiveServer

ANN = "ann@example.org"
SUBMITTERS, MESSAGES = 3, 40
_SECONDS = 60.0


@contextmanager
def far_server(habits: Habits) -> Iterator[FarServer]:
    """A far server in a thread of its own."""
    server = FarServer(habits)
    loop = asyncio.new_event_loop()
    listening, over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with server.listen():
            listening.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert listening.wait(10)
        yield server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


def subjects(far: FarServer) -> Counter[str]:
    """How often each message arrived."""
    found: Counter[str] = Counter()
    for message in tuple(far.messages):
        header = message.octets.partition(b"\r\n\r\n")[0].decode()
        found[next(line[9:] for line in header.split("\r\n") if line.startswith("Subject: "))] += 1
    return found


def submit(server: LiveServer, context: ssl.SSLContext, who: int, accepted: list[str]) -> None:
    """Submit one message after the other, with a new connection whenever the last was lost."""
    client: smtplib.SMTP_SSL | None = None
    for number in range(MESSAGES):
        subject = f"message {who}/{number}"
        give_up = time.monotonic() + _SECONDS
        while time.monotonic() < give_up:
            try:
                if client is None:
                    client = smtplib.SMTP_SSL(
                        "localhost", server.ports["submissions"], context=context, timeout=20
                    )
                    client.login(ANN, "secret")
                client.sendmail(
                    ANN, [f"to{number}@far.example"], f"From: {ANN}\r\nSubject: {subject}\r\n\r\nHello.\r\n"
                )
                accepted.append(subject)
                break
            except (smtplib.SMTPException, OSError):
                client = None
                time.sleep(0.05)
    if client is not None:
        client.quit()


def workers_of(pid: int) -> list[int]:
    """The children of the supervisor."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until_arrived(far: FarServer, accepted: list[str]) -> None:
    give_up = time.monotonic() + _SECONDS
    while set(accepted) - subjects(far).keys():
        assert time.monotonic() < give_up, f"not arrived: {sorted(set(accepted) - subjects(far).keys())[:5]}"
        time.sleep(0.05)


def test_everything_accepted_arrives_though_workers_are_killed(tmp_path: Path) -> None:
    """At least once; twice only what was under way when its worker died (docs/states/queue.md)."""
    with far_server(Habits()) as far:
        settings = (
            "[outbound]\ndaily_messages = 0\ndaily_recipients = 0\nburst_messages = 0\n"
            f'[[outbound.routes]]\nhost = "127.0.0.1:{far.port}"\ntls = "none"\n'
        )
        with LiveServer(tmp_path, accounts={ANN: "secret"}, workers=2, settings=settings) as server:
            context = ssl.create_default_context(cafile=str(server.cafile))
            accepted: list[str] = []
            submitters = [
                threading.Thread(target=submit, args=(server, context, who, accepted))
                for who in range(SUBMITTERS)
            ]
            for submitter in submitters:
                submitter.start()
            for part in (1, 2, 3):
                while len(accepted) < part * SUBMITTERS * MESSAGES // 4:
                    assert any(submitter.is_alive() for submitter in submitters)
                    time.sleep(0.005)
                os.kill(workers_of(server.pid)[part % 2], signal.SIGKILL)
            for submitter in submitters:
                submitter.join(_SECONDS)
            assert len(accepted) == SUBMITTERS * MESSAGES
            wait_until_arrived(far, accepted)
            # An orderly end and another start send nothing twice.
            before = len(far.messages)
            server.stop()
            server.start()
            assert len(far.messages) == before
            server.verify()
        assert "delivery.fault" not in server.log()
        assert "queue.fault" not in server.log()


def test_an_orderly_end_finishes_the_message_under_way(tmp_path: Path) -> None:
    with far_server(Habits(slow_seconds=0.3)) as far:
        settings = f'[[outbound.routes]]\nhost = "127.0.0.1:{far.port}"\ntls = "none"\n'
        with LiveServer(tmp_path, accounts={ANN: "secret"}, settings=settings) as server:
            context = ssl.create_default_context(cafile=str(server.cafile))
            with smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=context) as client:
                client.login(ANN, "secret")
                client.sendmail(ANN, ["bob@far.example"], f"From: {ANN}\r\nSubject: slow\r\n\r\nHello.\r\n")
            while not far.connections:
                time.sleep(0.005)
            assert server.stop() == 0
            assert subjects(far) == {"slow": 1}
            server.start()
            listed = server.cli("queue", "list").stdout
            assert "bob@far.example" not in listed
