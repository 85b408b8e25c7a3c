"""A blocking socket that reads large answers cheaply: one buffer, and only the tail is looked at."""

import socket
from typing import Final, Self

RECEIVE_OCTETS: Final = 1 << 20
TAIL_OCTETS: Final = 4096
SILENCE_SECONDS: Final = 90.0


# One buffer for all connections: a driver is one thread, and 5,000 idle sessions must not cost it 5 GB.
_buffer: Final = bytearray(RECEIVE_OCTETS)
_view: Final = memoryview(_buffer)


class DriverError(Exception):
    """The server refused, closed or kept silent; the message says which and on what."""


class Wire:
    """One connection of a driver."""

    def __init__(self, host: str, port: int) -> None:
        try:
            self._socket = socket.create_connection((host, port), timeout=SILENCE_SECONDS)
        except OSError as error:
            raise DriverError(f"no connection to {host}:{port}: {error}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def fileno(self) -> int:
        """For epoll."""
        return self._socket.fileno()

    def send(self, octets: bytes) -> None:
        """Send all of it."""
        self._socket.sendall(octets)

    def read(self) -> bytes:
        """What has arrived, at least one octet."""
        return bytes(_view[: self._receive()])

    def line(self) -> bytes:
        """The next line, without its CRLF; what follows it waits for the next call."""
        while (end := self._rest.find(b"\r\n")) < 0:
            self._rest += self.read()
        line, self._rest = self._rest[:end], self._rest[end + 2 :]
        return line

    def tail_until(self, ends: tuple[bytes, ...], keep: list[bytes] | None = None) -> tuple[int, bytes]:
        """Read until the octets so far end in CRLF and their last line starts with one of `ends`.

        Gives how many octets came and the last line. All octets are added to `keep`, if given.
        """
        total, tail = 0, self._rest
        self._rest = b""
        if tail:
            total = len(tail)
            if keep is not None:
                keep.append(tail)
        while True:
            if tail.endswith(b"\r\n"):
                last = tail[tail.rfind(b"\n", 0, -2) + 1 : -2]
                if last.startswith(ends):
                    return total, last
            count = self._receive()
            total += count
            if keep is not None:
                keep.append(bytes(_view[:count]))
            if count >= TAIL_OCTETS:
                tail = bytes(_view[count - TAIL_OCTETS : count])
            else:
                tail = (tail + _view[:count])[-TAIL_OCTETS:]

    def octets_until_count(self, mark: bytes, count: int) -> int:
        """Read until `mark` was seen `count` times, counting over what arrives; gives the octets."""
        total, seen, carry = 0, 0, self._rest
        self._rest = b""
        keep = len(mark) - 1
        while True:
            seen += carry.count(mark)
            if seen >= count:
                return total
            size = self._receive()
            total += size
            carry = carry[-keep:] + _view[:size]

    def _receive(self) -> int:
        try:
            count = self._socket.recv_into(_view)
        except TimeoutError as error:
            raise DriverError(f"the server kept silent for {SILENCE_SECONDS:.0f} s") from error
        except OSError as error:
            raise DriverError(f"the connection broke: {error}") from error
        if not count:
            raise DriverError("the server closed the connection")
        return count
