"""Alpine at a terminal: open the INBOX over TLS, read a message, delete another, expunge, leave."""

import imaplib
import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path

from tests.live.mail_programs import ANN, PASSWORD, client_tls, deliver, require_program, running_server

_SCREEN_SECONDS = 20.0
_REST_SECONDS = 0.15
_CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|[\x00-\x09\x0b-\x1f]")


class Terminal:
    """A program on a pseudo-terminal: type keys, wait for words on the screen."""

    def __init__(self, command: list[str], home: Path) -> None:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=home,
            env={
                **os.environ,
                "HOME": str(home),
                "TERM": "vt100",
                "LINES": "40",
                "COLUMNS": "120",
                "LC_ALL": "C.UTF-8",
            },
            start_new_session=True,
        )
        os.close(slave)
        self._shown = b""

    def wait_for(self, words: str) -> None:
        """Until the screen has shown `words` since the last key, and is at rest."""
        deadline = time.monotonic() + _SCREEN_SECONDS
        while not self._has_shown(words) or self._is_drawing():
            assert time.monotonic() < deadline, (words, self._shown[-3000:])
            if not self._is_drawing():
                continue
            try:
                self._shown += os.read(self._master, 65_536)
            except OSError:
                # Alpine has ended: what it showed last counts.
                assert self._has_shown(words), (words, self._shown[-3000:])
                return

    def _has_shown(self, words: str) -> bool:
        return words.encode() in _CONTROL.sub(b"", self._shown)

    def _is_drawing(self) -> bool:
        # Keys typed while the screen is being drawn may be thrown away with what was typed ahead.
        return bool(select.select([self._master], [], [], _REST_SECONDS)[0])

    def type(self, keys: str) -> None:
        """As a person would."""
        self._shown = b""
        os.write(self._master, keys.encode())

    def end(self) -> None:
        """Whatever it is doing."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        os.close(self._master)


def test_alpine_reads_deletes_and_expunges(tmp_path: Path) -> None:
    program = require_program("alpine")
    with running_server(tmp_path) as server:
        deliver(server, 3)
        mailbox = f"{{localhost:{server.ports['imaps']}/imap/ssl/novalidate-cert/user={ANN}}}INBOX"
        terminal = Terminal(
            [
                program,
                "-passfile",
                str(tmp_path / "none"),
                "-f",
                mailbox,
                "-feature-list=quit-without-confirm",
            ],
            tmp_path,
        )
        try:
            terminal.wait_for("Welcome to Alpine")
            terminal.type("e")
            terminal.wait_for("PASSWORD")
            terminal.type(PASSWORD + "\r")
            terminal.wait_for("Preserve password")
            terminal.type("n")
            # In the title: the line for notices may say "Busy ... DONE" instead when it took long.
            terminal.wait_for("3 Messages")
            terminal.type("i")
            terminal.wait_for("Nummer")
            terminal.type(">")
            terminal.wait_for("this is sample")
            terminal.type("i")
            terminal.wait_for("Nummer")
            terminal.type("d")
            terminal.wait_for("marked for deletion")
            terminal.type("q")
            terminal.wait_for("xpunge")
            terminal.type("y")
            terminal.wait_for("Kept 2 messages and removed 1")
        finally:
            terminal.end()
        with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=client_tls(server)) as imap:
            imap.login(ANN, PASSWORD)
            assert imap.select("INBOX", readonly=True) == ("OK", [b"2"])
            assert imap.search(None, "UNSEEN")[1] == [b"1 2"]
