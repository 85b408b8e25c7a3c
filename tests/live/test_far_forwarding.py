"""Mail of one real server that an alias of ours sends on to another, and what comes back of it."""

import re

import dkim
import pytest

from postino.mailauth.arc.chain import verify_arc
from postino.mailauth.authentication_results import AuthResult
from postino.mime.header import header_octets
from tests.support.debian_mtas import GREY, LATE, LOOP, NOBODY, FarMta
from tests.support.dkim_examples import answer
from tests.support.far_peers import PeerReport, Peers, Report, mail, peer_of, token, trace_of

PAIRS = pytest.mark.parametrize(
    ("first", "last"), [("postfix", "exim"), ("exim", "opensmtpd"), ("opensmtpd", "postfix")]
)
EIGHT_BIT = (
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
)


def alias(peers: Peers, *members: str) -> str:
    """A new address that leads to these."""
    made = f"{token()}@example.org"
    peers.cli("alias", "add", made, *members)
    return made


def envelope_sender(peer: FarMta, trace: str) -> str:
    """The reverse-path by which a message came to the peer."""
    pattern = r"\(envelope-from <([^>]*)>\)" if peer.name == "Exim" else r"(?m)^Return-Path: <([^>]*)>"
    found = re.search(pattern, trace)
    assert found is not None, trace
    return found[1]


def assert_sealed(peers: Peers, message: bytes) -> None:
    """Our seal holds, for ourselves and for dkimpy; nothing is signed that is not ours."""
    assert b"DKIM-Signature:" not in message
    at = header_octets(message)
    chain = answer(verify_arc(message[:at], (message[at:],), now=0), peers.signing_keys)
    assert (chain.result, chain.sealers) == (AuthResult.PASS, ("example.org",))

    def record(name: bytes, timeout: int = 5) -> bytes:
        return peers.signing_keys[name.decode().rstrip(".")].encode()

    assert dkim.arc_verify(message, dnsfunc=record)[0] == dkim.CV_Pass


@PAIRS
def test_an_alias_sends_it_on_to_the_octet(peers: Peers, first: str, last: str) -> None:
    near, far, word = peer_of(peers, first), peer_of(peers, last), token()
    me, sender = peers.user(), f"{word}@{near.domain}"
    team = alias(peers, me, f"member@{far.domain}")
    sent = mail(sender, team, word, "über\r\n.\r\n\r\n".encode(), EIGHT_BIT)
    near.submit(sender, [team], sent, ("BODY=8BITMIME",))
    (here,) = peers.inbox(me, 1)
    trace_of(here, sent)
    (there,) = far.received(1, word.encode())
    trace = trace_of(there, sent, "arc-seal", "arc-message-signature", "arc-authentication-results")
    assert envelope_sender(far, trace).startswith("SRS0=")
    assert f"Delivered-To: {team}\r\n" in trace
    assert_sealed(peers, there)
    # Somebody there goes home, and says so to whoever is in the reverse-path.
    away = mail(f"member@{far.domain}", sender, f"{word} away")
    far.submit("", [envelope_sender(far, trace)], away)
    (back,) = near.received(1, f"{word} away".encode())
    assert back.endswith(away)


@PAIRS
def test_a_refusal_there_is_a_refusal_here(peers: Peers, first: str, last: str) -> None:
    near, far, word = peer_of(peers, first), peer_of(peers, last), token()
    sender = f"{word}@{near.domain}"
    gone = alias(peers, f"{NOBODY}@{far.domain}")
    near.submit(sender, [gone], mail(sender, gone, word))
    (octets,) = near.received(1, f"To: {sender}\n".encode())
    report = PeerReport(octets)
    # The first server tells its own user; we send no report.
    assert near.domain in report.about["Reporting-MTA"]
    assert report.one("failed")["Final-Recipient"].replace(" ", "") == f"rfc822;{gone}"
    assert b"localhost (127.0.0.1) said: 550" in re.sub(rb"\r\n\s+", b" ", octets)


@pytest.mark.parametrize("first", ["postfix", "opensmtpd"])
def test_a_late_bounce_finds_its_way_back(peers: Peers, first: str) -> None:
    near, word = peer_of(peers, first), token()
    sender = f"{word}@{near.domain}"
    late = alias(peers, f"{LATE}@{peers.exim.domain}")
    near.submit(sender, [late], mail(sender, late, word))
    (octets,) = near.received(1, f"Final-Recipient: rfc822;{LATE}@".encode())
    assert b"The mailbox has been closed" in octets
    assert f"Delivered-To: {sender}".encode() in octets


@pytest.mark.parametrize("local", ["a" * 60, '"quoted user"', "größe"])
def test_every_kind_of_sender_can_be_rewritten(peers: Peers, local: str) -> None:
    near, far, word = peers.postfix, peers.exim, token()
    options = () if local.isascii() else ("SMTPUTF8", "BODY=8BITMIME")
    late = alias(peers, f"{LATE}@{far.domain}")
    near.submit(f"{local}@{near.domain}", [late], mail(f"from@{near.domain}", late, word), options)
    (octets,) = near.received(1, f"Message-ID: <{word}@example.org>".encode())
    assert octets.startswith(f"Return-Path: <>\r\nX-Original-To: {local}@{near.domain}\r\n".encode())


def test_a_list_elsewhere_gets_one_copy_each(peers: Peers) -> None:
    near, far, word = peers.postfix, peers.exim, token()
    sender = f"{word}@{near.domain}"
    team = alias(peers, *(f"member{number}@{far.domain}" for number in range(30)))
    sent = mail(sender, team, word)
    near.submit(sender, [team], sent)
    arrived = far.received(30, word.encode())
    assert len(arrived) == 30
    for message in arrived[::10]:
        assert message.endswith(sent)
        assert_sealed(peers, message)


def test_eight_bits_are_encoded_on_the_way_on_and_sealed_then(peers: Peers) -> None:
    near, word = peers.exim, token()
    sender = f"{word}@{near.domain}"
    team = alias(peers, "to@bare.example.net")
    near.submit(sender, [team], mail(sender, team, word, "über\r\n".encode(), EIGHT_BIT), ("BODY=8BITMIME",))
    (arrived,) = peers.postfix.received(1, word.encode())
    assert arrived.isascii()
    assert_sealed(peers, arrived)


def test_success_is_confirmed_from_there(peers: Peers) -> None:
    near, far, word = peers.postfix, peers.exim, token()
    sender = f"{word}@{near.domain}"
    team = alias(peers, f"member@{far.domain}")
    near.submit(
        sender, [team], mail(sender, team, word), ("ENVID=x",), ("NOTIFY=SUCCESS", f"ORCPT=rfc822;{team}")
    )
    (octets,) = near.received(1, f"Delivered-To: {sender}".encode())
    report = PeerReport(octets)
    # RFC 3461 §5.2.7.2: an alias for one is only another name.
    assert report.one("delivered")["Original-Recipient"].replace(" ", "") == f"rfc822;{team}"
    assert report.about["Reporting-MTA"].endswith(far.domain)


def test_a_server_that_wants_to_wait_gets_it_from_the_queue(peers: Peers) -> None:
    near, far, word = peers.postfix, peers.exim, token()
    sender, to = f"{word}@{near.domain}", f"{GREY}-{word}@{far.domain}"
    grey = alias(peers, to)
    sent = mail(sender, grey, word)
    (far.directory / "grey").touch()
    try:
        near.submit(sender, [grey], sent)
        peers.event("message.deferred", to=to)
    finally:
        (far.directory / "grey").unlink()
    # It would come back in a minute by itself.
    peers.cli("queue", "retry", "--to", to)
    (arrived,) = far.received(1, word.encode())
    trace_of(arrived, sent, "arc-seal", "arc-message-signature", "arc-authentication-results")
    assert_sealed(peers, arrived)


def test_what_a_user_writes_to_an_alias_is_signed(peers: Peers) -> None:
    me, word = peers.user(), token()
    team = alias(peers, *(f"member@{peer.domain}" for peer in peers.all()))
    sent = mail(me, team, word)
    peers.submit(me, [team], sent)
    for peer in peers.all():
        (arrived,) = peer.received(1, word.encode())
        # Our own users keep their address: whatever fails, they hear of it themselves.
        assert envelope_sender(peer, trace_of(arrived, sent)) == me
        peers.assert_signed(arrived)


def test_a_failure_behind_an_alias_is_told_to_the_user(peers: Peers) -> None:
    me, word = peers.user(), token()
    team = alias(peers, f"{NOBODY}@{peers.postfix.domain}", f"member@{peers.exim.domain}")
    peers.submit(me, [team], mail(me, team, word))
    (octets,) = peers.inbox(me, 1)
    report = Report(octets)
    assert report.one("failed")["Final-Recipient"] == f"rfc822; {NOBODY}@{peers.postfix.domain}"
    assert f"You wrote to {team}." in " ".join(report.words.split())


def test_a_sender_that_was_rewritten_bears_a_callout(peers: Peers) -> None:
    """The last server asks us, while we ask it for the first one, whether the rewritten sender exists."""
    near, far, word = peers.postfix, peers.exim, token()
    sender = f"{word}@{near.domain}"
    team = alias(peers, f"member@callout.{far.domain}")
    sent = mail(sender, team, word)
    near.submit(sender, [team], sent)
    (arrived,) = far.received(1, word.encode())
    assert envelope_sender(far, arrived.decode()).startswith("SRS0=")
    assert_sealed(peers, arrived)


def test_mail_that_goes_round_in_circles_is_given_back_once(peers: Peers) -> None:
    near, word = peers.exim, token()
    sender = f"{word}@{near.domain}"
    peers.cli("alias", "add", f"{LOOP}@example.org", f"{LOOP}@{peers.postfix.domain}")
    near.submit(sender, [f"{LOOP}@example.org"], mail(sender, f"{LOOP}@example.org", word))
    (octets,) = near.received(1, word.encode())
    assert PeerReport(octets).one("failed")["Status"] == "5.4.6"
