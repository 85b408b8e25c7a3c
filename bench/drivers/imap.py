"""An IMAP client that sends ready commands and reads to the tagged answer, nothing more."""

import re
import time
from collections.abc import Iterable, Sequence
from typing import Final, Self

from bench.drivers.wire import DriverError, Wire

PIPELINE_WINDOW: Final = 32
_MESSAGES: Final = re.compile(rb"MESSAGES (\d+)")
_EXISTS: Final = re.compile(rb"\* (\d+) EXISTS\r\n")


class Imap:
    """One IMAP session."""

    def __init__(self, host: str, port: int) -> None:
        self.wire = Wire(host, port)
        greeting = self.wire.line()
        if not greeting.startswith(b"* OK"):
            raise DriverError(f"IMAP greeting refused: {greeting!r}")
        self._number = 0
        self._plus = False

    @classmethod
    def logged_in(cls, host: str, port: int, login: str, password: str) -> Self:
        """A session that is through LOGIN."""
        session = cls(host, port)
        session.command(b'LOGIN "%s" "%s"' % (login.encode(), password.encode()))
        capabilities = session.kept(b"CAPABILITY")
        session._plus = b" LITERAL+" in capabilities
        return session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wire.close()

    def command(self, text: bytes) -> int:
        """Send one command, wait for its OK; gives the octets of the whole answer."""
        tag = self._send(text)
        return self._finish(tag, text, None)

    def kept(self, text: bytes) -> bytes:
        """Like command, but gives the answer's octets."""
        keep: list[bytes] = []
        self._finish(self._send(text), text, keep)
        return b"".join(keep)

    def timed(self, text: bytes) -> float:
        """Seconds that one command takes."""
        started = time.perf_counter()
        self.command(text)
        return time.perf_counter() - started

    def try_command(self, text: bytes) -> bool:
        """True if the server answered OK; NO and BAD are False."""
        tag = self._send(text)
        _, last = self.wire.tail_until((tag,))
        return last.startswith(tag + b"OK")

    def messages(self, mailbox: bytes = b"INBOX") -> int:
        """How many messages STATUS says there are."""
        answer = self.kept(b"STATUS %s (MESSAGES)" % mailbox)
        found = _MESSAGES.search(answer)
        if found is None:
            raise DriverError(f"no MESSAGES in {answer[:200]!r}")
        return int(found[1])

    def select(self, mailbox: bytes = b"INBOX") -> int:
        """Select; gives the number of messages."""
        found = _EXISTS.search(self.kept(b"SELECT " + mailbox))
        return int(found[1]) if found else 0

    def start_idle(self) -> None:
        """Enter IDLE; the session may do nothing else afterwards but wait."""
        self._send(b"IDLE")
        while not (line := self.wire.line()).startswith(b"+"):
            if not line.startswith(b"*"):
                raise DriverError(f"IDLE refused: {line!r}")

    def end_idle(self) -> None:
        """Leave IDLE and see it acknowledged."""
        self.wire.send(b"DONE\r\n")
        tag = b"b%d " % self._number
        while not (line := self.wire.line()).startswith(tag + b"OK"):
            if line.startswith(tag):
                raise DriverError(f"DONE was answered {line!r}")

    def wait_for_exists(self) -> None:
        """Wait until the idle session is told of a new number of messages."""
        while not self.wire.line().endswith(b" EXISTS"):
            pass

    def append(self, mailbox: bytes, message: bytes) -> None:
        """One message, waiting for its OK: with LITERAL+ if offered, else through the continuation."""
        if self._plus:
            tag = self._send(b"APPEND %s {%d+}\r\n" % (mailbox, len(message)) + message)
        else:
            tag = self._send(b"APPEND %s {%d}" % (mailbox, len(message)))
            answer = self.wire.line()
            if not answer.startswith(b"+"):
                raise DriverError(f"APPEND refused: {answer!r}")
            self.wire.send(message + b"\r\n")
        self._finish(tag, b"APPEND", None)

    def append_pipelined(self, mailbox: bytes, messages: Sequence[bytes]) -> None:
        """Many messages, the next window sent before the answers to the last one are read."""
        if not self._plus:
            for message in messages:
                self.append(mailbox, message)
            return
        due = 0
        for at in range(0, len(messages), PIPELINE_WINDOW):
            window = messages[at : at + PIPELINE_WINDOW]
            self.wire.send(b"".join(self._append_commands(mailbox, window)))
            if due:
                self._tagged_answers(due)
            due = len(window)
        self._tagged_answers(due)

    def _append_commands(self, mailbox: bytes, messages: Iterable[bytes]) -> Iterable[bytes]:
        for message in messages:
            self._number += 1
            yield b"b%d APPEND %s {%d+}\r\n" % (self._number, mailbox, len(message))
            yield message
            yield b"\r\n"

    def _tagged_answers(self, count: int) -> None:
        while count:
            line = self.wire.line()
            if line.startswith(b"*"):
                continue
            if b" OK" not in line[:16]:
                raise DriverError(f"APPEND failed: {line[:200]!r}")
            count -= 1

    def _send(self, text: bytes) -> bytes:
        self._number += 1
        tag = b"b%d " % self._number
        self.wire.send(tag + text + b"\r\n")
        return tag

    def _finish(self, tag: bytes, text: bytes, keep: list[bytes] | None) -> int:
        total, last = self.wire.tail_until((tag,), keep)
        if not last.startswith(tag + b"OK"):
            raise DriverError(f"{text[:80]!r} was answered {last[:200]!r}")
        return total
