"""One mail transaction from the client's side: what is said when, and whose every reply is.

RFC: 5321 §3.3, §4.3.2 (order and codes), 2920 §3.1 (PIPELINING), 3030 §2 (BDAT), 2033 §4.2 (LMTP's replies).
Exposure: follows what a far server says; any sequence of replies ends in an answer for each recipient.
Invariants: every recipient gets exactly one answer; the message's octets are only sent when a recipient was
    taken, or BDAT carries them at once; a 421 answers everything that is still open, unless the server has
    the message already and says yet what it did with it.
Not here: the commands' text (commands.py), reading replies (replies.py), I/O and time
    (outbound/client/session.py).
"""

from collections import deque
from collections.abc import Sequence
from enum import Enum

from postino.smtp.client.replies import FarReply


class Phase(Enum):
    """What a recipient's answer is an answer to."""

    OURS = "ours"
    """Nothing: we did not offer it to this server, for it cannot take it."""
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    MESSAGE = "message"
    """The whole message."""
    LOST = "lost"
    """The connection ended first."""


class Need(Enum):
    """What the transaction waits for."""

    REPLY = 1
    BODY = 2
    """The message's octets; call body_sent() then."""
    OVER = 3


class _Kind(Enum):
    RESET = 1
    MAIL = 2
    RCPT = 3
    DATA = 4
    END = 5
    NOBODY = 6
    """The reply to a message that was ended for no recipient."""


Answer = tuple[FarReply, Phase]
EARLY = FarReply(451, "4.5.0", ("The server took the message before it was sent",))
UNASKED = FarReply(451, "4.5.0", ("The server did not ask for the message and says that all is well",))


class Transaction:
    """Say start(), take() each reply and say what it gives, send the body when it is needed, until OVER."""

    __slots__ = (
        "_accepted",
        "_eager",
        "_expected",
        "_goodbye",
        "_is_lmtp",
        "_lines",
        "_mail_failed",
        "_pipelining",
        "answers",
        "bdat",
        "is_broken",
        "need",
        "needs_reset",
        "replies",
        "was_body_sent",
    )

    def __init__(
        self,
        mail: bytes,
        recipients: Sequence[bytes],
        *,
        pipelining: bool,
        is_lmtp: bool = False,
        bdat: bytes = b"",
        eager: bool = False,
        reset: bool = False,
    ) -> None:
        """`bdat` is the BDAT line where DATA is not used; with `eager` the message follows it unasked.

        `reset` says that the transaction before was left open.
        """
        self._lines: deque[tuple[_Kind, int, bytes]] = deque()
        if reset:
            self._lines.append((_Kind.RESET, 0, b"RSET\r\n"))
        self._lines.append((_Kind.MAIL, 0, mail))
        self._lines.extend([(_Kind.RCPT, number, line) for number, line in enumerate(recipients)])
        self.bdat = bdat
        """The line in front of the message; empty where DATA is used."""
        self._eager = eager and pipelining and bool(bdat) and not is_lmtp
        if not bdat:
            self._lines.append((_Kind.DATA, 0, b"DATA\r\n"))
        self._pipelining = pipelining
        self._is_lmtp = is_lmtp
        self._expected: deque[tuple[_Kind, int]] = deque()
        self._accepted: list[int] = []
        self._mail_failed = False
        self._goodbye: Answer | None = None
        self.answers: list[Answer | None] = [None] * len(recipients)
        """For each recipient, complete when the transaction is over."""
        self.need = Need.REPLY
        self.needs_reset = False
        """The next transaction on this connection begins with RSET."""
        self.replies = 0
        """How many came."""
        self.was_body_sent = False
        """All of the message and the mark of its end are said: the server may have it, whatever comes now."""
        self.is_broken = False
        """Nobody knows where in the dialogue the server is: the connection is of no more use."""

    @property
    def has_nothing(self) -> bool:
        """Whether the server surely has not got the message and nothing was answered for a recipient.

        A server that had not one reply for us took nothing, as far as anybody can tell.
        """
        return self.replies == 0 or not (self.was_body_sent or any(self.answers))

    @property
    def waits_for_message(self) -> bool:
        """Whether the next reply is that to a whole message, for which a server needs longer."""
        return bool(self._expected) and self._expected[0][0] is _Kind.END

    @property
    def is_leaving(self) -> bool:
        """Whether the server has said that it hangs up, and is waited for a moment all the same."""
        return self._goodbye is not None

    def start(self) -> bytes:
        """What to say first; with `eager` the message is to follow at once."""
        if not self._pipelining:
            return self._say_next()
        octets = b"".join([line for _, _, line in self._lines])
        self._expected.extend([(kind, number) for kind, number, _ in self._lines])
        self._lines.clear()
        if self._eager:
            self._expected.append((_Kind.END, 0))
            self.was_body_sent = True
            return octets + self.bdat
        return octets

    def take(self, reply: FarReply) -> bytes:
        """Take the reply to the first command that waits for one; gives what to say now, perhaps nothing."""
        kind, number = self._expected.popleft()
        self.replies += 1
        if reply.code == 421:
            if kind is _Kind.RCPT and self.was_body_sent and not self._mail_failed:
                # Who says 421 should hang up (RFC 5321 §3.8). Who does not, and takes the message for the
                # other recipients, would get it for them again and again if we did not listen.
                self._goodbye = self._goodbye or (reply, Phase.RCPT)
                self.answers[number] = (reply, Phase.RCPT)
                self.is_broken = True
                return self._go_on()
            self.lose(reply, _PHASES[kind])
            return b""
        say = b""
        match kind:
            case _Kind.RESET:
                pass
            case _Kind.MAIL:
                self.needs_reset = reply.is_positive
                if not reply.is_positive:
                    self._mail_failed = True
                    self._answer_all(reply, Phase.MAIL)
                    self._lines.clear()
            case _Kind.RCPT:
                self._take_rcpt(number, reply)
            case _Kind.DATA:
                say = self._take_data(reply)
            case _Kind.END:
                self._take_end(number, reply)
            case _Kind.NOBODY:
                self.needs_reset = False
        return say + self._go_on()

    def body_sent(self) -> None:
        """The message and the mark of its end were sent."""
        assert self.need is Need.BODY
        self.need = Need.REPLY
        self.was_body_sent = True
        count = len(self._accepted) if self._is_lmtp else 1
        self._expected.extend([(_Kind.END, number) for number in range(count)])

    def reply_while_sending(self, reply: FarReply) -> None:
        """The server answered before the message was over: what is left of it need not be sent.

        Where in the dialogue it is then, nobody knows. A message cannot have been taken before it was over.
        """
        self.lose(EARLY if reply.code < 400 else reply, Phase.MESSAGE)

    def lose(self, reply: FarReply, phase: Phase) -> None:
        """The connection ends: `reply`, or the server's own goodbye, answers what is still open."""
        if self._goodbye is not None:
            reply, phase = self._goodbye
        self._answer_all(reply, phase)
        self._expected.clear()
        self._lines.clear()
        self.is_broken = True
        self.need = Need.OVER

    def _go_on(self) -> bytes:
        """Decide what is needed now that a reply was taken."""
        if self.need is not Need.REPLY or self._expected:
            return b""
        if self._lines:
            if self._lines[0][0] is not _Kind.DATA or self._accepted:
                return self._say_next()
            # Nobody was taken, so there is nothing to send (RFC 5321 §3.3).
            self._lines.clear()
        elif self.bdat and self._accepted and not self.was_body_sent:
            self.need = Need.BODY
            return b""
        self.need = Need.OVER
        return b""

    def _say_next(self) -> bytes:
        kind, number, line = self._lines.popleft()
        self._expected.append((kind, number))
        return line

    def _take_rcpt(self, number: int, reply: FarReply) -> None:
        if self._mail_failed:
            return
        if reply.is_positive:
            self._accepted.append(number)
        else:
            self.answers[number] = (reply, Phase.RCPT)

    def _take_data(self, reply: FarReply) -> bytes:
        if 300 <= reply.code < 400:
            if self._accepted and not self._mail_failed:
                self.need = Need.BODY
                return b""
            # RFC 2920 §3.1: a server that asks for the message of nobody gets an empty one. An LMTP server
            # answers it as often as it took recipients: not at all (RFC 2033 §4.2).
            if not self._is_lmtp:
                self._expected.append((_Kind.NOBODY, 0))
            return b".\r\n"
        if reply.is_positive:
            # 250 to DATA means nothing, least of all that the message was taken: it was not sent. What the
            # server would do with it is not to be found out.
            self.is_broken = True
            reply = UNASKED
        self._answer_all(reply, Phase.DATA)
        return b""

    def _take_end(self, number: int, reply: FarReply) -> None:
        # After BDAT has failed, the transaction is open until RSET (RFC 3030 §2).
        self.needs_reset = bool(self.bdat) and not reply.is_positive
        if self._is_lmtp:
            self.answers[self._accepted[number]] = (reply, Phase.MESSAGE)
        else:
            self._answer_all(reply, Phase.MESSAGE)

    def _answer_all(self, reply: FarReply, phase: Phase) -> None:
        self.answers = [(reply, phase) if answer is None else answer for answer in self.answers]


_PHASES = {
    _Kind.RESET: Phase.MAIL,
    _Kind.MAIL: Phase.MAIL,
    _Kind.RCPT: Phase.RCPT,
    _Kind.DATA: Phase.DATA,
    _Kind.END: Phase.MESSAGE,
    _Kind.NOBODY: Phase.MESSAGE,
}
