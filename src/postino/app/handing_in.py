"""Hand a message to the server on this machine: by its local socket or, while it rests, into its store.

RFC: 5321 §3.3 (transactions), 2920 §3.1 (pipelining), 3461 §4 (NOTIFY, RET, ENVID).
Invariants: done means that the server has the message on its disk; where one recipient may be taken later, it
    is handed in for none.
Not here: the command (cli/send.py), the server's side (servers/smtp/, directory/local_user.py).
"""

import os
import selectors
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from postino.core.errors import PostinoError
from postino.net.sockets import reachable
from postino.smtp.client.commands import CannotBeSaid, mail_line, rcpt_line
from postino.smtp.client.extensions import Extensions, read_extensions
from postino.smtp.client.replies import BadReply, FarReply, ReplyParser
from postino.smtp.envelope import BodyType, MailOptions, Notify, RcptOptions, Return

if TYPE_CHECKING:
    from postino.app.settings_file import Configuration

KNOWN_SOCKET: Final = Path("/run/postino/submit.sock")
"""Where `postino send` looks when it may not read the settings."""
REPLY_SECONDS: Final = 120.0
_PIECE_OCTETS: Final = 64 * 1024


class NoServer(PostinoError):
    """Nobody listens on any socket there is."""


class NotHandedIn(PostinoError):
    """The server did not take the message. `reply` is what it said, None when the connection broke."""

    def __init__(self, sentence: str, reply: FarReply | None = None) -> None:
        super().__init__(sentence)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Letter:
    """A message with its envelope."""

    sender: str
    recipients: Sequence[str]
    octets: bytes
    notify: Notify = Notify.UNSAID
    ret: Return = Return.UNSAID
    envid: str = ""


class LocalServer:
    """A connection to the server, greeted. Blocks, at most REPLY_SECONDS for each reply."""

    def __init__(self, connected: socket.socket, client_name: str) -> None:
        connected.settimeout(REPLY_SECONDS)
        self._socket = connected
        self._replies = ReplyParser()
        self._require(self.read_reply())
        hello = self.ask(f"EHLO {client_name}\r\n".encode("ascii", "replace"))
        self._require(hello)
        self.hostname = hello.lines[0].split(" ")[0]
        """What the server calls itself."""
        self.offered: Extensions = read_extensions(hello)

    def hand_in(self, letter: Letter) -> list[tuple[str, FarReply]]:
        """Hand the message in; gives the recipients that were refused for good, with the reason.

        Raises NotHandedIn when the server has it for nobody.
        """
        utf8 = not "".join((letter.sender, *letter.recipients)).isascii()
        body = BodyType.SEVEN_BIT if letter.octets.isascii() and not utf8 else BodyType.EIGHT_BIT_MIME
        options = MailOptions(body=body, smtputf8=utf8, ret=letter.ret, envid=letter.envid)
        recipient_options = RcptOptions(notify=letter.notify)
        try:
            lines = [
                mail_line(
                    letter.sender, options, self.offered, size=len(letter.octets), body=body, smtputf8=utf8
                )
            ]
            lines += [
                rcpt_line(address, recipient_options, self.offered, smtputf8=utf8)
                for address in letter.recipients
            ]
        except CannotBeSaid as error:
            raise NotHandedIn(str(error)) from error
        refused = self._say_envelope(lines, letter.recipients)
        if len(refused) < len(letter.recipients):
            reply = self.ask(b"DATA\r\n")
            if reply.code != 354:
                raise NotHandedIn(f"The server does not take the message: {reply.text}", reply)
            self._send(_stuffed(letter.octets) + b".\r\n")
            reply = self.read_reply()
            if not reply.is_positive:
                raise NotHandedIn(f"The server does not take the message: {reply.text}", reply)
        return refused

    def _say_envelope(self, lines: list[bytes], recipients: Sequence[str]) -> list[tuple[str, FarReply]]:
        self._send(b"".join(lines))
        answers = [self.read_reply() for _ in lines]
        if not answers[0].is_positive:
            raise NotHandedIn(f"The server does not take the sender: {answers[0].text}", answers[0])
        refused = []
        for address, reply in zip(recipients, answers[1:], strict=True):
            if reply.is_permanent:
                refused.append((address, reply))
            elif not reply.is_positive:
                raise NotHandedIn(f"The server does not take {address} now: {reply.text}", reply)
        return refused

    def quit(self) -> None:
        """Say goodbye; what comes back does not matter any more."""
        try:
            self._socket.sendall(b"QUIT\r\n")
        except OSError:
            pass
        self._socket.close()

    def ask(self, line: bytes) -> FarReply:
        """Say one line and read its reply."""
        self._send(line)
        return self.read_reply()

    def read_reply(self) -> FarReply:
        """The next reply. Raises NotHandedIn when there is none."""
        try:
            while (reply := self._replies.next_reply()) is None:
                data = self._socket.recv(_PIECE_OCTETS)
                if not data:
                    raise NotHandedIn("The server has closed the connection; try again")
                self._replies.feed(data)
        except TimeoutError as error:
            raise NotHandedIn("The server does not answer; try again") from error
        except (OSError, BadReply) as error:
            raise NotHandedIn(f"The connection to the server broke: {error}") from error
        if reply.code == 421:
            raise NotHandedIn(f"The server ends the connection: {reply.text}", reply)
        return reply

    def _send(self, octets: bytes) -> None:
        try:
            self._socket.sendall(octets)
        except OSError:
            # What it says as its reason is worth more than that it does not listen any more.
            pass

    @staticmethod
    def _require(reply: FarReply) -> None:
        if not reply.is_positive:
            raise NotHandedIn(f"The server does not serve us: {reply.text}", reply)


def _stuffed(octets: bytes) -> bytes:
    """With a dot before each that begins a line (RFC 5321 §4.5.2)."""
    stuffed = octets.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed


def connect(paths: Sequence[Path]) -> socket.socket:
    """A connection to the first socket somebody listens on. Raises NoServer."""
    forbidden: Path | None = None
    for path in paths:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with reachable(path.parent) as directory:
                connected.connect(str(directory / path.name))
            return connected
        except PermissionError:
            forbidden = forbidden or path
            connected.close()
        except OSError:
            connected.close()
    if forbidden is not None:
        raise NoServer(
            f"You may not use {forbidden}; ask the operator to add unix:{KNOWN_SOCKET} to listen.local"
        )
    raise NoServer("No server listens for local mail")


@contextmanager
def resting_server(configuration: "Configuration") -> Iterator[socket.socket]:
    """A connection to a server in this process that takes mail into the store, and ends with it.

    For the store's owner, while no server runs (or none that listens); what is queued goes once one does.
    """
    ours, theirs = socket.socketpair()
    failures: list[BaseException] = []

    def run() -> None:
        import asyncio

        try:
            asyncio.run(_serve_one(configuration, theirs))
        except BaseException as error:
            failures.append(error)
        finally:
            theirs.close()

    thread = threading.Thread(target=run, name="resting-server")
    thread.start()
    try:
        yield ours
    except NotHandedIn:
        ours.close()
        thread.join()
        if failures and isinstance(failures[0], PostinoError):
            raise failures[0] from None
        raise
    finally:
        ours.close()
        thread.join()


async def _serve_one(configuration: "Configuration", connected: socket.socket) -> None:
    import asyncio

    from postino.app import wiring
    from postino.app.logging import LogLevel, make_logger
    from postino.app.paths import DataPaths
    from postino.net.bus import LocalBus, publish_from_outside
    from postino.net.connection import Connection
    from postino.net.tls import CertificateStore
    from postino.servers.metrics import Metrics
    from postino.servers.smtp import SmtpRole, serve_smtp

    store = wiring.open_data(configuration, first=False)
    run = DataPaths(configuration.data).run
    # A server that runs all the same, and does not listen for us, is told.
    store.on_commit = lambda changes: publish_from_outside(run, changes)
    try:
        context = wiring.build_context(
            configuration,
            store=store,
            bus=LocalBus(),
            metrics=Metrics(),
            log=make_logger(LogLevel("error"), configuration.settings.server.log_format),
            certificates=CertificateStore(None),
        )
        context.outbound = outbound = wiring.build_outbound(configuration, context, worker=0, workers=1)
        if outbound is not None:
            # Nothing is sent from here: what is queued waits for a server that runs.
            await outbound.close(0.0)
        connection = Connection()
        await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, connected)
        await serve_smtp(context, connection, role=SmtpRole.LOCAL, implicit_tls=True)
        connection.close()
        await connection.wait_closed()
        context.authentication.close()
    finally:
        await store.close()


def splice(connected: socket.socket) -> None:
    """Standard input to the server and its answers to standard output, until the server closes (-bs)."""
    with selectors.DefaultSelector() as waiting:
        waiting.register(connected, selectors.EVENT_READ)
        waiting.register(0, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                data = os.read(key.fd, _PIECE_OCTETS)
                if key.fd == 0:
                    if data:
                        connected.sendall(data)
                    else:
                        waiting.unregister(0)
                        connected.shutdown(socket.SHUT_WR)
                elif data:
                    os.write(1, data)
                else:
                    return
