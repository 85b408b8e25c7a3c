"""What a server under test must offer, and the accounts every one of them has."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from bench.corpus import DOMAIN

HOST: Final = "127.0.0.1"
PASSWORD: Final = "measured-with-care"
HUNDRED: Final = tuple(f"user{number:03d}@{DOMAIN}" for number in range(100))
ONE: Final = f"one@{DOMAIN}"
READER: Final = f"reader@{DOMAIN}"
POPPER: Final = f"popper@{DOMAIN}"
IDLER: Final = f"idler@{DOMAIN}"
SEARCHER: Final = f"searcher@{DOMAIN}"
GROWER: Final = f"grower@{DOMAIN}"
LISTER: Final = f"lister@{DOMAIN}"
ACCOUNTS: Final = (ONE, READER, POPPER, IDLER, SEARCHER, GROWER, LISTER, *HUNDRED)


class ServerProblem(Exception):
    """A server cannot be installed, started or reached; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where one server listens, all on loopback."""

    smtp: int
    imap: int
    pop3: int
    lmtp: int
    submission: int

    @classmethod
    def from_base(cls, base: int) -> "Ports":
        """The well-known numbers, moved up by `base`."""
        return cls(smtp=base + 25, imap=base + 143, pop3=base + 110, lmtp=base + 24, submission=base + 587)


class Server(Protocol):
    """One server under test."""

    name: str
    ports: Ports

    def start(self) -> None:
        """Start with empty mailboxes; returns when it answers."""

    def stop(self) -> None:
        """Stop it; harmless if it does not run."""

    def version(self) -> str:
        """Name and version, for the report."""


def require_free(ports: Ports) -> None:
    """Raise unless nobody listens on `ports`."""
    for port in (ports.smtp, ports.imap, ports.pop3, ports.lmtp, ports.submission):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise ServerProblem(
                    f"port {port} is taken ({error.strerror}); stop what uses it or choose --base-port"
                ) from error


def wait_for_greeting(port: int, start: bytes, seconds: float, alive: Callable[[], bool]) -> None:
    """Wait until a connection to `port` is greeted with `start`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not alive():
            raise ServerProblem(f"the server for port {port} ended before it answered; see its log")
        try:
            with socket.create_connection((HOST, port), timeout=2.0) as probe:
                if probe.recv(512).startswith(start):
                    return
        except OSError:
            pass
        time.sleep(0.005)
    raise ServerProblem(f"no greeting on port {port} within {seconds:.0f} s; see the server's log")


def run_quietly(command: list[str], seconds: float = 60.0) -> tuple[int, str]:
    """Run a control command to its end; gives its exit code and what it printed.

    The output goes to a file: a daemon that keeps the descriptors would hold a pipe open for ever.
    """
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command, check=False, stdout=output, stderr=output, timeout=seconds, stdin=subprocess.DEVNULL
        )
        output.seek(0)
        return done.returncode, output.read().decode(errors="replace").strip()


def fresh_directory(path: Path) -> None:
    """Make `path` an empty directory that other users of the machine may pass through."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    path.chmod(0o755)


def end_process(process: subprocess.Popen[bytes], seconds: float) -> None:
    """SIGTERM, then SIGKILL to the whole process group that the bench made for it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait(10.0)
