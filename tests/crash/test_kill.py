"""kill -9 of a worker, and of everything, under load: what was acknowledged is there, once and whole."""

import imaplib
import os
import signal
import smtplib
import threading
import time
from pathlib import Path

import pytest

from tests.live.mail_programs import ANN, BOB, PASSWORD, client_tls
from tests.support.live_server import LiveServer

ACCOUNTS = {ANN: PASSWORD, BOB: PASSWORD}
SENDERS = 6


def children_of(pid: int) -> list[int]:
    """The processes that `pid` started."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


class Senders:
    """Threads that send numbered messages as fast as they can, and remember what was answered with 250."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.begun: set[str] = set()
        self.acknowledged: set[str] = set()
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._send, args=(n,)) for n in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def _send(self, sender: int) -> None:
        number = 0
        while not self.stop.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", self.port, timeout=10) as smtp:
                    while not self.stop.is_set():
                        number += 1
                        key = f"kill-{sender}-{number}"
                        with self.lock:
                            self.begun.add(key)
                        body = f"Message-ID: <{key}@example.org>\r\nSubject: {key}\r\n\r\n{key} {'x' * 3000} end\r\n"
                        smtp.sendmail("s@elsewhere.example", [ANN, BOB], body.encode())
                        with self.lock:
                            self.acknowledged.add(key)
            except (OSError, smtplib.SMTPException):
                self.stop.wait(0.05)

    def wait_for(self, count: int) -> None:
        """Until `count` more messages were acknowledged; fails after half a minute."""
        goal = len(self.acknowledged) + count
        deadline = time.monotonic() + 30
        while len(self.acknowledged) < goal:
            assert time.monotonic() < deadline, "the server takes no more mail"
            self.stop.wait(0.02)

    def finish(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(timeout=30)


def check_mail(server: LiveServer, senders: Senders) -> None:
    """Every acknowledged message is in both accounts once and whole, and nothing unknown is there."""
    for account in ACCOUNTS:
        with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=client_tls(server)) as imap:
            imap.login(account, PASSWORD)
            imap.select("INBOX", readonly=True)
            found: list[str] = []
            for item in imap.fetch("1:*", "(BODY.PEEK[TEXT])")[1]:
                if isinstance(item, tuple):
                    key, _, rest = item[1].decode().partition(" ")
                    assert rest == f"{'x' * 3000} end\r\n", f"{key} is not whole"
                    found.append(key)
        assert len(found) == len(set(found)), "a message is there twice"
        assert senders.acknowledged <= set(found), "an acknowledged message is lost"
        assert set(found) <= senders.begun


@pytest.mark.parametrize("workers", [2])
def test_a_killed_worker_loses_nothing_and_is_replaced(tmp_path: Path, workers: int) -> None:
    with LiveServer(tmp_path, accounts=ACCOUNTS, workers=workers) as server:
        senders = Senders(server.ports["smtp"])
        try:
            for _ in range(3):
                senders.wait_for(30)
                os.kill(children_of(server.pid)[0], signal.SIGKILL)
            senders.wait_for(30)
        finally:
            senders.finish()
        server.wait_for_log("worker.restarted", times=3)
        assert len(children_of(server.pid)) >= workers
        check_mail(server, senders)
        server.verify()


def test_a_killed_server_loses_nothing(tmp_path: Path) -> None:
    with LiveServer(tmp_path, accounts=ACCOUNTS, workers=2) as server:
        senders = Senders(server.ports["smtp"])
        try:
            for _ in range(2):
                senders.wait_for(40)
                for pid in [server.pid, *children_of(server.pid)]:
                    os.kill(pid, signal.SIGKILL)
                server.start_again()
            senders.wait_for(20)
        finally:
            senders.finish()
        check_mail(server, senders)
        server.verify()
