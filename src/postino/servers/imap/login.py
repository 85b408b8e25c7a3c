"""STARTTLS, LOGIN and AUTHENTICATE.

RFC: 9051 §6.2 (these commands), §7.6 (continuations), 4959 (initial response), 8314 §3.2, 5530 §3 (codes).
Exposure: unauthenticated.
Invariants: nothing that came before TLS counts after it; no password is taken in the clear from another
    machine; a session has Limits.login_attempts tries.
Not here: checking credentials, slowing down guesses (servers/authentication.py).
"""

import base64
import binascii
from typing import TYPE_CHECKING

from postino.core.errors import (
    AuthenticationCancelled,
    AuthenticationFailed,
    CredentialsExpired,
    NotAuthorized,
    PostinoError,
    ProtocolViolation,
    TemporarilyUnavailable,
)
from postino.imap.commands import Authenticate, Login, Starttls
from postino.imap.responses.server import capability_code
from postino.imap.responses.status import (
    AUTHENTICATION_FAILED,
    AUTHORIZATION_FAILED,
    CANNOT,
    EXPIRED,
    LIMIT,
    PRIVACY_REQUIRED,
    UNAVAILABLE,
    continuation,
    tagged,
)
from postino.sasl.mechanisms import needs_privacy
from postino.servers.account_sessions import TooManySessions
from postino.servers.imap.completion import Completion, bad, no, ok

if TYPE_CHECKING:
    from postino.directory.principal import Principal
    from postino.servers.imap.session import ImapSession

PROTOCOL = "imap"


async def run_starttls(session: "ImapSession", command: Starttls) -> Completion | None:
    """Switch to TLS; the session starts afresh behind it."""
    context = session.context.tls_context()
    if session.connection.is_tls:
        return bad("The connection has TLS already")
    if context is None:
        return no("This server has no certificate to show", CANNOT)
    session.say(tagged(command.tag, "OK", "Begin the TLS handshake"))
    # SECURITY: whatever was pipelined behind STARTTLS could be anybody's (RFC 9051 §6.2.1).
    session.framer.clear()
    await session.flush()
    await session.connection.start_tls(context)
    session.log.info("tls.started", tls=session.connection.tls_version())
    return None


async def run_login(session: "ImapSession", command: Login) -> Completion:
    """A login with name and password in one command."""
    if not session.connection.is_secure:
        return no("Use STARTTLS first: a password is not taken unencrypted", PRIVACY_REQUIRED)
    try:
        principal = await session.context.authentication.password(
            session.connection, command.user, command.password, protocol=PROTOCOL, log=session.log
        )
    except PostinoError as error:
        return _failed(session, error)
    return _welcome(session, principal)


async def run_authenticate(session: "ImapSession", command: Authenticate) -> Completion:
    """A SASL exchange."""
    authentication = session.context.authentication
    if command.mechanism not in authentication.mechanisms(session.connection):
        if not session.connection.is_secure and needs_privacy(command.mechanism):
            return no("Use STARTTLS first: this needs an encrypted connection", PRIVACY_REQUIRED)
        return no("CAPABILITY names the mechanisms there are, as AUTH=...", CANNOT)

    async def ask(challenge: bytes) -> bytes:
        session.say(continuation(base64.b64encode(challenge)))
        line = await session.read_line()
        if line == b"*":
            raise AuthenticationCancelled("The login was cancelled")
        try:
            return base64.b64decode(line, validate=True)
        except binascii.Error:
            raise ProtocolViolation("Answers to a challenge are base64") from None

    try:
        principal = await authentication.exchange(
            session.connection,
            command.mechanism,
            command.initial_response,
            ask,
            protocol=PROTOCOL,
            log=session.log,
        )
    except PostinoError as error:
        return _failed(session, error)
    return _welcome(session, principal)


def _welcome(session: "ImapSession", principal: "Principal") -> Completion:
    try:
        session.log_in(principal)
    except TooManySessions as error:
        session.log.info("login.refused", account=principal.login, reason="too many sessions")
        return no(str(error), LIMIT)
    return ok(f"Logged in as {principal.login}", capability_code(session.capabilities()))


def _failed(session: "ImapSession", error: PostinoError) -> Completion:
    match error:
        case ProtocolViolation():
            if error.fatal:
                raise error
            return bad(str(error))
        case AuthenticationCancelled():
            return bad(str(error) or "The login was cancelled")
        case TemporarilyUnavailable():
            return no(str(error) or "Logging in is not possible now; try again later", UNAVAILABLE)
    session.failed_logins += 1
    if session.failed_logins >= session.limits.login_attempts:
        session.end_after_answer("Too many failed logins")
    text = str(error) if isinstance(error, AuthenticationFailed) and str(error) else "The login failed"
    match error:
        case CredentialsExpired():
            return no(text, EXPIRED)
        case NotAuthorized():
            return no(text, AUTHORIZATION_FAILED)
    return no(text, AUTHENTICATION_FAILED)
