"""A real server in a directory of its own: `postino serve` as a process, on free loopback ports.

    with LiveServer(tmp_path, accounts={"ann@example.org": "secret"}, workers=2) as server:
        imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=...)   # trusts server.cafile

Stopped by SIGTERM to the process we started; its log is shown when something goes wrong.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from postino.core.address import parse_address
from postino.core.ids import Instant
from postino.directory.credentials import Argon2Cost, Credentials
from postino.net.self_signed import make_self_signed
from postino.store.accounts import create_account, create_domain
from postino.store.store import open_store

SERVICES = ("smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "managesieve", "metrics")
START_SECONDS = 30.0
STOP_SECONDS = 30.0
# The real cost would make every test that logs in wait; what is tested is the server around it.
CREDENTIALS = Credentials(argon2=Argon2Cost(memory_kib=64, passes=1, lanes=1), scram_iterations=4096)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            held = stack.enter_context(socket.socket())
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(("127.0.0.1", 0))
            found.append(held.getsockname()[1])
        return found


class ServerDied(AssertionError):
    """The server did not start, or ended by itself; with its log."""


class LiveServer:
    """`settings` is TOML that is added to the settings file; `[server]` and `[listen]` are there already."""

    def __init__(
        self,
        directory: Path,
        *,
        accounts: Mapping[str, str],
        workers: int = 1,
        settings: str = "",
        server_settings: str = "",
    ) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.workers = workers
        self.ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
        self.cafile = self.data / "tls" / "self-signed.pem"
        self.log_file = directory / "server.log"
        self.lmtp = self.data / "run" / "lmtp.sock"
        self._accounts = accounts
        self._settings = settings
        self._server_settings = server_settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The supervisor's."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> "LiveServer":
        self.data.mkdir(parents=True)
        self.settings_file.write_text(self.settings_text(self._settings))
        make_self_signed(
            ["localhost", "127.0.0.1"], self.cafile, self.cafile.with_name("self-signed-key.pem")
        )
        self._make_accounts()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def settings_file(self) -> Path:
        """Where the settings are; a test may change it and send SIGHUP."""
        return self.data / "postino.toml"

    def settings_text(self, more: str = "") -> str:
        """The settings this server starts with."""
        listen = "".join(f'{name} = ["127.0.0.1:{port}"]\n' for name, port in self.ports.items())
        return (
            f'[server]\nhostname = "localhost"\nworkers = {self.workers}\nlog_format = "json"\n'
            f'log_level = "debug"\nuser = "{"root" if os.geteuid() == 0 else ""}"\n{self._server_settings}\n'
            f'[listen]\nlmtp = ["unix:run/lmtp.sock"]\n{listen}\n{more}\n'
        )

    def start(self) -> None:
        """Start and wait until every worker serves."""
        ready = '"server.ready"'
        seen = self.log().count(ready)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "postino", "serve", "--data", str(self.data)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            )
        deadline = time.monotonic() + START_SECONDS
        while self.log().count(ready) == seen:
            if self._process.poll() is not None:
                raise ServerDied(f"the server ended with {self._process.returncode}:\n{self.log()}")
            if time.monotonic() > deadline:
                self.stop()
                raise ServerDied(f"the server did not start:\n{self.log()}")
            time.sleep(0.02)

    def start_again(self) -> None:
        """Start once more on the same data and ports, after the server was stopped or killed."""
        if self._process is not None:
            self._process.wait(timeout=STOP_SECONDS)
        self.start()

    def stop(self) -> int:
        """SIGTERM, and wait; gives the exit status."""
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise ServerDied(f"the server did not stop:\n{self.log()}") from None
        self._process = None
        return process.returncode

    def hang_up(self) -> None:
        """SIGHUP: settings and certificates are to be read again."""
        os.kill(self.pid, signal.SIGHUP)

    def log(self) -> str:
        """Everything the server has logged."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def wait_for_log(self, text: str, *, times: int = 1, seconds: float = 15.0) -> None:
        """Return once `text` was logged that many times."""
        deadline = time.monotonic() + seconds
        while self.log().count(text) < times:
            if time.monotonic() > deadline:
                raise ServerDied(f"{text!r} was not logged:\n{self.log()}")
            time.sleep(0.02)

    def cli(self, *arguments: str, stdin: str = "", ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a `postino` command on this server's data."""
        done = subprocess.run(
            [sys.executable, "-m", "postino", *arguments, "--data", str(self.data)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if ok:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def verify(self) -> None:
        """`postino verify` must find nothing, whether the server runs or not."""
        self.cli("verify")

    def _make_accounts(self) -> None:
        store = open_store(self.data, first=True)
        now = Instant(int(time.time()))
        try:
            for domain in sorted({parse_address(a).domain for a in self._accounts}):
                store.write_now(lambda tx, domain=domain: create_domain(tx, domain, now))
            for address, password in self._accounts.items():
                kept = CREDENTIALS.hash_password(password), CREDENTIALS.make_scram(password)
                parsed = parse_address(address)
                store.write_now(lambda tx, p=parsed, k=kept: create_account(tx, p, *k, 0, now))
        finally:
            store.close_now()
