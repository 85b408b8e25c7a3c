"""What a session tells the log and the counters.

Invariants: reasons are a closed set, for they are labels of a counter; nothing here is a secret.
Not here: logins (servers/authentication.py), deliveries (delivery/accept.py), each of which is one event.
"""

from enum import Enum

from postino.servers.context import ServerContext
from postino.smtp.reply import Reply


class Reason(Enum):
    """Why a message or a recipient was refused."""

    LOGIN_NEEDED = "login-needed"
    SENDER = "sender-not-theirs"
    AUTHOR = "author-not-theirs"
    UNKNOWN_RECIPIENT = "unknown-recipient"
    RELAYING = "relaying"
    TOO_MANY_RECIPIENTS = "too-many-recipients"
    MAILBOX_FULL = "mailbox-full"
    SUPPRESSED = "suppressed-recipient"
    PARAMETER = "parameter"
    JUNK = "junk"
    FORGED = "forged-author"
    NEXT_SERVER = "next-server"
    SCRIPT = "script"
    SENDING_LIMIT = "sending-limit"
    TOO_LARGE = "too-large"
    BARE_LINE_END = "bare-line-end"
    LOOP = "loop"
    UNAVAILABLE = "store-unavailable"


class SessionEvents:
    """One session's voice; every event carries who it is."""

    def __init__(self, context: ServerContext, protocol: str, **who: str) -> None:
        self._protocol = protocol
        self._metrics = context.metrics
        self.log = context.log.bind(protocol=protocol, **who)

    def opened(self, tls: str) -> None:
        """The session begins."""
        self._metrics.connection_opened(self._protocol)
        self.log.info("connection.opened", tls=tls)

    def tls_started(self, tls: str) -> None:
        """The client has switched to TLS."""
        self.log.info("tls.started", tls=tls)

    def closed(self, reason: str, messages: int, **detail: str) -> None:
        """The session has ended; `messages` were begun in it."""
        self._metrics.connection_closed(self._protocol)
        self.log.info("connection.closed", reason=reason, messages=messages, **detail)

    def logged_in(self, login: str) -> None:
        """From here on events name the account."""
        self.log = self.log.bind(account=login)

    def local_user(self, name: str) -> None:
        """Events name the user of this machine who hands mail in."""
        self.log = self.log.bind(user=name)

    def command(self, name: str) -> None:
        """A command came that can be understood."""
        self._metrics.command(self._protocol, name)

    def refused(self, reason: Reason, reply: Reply, **fields: str | int) -> Reply:
        """A message or recipient is refused with `reply`, which is given back."""
        self._metrics.message_refused(reason.value)
        # What is ours to mend must be seen where only warnings are.
        tell = self.log.warning if reason is Reason.UNAVAILABLE else self.log.info
        tell("message.refused", reason=reason.value, reply=reply.code, **fields)
        return reply

    def failed(self, error: Exception) -> None:
        """The session ends by a fault of ours."""
        self._metrics.session_fault(self._protocol)
        self.log.error("session.fault", exc_info=error)
