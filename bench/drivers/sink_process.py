"""`python -m bench.drivers.sink_process PORT`: takes mail by SMTP, counts it and throws it away.

After each message it tells its counts: `sess=1 mesg=2 rcpt=300 sign=2`. It announces what both servers make use of:
PIPELINING, 8BITMIME, SIZE, ENHANCEDSTATUSCODES. It is faster than Postfix's smtp-sink and counts recipients too.
"""

import asyncio
import sys
from typing import cast

import uvloop

from bench.peers.server import HOST

_EHLO = b"250-sink\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"


class _Counts:
    sessions = 0
    messages = 0
    recipients = 0
    signed = 0

    def tell(self) -> None:
        sys.stdout.write(
            f"sess={self.sessions} mesg={self.messages} rcpt={self.recipients} sign={self.signed} \r"
        )
        sys.stdout.flush()


class _Session(asyncio.Protocol):
    def __init__(self, counts: _Counts) -> None:
        self._counts = counts
        self._held = b""
        self._in_data = False
        self._recipients = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio's by duty only.
        self._transport = cast("asyncio.Transport", transport)
        self._counts.sessions += 1
        self._transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._held += data
        answers = []
        while True:
            if self._in_data:
                end = self._held.find(b"\r\n.\r\n")
                if end < 0:
                    break
                self._counts.signed += b"DKIM-Signature: " in self._held[:end]
                self._held = self._held[end + 5 :]
                self._in_data = False
                self._counts.messages += 1
                self._counts.recipients += self._recipients
                self._recipients = 0
                self._counts.tell()
                answers.append(b"250 2.0.0 gone\r\n")
                continue
            line, found, rest = self._held.partition(b"\r\n")
            if not found:
                break
            self._held = rest
            answers.append(self._answer(line[:4].upper()))
        self._transport.write(b"".join(answers))

    def _answer(self, verb: bytes) -> bytes:
        match verb:
            case b"EHLO":
                return _EHLO
            case b"RCPT":
                self._recipients += 1
                return b"250 2.1.5 yes\r\n"
            case b"DATA":
                self._in_data = True
                return b"354 go on\r\n"
            case b"QUIT":
                self._transport.write(b"221 2.0.0 bye\r\n")
                self._transport.close()
                return b""
            case b"RSET":
                self._recipients = 0
        return b"250 2.0.0 yes\r\n"


async def _serve(port: int) -> None:
    counts = _Counts()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Session(counts), HOST, port, reuse_address=True
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
