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
