"""AUTH: carry a SASL exchange over SMTP lines.

RFC: 4954 §4 (the command), §6 (answers).
Exposure: unauthenticated lines, bounded by Limits.smtp_auth_line_octets.
Not here: mechanisms and passwords (servers/authentication.py), when AUTH may come (smtp/states.py).
"""

import base64
from collections.abc import Awaitable, Callable

from structlog.typing import FilteringBoundLogger

from postino.core.errors import (
    AuthenticationCancelled,
    AuthenticationFailed,
    ProtocolViolation,
    TemporarilyUnavailable,
)
from postino.directory.principal import Principal
from postino.net.connection import Connection
from postino.sasl.mechanisms import needs_privacy
from postino.servers.authentication import Authentication
from postino.smtp import replies
from postino.smtp.commands import AuthCommand, decode_base64
from postino.smtp.reply import BadCommand, Reply


async def run_login(
    authentication: Authentication,
    connection: Connection,
    command: AuthCommand,
    *,
    protocol: str,
    log: FilteringBoundLogger,
    send: Callable[[bytes], None],
    read_line: Callable[[], Awaitable[bytes]],
) -> Principal | Reply:
    """Who logged in, or the answer that says why nobody did. Lines go through `send` and `read_line`."""
    if command.mechanism not in authentication.mechanisms(connection):
        if not connection.is_secure and needs_privacy(command.mechanism):
            return replies.MECHANISM_NEEDS_TLS
        return replies.NO_SUCH_MECHANISM

    async def ask(challenge: bytes) -> bytes:
        send(b"334 " + base64.b64encode(challenge) + b"\r\n")
        line = await read_line()
        if line == b"*":
            raise AuthenticationCancelled("The client took the login back")
        return decode_base64(line)

    try:
        return await authentication.exchange(
            connection, command.mechanism, command.initial_response, ask, protocol=protocol, log=log
        )
    except AuthenticationFailed:
        return replies.LOGIN_FAILED
    except AuthenticationCancelled:
        return replies.CANCELLED
    except TemporarilyUnavailable as error:
        return Reply(454, "4.7.0", str(error))
    except BadCommand as error:
        return replies.AUTH_LINE_TOO_LONG if error.reply is replies.LINE_TOO_LONG else error.reply
    except ProtocolViolation:
        return replies.BAD_EXCHANGE
