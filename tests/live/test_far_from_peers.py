"""From Postfix, Exim and OpenSMTPD to us: each mailbox gets the octets, each refusal of ours its bounce."""

import re

import pytest

from tests.support.far_peers import PEERS, PeerReport, Peers, Report, mail, peer_of, token, trace_of

EIGHT_BIT = (
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
)


def received_by_us(trace: str) -> str:
    """Our own field."""
    found = re.search(r"(?m)^Received: .* by localhost with .*$", trace)
    assert found is not None, trace
    return found[0]


WAYS = [(name, way) for name in ("postfix", "exim", "opensmtpd") for way in ("plain", "usual", "encrypted")]
# OpenSMTPD has no way to trust a certificate that is not the system's.
WAYS += [("postfix", "verified"), ("exim", "verified")]


@pytest.mark.parametrize(("name", "way"), WAYS)
def test_mail_reaches_an_inbox(peers: Peers, name: str, way: str) -> None:
    peer, me, word = peer_of(peers, name), peers.user(), token()
    sender = f"{way}@{peer.domain}"
    body = ".\r\n..\r\n.über\r\n\r\n  blanks  \r\n\t\r\n".encode() + b"x" * 997 + b"\r\n\r\n\r\n"
    sent = mail(sender, me, word, body, EIGHT_BIT)
    peer.submit(sender, [me], sent, ("BODY=8BITMIME",))
    (arrived,) = peers.inbox(me, 1)
    trace = trace_of(arrived, sent)
    assert trace.startswith(f"Return-Path: <{sender}>\r\nDelivered-To: {me}\r\n")
    assert ("with ESMTPS (TLSv1.3 " in received_by_us(trace)) is (way != "plain")


@PEERS
def test_five_megabytes_reach_an_inbox(peers: Peers, name: str) -> None:
    peer, me, word = peer_of(peers, name), peers.user(), token()
    sender = f"sue@{peer.domain}"
    sent = mail(sender, me, word, (b".0123456789" * 6 + b"\r\n") * 77_000)
    peer.submit(sender, [me], sent)
    (arrived,) = peers.inbox(me, 1)
    trace_of(arrived, sent)


@PEERS
def test_many_recipients_and_messages_reach_their_inboxes(peers: Peers, name: str) -> None:
    peer = peer_of(peers, name)
    everybody, sender = [peers.user() for _ in range(4)], f"sue@{peer.domain}"
    sent = [mail(sender, "undisclosed-recipients:;", token()) for _ in range(5)]
    for message in sent:
        peer.submit(sender, everybody, message)
    for me in everybody:
        inbox = peers.inbox(me, 5)
        assert all(any(one.endswith(message) for one in inbox) for message in sent)


@pytest.mark.parametrize("name", ["postfix", "exim"])
def test_addresses_beyond_ascii_write(peers: Peers, name: str) -> None:
    peer, me, word = peer_of(peers, name), peers.user(), token()
    sender = f"grüße@{peer.domain}"
    sent = mail(sender, me, f"{word} grüße", "Grüße\r\n".encode(), EIGHT_BIT)
    peer.submit(sender, [me], sent, ("SMTPUTF8", "BODY=8BITMIME"))
    (arrived,) = peers.inbox(me, 1)
    trace = trace_of(arrived, sent)
    assert trace.startswith(f"Return-Path: <{sender}>\r\n")
    assert "with UTF8SMTPS " in received_by_us(trace)
    # And back again.
    peers.submit(me, [sender], mail(me, "undisclosed-recipients:;", word, b"back\r\n"), ("SMTPUTF8",))
    (arrived,) = peer.received(1, f"Subject: {word}\n".encode())
    assert arrived.endswith(b"\r\n\r\nback\r\n")


@PEERS
def test_success_is_confirmed_to_the_peer(peers: Peers, name: str) -> None:
    peer, me, word = peer_of(peers, name), peers.user(), token()
    sender = f"{word}@{peer.domain}"
    options = (("ENVID=an+2Bid", "RET=HDRS"), ("NOTIFY=SUCCESS,FAILURE", f"ORCPT=rfc822;{me}"))
    peer.submit(sender, [me], mail(sender, me, word), *options)
    peers.inbox(me, 1)
    (octets,) = peer.received(1, f"To: <{sender}>".encode())
    report = Report(octets[octets.index(b"\r\nFrom: Mail Delivery System") + 2 :])
    assert report.one("delivered")["Final-Recipient"] == f"rfc822; {me}"
    assert report.words.startswith("Your message was delivered to this address, as you wanted to know.\n")
    if name != "opensmtpd":
        assert report.about["Original-Envelope-Id"] == "an+id"
        assert report.one("delivered")["Original-Recipient"] == f"rfc822; {me}"


@PEERS
def test_our_refusal_becomes_a_bounce(peers: Peers, name: str) -> None:
    peer, me, word = peer_of(peers, name), peers.user(), token()
    # Its sender has his mailbox here.
    peer.submit(me, [f"{word}@example.org"], mail(me, f"{word}@example.org", word))
    (octets,) = peers.inbox(me, 1)
    assert octets.startswith(b"Return-Path: <>\r\n")
    assert b"No such recipient here" in octets
    report = PeerReport(octets)
    assert report.one("failed")["Final-Recipient"].replace(" ", "") == f"rfc822;{word}@example.org"
    assert report.one("failed")["Status"].startswith("5.")
