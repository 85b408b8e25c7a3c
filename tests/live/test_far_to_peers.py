"""From us to Postfix, Exim and OpenSMTPD: what was submitted arrives to the octet, signed, or its sender hears why not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.mail_programs import require_program, run_program
from tests.support.debian_mtas import NOBODY
from tests.support.far_peers import (
    PEERS,
    USER_PASSWORD,
    PeerReport,
    Peers,
    by_tls,
    mail,
    peer_of,
    token,
    trace_of,
)


@PEERS
def test_lines_of_every_kind_arrive(peers: Peers, name: str) -> None:
    peer, me, word = peer_of(peers, name), peers.user(), token()
    body = b".\r\n..\r\n.a dot\r\n\r\n  blanks  \r\n\t\r\n" + b"x" * 997 + b"\r\n\r\n\r\n"
    sent = mail(me, f"to@{peer.domain}", word, body)
    peers.submit(me, [f"to@{peer.domain}"], sent)
    (arrived,) = peer.received(1, word.encode())
    # QUIRK(OpenSMTPD): it cannot be a TLS server as Debian 12 has it, so we go on without.
    assert by_tls(trace_of(arrived, sent)) is (name != "opensmtpd")
    peers.assert_signed(arrived)


@PEERS
def test_eight_bits_arrive(peers: Peers, name: str) -> None:
    peer, me, word = peer_of(peers, name), peers.user(), token()
    more = (
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
    )
    sent = mail(me, f"to@{peer.domain}", word, "Grüße\r\n.über\r\n".encode(), more)
    peers.submit(me, [f"to@{peer.domain}"], sent, ("BODY=8BITMIME",))
    (arrived,) = peer.received(1, word.encode())
    trace_of(arrived, sent)
    peers.assert_signed(arrived)


@PEERS
def test_five_megabytes_arrive(peers: Peers, name: str) -> None:
    peer, me, word = peer_of(peers, name), peers.user(), token()
    sent = mail(me, f"to@{peer.domain}", word, (b".0123456789" * 6 + b"\r\n") * 77_000)
    peers.submit(me, [f"to@{peer.domain}"], sent)
    (arrived,) = peer.received(1, word.encode())
    trace_of(arrived, sent)
    peers.assert_signed(arrived)


@PEERS
def test_many_recipients_get_it(peers: Peers, name: str) -> None:
    peer, me, word = peer_of(peers, name), peers.user(), token()
    # More than there are in one transaction, where the peer is quick enough for it.
    count = 120 if name == "postfix" else 30
    sent = mail(me, "undisclosed-recipients:;", word)
    peers.submit(me, [f"to{number}@{peer.domain}" for number in range(count)], sent)
    arrived = peer.received(count, word.encode())
    assert len(arrived) == count
    for message in arrived:
        trace_of(message, sent)


@PEERS
def test_many_messages_arrive(peers: Peers, name: str) -> None:
    peer, me, word = peer_of(peers, name), peers.user(), token()
    with peers.submission(me) as smtp:
        for number in range(12):
            to = f"to{number}@{peer.domain}"
            smtp.sendmail(me, [to], mail(me, to, f"{word}-{number}"))
    arrived = peer.received(12, word.encode())
    assert {
        number for number in range(12) if any(f"{word}-{number}\r".encode() in one for one in arrived)
    } == set(range(12))


@pytest.mark.parametrize("name", ["postfix", "exim"])
def test_addresses_beyond_ascii_are_reached(peers: Peers, name: str) -> None:
    peer, me, word = peer_of(peers, name), peers.user(), token()
    to = f"grüße@{peer.domain}"
    sent = mail(me, to, word, "Grüße\r\n".encode())
    with peers.submission(me) as smtp:
        smtp.command_encoding = "utf-8"
        smtp.sendmail(
            me,
            [to],
            sent,
            ["SMTPUTF8", "BODY=8BITMIME"],
            [f"ORCPT=utf-8;gr\\x{{FC}}\\x{{DF}}e@{peer.domain}"],
        )
    (arrived,) = peer.received(1, word.encode())
    trace_of(arrived, sent)
    peers.assert_signed(arrived)


@PEERS
def test_success_is_confirmed_by_the_peer(peers: Peers, name: str) -> None:
    peer, me, word = peer_of(peers, name), peers.user(), token()
    to = f"to@{peer.domain}"
    options = ("RET=HDRS", "ENVID=an+2Bid")
    peers.submit(me, [to], mail(me, to, word), options, ("NOTIFY=SUCCESS", f"ORCPT=rfc822;{to}"))
    (octets,) = peers.inbox(me, 1)
    report = PeerReport(octets)
    assert report.one("delivered")["Final-Recipient"].replace(" ", "") == f"rfc822;{to}"
    assert peer.domain in report.about["Reporting-MTA"]
    if name != "opensmtpd":
        # OpenSMTPD keeps the envelope's identifier to itself.
        assert report.about["Original-Envelope-Id"] == ("an+id" if name == "postfix" else "an+2Bid")
        assert report.one("delivered")["Original-Recipient"].replace(" ", "") == f"rfc822;{to}"


@PEERS
def test_an_unknown_recipient_is_reported(peers: Peers, name: str) -> None:
    peer, me, word = peer_of(peers, name), peers.user(), token()
    known, unknown = f"to@{peer.domain}", f"{NOBODY}@{peer.domain}"
    sent = mail(me, known, word)
    peers.submit(me, [known, unknown], sent)
    (arrived,) = peer.received(1, word.encode())
    trace_of(arrived, sent)
    report = peers.report(me)
    failed = report.one("failed")
    assert failed["Final-Recipient"] == f"rfc822; {unknown}"
    # Only Postfix says more than 550.
    assert failed["Status"] == ("5.1.1" if name == "postfix" else "5.0.0")
    assert failed["Remote-MTA"] == "dns; localhost"
    assert failed["Diagnostic-Code"].startswith("smtp; 550 ")
    words = report.words
    assert words.startswith(
        "Your message could not be delivered to this address, and nothing more will\nbe tried.\n"
    )
    assert f"\n  {unknown}\n" in words
    assert ("There is no mailbox of that name" if name == "postfix" else "does not take the message") in words
    assert f"\n  Subject: {word}\n" in words
    (returned,) = report.original.iter_parts()
    assert returned["Subject"] == word


@PEERS
def test_programs_submit(peers: Peers, name: str, tmp_path: Path) -> None:
    peer, me, word = peer_of(peers, name), peers.user(), token()
    server = peers.server
    to = f"to@{peer.domain}"
    swaks = [
        require_program("swaks"),
        "--server",
        f"localhost:{server.ports['submission']}",
        "--timeout",
        "20",
    ]
    swaks += ["--tls", "--auth", "PLAIN", "--auth-user", me, "--auth-password", USER_PASSWORD, "--pipeline"]
    swaks += ["--helo", "client.example", "--from", me, "--to", f"{to},other@{peer.domain}"]
    run_program([*swaks, "--header", f"Subject: {word} swaks"], cwd=tmp_path)
    (tmp_path / "msmtprc").write_text(
        f"account us\nhost localhost\nport {server.ports['submissions']}\ntls on\ntls_starttls off\n"
        f"tls_trust_file {server.cafile}\nauth on\nuser {me}\npassword {USER_PASSWORD}\nfrom {me}\n"
    )
    (tmp_path / "msmtprc").chmod(0o600)
    sent = mail(me, to, f"{word} msmtp")
    done = subprocess.run(
        [require_program("msmtp"), "-C", str(tmp_path / "msmtprc"), "-a", "us", to],
        input=sent.replace(b"\r\n", b"\n"),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(peer.received(2, f"{word} swaks".encode())) == 2
    (arrived,) = peer.received(1, f"{word} msmtp".encode())
    trace_of(arrived, sent)
    peers.assert_signed(arrived)


def test_programs_of_this_machine_send_by_sendmail(peers: Peers) -> None:
    me, word = peers.user(), token()
    to = f"to@{peers.postfix.domain}"
    sent = mail(me, to, word, b".\r\na line\r\n", b"Bcc: other@exim.example.net\r\n")
    done = subprocess.run(
        [sys.executable, "-m", "postino", "send", "-t", "-i", "-f", me],
        input=sent.replace(b"\r\n", b"\n"),
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "POSTINO_DATA": str(peers.server.data)},
    )
    assert done.returncode == 0, done.stderr
    (arrived,) = peers.postfix.received(1, word.encode())
    assert b"Bcc" not in arrived
    trace_of(arrived, sent.replace(b"Bcc: other@exim.example.net\r\n", b""))
    peers.assert_signed(arrived)
    assert len(peers.exim.received(1, word.encode())) == 1
