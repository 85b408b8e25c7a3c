"""The drivers read answers to their end however the octets are cut, and notice refusals."""

import socket
from collections.abc import Iterator
from threading import Thread

import pytest

from bench import corpus
from bench.drivers.imap import Imap
from bench.drivers.pop3 import Pop3
from bench.drivers.sink import Sink
from bench.drivers.smtp import SmtpLoad, ready_to_send, run_smtp_load
from bench.drivers.wire import DriverError, Wire
from tests.support.live_server import free_ports

HOST = "127.0.0.1"


class Scripted:
    """A server that sends given pieces, each after it has received the octets awaited."""

    def __init__(self, script: list[tuple[bytes, list[bytes]]]) -> None:
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self._script = script
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with self._listener, self._listener.accept()[0] as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            received = b""
            for awaited, pieces in self._script:
                while awaited not in received:
                    octets = connection.recv(65_536)
                    if not octets:
                        return
                    received += octets
                received = received.partition(awaited)[2] if awaited else received
                for piece in pieces:
                    connection.sendall(piece)
            connection.recv(65_536)

    def join(self) -> None:
        self._thread.join(5)


@pytest.fixture
def scripted() -> Iterator[list[Scripted]]:
    started: list[Scripted] = []
    yield started
    for server in started:
        server.join()


def test_tagged_answer_is_found_however_it_is_cut(scripted) -> None:
    answer = b"* 1 FETCH (FLAGS ())\r\n* 2 FETCH (FLAGS ())\r\nb1 OK done\r\n"
    server = Scripted(
        [(b"", [b"* OK hello\r\n"]), (b"b1 NOOP\r\n", [answer[i : i + 1] for i in range(len(answer))])]
    )
    scripted.append(server)
    with Imap(HOST, server.port) as session:
        assert session.command(b"NOOP") == len(answer)


def test_tagged_no_is_an_error(scripted) -> None:
    server = Scripted([(b"", [b"* OK hello\r\n"]), (b"NOOP\r\n", [b"b1 NO not now\r\n"])])
    scripted.append(server)
    with Imap(HOST, server.port) as session, pytest.raises(DriverError, match="not now"):
        session.command(b"NOOP")


def test_listing_ends_at_the_dot_and_not_at_a_stuffed_one(scripted) -> None:
    server = Scripted(
        [
            (b"", [b"+OK\r\n"]),
            (b"USER", [b"+OK\r\n"]),
            (b"PASS", [b"+OK\r\n"]),
            (b"RETR 1\r\n", [b"+OK\r\nline\r\n..dots\r\n", b"more\r\n.", b"\r\n"]),
        ]
    )
    scripted.append(server)
    with Pop3(HOST, server.port, "ann", "secret") as pop:
        assert pop.listing(b"RETR 1") == len(b"+OK\r\nline\r\n..dots\r\nmore\r\n.\r\n")


def test_marks_are_counted_across_packets(scripted) -> None:
    server = Scripted([(b"", [b"a\r\n.\r", b"\nb\r\n.\r\n"])])
    scripted.append(server)
    with Wire(HOST, server.port) as wire:
        assert wire.octets_until_count(b"\r\n.\r\n", 2) == 12


def test_smtp_load_counts_what_was_accepted(scripted) -> None:
    server = Scripted(
        [
            (b"", [b"220 hi\r\n"]),
            (b"EHLO client.bench.example\r\n", [b"250-hi\r\n", b"250 PIPELINING\r\n"]),
            (b"DATA\r\n", [b"250 a\r\n25", b"0 b\r\n", b"354 go\r\n"]),
            (b"\r\n.\r\n", [b"250 kept\r\n"]),
        ]
    )
    scripted.append(server)
    message = ready_to_send(b"Subject: x\r\n\r\n.dot\r\n")
    assert message == b"Subject: x\r\n\r\n..dot\r\n.\r\n"
    outcome = run_smtp_load(SmtpLoad(HOST, server.port, 1, 0.0, ["ann@example.org"], [message]))
    assert outcome.accepted == 1
    assert outcome.per_recipient == {"ann@example.org": 1}


def test_smtp_refusal_is_an_error(scripted) -> None:
    server = Scripted(
        [
            (b"", [b"220 hi\r\n"]),
            (b"EHLO client.bench.example\r\n", [b"250 hi\r\n"]),
            (b"DATA\r\n", [b"250 a\r\n550 who\r\n503 no\r\n"]),
        ]
    )
    scripted.append(server)
    with pytest.raises(DriverError, match="550 who"):
        run_smtp_load(SmtpLoad(HOST, server.port, 1, 0.0, ["ann@example.org"], [b"x\r\n.\r\n"]))


def test_the_sink_counts_messages_recipients_and_signatures() -> None:
    plain = ready_to_send(corpus.outgoing_message(1, 2048, "ann@example.org"))
    signed = b"DKIM-Signature: v=1\r\n" + plain
    (port,) = free_ports(1)
    with Sink(port) as sink:
        load = SmtpLoad("127.0.0.1", port, 2, 0.05, ["a@x.example", "b@x.example"], [plain, signed], 2)
        outcome = run_smtp_load(load)
        sink.wait_for(outcome.accepted, 10.0)
        assert sink.recipients == 2 * outcome.accepted
        assert 0 < sink.signed < outcome.accepted


def test_an_outgoing_message_has_its_size_and_nothing_that_a_server_adds() -> None:
    octets = corpus.outgoing_message(7, 4096, "ann@example.org")
    assert 4096 <= len(octets) < 4096 + 80
    assert b"From: A Sender <ann@example.org>\r\n" in octets
    assert not {b"Received:", b"DKIM-Signature:", b"Return-Path:"} & set(octets.split())
    assert b"\n" not in octets.replace(b"\r\n", b"")
