"""Postfix in its moods: without any extension, with TLS for everybody, with certificates we trust and do not trust."""

import email
import email.policy

import pytest

from tests.support.debian_mtas import NOBODY
from tests.support.far_peers import Peers, by_tls, mail, token, trace_of

BARE, ENCRYPT, REQUIRED, VERIFIED, DISTRUSTED = (
    f"{name}.example.net" for name in ("bare", "encrypt", "required", "verified", "distrusted")
)
TEXT = "Grüße\n.über\n\n" + "ä" * 400 + "\nend \n"
EIGHT_BIT = (
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
)


def test_a_server_without_extensions_gets_it_to_the_octet(peers: Peers) -> None:
    me, word = peers.user(), token()
    sent = mail(me, f"to@{BARE}", word, b".\r\n..\r\n\r\n" + b"0123456789" * 90 + b"\r\n\r\n")
    peers.submit(me, [f"to{number}@{BARE}" for number in range(3)], sent)
    for arrived in peers.postfix.received(3, word.encode()):
        assert not by_tls(trace_of(arrived, sent))
        peers.assert_signed(arrived)


def test_eight_bits_are_encoded_for_a_server_that_takes_seven(peers: Peers) -> None:
    me, word = peers.user(), token()
    sent = mail(me, f"to@{BARE}", word, TEXT.replace("\n", "\r\n").encode(), EIGHT_BIT)
    peers.submit(me, [f"to@{BARE}"], sent, ("BODY=8BITMIME",))
    (arrived,) = peers.postfix.received(1, word.encode())
    assert arrived.isascii()
    read = email.message_from_bytes(arrived, policy=email.policy.default)
    assert read["Content-Transfer-Encoding"] in {"quoted-printable", "base64"}
    assert read.get_content().replace("\r\n", "\n") == TEXT
    # Signed is what goes, not what was submitted.
    peers.assert_signed(arrived)


def test_an_address_beyond_ascii_needs_a_server_that_knows_them(peers: Peers) -> None:
    me, word = peers.user(), token()
    peers.submit(me, [f"grüße@{BARE}"], mail(me, "undisclosed-recipients:;", word), ("SMTPUTF8",))
    report = peers.report(me)
    failed = report.one("failed")
    assert failed["Status"] == "5.6.7"
    assert f"grüße@{BARE}" in report.words
    assert "Your message could not be delivered" in report.words


def test_success_that_cannot_be_confirmed_is_told_as_passed_on(peers: Peers) -> None:
    me, word = peers.user(), token()
    options = (("ENVID=an+2Bid",), ("NOTIFY=SUCCESS", f"ORCPT=rfc822;first@{BARE}"))
    peers.submit(me, [f"to@{BARE}"], mail(me, f"to@{BARE}", word), *options)
    report = peers.report(me)
    assert report.one("relayed")["Original-Recipient"] == f"rfc822; first@{BARE}"
    assert report.about["Original-Envelope-Id"] == "an+id"
    assert report.words.startswith(
        "Your message was passed on for this address to a mail system that does not"
    )
    assert report.original.get_content_type() == "text/rfc822-headers"


def test_nothing_is_told_to_who_wants_to_hear_nothing(peers: Peers) -> None:
    me, word = peers.user(), token()
    sent = mail(me, "undisclosed-recipients:;", word)
    peers.submit(me, [f"{NOBODY}@{peers.postfix.domain}"], sent, (), ("NOTIFY=NEVER",))
    accepted = peers.event("message.accepted", reverse_path=f"<{me}>")
    peers.event("message.failed", message=accepted["message"])
    peers.submit(me, [me], sent)
    (only,) = peers.inbox(me, 1)
    assert only.endswith(sent)


@pytest.mark.parametrize("domain", [ENCRYPT, REQUIRED, VERIFIED])
def test_tls_is_used_where_somebody_insists(peers: Peers, domain: str) -> None:
    me, word = peers.user(), token()
    sent = mail(me, f"to@{domain}", word)
    peers.submit(me, [f"to@{domain}"], sent)
    (arrived,) = peers.postfix.received(1, word.encode())
    assert by_tls(trace_of(arrived, sent))


def test_mail_waits_for_a_certificate_that_can_be_trusted(peers: Peers) -> None:
    me, word = peers.user(), token()
    peers.submit(me, [f"to@{DISTRUSTED}"], mail(me, f"to@{DISTRUSTED}", word))
    event = peers.event("message.deferred", to=f"to@{DISTRUSTED}")
    assert event["status"] == "4.7.5"
    shown = peers.cli("queue", "show", str(event["queue_id"]))
    assert "certificate" in shown
    assert "self-signed" in shown or "self signed" in shown
    # The operator gives up on it, and lets the sender know.
    peers.cli("queue", "drop", str(event["queue_id"]), "--yes", "--tell")
    report = peers.report(me)
    assert report.one("failed")["Final-Recipient"] == f"rfc822; to@{DISTRUSTED}"
    assert f"to@{DISTRUSTED}" not in peers.cli("queue", "list")


def test_one_connection_carries_many_messages(peers: Peers) -> None:
    me, word = peers.user(), token()
    with peers.submission(me) as smtp:
        for number in range(20):
            to = f"to{number}@{BARE}"
            smtp.sendmail(me, [to], mail(me, to, f"{word}-{number}"))
    assert len(peers.postfix.received(20, word.encode())) == 20
    # It tells what a connection did when it ends, which it does when it has been idle for a second.
    peers.postfix.wait_for_log(r"disconnect from .* mail=([5-9]|\d\d) .* commands=")


def test_chunks_are_used_where_they_are_offered(peers: Peers) -> None:
    me, word = peers.user(), token()
    peers.submit(me, [f"to@{peers.postfix.domain}"], mail(me, f"to@{peers.postfix.domain}", word))
    peers.postfix.received(1, word.encode())
    peers.postfix.wait_for_log(r" bdat=[1-9]")


def test_old_tls_is_better_than_none_but_not_what_is_required(peers: Peers) -> None:
    me, word = peers.user(), token()
    sent = mail(me, "to@old.example.net", word)
    peers.submit(me, ["to@old.example.net", "to@required.old.example.net"], sent)
    (arrived,) = peers.postfix.received(1, word.encode())
    assert "(using TLSv1 with cipher " in trace_of(arrived, sent)
    event = peers.event("message.deferred", to="to@required.old.example.net")
    assert "TLS" in event["reply"]
    peers.cli("queue", "drop", str(event["queue_id"]), "--yes")


def test_recipients_beyond_a_servers_limit_are_sent_at_once(peers: Peers) -> None:
    me, word = peers.user(), token()
    peers.submit(
        me,
        [f"to{number}@few.example.net" for number in range(35)],
        mail(me, "undisclosed-recipients:;", word),
    )
    assert len(peers.postfix.received(35, word.encode())) == 35
    peers.event("message.sent", to="to34@few.example.net")
    assert not [line for line in peers.server.log().splitlines() if "deferred" in line and "@few." in line]


def test_a_message_that_is_too_large_is_given_back(peers: Peers) -> None:
    me, word = peers.user(), token()
    sent = mail(me, "to@small.example.net", word, b"0123456789\r\n" * 300)
    peers.submit(me, ["to@small.example.net"], sent)
    report = peers.report(me)
    assert report.one("failed")["Status"] == "5.3.4"
    assert "which is more than the mail system of small.example.net takes" in " ".join(report.words.split())


def test_a_server_that_takes_one_connection_gets_all_of_it(peers: Peers) -> None:
    me, word = peers.user(), token()
    with peers.submission(me) as smtp:
        for number in range(20):
            to = f"to{number}@lonely.example.net"
            smtp.sendmail(me, [to], mail(me, to, f"{word}-{number}"))
    assert len(peers.postfix.received(20, word.encode())) == 20


def test_a_connection_that_was_closed_meanwhile_is_made_anew(peers: Peers) -> None:
    me, word, to = peers.user(), token(), "to@impatient.example.net"
    peers.submit(me, [to], mail(me, to, f"{word}-1"))
    # Shorter than we keep a connection for the next message.
    peers.postfix.wait_for_log("timeout after .* from")
    peers.submit(me, [to], mail(me, to, f"{word}-2"))
    peers.postfix.received(2, word.encode())
    assert not [line for line in peers.server.log().splitlines() if "deferred" in line and to in line]


@pytest.mark.parametrize(("domain", "status"), [(VERIFIED, "5.7.30"), (ENCRYPT, "5.7.10")])
def test_requiretls_needs_a_server_that_knows_it_and_proves_itself(
    peers: Peers, domain: str, status: str
) -> None:
    me, word, to = peers.user(), token(), f"to@{domain}"
    peers.submit(me, [to], mail(me, to, word), ("REQUIRETLS",))
    report = peers.report(me)
    assert report.one("failed")["Status"] == status
    assert "cannot promise the protected connections" in " ".join(report.words.split())
