"""What leaves a real server is signed, what it passes on is sealed: OpenDKIM and dkimpy say so at the other end."""

import smtplib
from pathlib import Path

import dkim
import pytest

from postino.mailauth.arc.chain import verify_arc
from postino.mailauth.authentication_results import AuthResult
from postino.mailauth.dkim.reasons import Reason
from postino.mailauth.dkim.verify import verify_dkim
from postino.mime.header import header_octets
from tests.live.mail_programs import ANN, PASSWORD, client_tls, require_program, run_program
from tests.live.test_submission import CAROL, two_servers, wait_for
from tests.support.dkim_examples import answer
from tests.support.far_peers import keys_in_use


def test_submitted_mail_is_signed_with_both_keys(tmp_path: Path) -> None:
    opendkim = require_program("opendkim")
    with two_servers(tmp_path) as (near, far):
        records = keys_in_use(near)
        body = (
            "A line,\r\n.a dot,  two blanks \r\n\r\n\u00fcml\u00e4ut\r\n"
            + ("0123456789 " * 90 + "\r\n") * 670
            + "\r\n\r\n"
        )
        message = f"From: Ann <{ANN}>\r\nTo: {CAROL}\r\nSubject: signed\r\n\r\n{body}".encode()
        with smtplib.SMTP_SSL("localhost", near.ports["submissions"], context=client_tls(near)) as smtp:
            smtp.login(ANN, PASSWORD)
            smtp.sendmail(ANN, [CAROL], message, mail_options=["BODY=8BITMIME"])
        (arrived,) = wait_for(far, CAROL)
    at = header_octets(arrived)
    assert arrived[at:] == body.encode()
    results = answer(verify_dkim(arrived[:at], (arrived[at:],), now=0), records)
    assert [result.reason for result in results] == [Reason.PASSED, Reason.PASSED]
    rsa = {name: text for name, text in records.items() if "k=rsa" in text}
    (tmp_path / "keys").write_text("".join(f"{name} {text}\n" for name, text in rsa.items()))
    (tmp_path / "conf").write_text(f"Mode v\nSyslog no\nTestPublicKeys {tmp_path / 'keys'}\n")
    (tmp_path / "message").write_bytes(arrived)
    said = run_program([opendkim, "-f", "-x", "conf", "-t", "message", "-v"], cwd=tmp_path)
    assert "d=example.org, 2048-bit key) succeeded" in said


def test_forwarded_mail_is_sealed_and_not_signed(tmp_path: Path) -> None:
    with two_servers(tmp_path) as (near, far):
        records = keys_in_use(near)
        near.cli("alias", "add", "team@example.org", CAROL)
        eve = "eve@elsewhere.example"
        hers = f"From: {eve}\r\nTo: team@example.org\r\nSubject: from elsewhere\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\nx\r\n"
        with smtplib.SMTP("localhost", near.ports["smtp"]) as smtp:
            smtp.sendmail(eve, ["team@example.org"], hers)
            with pytest.raises(smtplib.SMTPDataError, match=r"5\.7\.1"):
                smtp.sendmail(eve, ["team@example.org"], hers.replace(f"From: {eve}", f"From: {ANN}"))
        (arrived,) = wait_for(far, CAROL)
        ann_writes = f"From: {ANN}\r\nTo: team@example.org\r\nSubject: hers\r\n\r\nx\r\n"
        with smtplib.SMTP_SSL("localhost", near.ports["submissions"], context=client_tls(near)) as smtp:
            smtp.login(ANN, PASSWORD)
            smtp.sendmail(ANN, ["team@example.org"], ann_writes)
        second = next(octets for octets in wait_for(far, CAROL, 2) if b"Subject: hers" in octets)
    assert b"DKIM-Signature:" not in arrived
    at = header_octets(arrived)
    chain = answer(verify_arc(arrived[:at], (arrived[at:],), now=0), records)
    assert (chain.result, chain.sealers) == (AuthResult.PASS, ("example.org",))
    assert b"smtp.remote-ip=127.0.0.1" in arrived

    def dnsfunc(name: bytes, timeout: int = 5) -> bytes:
        return records[name.decode().rstrip(".")].encode()

    assert dkim.arc_verify(arrived, dnsfunc=dnsfunc)[0] == dkim.CV_Pass
    at = header_octets(second)
    results = answer(verify_dkim(second[:at], (second[at:],), now=0), records)
    assert [result.reason for result in results] == [Reason.PASSED, Reason.PASSED]
    assert b"ARC-Seal" not in second
