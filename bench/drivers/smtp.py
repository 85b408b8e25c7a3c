"""Pushes messages through many SMTP connections from one thread, by epoll.

Each connection sends MAIL, RCPT and DATA in one packet (PIPELINING, as mail servers do), waits for
354, sends the message, waits for 250, and starts over, until the time is up.
"""

import base64
import select
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

from bench.drivers.wire import SILENCE_SECONDS, DriverError

_GREETING_OCTETS = 65_536


@dataclass(frozen=True, slots=True)
class SmtpLoad:
    """What to send: ready messages (dot-stuffed, with their final dot) to accounts in turn."""

    host: str
    port: int
    connections: int
    seconds: float
    recipients: Sequence[str]
    messages: Sequence[bytes]
    recipients_per_message: int = 1
    sender: str = "sender@client.example"
    login: tuple[str, str] | None = None
    """User and password, where the server wants them (once a connection)."""
    greeting: bytes = b"EHLO"
    """LHLO for LMTP, where each message goes to one recipient: there an answer comes for each of them."""


@dataclass(frozen=True, slots=True)
class SmtpOutcome:
    """How many messages were answered with 250, when it began, and how long it took."""

    accepted: int
    started: float
    seconds: float
    per_recipient: dict[str, int]


def ready_to_send(message: bytes) -> bytes:
    """`message` as it goes after 354: dots doubled, final dot added."""
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    return (b"." + stuffed if stuffed.startswith(b".") else stuffed) + b".\r\n"


def _open(load: SmtpLoad) -> socket.socket:
    try:
        connection = socket.create_connection((load.host, load.port), timeout=SILENCE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        greeting = connection.recv(_GREETING_OCTETS)
        if not greeting.startswith(b"220"):
            raise DriverError(f"SMTP greeting refused: {greeting!r}")
        _converse(connection, load.greeting + b" client.bench.example", b"250")
        if load.login is not None:
            secret = base64.b64encode(b"\0" + "\0".join(load.login).encode())
            _converse(connection, b"AUTH PLAIN " + secret, b"235")
    except OSError as error:
        raise DriverError(f"no SMTP session on port {load.port}: {error}") from error
    # PERF: with a timeout Python polls before every recv and send; epoll has done that already.
    connection.settimeout(None)
    return connection


def _converse(connection: socket.socket, line: bytes, wanted: bytes) -> None:
    connection.sendall(line + b"\r\n")
    answer = b""
    while not (answer.endswith(b"\r\n") and b"\n" + wanted + b" " in b"\n" + answer):
        chunk = connection.recv(_GREETING_OCTETS)
        if not chunk or answer[:1] in (b"4", b"5"):
            raise DriverError(f"the SMTP server refused {line.split()[0]!r}: {answer[:200]!r}")
        answer += chunk


def _transactions(load: SmtpLoad) -> Iterator[tuple[bytes, tuple[str, ...]]]:
    groups: list[tuple[str, ...]] = []
    at = 0
    size = load.recipients_per_message
    for _ in range(max(1, len(load.recipients))):
        groups.append(tuple(load.recipients[(at + k) % len(load.recipients)] for k in range(size)))
        at += size
    ready = [
        (
            b"MAIL FROM:<%s>\r\n" % load.sender.encode()
            + b"".join(b"RCPT TO:<%s>\r\n" % name.encode() for name in group)
            + b"DATA\r\n",
            group,
        )
        for group in groups
    ]
    return cycle(ready)


def run_smtp_load(load: SmtpLoad) -> SmtpOutcome:
    """Send for `load.seconds`, let what is under way finish, and count the 250s."""
    connections = [_open(load) for _ in range(load.connections)]
    try:
        return _push(load, connections)
    finally:
        for connection in connections:
            try:
                connection.setblocking(True)
                connection.settimeout(2.0)
                connection.sendall(b"QUIT\r\n")
            except OSError:
                pass
            connection.close()


def _push(load: SmtpLoad, connections: list[socket.socket]) -> SmtpOutcome:
    transactions, messages = _transactions(load), cycle(load.messages)
    poll = select.epoll()
    by_fd = {connection.fileno(): connection for connection in connections}
    groups: dict[int, tuple[str, ...]] = {}
    in_data = dict.fromkeys(by_fd, False)
    partial = dict.fromkeys(by_fd, b"")
    counts: dict[tuple[str, ...], int] = {}
    accepted = 0
    active = len(connections)
    started = time.perf_counter()
    deadline = started + load.seconds
    finished = started
    for fd, connection in by_fd.items():
        poll.register(fd, select.EPOLLIN)
        envelope, groups[fd] = next(transactions)
        connection.sendall(envelope)
    while active:
        events = poll.poll(SILENCE_SECONDS)
        if not events:
            raise DriverError(f"the SMTP server kept silent for {SILENCE_SECONDS:.0f} s")
        for fd, _ in events:
            connection = by_fd[fd]
            octets = connection.recv(16_384)
            if not octets:
                raise DriverError("the SMTP server hung up")
            if not octets.endswith(b"\n") or partial[fd]:
                octets = partial[fd] = partial[fd] + octets
                if not octets.endswith(b"\n"):
                    continue
            if not in_data[fd]:
                # All answers to MAIL, RCPT and DATA may come in one packet or in several: 354 is the last.
                if octets.find(b"\n354", max(0, octets.rfind(b"\n", 0, -1))) < 0 and not octets.startswith(
                    b"354"
                ):
                    if b"\n4" in b"\n" + octets or b"\n5" in b"\n" + octets:
                        raise DriverError(f"refused: {octets[:300]!r}")
                    partial[fd] = b""
                    continue
                partial[fd] = b""
                in_data[fd] = True
                connection.sendall(next(messages))
                continue
            partial[fd] = b""
            if not octets.startswith(b"250"):
                raise DriverError(f"message refused: {octets[:300]!r}")
            in_data[fd] = False
            accepted += 1
            counts[groups[fd]] = counts.get(groups[fd], 0) + 1
            finished = time.perf_counter()
            if finished < deadline:
                envelope, groups[fd] = next(transactions)
                connection.sendall(envelope)
            else:
                active -= 1
                poll.unregister(fd)
    poll.close()
    per_recipient: dict[str, int] = {}
    for group, count in counts.items():
        for name in group:
            per_recipient[name] = per_recipient.get(name, 0) + count
    return SmtpOutcome(accepted, started, finished - started, per_recipient)
