"""Ask a web server for one small document over HTTPS, or give it one.

RFC: 9110 (GET, POST), 9112 (HTTP/1.1, read by h11), 2818 (the certificate names the host), 9525 §6 (only its
    DNS names count).
Exposure: reads what a server answers that the settings or another domain name; bounded in size and time.
Invariants: never without TLS, never a redirect, never from a cache; nothing waits longer than it was given.
Not here: when, and what of it (servers/token_keys.py, outbound/targeting/mta_sts.py,
    outbound/tls_reports/reporting.py).
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import SplitResult, urlsplit

import h11

from postino.core.address import ascii_domain
from postino.core.errors import DnsFailure, TemporarilyUnavailable

MAX_OCTETS: Final = 256 * 1024
_PIECE_OCTETS: Final = 16 * 1024
_HEADER_OCTETS: Final = 32 * 1024
_MOST_ADDRESSES: Final = 4
_HTTPS_PORT: Final = 443
_OK: Final = 200

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""Host -> its addresses. Raises DnsFailure or OSError."""


class HttpsFailure(TemporarilyUnavailable):
    """There is no answer, or one that is of no use; `str()` says why."""

    def __init__(self, sentence: str, *, is_certificate: bool = False) -> None:
        super().__init__(sentence)
        self.is_certificate = is_certificate
        """The server could not prove that it is the host."""


@dataclass(frozen=True, slots=True)
class HttpsRequest:
    """What is asked."""

    url: str
    method: str = "GET"
    body: bytes = b""
    content_type: str = ""
    """Of the body."""
    accept: str = "*/*"
    most_octets: int = MAX_OCTETS
    """Of the answer's body."""


@dataclass(frozen=True, slots=True)
class HttpsAnswer:
    """What the server said."""

    status: int
    content_type: str
    """Lower case, without parameters."""
    body: bytes


async def ask_https(
    request: HttpsRequest,
    *,
    authorities: str = "",
    timeout_seconds: float = 10.0,
    lookup: Lookup | None = None,
) -> HttpsAnswer:
    """Send it and give the answer, whatever its status. `authorities` is a PEM file, empty for the system's.

    Raises HttpsFailure for everything that goes wrong.
    """
    url = request.url
    try:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.username is not None:
            raise HttpsFailure(f"{url} cannot be asked for: only https URLs are")
        async with asyncio.timeout(timeout_seconds):
            return await _ask(request, parts, _context(authorities, _stamp(authorities)), lookup)
    except TimeoutError as error:
        raise HttpsFailure(f"{url} answers too slowly") from error
    except ssl.SSLCertVerificationError as error:
        raise HttpsFailure(
            f"{url} cannot be believed ({error.verify_message})", is_certificate=True
        ) from error
    except (DnsFailure, OSError, h11.ProtocolError, ValueError) as error:
        raise HttpsFailure(f"{url} cannot be reached ({error})") from error


def https_get(url: str, *, authorities: str = "", timeout_seconds: float = 10.0) -> bytes:
    """The document at a URL. Blocks: for a thread. Raises TemporarilyUnavailable, with the reason."""
    answer = asyncio.run(
        ask_https(
            HttpsRequest(url, accept="application/json"),
            authorities=authorities,
            timeout_seconds=timeout_seconds,
        )
    )
    if answer.status != _OK:
        raise TemporarilyUnavailable(f"{url} answers {answer.status}, not a document")
    return answer.body


async def _ask(
    request: HttpsRequest, parts: SplitResult, context: ssl.SSLContext, lookup: Lookup | None
) -> HttpsAnswer:
    host = ascii_domain(parts.hostname or "")
    port = parts.port or _HTTPS_PORT
    addresses = await (lookup or _system_lookup)(host)
    reader, writer = await _connect(addresses, host, port, context)
    try:
        named = f"[{host}]" if ":" in host else host
        headers = [
            ("Host", named if port == _HTTPS_PORT else f"{named}:{port}"),
            ("User-Agent", "Postino"),
            ("Accept", request.accept),
            ("Connection", "close"),
        ]
        if request.method != "GET":
            headers += [("Content-Type", request.content_type), ("Content-Length", str(len(request.body)))]
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        exchange = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEADER_OCTETS)
        head = h11.Request(method=request.method, target=target, headers=headers)
        writer.write(exchange.send(head) or b"")
        if request.body:
            writer.write(exchange.send(h11.Data(data=request.body)) or b"")
        exchange.send(h11.EndOfMessage())
        await writer.drain()
        answer, is_delimited = await _read(exchange, reader, request)
        if not (is_delimited or _ended_well(writer)):
            # SECURITY: whoever cuts the connection would choose how much of a policy there is.
            raise HttpsFailure(f"{request.url} closes the connection before its answer is surely whole")
        return answer
    finally:
        writer.transport.abort()


async def _read(
    exchange: h11.Connection, reader: asyncio.StreamReader, request: HttpsRequest
) -> tuple[HttpsAnswer, bool]:
    """The answer, and whether it says itself where it ends (RFC 9112 §6.3)."""
    status, content_type, body = 0, "", bytearray()
    received, is_closed = 0, False
    while True:
        event = exchange.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(_PIECE_OCTETS)
            received += len(data)
            is_closed = not data
            # Chunks of an octet each, and "100 Continue" without end, are small and take long to read.
            if received > _HEADER_OCTETS + 2 * request.most_octets:
                raise HttpsFailure(f"{request.url} answers more than {request.most_octets} octets")
            exchange.receive_data(data)
        elif isinstance(event, h11.Response):
            status = event.status_code
            for name, value in event.headers:
                if name == b"content-type":
                    content_type = value.decode("latin-1").partition(";")[0].strip().lower()
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > request.most_octets:
                raise HttpsFailure(f"{request.url} answers more than {request.most_octets} octets")
        elif isinstance(event, h11.EndOfMessage):
            return HttpsAnswer(status, content_type, bytes(body)), not is_closed
        elif not isinstance(event, h11.InformationalResponse):
            raise HttpsFailure(f"{request.url} closes the connection without an answer")


def _ended_well(writer: asyncio.StreamWriter) -> bool:
    """Whether the server said in TLS that this is all (RFC 9112 §9.8); to asyncio any end is one."""
    tls: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
    try:
        return tls is not None and tls.read(1) == b""
    except ssl.SSLZeroReturnError:
        return True
    except ssl.SSLError:
        return False


async def _connect(
    addresses: Sequence[str], host: str, port: int, context: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    last: OSError = OSError("the host has no address")
    for address in addresses[:_MOST_ADDRESSES]:
        try:
            return await asyncio.open_connection(
                address, port, ssl=context, server_hostname=host, limit=_PIECE_OCTETS
            )
        except ssl.SSLCertVerificationError:
            raise
        except OSError as error:
            last = error
    raise last


async def _system_lookup(host: str) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(address[0]) for _, _, _, _, address in found]


@lru_cache(8)
def _context(authorities: str, _stamp: tuple[int, int] | None) -> ssl.SSLContext:
    # Reading the system's authorities takes 10 ms and more: once for each file and change of it.
    context = ssl.create_default_context(cafile=authorities or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    return context


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path or ssl.get_default_verify_paths().cafile or "")
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
