"""EXTERNAL: the client certificate of the TLS connection says who it is.

RFC: 4422 Appendix A.
Exposure: sees unauthenticated octets.
Not here: which certificate names whom (servers/authentication.py), asking for certificates (net/tls.py).
"""

from postino.sasl.exchange import CheckCertificate, Exchange, Success, first_message, login_text


def external(initial: bytes | None) -> Exchange:
    """Run EXTERNAL: the message is the login wanted, or empty for the one the certificate names."""
    message = yield from first_message(initial)
    login = login_text(message) if message else ""
    yield CheckCertificate(login)
    return Success(login)
