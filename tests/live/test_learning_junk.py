"""People teach the spam filter by what they move: the script that docs/sieve.md shows, put while the server runs,
and mail moved to Junk and out again by a mail program; what the trainers get is read by IMAP.
"""

import imaplib
import re
import smtplib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live.mail_programs import ANN, PASSWORD, client_tls, require_program, run_program
from tests.support.live_server import LiveServer

SPAM, HAM = "spam@trainer.example.org", "ham@trainer.example.org"
DOCS = Path(__file__).parents[2] / "docs" / "sieve.md"
OFFER = "From: sue@far.example\r\nTo: {to}\r\nMessage-ID: <offer-{number}@far.example>\r\nSubject: Offer {number}\r\n\r\nWords.\r\n"


def learning_script() -> str:
    """The one in the guide."""
    (found,) = [
        script
        for script in re.findall(r"```sieve\n(.*?)```", DOCS.read_text(), re.DOTALL)
        if "vnd.postino.source-mailbox" in script
    ]
    return found


@contextmanager
def server_that_learns(directory: Path) -> Iterator[LiveServer]:
    with LiveServer(directory, accounts=dict.fromkeys((ANN, SPAM, HAM), PASSWORD), workers=2) as server:
        script = directory / "learn.sieve"
        script.write_text(learning_script())
        server.cli("sieve", "put", "--server", str(script), "--place", "imap", "--name", "learn")
        for number in range(1, 4):
            with smtplib.SMTP("localhost", server.ports["smtp"]) as smtp:
                smtp.sendmail("sue@far.example", [ANN], OFFER.format(to=ANN, number=number))
        yield server
    server.verify()


@contextmanager
def logged_in(server: LiveServer, login: str) -> Iterator[imaplib.IMAP4_SSL]:
    with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=client_tls(server)) as imap:
        imap.login(login, PASSWORD)
        yield imap


def found_in(server: LiveServer, login: str, mailbox: str) -> list[tuple[bytes, bytes]]:
    """(flags, octets) of the messages."""
    with logged_in(server, login) as imap:
        assert imap.select(mailbox, readonly=True)[0] == "OK"
        _, data = imap.fetch("1:*", "(FLAGS BODY.PEEK[])")
        return [
            (one[0].partition(b"FLAGS (")[2].partition(b")")[0], one[1])
            for one in data
            if isinstance(one, tuple)
        ]


def wait_for(server: LiveServer, login: str, mailbox: str, count: int) -> list[tuple[bytes, bytes]]:
    """Once there are so many, or after a while; what is there then."""
    deadline = time.monotonic() + 20
    while len(found := found_in(server, login, mailbox)) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(found) == count, server.log()
    return found


def subjects(found: list[tuple[bytes, bytes]]) -> set[bytes]:
    return {octets.split(b"\r\nSubject: ", 1)[1].split(b"\r\n", 1)[0] for _, octets in found}


def test_what_is_moved_to_junk_and_back_is_learned(tmp_path: Path) -> None:
    with server_that_learns(tmp_path) as server:
        with logged_in(server, ANN) as imap:
            imap.select("INBOX")
            assert imap.uid("MOVE", "1:2", "Junk")[0] == "OK"
        learned = wait_for(server, SPAM, "INBOX", 2)
        assert subjects(learned) == {b"Offer 1", b"Offer 2"}
        # The message itself, not a mail about it.
        assert all(octets.endswith(b"\r\n\r\nWords.\r\n") for _, octets in learned)
        assert [flags.split() for flags, _ in found_in(server, ANN, "Junk")] == [[b"$Junk"], [b"$Junk"]]
        with logged_in(server, ANN) as imap:
            imap.select("Junk")
            # As a program does that does not know MOVE.
            assert imap.uid("COPY", "1", "INBOX")[0] == "OK"
            imap.uid("STORE", "1", "+FLAGS.SILENT", "(\\Deleted)")
            assert imap.expunge()[1] == [b"1"]
        (unlearned,) = wait_for(server, HAM, "INBOX", 1)
        assert subjects([unlearned]) == {b"Offer 1"}
        back = found_in(server, ANN, "INBOX")
        assert subjects(back) == {b"Offer 3", b"Offer 1"}
        assert [flags.split() for flags, _ in back] == [[], [b"$NotJunk"]]
        # What the script did was no cause for it to run again.
        assert len(found_in(server, SPAM, "INBOX")) == 2


def test_curl_s_move_is_learned(tmp_path: Path) -> None:
    curl = require_program("curl")
    with server_that_learns(tmp_path) as server:
        command = [
            curl, "--silent", "--show-error", "--fail", "--cacert", str(server.cafile), "--user", f"{ANN}:{PASSWORD}",
            f"imaps://localhost:{server.ports['imaps']}/INBOX", "--request", "UID MOVE 3 Junk",
        ]  # fmt: skip
        run_program(command, cwd=tmp_path)
        assert subjects(wait_for(server, SPAM, "INBOX", 1)) == {b"Offer 3"}
