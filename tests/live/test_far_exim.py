"""Exim in its moods: it wants a password, it wants us to come back, it takes mail and regrets it, it is away."""

import email

from tests.support.debian_mtas import GREY, LATE
from tests.support.far_peers import PeerReport, Peers, by_tls, mail, token, trace_of


def test_a_smarthost_gets_its_password(peers: Peers) -> None:
    me, word = peers.user(), token()
    to = f"to@auth.{peers.exim.domain}"
    sent = mail(me, to, word)
    peers.submit(me, [to], sent)
    (arrived,) = peers.exim.received(1, word.encode())
    trace = trace_of(arrived, sent)
    # The A is for AUTH.
    assert " with esmtpsa " in trace
    assert by_tls(trace)


def test_chunks_are_used_both_ways(peers: Peers) -> None:
    me, word = peers.user(), token()
    sender = f"{word}@{peers.exim.domain}"
    peers.submit(me, [sender], mail(me, sender, word))
    peers.exim.received(1, word.encode())
    peers.exim.submit(sender, [me], mail(sender, me, word))
    peers.inbox(me, 1)
    # Its K is for CHUNKING.
    peers.exim.wait_for_log(rf"<= {me} .* K .*id={word}@")
    peers.exim.wait_for_log(rf"=> {me} .* K ")


def test_greylisting_is_waited_for(peers: Peers) -> None:
    me, word = peers.user(), token()
    to = f"{GREY}@{peers.exim.domain}"
    sent = mail(me, to, word)
    (peers.exim.directory / "grey").touch()
    try:
        peers.submit(me, [to], sent)
        message = peers.event("message.accepted", reverse_path=f"<{me}>")["message"]
        event = peers.event("message.deferred", message=message)
    finally:
        (peers.exim.directory / "grey").unlink()
    assert event["status"] == "4.7.1"
    assert 40 < event["next_seconds"] < 80
    assert "Come back a little later" in peers.cli("queue", "show", str(event["queue_id"]))
    assert not peers.exim.received(0, word.encode())
    peers.cli("queue", "retry", str(event["queue_id"]))
    (arrived,) = peers.exim.received(1, word.encode())
    trace_of(arrived, sent)


def test_long_lines_are_encoded(peers: Peers) -> None:
    """As Debian has it, Exim refuses lines of more than 998 octets."""
    me, word = peers.user(), token()
    body = b"y" * 3000 + b"\r\nend\r\n"
    peers.submit(me, [f"to@{peers.exim.domain}"], mail(me, f"to@{peers.exim.domain}", word, body))
    (arrived,) = peers.exim.received(1, word.encode())
    assert email.message_from_bytes(arrived).get_payload(decode=True) == body
    peers.assert_signed(arrived)


def test_what_is_taken_and_bounced_later_is_heard_of(peers: Peers) -> None:
    me, word = peers.user(), token()
    to = f"{LATE}@{peers.exim.domain}"
    peers.submit(me, [to], mail(me, to, word))
    (octets,) = peers.inbox(me, 1)
    assert octets.startswith(b"Return-Path: <>\r\n")
    assert PeerReport(octets).one("failed")["Final-Recipient"].replace(" ", "") == f"rfc822;{to}"


def test_mail_waits_while_the_server_is_away(peers: Peers) -> None:
    me, word = peers.user(), token()
    to = f"to@{peers.exim.domain}"
    sent = mail(me, to, word)
    peers.exim.stop()
    try:
        peers.submit(me, [to], sent)
        message = peers.event("message.accepted", reverse_path=f"<{me}>")["message"]
        event = peers.event("message.deferred", message=message)
        assert "refused" in event["reply"].lower()
        assert event["status"] == "4.4.1"
        assert to in peers.cli("queue", "list", "--account", me)
    finally:
        peers.exim.start()
    peers.cli("queue", "retry", "--domain", peers.exim.domain)
    (arrived,) = peers.exim.received(1, word.encode())
    trace_of(arrived, sent)


def test_a_server_that_asks_whether_we_exist_is_told(peers: Peers) -> None:
    """By a callout: MAIL FROM:<>, RCPT TO the sender, at our port 25 while we wait."""
    me, word = peers.user(), token()
    to = f"to@callout.{peers.exim.domain}"
    sent = mail(me, to, word)
    peers.submit(me, [to], sent)
    (arrived,) = peers.exim.received(1, word.encode())
    trace_of(arrived, sent)


def test_recipients_beyond_its_limit_and_messages_beyond_another_arrive(peers: Peers) -> None:
    """25 recipients a message, 4 messages a connection: the rest goes with the next one, and nobody waits."""
    me, word = peers.user(), token()
    everybody = [f"{word}-{number}@{peers.exim.domain}" for number in range(60)]
    with peers.submission(me) as smtp:
        smtp.sendmail(me, everybody, mail(me, "undisclosed-recipients:;", f"{word}-many"))
        for number in range(15):
            smtp.sendmail(me, [everybody[number]], mail(me, everybody[number], f"{word}-{number}"))
    assert len(peers.exim.received(75, word.encode())) == 75
    log = peers.server.log().splitlines()
    assert not [line for line in log if "message.deferred" in line and word in line]
