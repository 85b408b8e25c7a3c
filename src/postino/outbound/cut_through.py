"""Forward while the sender waits: the next server is asked at RCPT, and given the message at DATA.

Its refusal is then our refusal, which the sender's own server tells its user; forwarding it later would mean
a report of ours to an address that may be forged (backscatter). Only where that is the mail's one way.
RFC: 5321 §3.9 (forwarding), §6.1 (responsibility), §4.5.3.2 (the sender's time-outs).
Exposure: waits for any server, for some seconds in all; what it answers is shown to the sender, as one line.
Invariants: a positive answer means that the next server has the message; any trouble, slowness or need that
    is not plain gives None, and the queue takes over; nothing is kept of a message here. When the answer to
    the whole message is lost, it is queued although that server may have it (docs/states/queue.md).
Not here: who is forwarded (delivery/forwarding.py), the dialogue (held_session.py), the queue's way out
    (courier.py).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import msgspec

from postino.core.errors import PostinoError
from postino.net.connection import ConnectionLost
from postino.outbound.client.body_writer import BadBody
from postino.outbound.client.held_session import HeldSession
from postino.outbound.client.outgoing import BodyReader, RecipientReply, sendable
from postino.outbound.settings import OutboundSettings
from postino.outbound.targeting.routes import Destination
from postino.outbound.targeting.target import Host, NotNow, Target, Undeliverable
from postino.smtp.client.commands import CannotBeSaid
from postino.smtp.client.replies import BadReply
from postino.smtp.envelope import BodyType, MailOptions, Notify, RcptOptions
from postino.store.content import SealedBlob
from postino.store.queue.enqueue import is_paused
from postino.store.queue.values import NewQueued, NewRecipient
from postino.store.store import Store

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

MESSAGE_SECONDS: Final = 60.0
"""How long the next server has for the whole message. Senders wait for 10 minutes (RFC 5321 §4.5.3.2.6)."""
MOST_AT_ONCE: Final = 20
MOST_AT_ONE_DESTINATION: Final = 3
AVOID_SECONDS: Final = 60.0
_MOST_AVOIDED: Final = 1000

FindTarget = Callable[[Destination], Awaitable[Target]]
"""Raises Undeliverable, NotNow."""
OpenSession = Callable[[Host, Target], Awaitable[HeldSession]]
"""Raises NotNow."""
FindDestination = Callable[[str, str], Destination]
Seal = Callable[[bytes, "bytes | BodyReader", str, str], Awaitable[bytes]]
"""The fields to put on top of what is forwarded, by header, body, reverse-path and our name for it."""


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The next server takes it never; what it said."""

    code: int
    status: str
    text: str
    """With the server's name, in one line."""


class Asked:
    """The next server has said that it takes mail for the recipient, and waits for the message."""

    def __init__(self, owner: "CutThrough", session: HeldSession, key: str) -> None:
        self._owner = owner
        self._session: HeldSession | None = session
        self._key = key

    @property
    def remote(self) -> str:
        """Which server: `mx1.example.net (192.0.2.1)`."""
        return self._session.remote if self._session is not None else ""

    async def pass_on(self, new: NewQueued) -> Refused | RecipientReply | None:
        """Give it the message: its refusal, its positive answer, or None when the queue must take over."""
        session = self._session
        if session is None:
            return None
        try:
            return await self._owner.send(session, new)
        finally:
            self.close()

    def close(self) -> None:
        """Let the other server go; nothing is done a second time."""
        session, self._session = self._session, None
        if session is not None:
            session.close()
            self._owner.released(self._key)


class CutThrough:
    """One for each worker."""

    def __init__(
        self,
        store: Store,
        *,
        settings: Callable[[], OutboundSettings],
        destination: FindDestination,
        find_target: FindTarget,
        open_session: OpenSession,
        seal: Seal,
        log: "FilteringBoundLogger",
    ) -> None:
        self._store = store
        self._settings = settings
        self._destination = destination
        self._find_target = find_target
        self._open_session = open_session
        self._seal = seal
        self._log = log
        self._open: dict[str, int] = {}
        self._avoided: dict[str, float] = {}

    async def ask(
        self, reverse_path: str, options: MailOptions, recipient: NewRecipient, *, size: int
    ) -> Asked | Refused | None:
        """Whether the recipient's server takes mail for it now; None when that is not to be found out soon.

        The caller closes what is Asked.
        """
        if not self._settings().cut_through or not is_plain(options):
            return None
        destination = self._destination(reverse_path, recipient.domain)
        key = destination.key
        if self._is_full(key) or self._is_avoided(key) or self._is_paused(recipient.domain):
            return None
        self._open[key] = self._open.get(key, 0) + 1
        session: HeldSession | None = None
        found: Asked | Refused | None = None
        try:
            async with asyncio.timeout(self._settings().cut_through_seconds):
                session = await self._connect(destination)
                reply = await session.begin(
                    reverse_path,
                    options,
                    recipient.address,
                    RcptOptions(notify=recipient.notify, original=recipient.original),
                    size=size,
                )
            if reply.code >= 500:
                found = refusal(reply)
            elif reply.code < 300 and _can_confirm(session, recipient.notify):
                found = Asked(self, session, key)
        except Undeliverable as error:
            found = Refused(550, error.status, str(error))
        except CannotBeSaid as error:
            found = Refused(550, error.status, str(error))
        except (NotNow, ConnectionLost, BadReply, TimeoutError) as error:
            self._avoid(key, error)
        finally:
            if not isinstance(found, Asked):
                self.released(key)
                if session is not None:
                    session.close()
        return found

    async def send(self, session: HeldSession, new: NewQueued) -> Refused | RecipientReply | None:
        """Send a message over a session that waits for it; see Asked.pass_on."""
        offered = session.extensions
        if offered.size and new.size > offered.size:
            return Refused(552, "5.3.4", f"{session.remote} takes no message over {offered.size} octets")
        if not _fits(new, session):
            return None
        body = sendable(new.body, new.size - len(new.header), self._store.blobs)
        try:
            async with asyncio.timeout(MESSAGE_SECONDS):
                sealed = await self._seal(new.header, body, new.reverse_path, new.message_id)
                reply = await session.finish(sealed + new.header, body)
        except (ConnectionLost, BadReply, BadBody, TimeoutError, PostinoError) as error:
            self._log.info("forward.queued", message=new.message_id, remote=session.remote, reason=str(error))
            return None
        if reply.code >= 500:
            return refusal(reply)
        return reply if reply.code < 300 else None

    async def _connect(self, destination: Destination) -> HeldSession:
        target = await self._find_target(destination)
        trouble: NotNow | None = None
        if not target.is_lmtp:
            for host in target.hosts:
                try:
                    return await self._open_session(host, target)
                except NotNow as error:
                    trouble = error
        raise trouble or NotNow("There is no host to ask", "4.4.4")

    def _is_full(self, key: str) -> bool:
        return sum(self._open.values()) >= MOST_AT_ONCE or self._open.get(key, 0) >= MOST_AT_ONE_DESTINATION

    def released(self, key: str) -> None:
        """One connection fewer to this destination."""
        left = self._open.get(key, 0) - 1
        if left > 0:
            self._open[key] = left
        else:
            self._open.pop(key, None)

    def _is_paused(self, domain: str) -> bool:
        return self._store.read_now(lambda tx: is_paused(tx, domain))

    def _is_avoided(self, key: str) -> bool:
        return self._avoided.get(key, 0.0) > asyncio.get_running_loop().time()

    def _avoid(self, key: str, error: Exception) -> None:
        """Whoever did not answer now is not waited for again at once."""
        if len(self._avoided) >= _MOST_AVOIDED:
            self._avoided.clear()
        self._avoided[key] = asyncio.get_running_loop().time() + AVOID_SECONDS
        self._log.info("forward.unasked", destination=key, reason=str(error) or "it did not answer in time")


def is_plain(options: MailOptions) -> bool:
    """Whether the message asks for nothing of the next server that is seldom offered."""
    return (
        not options.require_tls
        and options.by_mode is None
        and not options.priority
        and options.body is not BodyType.BINARY_MIME
    )


def _can_confirm(session: HeldSession, notify: Notify) -> bool:
    """RFC 3461 §5.2.2 (b): who wants to hear of success hears from the next server, or from our queue."""
    return session.extensions.dsn or not notify & Notify.SUCCESS


def _fits(new: NewQueued, session: HeldSession) -> bool:
    """Whether it may go as it is: not made of seven bits first, nor with a header the server cannot read."""
    offered = session.extensions
    if new.options.smtputf8 and not offered.smtputf8:
        return False
    if offered.eight_bit_mime:
        return True
    if isinstance(new.body, SealedBlob):
        return new.options.body is BodyType.SEVEN_BIT and new.header.isascii()
    return new.body.octets.isascii() and new.header.isascii()


def refusal(reply: RecipientReply) -> Refused:
    """What the sender is told of the next server's answer."""
    status = reply.status if reply.status.startswith("5") else "5.0.0"
    return Refused(min(reply.code, 599), status, f"{reply.remote} said: {reply.text}")
