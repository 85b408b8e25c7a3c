"""STARTTLS and AUTHENTICATE.

RFC: 5804 §2.1, §2.2 (capabilities are told again behind TLS), 4422 (SASL), 8314 §3.2.
Exposure: unauthenticated.
Invariants: nothing that came before TLS counts after it; no password is taken in the clear from another
    machine; a session has Limits.login_attempts tries.
Not here: checking credentials, slowing down guesses (servers/authentication.py). None of our mechanisms has a
    security layer, so capabilities are not told again behind a login (RFC 5804 §4, response-authenticate).
"""

import base64
from typing import TYPE_CHECKING

from postino.core.errors import AuthenticationCancelled, AuthenticationFailed
from postino.managesieve.commands import Authenticate, parse_answer
from postino.managesieve.replies import ResponseCode, bye, challenge, no, ok
from postino.sasl.exchange import decode_base64, decode_initial
from postino.sasl.mechanisms import needs_privacy
from postino.servers.account_sessions import TooManySessions

if TYPE_CHECKING:
    from postino.servers.managesieve.session import ManageSieveSession


async def run_starttls(session: "ManageSieveSession") -> bytes:
    """Switch to TLS; the session starts afresh behind it."""
    context = session.context.tls_context()
    if session.connection.is_tls:
        return no("The connection has TLS already")
    if context is None:
        return no("This server has no certificate to show")
    session.say(ok("Begin the TLS handshake"))
    # SECURITY: whatever was pipelined behind STARTTLS could be anybody's (RFC 5804 §2.2).
    session.framer.clear()
    await session.flush()
    await session.connection.start_tls(context)
    session.log.info("tls.started", tls=session.connection.tls_version())
    return session.capabilities() + ok("TLS it is")


async def run_authenticate(session: "ManageSieveSession", command: Authenticate) -> bytes:
    """A SASL exchange."""
    authentication, connection = session.context.authentication, session.connection
    if command.mechanism not in authentication.mechanisms(connection):
        if not connection.is_secure and needs_privacy(command.mechanism):
            return no("Use STARTTLS first: this needs an encrypted connection", ResponseCode.ENCRYPT_NEEDED)
        return no("CAPABILITY lists the mechanisms there are under SASL")
    initial = None if command.initial is None else decode_initial(command.initial)

    async def ask(octets: bytes) -> bytes:
        session.say(challenge(base64.b64encode(octets)))
        answer = parse_answer(await session.next_answer())
        if answer == b"*":
            raise AuthenticationCancelled("The login was cancelled")
        return decode_base64(answer)

    try:
        principal = await authentication.exchange(
            connection, command.mechanism, initial, ask, protocol="managesieve", log=session.log
        )
        session.log_in(principal)
    except AuthenticationFailed as error:
        return _failed(session, error)
    except AuthenticationCancelled as error:
        return no(str(error) or "The login was cancelled")
    except TooManySessions as error:
        return no(str(error), ResponseCode.TRY_LATER)
    return ok(f"Logged in as {principal.login}")


def _failed(session: "ManageSieveSession", error: AuthenticationFailed) -> bytes:
    session.failed_logins += 1
    text = str(error) or "The login failed"
    if session.failed_logins >= session.limits.login_attempts:
        session.end_after_answer("too many failed logins")
        return bye(f"{text}. That was one try too many")
    return no(text)
