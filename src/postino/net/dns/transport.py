"""Ask one DNS server one question, by UDP and, when the answer does not fit, by TCP.

RFC: 1035 §4.2 (UDP, TCP), 7766 §5 (TCP is no luxury), 5452 §9.2 (a new port and id for each question).
Exposure: whoever guesses port and id may send us octets; what does not answer the question is not looked at.
Invariants: ends within the given time; holds at most one answer (64 KiB).
Not here: what an answer says (message.py), which server and how often (resolver.py).
"""

import asyncio
import secrets
from typing import Any, Final, Protocol

from postino.net.dns.message import (
    NeedsPlainQuestion,
    NotTheAnswer,
    Question,
    Reading,
    Truncated,
    make_query,
    read_answer,
)
from postino.net.dns.servers import Server
from postino.net.dns.wire import BadAnswer

_MOST_WRONG: Final = 100
"""Datagrams that are not the answer, after which somebody is guessing and TCP is asked instead."""


class Transport(Protocol):
    """Asks one server. Raises BadAnswer; TimeoutError and OSError when there is no answer."""

    async def __call__(self, server: Server, question: Question, *, seconds: float) -> Reading:
        """Ask and give what the answer says."""
        ...


async def ask(server: Server, question: Question, *, seconds: float) -> Reading:
    """The Transport over real sockets."""
    async with asyncio.timeout(seconds):
        try:
            return await _ask(server, question, edns=True)
        except NeedsPlainQuestion:
            return await _ask(server, question, edns=False)


async def _ask(server: Server, question: Question, *, edns: bool) -> Reading:
    try:
        return await _by_udp(server, question, edns=edns)
    except Truncated:
        return await _by_tcp(server, question, edns=edns)


class _Exchange(asyncio.DatagramProtocol):
    """One question on a socket of its own."""

    def __init__(self, question: Question, message_id: int, *, edns: bool) -> None:
        self._question = question
        self._message_id = message_id
        self._edns = edns
        self._wrong = 0
        self.done: asyncio.Future[Reading] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self.done.done():
            return
        try:
            self.done.set_result(read_answer(data, self._question, self._message_id, edns=self._edns))
        except NotTheAnswer:
            self._wrong += 1
            if self._wrong > _MOST_WRONG:
                self.done.set_exception(Truncated("Somebody guesses at answers"))
        except (BadAnswer, Truncated, NeedsPlainQuestion) as error:
            self.done.set_exception(error)

    def error_received(self, exc: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the socket was closed"))
        elif not self.done.cancelled():
            # Looked at, or else the loop would tell of an error nobody waits for any more.
            self.done.exception()


async def _by_udp(server: Server, question: Question, *, edns: bool) -> Reading:
    message_id = secrets.randbelow(65_536)
    # A connected socket takes datagrams from this server only, and the kernel picks a port at random.
    transport, exchange = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Exchange(question, message_id, edns=edns), remote_addr=(server.address, server.port)
    )
    try:
        transport.sendto(make_query(question, message_id, edns=edns, dnssec=edns and server.is_trusted))
        return await exchange.done
    finally:
        transport.close()


async def _by_tcp(server: Server, question: Question, *, edns: bool) -> Reading:
    message_id = secrets.randbelow(65_536)
    reader, writer = await asyncio.open_connection(server.address, server.port)
    try:
        query = make_query(question, message_id, edns=edns, dnssec=edns and server.is_trusted)
        writer.write(len(query).to_bytes(2) + query)
        octets = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        return read_answer(octets, question, message_id, edns=edns)
    except (NotTheAnswer, Truncated) as error:
        raise BadAnswer("its answer by TCP is not the answer to the question") from error
    except asyncio.IncompleteReadError as error:
        raise BadAnswer("it closes the connection before its answer is whole") from error
    finally:
        writer.transport.abort()
