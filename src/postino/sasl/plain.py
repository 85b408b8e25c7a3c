"""PLAIN: login and password in one message.

RFC: 4616 §2.
Exposure: sees unauthenticated octets.
Not here: that it needs TLS (servers/authentication.py).
"""

from postino.core.errors import AuthenticationFailed, ProtocolViolation
from postino.sasl.exchange import (
    CheckPassword,
    Exchange,
    Success,
    first_message,
    login_text,
    password_text,
    require_same_identity,
)


def plain(initial: bytes | None) -> Exchange:
    """Run PLAIN: `[authzid] NUL authcid NUL passwd`."""
    message = yield from first_message(initial)
    pieces = message.split(b"\0")
    if len(pieces) != 3:
        raise ProtocolViolation("A PLAIN message is authorization identity, NUL, login, NUL, password")
    authcid = login_text(pieces[1])
    authzid = login_text(pieces[0]) if pieces[0] else ""
    password = password_text(pieces[2])
    require_same_identity(authzid, authcid)
    if not (yield CheckPassword(authcid, password)):
        raise AuthenticationFailed("The login or the password is wrong")
    return Success(authcid)
