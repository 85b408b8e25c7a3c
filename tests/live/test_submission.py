"""msmtp, swaks and Python submit mail for another server: two real servers that know each other by a route."""

import imaplib
import smtplib
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live.mail_programs import ANN, BOB, PASSWORD, client_tls, require_program, run_program
from tests.support.live_server import LiveServer

CAROL = "carol@far.example"
WAIT_SECONDS = 20.0


@contextmanager
def two_servers(directory: Path) -> Iterator[tuple[LiveServer, LiveServer]]:
    """example.org with ann and bob, and far.example with carol."""
    near = LiveServer(directory / "near", accounts={ANN: PASSWORD, BOB: PASSWORD})
    far = LiveServer(directory / "far", accounts={CAROL: PASSWORD})
    near._settings = route(far)
    far._settings = route(near)
    with near, far:
        yield near, far
    near.verify()
    far.verify()


def route(other: LiveServer) -> str:
    return f'[[outbound.routes]]\nhost = "127.0.0.1:{other.ports["smtp"]}"\ntls = "opportunistic"\n'


def wait_for(server: LiveServer, login: str, count: int = 1) -> list[bytes]:
    """The messages in somebody's INBOX, once there are so many."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=client_tls(server)) as imap:
            imap.login(login, PASSWORD)
            imap.select("INBOX", readonly=True)
            _, found = imap.search(None, "ALL")
            numbers = found[0].split()
            if len(numbers) >= count:
                _, parts = imap.fetch(b",".join(numbers).decode(), "(BODY.PEEK[])")
                return [part[1] for part in parts if isinstance(part, tuple)]
        assert time.monotonic() < deadline, f"{login} has {len(numbers)} messages, not {count}"
        time.sleep(0.1)


def test_msmtp_submits_and_hears_of_success(tmp_path: Path) -> None:
    msmtp = require_program("msmtp")
    with two_servers(tmp_path) as (near, far):
        config = tmp_path / "msmtprc"
        config.write_text(
            f"account near\nhost localhost\nport {near.ports['submissions']}\ntls on\ntls_starttls off\n"
            f"tls_trust_file {near.cafile}\nauth on\nuser {BOB}\npassword {PASSWORD}\nfrom {BOB}\n"
            "dsn_notify success,failure\ndsn_return headers\n"
        )
        config.chmod(0o600)
        message = tmp_path / "message"
        message.write_text(f"From: {BOB}\nTo: {CAROL}\nBcc: {ANN}\nSubject: by msmtp\n\nhello\n")
        with message.open("rb") as text:
            done = subprocess.run(
                [msmtp, "-C", str(config), "-a", "near", "--read-recipients"],
                stdin=text,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        assert done.returncode == 0, done.stderr
        (arrived,) = wait_for(far, CAROL)
        assert arrived.startswith(b"Return-Path: <bob@example.org>\r\nDelivered-To: carol@far.example\r\n")
        assert b"Bcc" not in arrived
        assert b"with ESMTPSA" in arrived
        # From here, for ann; from there, for carol.
        reports = wait_for(near, BOB, 2)
        assert all(b"report-type=delivery-status" in report for report in reports)
        assert {b"rfc822; ann@example.org" in report for report in reports} == {True, False}
        assert all(b"Action: delivered" in report for report in reports)
        assert not any(b"\r\nhello\r\n" in report for report in reports)


def test_swaks_submits_for_another_server(tmp_path: Path) -> None:
    swaks = require_program("swaks")
    with two_servers(tmp_path) as (near, far):
        common = [
            swaks,
            "--server",
            "localhost",
            "--from",
            BOB,
            "--helo",
            "client.example",
            "--timeout",
            "20",
        ]
        login = ["--tls", "--auth", "PLAIN", "--auth-user", BOB, "--auth-password", PASSWORD]
        port = ["--port", str(near.ports["submission"])]
        said = run_program([*common, *port, *login, "--to", f"{CAROL},{ANN}", "--pipeline"], cwd=tmp_path)
        assert "250 2.0.0 Queued as 1 (" in said
        wait_for(far, CAROL)
        wait_for(near, ANN)
        # 23: MAIL refused; 26: the message refused; 24: no recipient taken
        run_program([*common[:3], "--from", ANN, *port, *login, "--to", CAROL], cwd=tmp_path, ok=(23,))
        forged = ["--header", f"From: {ANN}"]
        run_program([*common, *port, *login, *forged, "--to", CAROL], cwd=tmp_path, ok=(26,))
        stranger = [*common, "--port", str(near.ports["smtp"]), "--to", CAROL]
        assert "without a login" in run_program(stranger, cwd=tmp_path, ok=(24,))


def test_python_submits_with_each_parameter(tmp_path: Path) -> None:
    with two_servers(tmp_path) as (near, far):
        message = f"From: {BOB}\r\nSubject: parameters\r\n\r\nhello\r\n".encode()
        with smtplib.SMTP_SSL("localhost", near.ports["submissions"], context=client_tls(near)) as smtp:
            smtp.ehlo()
            offered = smtp.esmtp_features
            assert {"dsn", "requiretls", "futurerelease", "deliverby", "mt-priority"} <= set(offered)
            smtp.login(BOB, PASSWORD)
            smtp.sendmail(
                BOB,
                [CAROL],
                message,
                mail_options=["RET=FULL", "ENVID=a+2Bb", "MT-PRIORITY=4", "BY=3600;N"],
                rcpt_options=["NOTIFY=FAILURE", f"ORCPT=rfc822;{CAROL}"],
            )
            smtp.sendmail(BOB, [CAROL, ANN], message, mail_options=["HOLDFOR=3600"])
            # Held for somebody here, it comes to her in its time, and he hears of it.
            smtp.sendmail(
                BOB, [ANN], message, mail_options=["HOLDFOR=1"], rcpt_options=["NOTIFY=SUCCESS,DELAY"]
            )
        (arrived,) = wait_for(far, CAROL)
        (held,) = wait_for(near, ANN)
        assert held.startswith(b"Return-Path: <bob@example.org>\r\nDelivered-To: ann@example.org\r\n")
        # The other report tells that nobody watches over the deadline any more (RFC 2852 §4.1.4.2).
        delivered, relayed = sorted(wait_for(near, BOB, 2), key=lambda one: b"Action: relayed" in one)
        assert b"Future-Release-Request: for;1\r\n" in delivered
        assert b"Deliver-By-Date: " in relayed
        assert b"\tPRIORITY 4;\r\n" in arrived
        assert "carol@far.example" in near.cli("queue", "list").stdout
