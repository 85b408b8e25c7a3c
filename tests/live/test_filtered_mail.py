"""Mail through scripts that are put while the server runs: by SMTP and LMTP, read back by IMAP, in both
directions, with what `postino trace` says of it."""

import imaplib
import smtplib
import socket
import ssl
import time
from pathlib import Path

import pytest

from tests.live.mail_programs import ANN, BOB, PASSWORD, running_server
from tests.support.live_server import LiveServer

OFFER = "From: {sender}\r\nTo: {to}\r\nSubject: Offer {number}\r\n\r\nWords.\r\n"
RULES = """\
require ["fileinto", "mailbox", "imap4flags", "ereject"];
if header :contains "subject" "Offer 13" {
    ereject "No thirteenth offer";
    stop;
}
if header :contains "subject" "Offer" {
    fileinto :create :flags "\\\\Flagged" "Offers";
}
"""
OUTGOING = 'require ["fileinto", "mailbox"];\nfileinto :create "Projects";\n'


def trust(server: LiveServer) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(server.cafile))


def found_in(server: LiveServer, login: str, mailbox: str) -> list[bytes]:
    with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=trust(server)) as imap:
        imap.login(login, PASSWORD)
        if imap.select(mailbox, readonly=True)[0] != "OK":
            return []
        _, (numbers,) = imap.search(None, "ALL")
        if not numbers:
            return []
        _, data = imap.fetch(numbers.replace(b" ", b",").decode(), "(FLAGS RFC822)")
        return [one[0] + one[1] for one in data if isinstance(one, tuple)]


def put(server: LiveServer, login: str, name: str, text: str, *more: str) -> None:
    file = server.directory / f"{name}.sieve"
    file.write_text(text)
    server.cli("sieve", "put", login, str(file), "--name", name, *more)


def message(sender: str, to: str, number: int) -> str:
    return OFFER.format(sender=sender, to=to, number=number)


def send(server: LiveServer, number: int, to: str = ANN) -> None:
    with smtplib.SMTP("localhost", server.ports["smtp"]) as smtp:
        smtp.sendmail("sue@far.example", [to], message("sue@far.example", to, number))


def lmtp(server: LiveServer, number: int, *recipients: str) -> list[str]:
    """The answers to the message, one for each recipient."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(server.lmtp))
        lines = connection.makefile("rb")
        lines.readline()
        text = message("sue@far.example", ANN, number)
        said = [
            "LHLO here",
            "MAIL FROM:<sue@far.example>",
            *(f"RCPT TO:<{one}>" for one in recipients),
            "DATA",
        ]
        for command in said:
            connection.sendall(f"{command}\r\n".encode())
            while lines.readline()[3:4] == b"-":
                pass
        connection.sendall(f"{text}.\r\n".encode())
        return [lines.readline().decode() for _ in recipients]


def wait_until_in_force(server: LiveServer) -> None:
    """Send what the script refuses until it does: a command's change is seen within a second."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            send(server, 13)
        except smtplib.SMTPDataError as error:
            if error.smtp_code != 550:
                raise
            return
    pytest.fail("the script did not come into force")


def test_mail_is_filed_by_scripts_in_both_directions(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        put(server, ANN, "outgoing", OUTGOING)
        put(server, ANN, "main", RULES, "--activate")
        wait_until_in_force(server)
        for number in (2, 3):
            send(server, number)
        refused, taken = lmtp(server, 13, ANN, BOB)
        assert refused == "550 5.7.1 No thirteenth offer\r\n"
        assert taken.startswith("250 2.0.0 ")
        assert [answer[:3] for answer in lmtp(server, 4, ANN, BOB)] == ["250", "250"]
        offers = found_in(server, ANN, "Offers")
        assert [b"Offer %d\r\n" % number in one for number, one in zip((2, 3, 4), offers, strict=True)]
        assert all(b"\\Flagged" in one for one in offers)
        assert len(found_in(server, BOB, "INBOX")) == 2
        with smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=trust(server)) as smtp:
            smtp.login(ANN, PASSWORD)
            smtp.sendmail(ANN, [BOB], message(ANN, BOB, 5))
        assert len(found_in(server, ANN, "Projects")) == 1
        assert len(found_in(server, BOB, "INBOX")) == 3
        traced = server.cli("trace", ANN).stdout
        assert "filed in Offers" in traced
        assert "main:7" in traced
        server.verify()
