"""`postino send` as cron, PHP and scripts call sendmail, with a server that runs and one that rests."""

import os
import shutil
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.live_server import LiveServer

ANN, BOB = "ann@example.org", "bob@example.org"
CRON = b"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> backup\n\nall is well\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    directory = tmp_path_factory.mktemp("send")
    settings = '[outbound]\nmta_sts = false\ndane = false\n[[outbound.routes]]\nhost = "127.0.0.1:9"\n'
    with LiveServer(directory, accounts={ANN: "secret", BOB: "secret"}, settings=settings) as live:
        yield live
        live.verify()


def send(
    server: LiveServer, *arguments: str, message: bytes, program: list[str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*(program or [sys.executable, "-m", "postino", "send"]), *arguments],
        input=message,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "POSTINO_DATA": str(server.data)},
    )


def newest(server: LiveServer, login: str) -> str:
    """The newest message of an INBOX."""
    import imaplib

    with imaplib.IMAP4("127.0.0.1", server.ports["imap"]) as imap:
        imap.login(login, "secret")
        imap.select("INBOX", readonly=True)
        found = imap.fetch("*", "(BODY.PEEK[])")[1][0]
        assert isinstance(found, tuple)
        return found[1].decode()


def sendmail(directory: Path, name: str = "sendmail") -> list[str]:
    """The installed program under another name, as an operator links it."""
    link = directory / name
    if not link.is_symlink():
        link.symlink_to(Path(sys.executable).parent / "postino")
    return [str(link)]


def test_cron_tells_root_and_the_postmaster_reads_it(server: LiveServer, tmp_path: Path) -> None:
    done = send(
        server,
        *("-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root"),
        message=CRON,
        program=sendmail(tmp_path),
    )
    assert (done.returncode, done.stderr) == (0, b"")
    # Nobody is called postmaster, so it is the first account.
    message = newest(server, ANN)
    assert message.startswith("Return-Path: <root@localhost>\r\n")
    assert "\r\nFrom: root@localhost (Cron Daemon)\r\nTo: root@localhost\r\n" in message
    assert "\r\nDate: " in message
    assert message.endswith("\r\n\r\nall is well\r\n")


def test_php_sends_with_its_default_command(server: LiveServer, tmp_path: Path) -> None:
    # PHP runs sendmail_path, "/usr/sbin/sendmail -t -i", by a shell, and mail()'s fifth argument behind it.
    command = f"{sendmail(tmp_path)[0]} -t -i -fann@example.org"
    message = b"To: bob@example.org\nSubject: from php\nX-PHP-Originating-Script: 0:a.php\nBcc: ann@example.org\n\nHi\n.\nthere\n"
    done = send(server, "-c", command, message=message, program=["/bin/sh"])
    assert (done.returncode, done.stderr) == (0, b"")
    received = newest(server, BOB)
    assert received.startswith("Return-Path: <ann@example.org>\r\n")
    assert "Bcc:" not in received
    assert "From: <ann@example.org>\r\n" in received
    assert received.endswith("\r\n\r\nHi\r\n.\r\nthere\r\n")
    assert "Subject: from php" in newest(server, ANN)


def test_mail_for_elsewhere_is_queued_with_what_was_asked_for(server: LiveServer) -> None:
    done = send(
        server,
        *("-f", ANN, "-N", "success,failure", "-R", "hdrs", "-V", "id+1", "far@example.net"),
        message=b"Subject: x\n\nHello.\n",
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert "far@example.net" in server.cli("queue", "list").stdout
    listed = send(server, message=b"", program=[sys.executable, "-m", "postino", "send", "-bp"])
    assert b"far@example.net" in listed.stdout


@pytest.mark.parametrize(
    ("arguments", "message", "status", "sentence"),
    [
        (["nobody@example.org"], b"\nx", os.EX_NOUSER, "nobody@example.org is refused: 550 5.1.1 No such recipient here"),
        (["-f", ANN, "nobody@example.org", BOB], b"\nx", os.EX_NOUSER, "; the other recipient has been sent to"),
        ([], b"\nx", os.EX_USAGE, "No recipient is named; give addresses, or -t to take those of the message"),
        (["-Z"], b"", os.EX_USAGE, "-Z is not an option; `postino send --help` shows those there are"),
        (["-t"], b"Subject: x\n\n", os.EX_DATAERR, "The message names no recipient in To, Cc or Bcc"),
        (["-f", "a b@c", BOB], b"\n", os.EX_DATAERR, "cannot stand before the @"),
        (["--socket", "/nowhere/submit.sock", BOB], b"\n", os.EX_TEMPFAIL, "No server listens for local mail"),
        (["--config", "/nowhere/postino.toml", BOB], b"\n", os.EX_CONFIG, "There is no settings file /nowhere/postino.toml"),
        ([BOB], b"Received: x\n" * 60 + b"\n", os.EX_UNAVAILABLE, "The server does not take the message: 554"),
    ],
)  # fmt: skip
def test_a_refusal_is_a_sentence_and_a_status_of_sysexits(
    server: LiveServer, arguments: list[str], message: bytes, status: int, sentence: str
) -> None:
    done = send(server, *arguments, message=message)
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith(b"Error: ")
    assert sentence in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_smtp_on_standard_input(server: LiveServer, tmp_path: Path) -> None:
    dialogue = (
        b"EHLO script\r\nMAIL FROM:<root@localhost>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n"
        b"From: root@localhost\r\nSubject: by hand\r\n\r\nx\r\n.\r\nQUIT\r\n"
    )
    done = send(server, "-bs", message=dialogue, program=sendmail(tmp_path))
    assert done.returncode == 0
    codes = [line[:3] for line in done.stdout.splitlines() if line[3:4] == b" "]
    assert codes == [b"220", b"250", b"250", b"250", b"354", b"250", b"221"]
    assert "Subject: by hand" in newest(server, BOB)
    assert send(server, message=b"", program=sendmail(tmp_path, "newaliases")).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_sends_as_itself_and_as_the_settings_say(tmp_path: Path) -> None:
    # A directory anybody may enter, for sockets' own rights let everybody connect.
    public = Path("/run") / f"postino-test-{os.getpid()}"
    public.mkdir(mode=0o755)
    path = public / "submit.sock"
    live = LiveServer(
        tmp_path,
        accounts={ANN: "secret", BOB: "secret"},
        server_settings='local_senders = ["nobody:shop.example", "nobody:ann@example.org"]',
        settings="",
    )
    text = live.settings_text
    live.settings_text = lambda more="": text(more).replace("[listen]", f'[listen]\nlocal = ["unix:{path}"]')  # type: ignore[method-assign]

    def say(*lines: bytes, message: bytes = b"") -> list[bytes]:
        """What the server answers to a user without rights."""
        script = (
            "import os, socket, sys\n"
            "os.setgid(65534); os.setuid(65534)\n"
            f"s = socket.socket(socket.AF_UNIX); s.connect({str(path)!r}); s.settimeout(10)\n"
            "s.sendall(sys.stdin.buffer.read()); s.shutdown(socket.SHUT_WR)\n"
            "while d := s.recv(65536): sys.stdout.buffer.write(d)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            input=b"".join(line + b"\r\n" for line in (b"EHLO x", *lines)) + message,
            capture_output=True,
            timeout=30,
            check=True,
        )
        return [line for line in done.stdout.splitlines() if line[3:4] == b" "][2:]

    try:
        with live:
            refused = b"553 5.7.1 You may not send as that address; server.local_senders can allow it"
            assert say(b"MAIL FROM:<bob@example.org>") == [refused]
            for allowed in (b"nobody@localhost", b"anna@shop.example", b"ann@example.org", b""):
                assert say(b"MAIL FROM:<%b>" % allowed)[0].startswith(b"250")
            begin = (b"MAIL FROM:<nobody@localhost>", b"RCPT TO:<bob@example.org>", b"DATA")
            answers = say(*begin, message=b"From: bob@example.org\r\n\r\nx\r\n.\r\nQUIT\r\n")
            assert answers[3].startswith(b"550 5.7.1 You may not write as the address in From")
            answers = say(*begin, message=b"From: nobody@localhost\r\n\r\nx\r\n.\r\nQUIT\r\n")
            assert answers[3].startswith(b"250 ")
            assert "Received: from nobody" in newest(live, BOB)
            live.wait_for_log('"user":"nobody"')
            live.verify()
    finally:
        shutil.rmtree(public)


def test_while_the_server_rests_its_user_puts_mail_into_the_store(tmp_path: Path) -> None:
    with LiveServer(tmp_path, accounts={ANN: "secret"}, settings="[outbound]\nmta_sts = false\n") as live:
        live.stop()
        done = send(
            live, "-t", "-i", message=b"To: ann@example.org\nCc: far@example.net\nSubject: late\n\nHello.\n"
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert "far@example.net" in live.cli("queue", "list").stdout
        done = send(live, "nobody@example.org", message=b"\n")
        assert done.returncode == os.EX_NOUSER
        live.verify()
        live.start()
        assert "Subject: late" in newest(live, ANN)


def test_a_server_that_does_not_answer_is_no_server(tmp_path: Path) -> None:
    """A listener that closes at once: the caller keeps the message."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        process = subprocess.Popen(
            [sys.executable, "-m", "postino", "send", "--socket", str(path), ANN],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        listening.settimeout(30)
        listening.accept()[0].close()
        _, said = process.communicate(timeout=30)
    assert process.returncode == os.EX_TEMPFAIL
    assert said == b"Error: The server has closed the connection; try again\n"


@pytest.mark.skipif(not Path("/usr/sbin/smtp-sink").exists(), reason="Postfix is not installed")
def test_the_demonstration_sends_to_the_relay_that_was_named_and_else_to_nobody(tmp_path: Path) -> None:
    from tests.live.test_demo import demonstration, free_base_port
    from tests.support.live_server import free_ports

    (port,) = free_ports(1)
    dump = tmp_path / "sink"
    dump.mkdir()
    user = ["-u", "root"] if os.geteuid() == 0 else []
    sink = subprocess.Popen(
        ["/usr/sbin/smtp-sink", *user, "-d", f"{dump}/%M.", f"127.0.0.1:{port}", "10"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for relay in (True, False):
            base = free_base_port()
            arguments = ["--base-port", str(base), "--no-samples", "--account", "me@example.org:secret"]
            if relay:
                arguments += ["--relay", f"127.0.0.1:{port}"]
            with demonstration(*arguments) as demo:
                page = demo.read_until("Ctrl-C stops")
                with smtplib.SMTP("127.0.0.1", base + 587) as client:
                    client.login("me@example.org", "secret")
                    if not relay:
                        assert "Mail for other servers is refused; --relay HOST:PORT" in page
                        client.ehlo_or_helo_if_needed()
                        client.mail("me@example.org")
                        code, text = client.rcpt("far@example.net")
                        assert code == 550
                        assert b"--relay HOST:PORT" in text
                    else:
                        assert f"Mail for other servers goes to 127.0.0.1:{port}" in page
                        client.sendmail(
                            "me@example.org", ["far@example.net"], "From: me@example.org\nSubject: out\n\nx\n"
                        )
                        deadline = time.monotonic() + 15
                        while not any(dump.iterdir()) and time.monotonic() < deadline:
                            time.sleep(0.02)
                assert demo.end() == 0
        (written,) = dump.iterdir()
        text = written.read_text()
        assert "X-Rcpt-Args: <far@example.net>" in text
        assert "Subject: out" in text
    finally:
        sink.terminate()
        sink.wait(10)
