"""`postino demo`: what a newcomer sees first."""

import contextlib
import imaplib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

OFFSETS = (25, 465, 587, 110, 995, 143, 993, 4190)


def free_base_port() -> int:
    """A base with all the demonstration's ports free."""
    for base in range(20_000, 60_000, 1009):
        with contextlib.ExitStack() as stack:
            try:
                for offset in OFFSETS:
                    held = stack.enter_context(socket.socket())
                    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    held.bind(("127.0.0.1", base + offset))
            except OSError:
                continue
            return base
    pytest.fail("no free ports")


class Demonstration:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.page = ""

    def read_until(self, text: str) -> str:
        assert self.process.stdout is not None
        while text not in self.page:
            line = self.process.stdout.readline()
            assert line, f"the demonstration ended:\n{self.page}"
            self.page += line
        return self.page

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=30)
        self.page += rest
        return self.process.returncode

    def password(self, login: str) -> str:
        found = re.search(rf"{re.escape(login)} +(\S+)", self.page.partition("password")[2])
        assert found, self.page
        return found[1]


@contextlib.contextmanager
def demonstration(*arguments: str) -> Iterator[Demonstration]:
    process = subprocess.Popen(
        [sys.executable, "-m", "postino", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    try:
        yield Demonstration(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def inbox(port: int, login: str, password: str) -> int:
    """How many messages are in INBOX."""
    with imaplib.IMAP4("127.0.0.1", port) as imap:
        imap.login(login, password)
        return int(imap.select("INBOX", readonly=True)[1][0])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_shows_itself_at_work_and_serves_until_ctrl_c(workers: str) -> None:
    base = free_base_port()
    with demonstration("--base-port", str(base), "--workers", workers) as demo:
        page = demo.read_until("Ctrl-C stops")
        assert page.count("✓") == 3
        for offset in OFFSETS:
            assert str(base + offset) in page
        assert "error" not in page.lower()
        assert inbox(base + 143, "ann@example.org", demo.password("ann@example.org")) == 5
        assert inbox(base + 143, "bob@example.org", demo.password("bob@example.org")) == 4
        directory = re.search(r"trust (\S+)/tls/", page)
        assert directory
        assert Path(directory[1]).is_dir()
        assert demo.end() == 0
        assert "Stopped." in demo.page
        assert "Traceback" not in demo.page
        assert not Path(directory[1]).exists()


def test_data_is_kept_and_used_again(tmp_path: Path) -> None:
    base, data = free_base_port(), tmp_path / "mail"
    options = ["--base-port", str(base), "--data", str(data), "--no-samples", "--account"]
    with demonstration(*options, "me@example.net:my password") as demo:
        demo.read_until("Ctrl-C stops")
        assert inbox(base + 143, "me@example.net", "my password") == 1
        assert demo.end(signal.SIGTERM) == 0
    assert (data / "demo-accounts.json").stat().st_mode & 0o077 == 0
    with demonstration(*options, "me@example.net:another", "--account", "you@example.net:yours") as demo:
        page = demo.read_until("Ctrl-C stops")
        assert "me@example.net is there already and keeps its password" in page
        assert inbox(base + 143, "me@example.net", "my password") == 2
        assert inbox(base + 143, "you@example.net", "yours") == 0
        assert demo.end() == 0
    done = subprocess.run(
        [sys.executable, "-m", "postino", "verify", "--data", str(data)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_busy_port_is_named_with_a_way_out() -> None:
    base = free_base_port()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", base + 143))
        taken.listen()
        with demonstration("--base-port", str(base)) as demo:
            assert demo.process.wait(30) == 1
            assert demo.process.stdout is not None
            (line,) = demo.process.stdout.read().splitlines()
    assert line == (
        f"Error: Port {base + 143} on 127.0.0.1 is in use by another program; choose other ports, for example "
        f"with --base-port {base + 10_000 if base + 10_000 <= 61_345 else 20_000}"
    )


def test_an_account_without_a_password_is_refused() -> None:
    with demonstration("--account", "ann@example.org") as demo:
        assert demo.process.wait(30) == 1
        assert demo.process.stdout is not None
        assert demo.process.stdout.read() == (
            "Error: 'ann@example.org' is not an account; write ADDRESS:PASSWORD, as in ann@example.org:secret\n"
        )


def test_a_real_servers_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "postino.toml").write_text("")
    with demonstration("--data", str(tmp_path)) as demo:
        assert demo.process.wait(30) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["postino.toml"]


def test_it_starts_quickly() -> None:
    """A generous bound: the benchmark measures; this only notices a start that has become slow."""
    base = free_base_port()
    began = time.monotonic()
    with demonstration("--base-port", str(base)) as demo:
        demo.read_until("✓ SMTP")
        assert time.monotonic() - began < 10
        demo.end()
