"""One HTTP connection: requests in, short answers out, by h11.

RFC: 9112 §9 (persistent connections), §6 (message bodies), 9110 §7.2 (Host), §10.1.1 (100-continue), 8314.
Exposure: anybody on the network. At most HEAD_OCTETS of a head are waited for, a body is at most BODY_OCTETS,
    both within REQUEST_SECONDS; what is longer or slower ends the connection.
Invariants: after a request that could not be read whole nothing more is read from the connection.
Not here: TLS and limits on connections (net/listener.py), which page (pages.py).
"""

import asyncio
from http import HTTPStatus
from typing import Final

import h11

from postino.core.errors import TemporarilyUnavailable
from postino.net.connection import Connection, ConnectionLost, ServerClosing
from postino.servers import session_log
from postino.servers.context import ServerContext
from postino.servers.web import pages
from postino.servers.web.pages import Answer, Request
from postino.store.accounts import is_local_domain

PROTOCOL: Final = "https"
HEAD_OCTETS: Final = 8192
TARGET_OCTETS: Final = 2048
BODY_OCTETS: Final = 16 * 1024
REQUEST_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 15.0
MOST_REQUESTS: Final = 100
_METHODS: Final = frozenset({"GET", "HEAD", "POST"})


async def serve_web(context: ServerContext, connection: Connection) -> None:
    """Answer one client until it or we have had enough. Never raises."""
    await _WebSession(context, connection).run()


class _Refused(Exception):
    """The request cannot be answered by a page; the connection ends after this."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class _WebSession:
    def __init__(self, context: ServerContext, connection: Connection) -> None:
        self._context = context
        self._connection = connection
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_OCTETS)
        self._log = context.log.bind(
            protocol=PROTOCOL, session=session_log.new_session_id(), peer=str(connection.peer)
        )
        self._requests = 0

    async def run(self) -> None:
        metrics = self._context.metrics
        metrics.connection_opened(PROTOCOL)
        self._log.debug("connection.opened", tls=self._connection.tls_version())
        reason = session_log.QUIT
        try:
            while await self._serve_one():
                pass
        except ServerClosing:
            reason = session_log.SHUTDOWN
        except TimeoutError:
            reason = session_log.TIMEOUT
        except ConnectionLost:
            reason = session_log.LOST
        except Exception as error:
            metrics.session_fault(PROTOCOL)
            self._log.error("session.fault", exc_info=error)
            reason = session_log.FAULT
        finally:
            self._connection.close()
            metrics.connection_closed(PROTOCOL)
            self._log.debug("connection.closed", reason=reason, requests=self._requests)

    async def _serve_one(self) -> bool:
        """Answer one request; False when the connection is over."""
        await self._wait_for_request()
        method = ""
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                request = await self._read_request()
            if request is None:
                return False
            method = request.method
            answer = self._answer(request)
        except ServerClosing:
            raise
        except TimeoutError:
            request, answer = None, pages.plain(408, "The request came too slowly\n")
        except _Refused as refused:
            request, answer = None, refused.answer
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint
            request, answer = None, pages.plain(status, f"{HTTPStatus(status).phrase}\n")
        self._requests += 1
        keep = request is not None and self._requests < MOST_REQUESTS
        self._send(answer, with_body=method != "HEAD", keep=keep)
        self._context.metrics.command(PROTOCOL, answer.page)
        self._log.info(
            "web.request",
            page=answer.page,
            status=answer.status,
            host=request.host if request is not None else "",
        )
        if self._connection.must_drain:
            await self._connection.drain(REQUEST_SECONDS)
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def _wait_for_request(self) -> None:
        """Wait, as an idle connection may, for the first octet."""
        if not self._http.trailing_data[0]:
            self._http.receive_data(await self._connection.read(IDLE_SECONDS))

    async def _next_event(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                assert not isinstance(event, type) or event is h11.PAUSED
                return event
            if self._http.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[], reason="Continue")
                self._connection.write(self._http.send(go_on) or b"")
            self._http.receive_data(await self._connection.read(REQUEST_SECONDS))

    async def _read_request(self) -> Request | None:
        """The next request, or None at the end of the connection."""
        head = await self._next_event()
        if not isinstance(head, h11.Request):
            return None
        method = head.method.decode("ascii")
        if method not in _METHODS:
            raise _Refused(pages.plain(501, "Only GET, HEAD and POST are understood here\n"))
        if len(head.target) > TARGET_OCTETS:
            raise _Refused(pages.plain(414, "The address is too long\n"))
        names = {name for name, _ in head.headers}
        if {b"content-length", b"transfer-encoding"} <= names:
            # SECURITY: where the body ends would be a matter of taste (RFC 9112 §6.1).
            raise _Refused(pages.plain(400, "The request has two lengths\n"))
        hosts = [value for name, value in head.headers if name == b"host"]
        # h11 has refused HTTP/1.1 without a Host, and two of them.
        host = _host_name(hosts[0]) if hosts else ""
        body = bytearray()
        while isinstance(event := await self._next_event(), h11.Data):
            body += event.data
            if len(body) > BODY_OCTETS:
                raise _Refused(pages.plain(413, "The request is too large\n"))
        path, _, query = head.target.decode("ascii").partition("?")
        return Request(method, host, path, query, bytes(body))

    def _answer(self, request: Request) -> Answer:
        offer = self._context.offer
        try:
            if offer is not None:
                return pages.answer(request, offer, self._is_ours)
        except TemporarilyUnavailable:
            pass
        return pages.plain(503, "Not now; ask again soon\n")

    def _is_ours(self, domain: str) -> bool:
        return self._context.store.read_now(lambda tx: is_local_domain(tx, domain))

    def _send(self, answer: Answer, *, with_body: bool, keep: bool) -> None:
        http, phrase = self._http, HTTPStatus(answer.status).phrase
        headers = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *answer.headers,
        ]
        if not keep:
            headers.append(("Connection", "close"))
        head = h11.Response(status_code=answer.status, headers=headers, reason=phrase.encode())
        pieces = [http.send(head) or b""]
        if answer.body and with_body:
            pieces.append(http.send(h11.Data(data=answer.body)) or b"")
        if http.our_state is h11.SEND_BODY:
            pieces.append(http.send(h11.EndOfMessage()) or b"")
        self._connection.write(b"".join(pieces))


def _host_name(value: bytes) -> str:
    """The name in a Host field, without its port."""
    text = value.decode("ascii", "replace").strip().lower()
    name, colon, port = text.rpartition(":")
    return (name if colon and port.isdigit() else text).removesuffix(".")
