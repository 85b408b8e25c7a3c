"""From an address to a far server that is ready for a message: connect, greet, TLS, log in.

RFC: 5321 §3.1, §3.2, §4.1.1.1 (EHLO, then HELO), §5.1 (each address in turn), 3207 (STARTTLS),
    2033 §4.1 (LHLO).
Exposure: speaks with any server the DNS names, within time-outs.
Invariants: what a server said before TLS counts for nothing after it; a level of TLS that is a must is kept,
    by failing if need be; each host's TLS is told once, however often it was tried.
Not here: the handshake (secure.py), logging in (login.py), sending (session.py).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from postino.core.ids import Instant
from postino.net.connection import Connection, ConnectionLost
from postino.net.outgoing import CannotConnect, Network
from postino.net.tls_client import TlsProblem
from postino.outbound.client.dialogue import Dialogue
from postino.outbound.client.login import log_in
from postino.outbound.client.secure import WITHOUT_TLS, TlsFailed, TlsReached, shake_hands
from postino.outbound.client.tls_outcome import TlsNote, TlsOutcome
from postino.outbound.settings import OutboundSettings
from postino.outbound.targeting.target import OPPORTUNISTIC, Host, HostTls, NotNow, Target, TlsLevel
from postino.smtp.client.commands import hello_line
from postino.smtp.client.extensions import NO_EXTENSIONS, Extensions, read_extensions
from postino.smtp.client.replies import BadReply, FarReply

_MOST_STARTS: Final = 10
"""Connections made for one session, whatever the addresses and TLS."""


class _NotReady(NotNow):
    """This address of the host does not serve us now; another one may."""

    def __init__(self, remote: str, address: str, what: str, status: str) -> None:
        super().__init__(f"{remote} {what}", status, remote=remote)
        self.address = address


class Opening:
    """One attempt at one address of a host. After run() it holds what was reached."""

    def __init__(
        self,
        host: Host,
        target: Target,
        settings: OutboundSettings,
        *,
        now: Instant,
        network: Network,
        note: TlsNote | None,
    ) -> None:
        self.host = host
        self.remote = ""
        """`mx1.example.net (192.0.2.1)`"""
        self.extensions: Extensions = NO_EXTENSIONS
        self.tls: TlsReached = WITHOUT_TLS
        self.dialogue: Dialogue
        self._target = target
        self._settings = settings
        self._now = now
        self._network = network
        self._note = note
        self._address = ""
        self._hello_name = ""

    async def run(self) -> None:
        """Try the host's addresses until a server is ready. Raises NotNow; TlsFailed is one.

        An address whose server is not ready gives way to the next. Where TLS is only an offer and its
        handshake fails, a new connection goes without.
        """
        addresses = list(self.host.addresses)
        tls = self.host.tls
        problem: TlsFailed | None = None
        for _ in range(_MOST_STARTS):
            try:
                await self._try(addresses, tls)
            except TlsFailed as failed:
                weaker = _weaker(tls)
                if weaker is None:
                    raise
                problem, tls = problem or failed, weaker
            except _NotReady as failed:
                left = [one for one in addresses if one != failed.address]
                if not left or len(left) == len(addresses):
                    raise
                addresses = left
            else:
                if problem is not None:
                    self.tls = replace(self.tls, problem=problem.problem, detail=problem.detail)
                return
        raise NotNow(f"{self.host.name} does not come to taking a message", "4.4.2", remote=self.remote)

    async def _try(self, addresses: Sequence[str], tls: HostTls) -> None:
        connection = await self._connect(addresses)
        address = self._address = connection.peer.address
        self.remote = f"{self.host.name} ({address})" if address else self.host.name
        self.dialogue = Dialogue(connection)
        self.extensions, self.tls = NO_EXTENSIONS, WITHOUT_TLS
        try:
            await self._talk(connection, tls)
        except NotNow:
            if not connection.is_closed:
                connection.write(b"QUIT\r\n")
            connection.close()
            raise
        except TimeoutError:
            connection.abort()
            raise _NotReady(self.remote, address, "did not answer in time", "4.4.2") from None
        except ConnectionLost as error:
            connection.abort()
            raise _NotReady(self.remote, address, "hung up before it took a message", "4.4.2") from error
        except BadReply as error:
            connection.abort()
            raise _NotReady(self.remote, address, f"does not speak SMTP: {error}", "4.5.0") from error
        except BaseException:
            connection.abort()
            raise

    async def _talk(self, connection: Connection, tls: HostTls) -> None:
        if tls.implicit and tls.level is not TlsLevel.NONE:
            await self._shake_hands(tls)
        greeting = await self.dialogue.reply(self._settings.reply_seconds)
        if greeting.code != 220:
            raise self._refused("took no connection", greeting)
        await self._hello()
        if not tls.implicit and tls.level is not TlsLevel.NONE:
            # Told once: what comes after a failure is our own choice, and not news.
            note = self._note if tls is self.host.tls else None
            try:
                await self._start_tls(tls)
            except TlsFailed as failed:
                self._tell(note, failed.problem, failed.detail)
                raise
            self._tell(note, self.tls.problem, self.tls.detail)
        if self._target.login:
            seconds = self._settings.reply_seconds
            await log_in(self.dialogue, self._target, self.extensions, self.remote, seconds=seconds)

    async def _connect(self, addresses: Sequence[str]) -> Connection:
        host, settings = self.host, self._settings
        seconds = settings.connect_seconds
        try:
            if host.unix_path:
                return await self._network.connect_unix(host.unix_path, timeout_seconds=seconds)
            sources = self._target.source_addresses or settings.source_addresses
            return await self._network.connect(addresses, host.port, sources=sources, timeout_seconds=seconds)
        except CannotConnect as error:
            where = host.unix_path or f"{host.name}:{host.port}"
            raise NotNow(f"No connection to {where}: {error}", "4.4.1") from error

    async def _hello(self) -> None:
        """Say EHLO, or HELO to a server that does not know it (RFC 5321 §3.2)."""
        name, seconds = self._target.hello_name, self._settings.reply_seconds
        verb = "LHLO" if self._target.is_lmtp else "EHLO"
        reply = await self.dialogue.ask(hello_line(verb, name), seconds)
        if reply.is_positive:
            self.extensions = read_extensions(reply)
            self._hello_name = reply.lines[0].partition(" ")[0]
            return
        if reply.is_permanent and not self._target.is_lmtp:
            reply = await self.dialogue.ask(hello_line("HELO", name), seconds)
            if reply.is_positive:
                self.extensions = NO_EXTENSIONS
                return
        raise self._refused(f"did not take our {verb}", reply)

    async def _start_tls(self, tls: HostTls) -> None:
        must = tls.level > TlsLevel.OPPORTUNISTIC
        if not self.extensions.start_tls:
            if must:
                raise self._tls_failed(TlsProblem.NOT_OFFERED, "it does not offer TLS")
            self.tls = TlsReached(problem=TlsProblem.NOT_OFFERED)
            return
        reply = await self.dialogue.ask(b"STARTTLS\r\n", self._settings.reply_seconds)
        if reply.code != 220:
            if must or reply.code == 421:
                raise self._tls_failed(TlsProblem.NOT_OFFERED, f"it offers TLS, and then says {reply.text}")
            self.tls = TlsReached(problem=TlsProblem.NOT_OFFERED, detail=reply.text)
            return
        try:
            self.dialogue.begin_again()
        except BadReply as error:
            raise self._tls_failed(TlsProblem.OTHER, str(error)) from error
        self.extensions = NO_EXTENSIONS
        await self._shake_hands(tls)
        await self._hello()

    async def _shake_hands(self, tls: HostTls) -> None:
        seconds = min(self._settings.connect_seconds, self._settings.reply_seconds)
        self.tls = await shake_hands(
            self.dialogue.connection, self.host, tls, remote=self.remote, seconds=seconds, now=self._now
        )

    def _tls_failed(self, problem: TlsProblem, detail: str) -> TlsFailed:
        return TlsFailed(f"TLS with {self.remote} failed: {detail}", problem, detail, remote=self.remote)

    def _refused(self, what: str, reply: FarReply) -> _NotReady:
        status = "4" + reply.status[1:] if reply.status else "4.3.2"
        return _NotReady(self.remote, self._address, f"{what}: {reply.text}", status)

    def _tell(self, note: TlsNote | None, problem: TlsProblem | None, detail: str) -> None:
        if note is not None:
            outcome = TlsOutcome(
                self._target.domain,
                self.host.tls.policy,
                self.host.name,
                failure=problem.value if problem is not None else "",
                reason=detail,
                remote_address=self._address,
                local_address=self.dialogue.connection.local.address,
                hello=self._hello_name,
            )
            note(outcome)


def _weaker(tls: HostTls) -> HostTls | None:
    """How a host may be tried again after TLS has failed; None when mail must not go without."""
    if tls.testing:
        # MTA-STS in testing counts failures and stops nothing (RFC 8461 §5).
        return replace(OPPORTUNISTIC, implicit=tls.implicit)
    if tls.level is TlsLevel.OPPORTUNISTIC and not tls.implicit:
        return replace(tls, level=TlsLevel.NONE)
    return None
