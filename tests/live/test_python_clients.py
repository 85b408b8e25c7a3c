"""The interpreter's own imaplib, poplib and smtplib against a running server."""

import imaplib
import poplib
import smtplib
from pathlib import Path

import pytest

from tests.live.mail_programs import ANN, BOB, PASSWORD, client_tls, deliver, running_server, sample


def test_what_smtplib_sends_imaplib_and_poplib_read(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        tls = client_tls(server)
        sent = deliver(server, 3)

        with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=tls) as imap:
            imap.login(ANN, PASSWORD)
            assert imap.select("INBOX") == ("OK", [b"3"])
            for number, octets in enumerate(sent, 1):
                status, data = imap.fetch(str(number), "(BODY.PEEK[])")
                assert status == "OK"
                assert data[0][1].endswith(octets)
                assert data[0][1].startswith(b"Return-Path: <bob@example.org>\r\n")
            assert imap.search(None, "SUBJECT", '"Nummer 2"')[1] == [b"2"]
            assert imap.store("2", "+FLAGS", "(\\Deleted)")[0] == "OK"
            assert imap.expunge() == ("OK", [b"2"])

        pop = poplib.POP3_SSL("localhost", server.ports["pop3s"], context=tls)
        pop.user(ANN)
        pop.pass_(PASSWORD)
        assert pop.stat()[0] == 2
        lines = pop.retr(2)[1]
        assert b"\r\n".join(lines).endswith(sent[2].rstrip(b"\r\n"))
        pop.dele(1)
        pop.quit()

        with imaplib.IMAP4("localhost", server.ports["imap"]) as imap:
            imap.starttls(tls)
            imap.login(ANN, PASSWORD)
            assert imap.select("INBOX") == ("OK", [b"1"])


def test_submission_with_starttls_and_wrong_passwords(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        tls = client_tls(server)
        with smtplib.SMTP("localhost", server.ports["submission"]) as smtp:
            smtp.starttls(context=tls)
            with pytest.raises(smtplib.SMTPAuthenticationError):
                smtp.login(BOB, "wrong")
            smtp.login(BOB, PASSWORD)
            smtp.send_message(sample(1), BOB, [ANN])
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                smtp.send_message(sample(2), BOB, ["nobody@example.org"])
        with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=tls) as imap:
            with pytest.raises(imaplib.IMAP4.error):
                imap.login(ANN, "wrong")
            imap.login(ANN, PASSWORD)
        with (
            smtplib.SMTP("localhost", server.ports["smtp"]) as smtp,
            pytest.raises(smtplib.SMTPRecipientsRefused),
        ):
            smtp.sendmail("x@elsewhere.example", ["y@elsewhere.example"], b"Subject: relay\r\n\r\nno\r\n")
