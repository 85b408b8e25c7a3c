"""OpenSMTPD as Debian 12 has it: it offers STARTTLS and then breaks, knows no SMTPUTF8, no CHUNKING, no PIPELINING."""

from tests.support.far_peers import HOST, Peers, by_tls, mail, token, trace_of


def test_tls_that_breaks_is_gone_without_unless_it_is_required(peers: Peers) -> None:
    peer, me, word = peers.opensmtpd, peers.user(), token()
    to = f"to@required.{peer.domain}"
    sent = mail(me, to, word)
    peers.submit(me, [to], sent)
    event = peers.event("message.deferred", to=to)
    assert event["status"].startswith("4.")
    assert "TLS" in event["reply"]
    # The operator, who knows better, sends it there all the same: without TLS, as it goes.
    peers.cli("queue", "reroute", "--domain", f"required.{peer.domain}", "--to", f"{HOST}:{peer.port}")
    (arrived,) = peer.received(1, word.encode())
    assert not by_tls(trace_of(arrived, sent))
    peers.cli("queue", "reroute", "--domain", f"required.{peer.domain}", "--undo")


def test_an_address_beyond_ascii_cannot_be_reached(peers: Peers) -> None:
    peer, me, word = peers.opensmtpd, peers.user(), token()
    peers.submit(me, [f"grüße@{peer.domain}"], mail(me, "undisclosed-recipients:;", word), ("SMTPUTF8",))
    failed = peers.report(me).one("failed")
    assert (failed["Status"], failed["Final-Recipient"]) == ("5.6.7", f"utf-8; grüße@{peer.domain}")


def test_a_header_beyond_ascii_goes_to_addresses_that_are_not(peers: Peers) -> None:
    """RFC 6531 §3.6: SMTPUTF8 is asked for the message's sake, too; what needs it not goes without."""
    peer, me, word = peers.opensmtpd, peers.user(), token()
    sent = mail(me, f"to@{peer.domain}", word)
    peers.submit(me, [f"to@{peer.domain}"], sent, ("SMTPUTF8", "BODY=8BITMIME"))
    (arrived,) = peer.received(1, word.encode())
    trace_of(arrived, sent)
