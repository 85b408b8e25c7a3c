"""By MX to a real Postfix, as a real validating resolver (Unbound) says: DANE holds where the DNS is signed."""

import pytest

from tests.support.far_peers import Peers, by_tls, mail, token, trace_of


@pytest.mark.parametrize(
    "domain",
    [
        "right.test",
        # Signed, and signed that there are no TLSA records.
        "without.test",
        # What is not signed says nothing, though its TLSA record fits no certificate.
        "open.example",
        # The first of its hosts is away.
        "backup.example",
        # No MX at all.
        "address.example",
        "alias.example",
        # Its own zone is not signed, that of its exchanger is.
        "borrowed.example",
    ],
)
def test_mail_reaches_the_exchanger(peers: Peers, domain: str) -> None:
    me, word = peers.user(), token()
    sent = mail(me, f"to@{domain}", word)
    peers.submit(me, [f"to@{domain}"], sent)
    (arrived,) = peers.postfix.received(1, word.encode())
    assert by_tls(trace_of(arrived, sent))
    peers.assert_signed(arrived)


def test_a_domain_beyond_ascii_is_found_by_its_other_name(peers: Peers) -> None:
    me, word = peers.user(), token()
    with peers.submission(me) as smtp:
        smtp.sendmail(me, ["to@bücher.example"], mail(me, "undisclosed-recipients:;", word), ["SMTPUTF8"])
    (arrived,) = peers.postfix.received(1, word.encode())
    assert b"bcher-kva.example" in arrived or "bücher.example".encode() in arrived


@pytest.mark.parametrize(
    ("domain", "status", "said"),
    [
        ("wrong.test", "4.7.5", "TLSA"),
        ("forged.test", "4.4.3", "mx.forged.test"),
        ("broken.example", "4.4.3", "broken.example"),
    ],
)
def test_mail_waits_for_a_dns_that_can_be_believed(peers: Peers, domain: str, status: str, said: str) -> None:
    me, word = peers.user(), token()
    peers.submit(me, [f"to@{domain}"], mail(me, f"to@{domain}", word))
    event = peers.event("message.deferred", to=f"to@{domain}")
    assert event["status"] == status
    assert said in event["reply"]
    assert not peers.postfix.received(0, word.encode())
    peers.cli("queue", "drop", str(event["queue_id"]), "--yes")


@pytest.mark.parametrize(
    ("domain", "status", "words"),
    [
        ("null.example", "5.1.10", "takes no mail"),
        ("missing.example", "5.1.2", "There is no mail system for missing.example. Check the spelling"),
    ],
)
def test_a_domain_without_mail_is_reported(peers: Peers, domain: str, status: str, words: str) -> None:
    me, word = peers.user(), token()
    peers.submit(me, [f"to@{domain}"], mail(me, f"to@{domain}", word))
    report = peers.report(me)
    assert report.one("failed")["Status"] == status
    assert words in " ".join(report.words.split())


def test_several_domains_in_one_message_each_go_their_way(peers: Peers) -> None:
    me, word = peers.user(), token()
    everybody = [
        f"to@{domain}" for domain in ("right.test", "open.example", *(one.domain for one in peers.all()))
    ]
    sent = mail(me, "undisclosed-recipients:;", word)
    peers.submit(me, everybody, sent)
    for peer, count in ((peers.postfix, 3), (peers.exim, 1), (peers.opensmtpd, 1)):
        arrived = peer.received(count, word.encode())
        assert len(arrived) == count
        for one in arrived:
            trace_of(one, sent)
