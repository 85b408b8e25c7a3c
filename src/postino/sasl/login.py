"""LOGIN: login and password in two messages; obsolete, kept for the mail programs that know nothing else.

RFC: none; the mechanism of draft-murchison-sasl-login.
Exposure: sees unauthenticated octets.
Not here: that it needs TLS (servers/authentication.py).
"""

from postino.core.errors import AuthenticationFailed
from postino.sasl.exchange import CheckPassword, Exchange, Success, ask_client, login_text, password_text


def login(initial: bytes | None) -> Exchange:
    """Run LOGIN. An initial response is the login, as several mail programs send it."""
    if initial is None:
        initial = yield from ask_client(b"Username:")
    name = login_text(initial)
    password = password_text((yield from ask_client(b"Password:")))
    if not (yield CheckPassword(name, password)):
        raise AuthenticationFailed("The login or the password is wrong")
    return Success(name)
