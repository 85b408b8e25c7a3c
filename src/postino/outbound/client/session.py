"""One connection to another server that is ready: message after message over it, each within its time-outs.

RFC: 5321 §3.3, §4.5.3.2 (time-outs), 2033 (LMTP), 2920 (PIPELINING), 3030 (CHUNKING), 9422 §4 (MAILMAX,
    RCPTMAX).
Exposure: speaks with any server the DNS names; holds one reply of it at a time, and waits for nothing without
    a time-out.
Invariants: a session that lost its place in the dialogue is not used again; every recipient of a message gets
    an answer, or ConnectionLost says that nobody did.
Not here: connecting and greeting (opening.py), which server (targets.py), whether a message may go to it
    (attempt.py), the order of commands (smtp/client/transaction.py), when to try again (dispatcher.py).
"""

from typing import Final, Self

from postino.core.ids import Instant
from postino.net.connection import ConnectionLost
from postino.net.outgoing import Network, SystemNetwork
from postino.outbound.client.body_writer import BadBody, body_type, write_body
from postino.outbound.client.opening import Opening
from postino.outbound.client.outgoing import BodyReader, Outgoing, RecipientReply
from postino.outbound.client.secure import TlsFailed, TlsReached
from postino.outbound.client.tls_outcome import TlsNote
from postino.outbound.settings import OutboundSettings
from postino.outbound.targeting.target import Host, Target
from postino.smtp.client.commands import CannotBeSaid, bdat_line, is_beyond_ascii, mail_line, rcpt_line
from postino.smtp.client.replies import BadReply, FarReply
from postino.smtp.client.transaction import EARLY, Need, Phase, Transaction
from postino.smtp.envelope import BodyType

__all__ = [
    "BodyReader",
    "ClientSession",
    "Outgoing",
    "Phase",
    "RecipientReply",
    "TlsFailed",
    "TlsReached",
]

EAGER_OCTETS: Final = 32 * 1024
"""A message up to this size follows its recipients by BDAT without waiting for their replies."""
QUIT_SECONDS: Final = 2.0
GOODBYE_SECONDS: Final = 10.0
"""How long a server that says 421 but has the message is waited for: it may take it all the same."""
BLOCK_SECONDS: Final = 180.0
"""RFC 5321 §4.5.3.2.5: how long a server may take no octet of a message."""
SYSTEM_NETWORK: Final = SystemNetwork()
_OUR_WORDS: Final = frozenset({Phase.OURS, Phase.LOST})


class ClientSession:
    """A connection that takes one message after the other."""

    def __init__(self, opened: Opening, settings: OutboundSettings, *, is_lmtp: bool) -> None:
        self.host = opened.host
        self.remote = opened.remote
        """`mx1.example.net (192.0.2.1)`"""
        self.extensions = opened.extensions
        self.tls = opened.tls
        self.messages = 0
        """How many were begun."""
        self._dialogue = opened.dialogue
        self._settings = settings
        self._is_lmtp = is_lmtp
        self._needs_reset = False
        self._is_broken = False

    @classmethod
    async def open(
        cls,
        host: Host,
        target: Target,
        settings: OutboundSettings,
        *,
        now: Instant,
        network: Network = SYSTEM_NETWORK,
        note: TlsNote | None = None,
    ) -> Self:
        """Connect, greet, begin TLS as `host.tls` asks, log in; `note` is told how TLS came out.

        Raises NotNow; TlsFailed is one.
        """
        opening = Opening(host, target, settings, now=now, network=network, note=note)
        await opening.run()
        return cls(opening, settings, is_lmtp=target.is_lmtp)

    # Sending

    @property
    def usable(self) -> bool:
        """Whether another message may be sent."""
        most = self.extensions.messages
        return not self._is_broken and not (most and self.messages >= most) and self._dialogue.is_silent

    async def send(self, message: Outgoing) -> list[RecipientReply]:
        """Send one message; gives an answer for each recipient, in their order.

        Raises ConnectionLost when the connection ended before the server can have taken the message and
        before anything was answered. Later losses are answers (Phase.LOST) of those that were still open.
        """
        offered = self.extensions
        try:
            kind = body_type(message, offered)
            smtputf8 = self._may_say_utf8(message)
            mail = mail_line(
                message.reverse_path,
                message.options,
                offered,
                size=message.size,
                body=kind,
                smtputf8=smtputf8,
                by_seconds=message.by_seconds,
            )
        except (BadBody, CannotBeSaid) as error:
            return [self._ours(error)] * len(message.recipients)
        answers: list[RecipientReply | None] = []
        lines: list[bytes] = []
        for address, options in message.recipients:
            if offered.recipients and len(lines) >= offered.recipients:
                # It said so (RFC 9422 §4): no need to be told for each.
                answers.append(self._too_many(offered.recipients))
                continue
            try:
                lines.append(rcpt_line(address, options, offered, smtputf8=smtputf8))
                answers.append(None)
            except CannotBeSaid as error:
                answers.append(self._ours(error))
        if lines:
            by_bdat = offered.chunking and (
                kind is BodyType.BINARY_MIME or (offered.pipelining and not self._is_lmtp)
            )
            transaction = Transaction(
                mail,
                lines,
                pipelining=offered.pipelining,
                is_lmtp=self._is_lmtp,
                bdat=bdat_line(message.size) if by_bdat else b"",
                eager=message.size <= EAGER_OCTETS and isinstance(message.body, bytes),
                reset=self._needs_reset,
            )
            self.messages += 1
            await self._run(transaction, message)
            found = iter(transaction.answers)
            for number, answer in enumerate(answers):
                if answer is None:
                    answers[number] = self._theirs(next(found))
        return [answer for answer in answers if answer is not None]

    async def _run(self, transaction: Transaction, message: Outgoing) -> None:
        """Carry out a transaction, so that every recipient has an answer."""
        connection = self._dialogue.connection
        try:
            await self._talk(transaction, message)
        except ConnectionLost:
            self._break()
            if transaction.has_nothing:
                raise
            transaction.lose(_lost("The connection was lost before the server answered"), Phase.LOST)
        except TimeoutError:
            self._break()
            transaction.lose(_lost("The server did not answer in time"), Phase.LOST)
        except BadReply as error:
            self._break()
            transaction.lose(_lost(str(error), "4.5.0"), Phase.LOST)
        except BadBody as error:
            # Cut before the end mark: the server has no message.
            self._break()
            transaction.lose(FarReply(554, error.status, (str(error),)), Phase.OURS)
        except BaseException:
            self._break()
            raise
        self._needs_reset = transaction.needs_reset
        if transaction.is_broken and not self._is_broken:
            self._is_broken = True
            connection.close()

    async def _talk(self, transaction: Transaction, message: Outgoing) -> None:
        dialogue, settings = self._dialogue, self._settings
        connection = dialogue.connection
        say = transaction.start()
        if transaction.was_body_sent:
            assert isinstance(message.body, bytes)
            connection.write_pieces([say, message.header, message.body])
        else:
            connection.write(say)
        while transaction.need is not Need.OVER:
            if transaction.need is Need.BODY:
                await self._send_body(transaction, message)
                continue
            seconds = settings.data_seconds if transaction.waits_for_message else settings.reply_seconds
            if transaction.is_leaving:
                seconds = min(seconds, GOODBYE_SECONDS)
            say = transaction.take(await dialogue.reply(seconds))
            if say:
                connection.write(say)

    async def _send_body(self, transaction: Transaction, message: Outgoing) -> None:
        dialogue, settings = self._dialogue, self._settings
        if transaction.bdat:
            dialogue.connection.write(transaction.bdat)
        seconds = min(BLOCK_SECONDS, settings.reply_seconds)
        try:
            is_sent = await write_body(
                dialogue, message.header, message.body, as_data=not transaction.bdat, seconds=seconds
            )
        except ConnectionLost:
            # A server that had enough may have said so before it hung up.
            last = dialogue.reply_nowait()
            if last is None:
                raise
            transaction.reply_while_sending(last)
            return
        if is_sent:
            transaction.body_sent()
        else:
            transaction.reply_while_sending(await dialogue.reply(settings.reply_seconds))

    def _may_say_utf8(self, message: Outgoing) -> bool:
        """Whether SMTPUTF8 is used. Raises CannotBeSaid when it must be and is not offered."""
        if not message.options.smtputf8:
            # An alias may lead from plain addresses to one that needs it.
            return self.extensions.smtputf8 and (
                is_beyond_ascii(message.reverse_path)
                or any(is_beyond_ascii(address) for address, _ in message.recipients)
            )
        if not self.extensions.smtputf8 and not message.header.isascii():
            raise CannotBeSaid(
                "The message's header is not ASCII, and the server takes no such (SMTPUTF8)", "5.6.7"
            )
        return self.extensions.smtputf8

    def _ours(self, error: BadBody | CannotBeSaid) -> RecipientReply:
        return RecipientReply(554, error.status, str(error), self.remote, Phase.OURS)

    def _too_many(self, most: int) -> RecipientReply:
        text = f"The server takes {most} recipients in one message at most"
        return RecipientReply(452, "4.5.3", text, self.remote, Phase.OURS)

    def _theirs(self, answer: tuple[FarReply, Phase] | None) -> RecipientReply:
        assert answer is not None
        reply, phase = answer
        code = reply.code
        # A code before the words says that the server spoke them.
        text = " ".join(reply.lines) if reply is EARLY or phase in _OUR_WORDS else reply.text
        if code < 400 and not (reply.is_positive and phase is Phase.MESSAGE):
            # It asks for more where there is no more, say. Only the reply to the whole message is a success.
            return RecipientReply(451, "4.5.0", text, self.remote, phase)
        return RecipientReply(code, reply.status or f"{code // 100}.0.0", text, self.remote, phase)

    # Ending

    def _break(self) -> None:
        self._is_broken = True
        self._dialogue.connection.abort()

    async def quit(self) -> None:
        """Say goodbye and close; waits for the server's own goodbye for a moment at most."""
        connection = self._dialogue.connection
        if not self._is_broken and self._dialogue.is_silent:
            self._is_broken = True
            try:
                await self._dialogue.ask(b"QUIT\r\n", QUIT_SECONDS)
            except (ConnectionLost, TimeoutError, BadReply):
                pass
        connection.close()

    def close(self) -> None:
        """Close without waiting for anything."""
        connection = self._dialogue.connection
        if not self._is_broken and not connection.is_closed:
            connection.write(b"QUIT\r\n")
        self._is_broken = True
        connection.close()


def _lost(sentence: str, status: str = "4.4.2") -> FarReply:
    return FarReply(451, status, (sentence,))
