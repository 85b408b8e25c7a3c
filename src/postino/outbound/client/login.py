"""Log in to a smarthost.

RFC: 4954 §4 (AUTH, initial responses, cancelling), §6 (codes), 4422 §3.
Exposure: handles a password of the operator's: said inside TLS or on this machine only, never logged.
Not here: the mechanisms (sasl/client.py), which host (routes.py).
"""

import asyncio
import base64
import secrets
from typing import Final

from cryptography import x509

from postino.core.errors import AuthenticationFailed, ProtocolViolation
from postino.net.tls import end_point_hash
from postino.outbound.client.dialogue import Dialogue
from postino.outbound.targeting.target import NotNow, Target
from postino.sasl.client import ClientExchange, begin_as_client, choose_mechanism
from postino.sasl.exchange import decode_base64
from postino.smtp.client.extensions import Extensions
from postino.smtp.client.replies import FarReply

_LONGEST_COMMAND: Final = 512
_MOST_STEPS: Final = 5


async def log_in(
    dialogue: Dialogue, target: Target, offered: Extensions, remote: str, *, seconds: float
) -> None:
    """Log in as the route says. Raises NotNow when the server does not let us, and what Dialogue raises."""
    connection = dialogue.connection
    if not connection.is_secure:
        raise _refused(
            remote, 'The route has a login, which is said inside TLS only; set tls = "required" or stricter'
        )
    binding = _binding(connection.peer_certificates())
    mechanism = choose_mechanism(offered.auth, can_bind=bool(binding))
    if mechanism is None:
        raise _refused(
            remote,
            "it offers no way to log in that we know: " + (", ".join(offered.auth) or "none at all"),
        )
    exchange = begin_as_client(
        mechanism,
        target.login,
        target.password,
        nonce=secrets.token_urlsafe(24),
        binding=binding,
        offers_plus="SCRAM-SHA-256-PLUS" in offered.auth,
    )
    try:
        reply = await _exchange(dialogue, mechanism.value, exchange, seconds)
    except (ProtocolViolation, AuthenticationFailed) as error:
        raise _refused(remote, str(error)) from error
    if reply.code != 235:
        status = "4" + reply.status[1:] if reply.status else "4.7.8"
        raise _refused(
            remote,
            f"it does not let {target.login!r} in: {reply.text}; correct the route's login or password_file",
            status,
        )


async def _exchange(dialogue: Dialogue, name: str, exchange: ClientExchange, seconds: float) -> FarReply:
    """Carry the exchange out; gives the last reply. Raises ProtocolViolation, AuthenticationFailed."""
    command = f"AUTH {name}".encode("ascii")
    waiting: bytes | None = None
    if exchange.initial is not None:
        said = b" " + (base64.b64encode(exchange.initial) or b"=")
        if len(command) + len(said) + 2 <= _LONGEST_COMMAND:
            command += said
        else:
            waiting = exchange.initial
    reply = await dialogue.ask(command + b"\r\n", seconds)
    for _ in range(_MOST_STEPS):
        if reply.code != 334:
            if reply.code == 235 and not exchange.is_complete:
                raise AuthenticationFailed("The server lets us in without having proved that it knows us")
            return reply
        try:
            if waiting is not None:
                answer, waiting = waiting, None
            else:
                challenge = decode_base64(reply.lines[-1].strip().encode("ascii", "replace"))
                answer = await asyncio.to_thread(exchange.answer, challenge)
        except (ProtocolViolation, AuthenticationFailed):
            await dialogue.ask(b"*\r\n", seconds)
            raise
        reply = await dialogue.ask(base64.b64encode(answer) + b"\r\n", seconds)
    raise ProtocolViolation("The login does not come to an end")


def _binding(certificates: tuple[bytes, ...]) -> bytes:
    if not certificates:
        return b""
    try:
        return end_point_hash(x509.load_der_x509_certificate(certificates[0]))
    except ValueError:
        return b""


def _refused(remote: str, why: str, status: str = "4.7.0") -> NotNow:
    return NotNow(f"{remote} cannot be logged in to: {why}", status, remote=remote)
