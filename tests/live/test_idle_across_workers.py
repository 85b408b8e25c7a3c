"""IDLE in one worker hears at once of what a session in another worker does."""

import imaplib
import time
from contextlib import ExitStack
from pathlib import Path

from tests.live.mail_programs import ANN, PASSWORD, client_tls
from tests.support.live_server import LiveServer

IDLERS = 8
"""So many that both workers have some: the kernel chooses."""
ROUNDS = 15
BOUND_SECONDS = 1.0
"""A poll would take thirty. On a quiet machine the slowest of them hears within 100 ms (docs/benchmarks.md)."""


def connect(server: LiveServer, stack: ExitStack) -> imaplib.IMAP4_SSL:
    imap = stack.enter_context(
        imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=client_tls(server))
    )
    imap.login(ANN, PASSWORD)
    imap.select("INBOX")
    imap.sock.settimeout(20)
    return imap


def test_what_one_session_does_reaches_the_idle_in_every_worker_at_once(tmp_path: Path) -> None:
    with LiveServer(tmp_path, accounts={ANN: PASSWORD}, workers=2) as server, ExitStack() as stack:
        writer = connect(server, stack)
        idlers = [connect(server, stack) for _ in range(IDLERS)]
        for idler in idlers:
            idler.send(b"i1 IDLE\r\n")
            assert idler.readline().startswith(b"+")
        slowest = []
        for turn in range(1, ROUNDS + 1):
            for act, heard in (
                (lambda: writer.append("INBOX", "", "", b"Subject: x\r\n\r\nx\r\n"), b"* 1 EXISTS"),
                (lambda: writer.store("1", "+FLAGS", "(\\Deleted)"), b"* 1 FETCH (FLAGS (\\Deleted))"),
                (lambda: writer.expunge(), b"* 1 EXPUNGE"),
            ):
                began = time.monotonic()
                act()
                for idler in idlers:
                    assert idler.readline().rstrip() == heard, turn
                slowest.append(time.monotonic() - began)
        median = sorted(slowest)[len(slowest) // 2]
        print(
            f"all {IDLERS} heard after {median * 1000:.1f} ms (median), {max(slowest) * 1000:.1f} ms at most"
        )
        assert max(slowest) < BOUND_SECONDS
        for idler in idlers:
            idler.send(b"DONE\r\n")
            assert idler.readline().startswith(b"i1 OK")
