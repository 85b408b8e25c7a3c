"""A POP3 client that reads to the end of each answer, nothing more."""

from typing import Final, Self

from bench.drivers.wire import DriverError, Wire

_END: Final = b"\r\n.\r\n"
PIPELINE_WINDOW: Final = 50


class Pop3:
    """One POP3 session, logged in."""

    def __init__(self, host: str, port: int, login: str, password: str) -> None:
        self.wire = Wire(host, port)
        self._ok(self.wire.line())
        self.command(b"USER " + login.encode())
        self.command(b"PASS " + password.encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wire.close()

    def command(self, text: bytes) -> bytes:
        """A command with an answer of one line."""
        self.wire.send(text + b"\r\n")
        line = self.wire.line()
        self._ok(line)
        return line

    def listing(self, text: bytes, keep: list[bytes] | None = None) -> int:
        """A command with an answer of many lines; gives its octets."""
        self.wire.send(text + b"\r\n")
        total, last = self.wire.tail_until((b".", b"-ERR"), keep)
        while last != b".":
            if last.startswith(b"-ERR"):
                raise DriverError(f"{text!r} was answered {last!r}")
            # a dot-stuffed line that happened to end a packet
            more, last = self.wire.tail_until((b".", b"-ERR"), keep)
            total += more
        return total

    def pipelined(self, commands: list[bytes]) -> int:
        """Many commands with answers of many lines, a window of them at a time."""
        total = 0
        for at in range(0, len(commands), PIPELINE_WINDOW):
            window = commands[at : at + PIPELINE_WINDOW]
            self.wire.send(b"".join(command + b"\r\n" for command in window))
            total += self.wire.octets_until_count(_END, len(window))
        return total

    def quit(self) -> None:
        """End the session and hang up."""
        self.command(b"QUIT")
        self.wire.close()

    @staticmethod
    def _ok(line: bytes) -> None:
        if not line.startswith(b"+OK"):
            raise DriverError(f"POP3 answered {line[:200]!r}")
