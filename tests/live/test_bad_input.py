"""Hostile clients against a real server: each gets a clear refusal, a bystander's session goes on, memory stays bounded.

The grammar of refusals is in the transcripts; here it is size, silence and numbers.
"""

import base64
import imaplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live.mail_programs import ANN, BOB, PASSWORD, client_tls
from tests.support.live_server import LiveServer

MEBIBYTE = 1024 * 1024
MEMORY_GROWTH_OCTETS = 60 * MEBIBYTE
SETTINGS = "[limits]\nmessage_octets = 20000000\nlogin_seconds = 2.0\nsmtp_idle_seconds = 2.0\npop3_idle_seconds = 2.0\nmanagesieve_idle_seconds = 2.0\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    directory = tmp_path_factory.mktemp("bad-input")
    accounts = {ANN: PASSWORD, BOB: PASSWORD}
    with LiveServer(directory, accounts=accounts, settings=SETTINGS) as running:
        yield running
    running.verify()


def resident_octets(server: LiveServer) -> int:
    """Memory of the one worker."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    status = Path(f"/proc/{children[0]}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


class Client:
    """A bare socket with line reading."""

    def __init__(self, server: LiveServer, service: str) -> None:
        raw = socket.create_connection(("127.0.0.1", server.ports[service]), timeout=20)
        self.socket = (
            client_tls(server).wrap_socket(raw, server_hostname="localhost") if service.endswith("s") else raw
        )
        self.file = self.socket.makefile("rb")
        self.greeting = self.line()
        while self.greeting.startswith(b'"'):
            # ManageSieve tells its capabilities first.
            self.greeting = self.line()

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def line(self) -> bytes:
        return self.file.readline()

    def reply(self) -> bytes:
        """An SMTP reply's last line."""
        while (line := self.line())[3:4] == b"-":
            pass
        return line

    def say(self, command: bytes) -> bytes:
        self.send(command + b"\r\n")
        return self.reply()

    def until(self, start: bytes) -> list[bytes]:
        """Lines up to the one that begins with `start`."""
        lines = []
        while line := self.line():
            lines.append(line)
            if line.startswith(start):
                return lines
        raise AssertionError(f"the connection ended before {start!r}: {lines[-3:]}")

    def flood(self, octets: bytes, times: int) -> None:
        """Send until done or the server has had enough."""
        try:
            for _ in range(times):
                self.socket.sendall(octets)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass

    def rest(self) -> bytes:
        try:
            return self.file.read()
        except (ConnectionResetError, ssl.SSLError):
            return b""

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@contextmanager
def client(server: LiveServer, service: str) -> Iterator[Client]:
    made = Client(server, service)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def bystander(server: LiveServer) -> Iterator[None]:
    """Somebody else's IMAP session, which must not notice; and the server's memory, which must not grow."""
    with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=client_tls(server)) as imap:
        imap.login(BOB, PASSWORD)
        imap.select("INBOX")
        before = resident_octets(server)
        yield
        assert imap.noop()[0] == "OK"
        assert resident_octets(server) - before < MEMORY_GROWTH_OCTETS


@contextmanager
def mail_session(server: LiveServer) -> Iterator[Client]:
    """An SMTP session that may send DATA to ann."""
    with client(server, "smtp") as smtp:
        assert smtp.say(b"EHLO c.example").startswith(b"250")
        assert smtp.say(b"MAIL FROM:<x@elsewhere.example>").startswith(b"250")
        assert smtp.say(b"RCPT TO:<ann@example.org>").startswith(b"250")
        yield smtp


@pytest.mark.parametrize("service", ["smtp", "imap", "pop3", "managesieve"])
def test_a_line_without_end_is_refused_and_not_kept(server: LiveServer, service: str) -> None:
    with client(server, service) as hostile:
        hostile.flood(b"A" * MEBIBYTE, 200)
        hostile.socket.shutdown(socket.SHUT_WR) if service not in ("imap", "managesieve") else None
        assert hostile.line()[:3] in (b"500", b"* B", b"-ER", b"BYE", b"")


def test_an_announced_size_is_refused_before_it_is_sent(server: LiveServer) -> None:
    with client(server, "smtp") as smtp:
        smtp.say(b"EHLO c.example")
        assert smtp.say(b"MAIL FROM:<x@elsewhere.example> SIZE=20000001").startswith(b"552")
    with client(server, "imaps") as imap:
        imap.send(b"a LOGIN ann@example.org {99999999}\r\n")
        assert imap.line().startswith((b"a BAD", b"a NO", b"* BYE"))


def test_a_literal_before_login_is_small(server: LiveServer) -> None:
    with client(server, "imap") as imap:
        imap.flood(b"a LOGIN {60000+}\r\n" + b"x" * 60000, 2000)
        assert imap.line()[:1] in (b"a", b"*", b"")


def test_scripts_larger_than_allowed_are_refused_and_not_kept(server: LiveServer) -> None:
    with client(server, "managesieve") as stranger:
        stranger.flood(b'AUTHENTICATE "PLAIN" {60000+}\r\n' + b"x" * 60000 + b"\r\n", 2000)
        assert stranger.line()[:3] in (b"NO ", b"BYE", b"")
    with client(server, "managesieve") as sieve:
        plain = base64.b64encode(b"\0ann@example.org\0" + PASSWORD.encode())
        sieve.send(b'AUTHENTICATE "PLAIN" "%b"\r\n' % plain)
        assert sieve.line().startswith(b"OK")
        for _ in range(20):
            sieve.send(b'PUTSCRIPT "large" {16000000+}\r\n')
            sieve.flood(b"x" * 100_000, 160)
            sieve.send(b"\r\n")
            assert sieve.line().startswith(b"NO (QUOTA/MAXSIZE)")
        sieve.send(b'PUTSCRIPT "huge" {4294967295+}\r\n')
        assert sieve.line().startswith(b"BYE")


def test_an_append_larger_than_allowed_is_refused(server: LiveServer) -> None:
    with client(server, "imaps") as imap:
        imap.send(b'a LOGIN ann@example.org "%b"\r\n' % PASSWORD.encode())
        imap.until(b"a OK")
        imap.send(b"b APPEND INBOX {20000001}\r\n")
        assert imap.line().startswith(b"b NO")
        imap.send(b"c APPEND INBOX {20000001+}\r\n")
        imap.flood(b"x" * 100_000, 200)
        imap.send(b"x\r\nd NOOP\r\n")
        assert imap.until(b"d OK")[0].startswith(b"c NO")


def test_a_message_over_the_limit_is_refused_without_being_kept(server: LiveServer) -> None:
    with mail_session(server) as smtp:
        assert smtp.say(b"DATA").startswith(b"354")
        smtp.send(b"Subject: large\r\n\r\n")
        smtp.flood(b"x" * 76 + b"\r\n", 400_000)
        smtp.send(b"\r\n.\r\n")
        assert smtp.reply().startswith(b"552")
        assert smtp.say(b"NOOP").startswith(b"250")


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\n.\r", b"\r\n\0.\r\n", b"\r\n.\0\r\n"]
)
def test_only_crlf_dot_crlf_ends_a_message(server: LiveServer, end: bytes) -> None:
    with mail_session(server) as smtp:
        assert smtp.say(b"DATA").startswith(b"354")
        smuggled = b"MAIL FROM:<evil@elsewhere.example>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nx"
        smtp.send(b"Subject: outer\r\n\r\nouter" + end + smuggled + b"\r\n.\r\n")
        # Either refused as a whole, or one message that holds all of it: never two answers.
        assert smtp.reply().startswith((b"250", b"5"))
        assert smtp.say(b"NOOP") == b"250 2.0.0 Still here\r\n"
        assert smtp.say(b"QUIT").startswith(b"221")
    with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=client_tls(server)) as imap:
        imap.login(ANN, PASSWORD)
        imap.select("INBOX", readonly=True)
        assert imap.search(None, "SUBJECT", "smuggled")[1] == [b""]


@pytest.mark.parametrize(
    ("service", "hello", "start_tls"),
    [
        ("smtp", b"EHLO c.example\r\n", b"STARTTLS\r\n"),
        ("submission", b"EHLO c.example\r\n", b"STARTTLS\r\n"),
        ("imap", b"", b"a STARTTLS\r\n"),
        ("pop3", b"", b"STLS\r\n"),
        ("managesieve", b"", b"STARTTLS\r\n"),
    ],
)
def test_what_comes_behind_starttls_is_forgotten(
    server: LiveServer, service: str, hello: bytes, start_tls: bytes
) -> None:
    injected = {
        "smtp": b"NOOP INJECTED\r\n",
        "submission": b"NOOP INJECTED\r\n",
        "imap": b"i NOOP\r\n",
        "pop3": b"NOOP\r\n",
        "managesieve": b'NOOP "INJECTED"\r\n',
    }
    with client(server, service) as plain:
        if hello:
            plain.say(hello.rstrip())
        plain.send(start_tls + injected[service] * 50)
        assert plain.line()[:4] in (b"220 ", b"a OK", b"+OK ", b'OK "')
        context = client_tls(server)
        tls = context.wrap_socket(plain.socket, server_hostname="localhost")
        tls.sendall({"imap": b"z LOGOUT\r\n", "managesieve": b"LOGOUT\r\n"}.get(service, b"QUIT\r\n"))
        received = b""
        while piece := tls.recv(4096):
            received += piece
        tls.close()
        assert b"i OK" not in received
        assert b"INJECTED" not in received
        if service != "managesieve":
            assert received.count(b"\r\n") == (2 if service == "imap" else 1), received


@pytest.mark.parametrize("service", ["smtp", "submission", "imap", "imaps", "pop3", "pop3s", "managesieve"])
def test_half_a_command_and_silence_end_the_session(server: LiveServer, service: str) -> None:
    with client(server, service) as silent:
        silent.send(b"NOO")
        rest = silent.rest()
        if service.startswith("pop3"):
            # RFC 1939 §3: close without a response.
            assert rest == b""
        else:
            assert {"s": b"421 ", "i": b"* BYE", "m": b"BYE "}[service[0]] in rest


def send_message(server: LiveServer, octets: bytes) -> bytes:
    with mail_session(server) as smtp:
        assert smtp.say(b"DATA").startswith(b"354")
        smtp.send(octets.replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\n")
        return smtp.reply()


def many_parts(count: int) -> bytes:
    return (
        b"Subject: many\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        + b"--b\r\n\r\nx\r\n" * count
        + b"--b--\r\n"
    )


def deep_parts(depth: int) -> bytes:
    head = b"Subject: deep\r\n"
    for level in range(depth):
        head += b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
    return head + b"\r\nbottom\r\n"


@pytest.mark.parametrize(
    "octets",
    [
        many_parts(10_000),
        many_parts(50_000),
        deep_parts(1_000),
        b"Subject: \xff\xfe raw 8-bit \xe4\xf6\r\nFrom: \xe4 <a@b>\r\n\r\n8-bit \xe4\r\n",
        b"Content-Type: text/plain;" + b"".join(b" x*%d=y;\r\n" % n for n in range(20_000)) + b"\r\n\r\nx",
        b"To: " + b",\r\n ".join(b"a%d@example.net" % n for n in range(20_000)) + b"\r\n\r\nx",
        b"To: " + b"(" * 100_000 + b"\r\n\r\nx",
        b"Subject: " + b"=?utf-8?q?=41?= " * 20_000 + b"\r\n\r\nx",
        b"\r\n\r\n",
        b"no header at all",
    ],
    ids=[
        "parts",
        "more-parts",
        "deep",
        "8-bit",
        "rfc2231",
        "addresses",
        "parentheses",
        "words",
        "empty",
        "no-header",
    ],
)
def test_hard_messages_are_kept_and_can_be_looked_at(server: LiveServer, octets: bytes) -> None:
    reply = send_message(server, octets)
    assert reply.startswith((b"250", b"5")), reply
    if reply.startswith(b"5"):
        return
    with client(server, "imaps") as imap:
        imap.send(b'a LOGIN ann@example.org "%b"\r\nb SELECT INBOX\r\n' % PASSWORD.encode())
        imap.until(b"b OK")
        imap.send(
            b"c FETCH * (ENVELOPE BODYSTRUCTURE BODY[1] BODY[1.1.MIME] BODY[HEADER.FIELDS (SUBJECT)])\r\n"
        )
        imap.until(b"c OK")
        imap.send(b"d SEARCH TEXT bottom\r\n")
        imap.until(b"d OK")


def test_nul_and_binary_in_smtp_data_do_not_break_the_session(server: LiveServer) -> None:
    reply = send_message(server, b"Subject: nul\r\n\r\na\0b\r\n")
    assert reply[:1] in b"25"


def test_a_client_that_does_not_read_holds_nobody_up(server: LiveServer) -> None:
    assert send_message(server, b"Subject: large\r\n\r\n" + (b"y" * 76 + b"\r\n") * 100_000).startswith(
        b"250"
    )
    with client(server, "imaps") as greedy, client(server, "imaps") as other:
        for each in (greedy, other):
            each.send(b'a LOGIN ann@example.org "%b"\r\nb SELECT INBOX\r\n' % PASSWORD.encode())
            each.until(b"b OK")
        greedy.send(b"c FETCH 1:* BODY.PEEK[]\r\n" * 20)
        other.send(b"d STORE * +FLAGS (\\Seen)\r\n")
        other.until(b"d OK")
