"""Postino as an operator would run it: init, account add, serve, with the settings' defaults.

Only ports differ from a fresh installation, and the number of workers where a measure asks for it.
"""

import getpass
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

from bench.corpus import DOMAIN
from bench.peers.server import (
    ACCOUNTS,
    HOST,
    PASSWORD,
    Ports,
    ServerProblem,
    end_process,
    fresh_directory,
    require_free,
    run_quietly,
    wait_for_greeting,
)

_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 20.0
_INDEX_SECONDS: Final = 400.0

# One interpreter for all accounts: the command line is what is used, but not started a hundred times.
_ADD_ACCOUNTS: Final = """\
import io, sys
from postino.cli.main import main
data, password, *addresses = sys.argv[1:]
for address in addresses:
    sys.stdin = io.StringIO(password + chr(10))
    try:
        main(["account", "add", address, "--password-stdin", "--data", data])
    except SystemExit as end:
        if end.code:
            raise
"""

_PUT_SCRIPTS: Final = """\
import sys, time
from pathlib import Path
from postino.core.ids import Instant
from postino.sieve import compile_script
from postino.store.accounts import account_by_login
from postino.store.scripts import ScriptLimits, put_script, set_active
from postino.store.store import open_store
data, folder = map(Path, sys.argv[1:])
store = open_store(data, first=True)
def put(tx):
    for path in folder.iterdir():
        source = path.read_bytes()
        account = account_by_login(tx, path.name).id
        compiled = compile_script(source, name="main").stored
        put_script(tx, account, "main", source, compiled, now=Instant(int(time.time())), limits=ScriptLimits())
        set_active(tx, account, "main")
store.write_now(put)
store.close_now()
"""

_FILL_QUEUE: Final = """\
import sys, time
from pathlib import Path
from postino.core.ids import Instant
from postino.store.accounts import account_by_login
from postino.store.content import InlineBody
from postino.store.queue.enqueue import enqueue
from postino.store.queue.values import NewQueued, NewRecipient, QueueKind
from postino.store.store import open_store
data, login, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
now = Instant(int(time.time()))
store = open_store(data, first=True)
account = store.read_now(lambda tx: account_by_login(tx, login)).id
def fill(first, last):
    def put(tx):
        for number in range(first, last):
            domain = f"late{number % 500}.example"
            enqueue(tx, NewQueued(
                kind=QueueKind.SUBMITTED, account_id=account, reverse_path=login, header=b"Subject: late\\r\\n\\r\\n",
                recipients=[NewRecipient(address=f"reader{number}@{domain}", domain=domain)],
                body=InlineBody(b"Later.\\r\\n" * 50), size=417, message_id=f"late-{number}",
                release_at=Instant(now + 86_400), expires_at=Instant(now + 500_000)), now=now)
    return put
for first in range(0, count, 1000):
    store.write_now(fill(first, min(count, first + 1000)))
store.close_now()
"""


class PostinoServer:
    """One Postino with its own data directory."""

    name = "Postino"

    def __init__(
        self,
        work: Path,
        ports: Ports,
        *,
        workers: int | None = None,
        relay: int | None = None,
        scripts: Mapping[str, bytes] | None = None,
    ) -> None:
        """`relay`: a port that everything outgoing is sent to; `scripts` by login: Sieve for what comes in."""
        self.ports = ports
        self._workers = workers
        self._relay = relay
        name = "postino" if workers is None else f"postino-{workers}-worker"
        if scripts:
            name += "-sieve"
        self._scripts = scripts or {}
        self._data = work / (name if relay is None else f"{name}-sending")
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def start(self) -> None:
        """A fresh data directory with all accounts, then the server."""
        require_free(self.ports)
        fresh_directory(self._data)
        # A user "postino" of this machine may not be able to read the Python that runs the bench.
        user = ("--user", getpass.getuser())
        self._cli("-m", "postino", "init", DOMAIN, "--data", str(self._data), "--generate", *user)
        (self._data / "postino.toml").write_text(self._settings())
        self._cli("-c", _ADD_ACCOUNTS, str(self._data), PASSWORD, *ACCOUNTS)
        if self._scripts:
            folder = self._data / "bench-scripts"
            folder.mkdir()
            for login, script in self._scripts.items():
                (folder / login).write_bytes(script)
            self._cli("-c", _PUT_SCRIPTS, str(self._data), str(folder))
        if self._relay is not None:
            for arguments in (
                ("add", DOMAIN, "--algorithm", "rsa", "--selector", "bench"),
                ("use", DOMAIN, "bench"),
            ):
                self._cli("-m", "postino", "dkim", *arguments, "--data", str(self._data))
        self.launch()

    def launch(self) -> float:
        """Start the server on what there is; gives the seconds until IMAP greets."""
        self._log = (self._data / "bench.log").open("ab")
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "postino", "serve", "--data", str(self._data)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        self._process = process
        try:
            wait_for_greeting(self.ports.imap, b"* OK", _START_SECONDS, lambda: process.poll() is None)
            seconds = time.perf_counter() - started
            wait_for_greeting(self.ports.smtp, b"220", _START_SECONDS, lambda: process.poll() is None)
        except ServerProblem as problem:
            raise ServerProblem(f"{problem}: {self._data}/bench.log") from problem
        return seconds

    def restart(self) -> float:
        """Stop and start again; gives the seconds of the start."""
        self.stop()
        return self.launch()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL to what stays."""
        if self._process is not None:
            end_process(self._process, _STOP_SECONDS)
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def version(self) -> str:
        """As the package says it."""
        from postino import __version__

        workers = "the default number of workers" if self._workers is None else f"{self._workers} worker(s)"
        return f"Postino {__version__}, {workers}"

    def wait_for_index(self, login: str) -> None:
        """Return when everything of this account is in its search index."""
        give_up = time.monotonic() + _INDEX_SECONDS
        while time.monotonic() < give_up:
            code, said = run_quietly(
                [sys.executable, "-m", "postino", "search", "status", login, "--data", str(self._data)], 60.0
            )
            found = re.search(rf"{re.escape(login)}\D+([\d,]+)\D+([\d,]+)", said)
            if code or found is None:
                raise ServerProblem(f"postino search status failed: {said[-300:]}")
            if found[2] == "0":
                return
            time.sleep(1.0)
        raise ServerProblem(f"the search index of {login} was not ready after {_INDEX_SECONDS:.0f} s")

    def fill_queue(self, login: str, messages: int) -> None:
        """Put this many messages into the queue that are due tomorrow; the server is not running meanwhile."""
        self.stop()
        self._cli("-c", _FILL_QUEUE, str(self._data), login, str(messages))

    def pids(self) -> list[int]:
        """The supervisor and its workers: the process group that this bench made."""
        if self._process is None:
            return []
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if os.getpgid(int(entry.name)) == self._process.pid:
                    found.append(int(entry.name))
            except ProcessLookupError:
                continue
        return found

    def _settings(self) -> str:
        lines = ["[server]", f'hostname = "mail.{DOMAIN}"']
        if os.geteuid() == 0:
            lines.append('user = "root"')
        if self._workers is not None:
            lines.append(f"workers = {self._workers}")
        ports = self.ports
        lines += [
            "[listen]",
            f'smtp = ["{HOST}:{ports.smtp}"]',
            f'lmtp = ["{HOST}:{ports.lmtp}"]',
            f'imap = ["{HOST}:{ports.imap}"]',
            f'pop3 = ["{HOST}:{ports.pop3}"]',
            f'submission = ["{HOST}:{ports.submission}"]',
            *(f"{service} = []" for service in ("submissions", "imaps", "pop3s", "managesieve", "metrics")),
        ]
        if self._relay is not None:
            lines += ["[outbound]", "daily_messages = 0", "daily_recipients = 0", "burst_messages = 0"]
            lines += ["[[outbound.routes]]", f'host = "{HOST}:{self._relay}"', 'tls = "none"']
        return "\n".join(lines) + "\n"

    def _cli(self, *arguments: str) -> None:
        code, said = run_quietly([sys.executable, *arguments], 120.0)
        if code:
            raise ServerProblem(f"postino {' '.join(arguments)[:60]} failed: {said[-500:]}")
