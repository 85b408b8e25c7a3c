r"""OAUTHBEARER and XOAUTH2: an access token of an OpenID provider instead of a password.

RFC: 7628 §3 (OAUTHBEARER), 6750 §2.1 (what a token is made of), 5801 §4 (the header before it).
    XOAUTH2 has none: it is Google's, and what Outlook and older mail programs speak.
Exposure: sees unauthenticated octets, bounded before they are looked into.
Invariants: why a token was refused is told in a challenge, which the client answers with anything before the
    exchange fails (RFC 7628 §3.2.3); a token is in no error and no repr().
Not here: whether a token is good (directory/tokens.py), that it needs TLS (mechanisms.py).

DEVIATION (RFC 7628 §3.2): `host` and `port` are read over. A server goes by several names and stands behind
address translation, so that comparing them would only lock clients out; a bearer token is not bound to them.
"""

import json
import re
from typing import Final

from postino.core.errors import ProtocolViolation
from postino.sasl.exchange import (
    CheckToken,
    Exchange,
    Success,
    TokenRefusal,
    ask_client,
    first_message,
    login_text,
)
from postino.sasl.scram import unescaped

# QUIRK(RFC 7628 §4.4): the RFC's own last example writes the login as `user=`, as XOAUTH2 does.
_HEADER: Final = re.compile(rb"[ny],(?:(?:a|user)=([^,\0]+))?,")
_PAIR: Final = re.compile(rb"([A-Za-z]+)=([\t\n\r\x20-\x7e]*)")
_BEARER: Final = re.compile(rb"bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)


def oauthbearer(initial: bytes | None) -> Exchange:
    """Run OAUTHBEARER: `n,a=login,^Ahost=...^Aport=...^Aauth=Bearer token^A^A`."""
    message = yield from first_message(initial)
    header, mark, rest = message.partition(b"\x01")
    found = _HEADER.fullmatch(header)
    if found is None or not mark or not rest.endswith(b"\x01"):
        raise ProtocolViolation("This is not an OAUTHBEARER message (RFC 7628 section 3.1)")
    login = login_text(unescaped(found[1])) if found[1] else ""
    verdict = yield CheckToken(login, _token(_pairs(rest[:-1])))
    if isinstance(verdict, TokenRefusal):
        told = {"status": verdict.status}
        if verdict.scope:
            told["scope"] = verdict.scope
        if verdict.configuration:
            told["openid-configuration"] = verdict.configuration
        yield from ask_client(json.dumps(told).encode())
        raise verdict.error
    return Success(login)


def xoauth2(initial: bytes | None) -> Exchange:
    """Run XOAUTH2: `user=login^Aauth=Bearer token^A^A`."""
    message = yield from first_message(initial)
    pairs = _pairs(message[:-1]) if message.endswith(b"\x01\x01") else {}
    if b"user" not in pairs:
        raise ProtocolViolation("An XOAUTH2 message is user=login ^A auth=Bearer token ^A ^A")
    login = login_text(pairs[b"user"])
    verdict = yield CheckToken(login, _token(pairs))
    if isinstance(verdict, TokenRefusal):
        told = {"status": "401", "schemes": "bearer", "scope": verdict.scope}
        yield from ask_client(json.dumps(told).encode())
        raise verdict.error
    return Success(login)


def _pairs(octets: bytes) -> dict[bytes, bytes]:
    """`key=value ^A key=value ^A`, the first of each key; keys nobody knows do no harm."""
    if not octets:
        return {}
    if not octets.endswith(b"\x01"):
        raise ProtocolViolation("Each key and value ends with ^A")
    pairs: dict[bytes, bytes] = {}
    for piece in octets[:-1].split(b"\x01"):
        found = _PAIR.fullmatch(piece)
        # QUIRK(XOAUTH2): a login need not be ASCII there.
        name, equals, value = piece.partition(b"=")
        if found is None and (name != b"user" or not equals):
            raise ProtocolViolation("What is between two ^A is a key, '=' and a value")
        pairs.setdefault(name.lower(), value)
    return pairs


def _token(pairs: dict[bytes, bytes]) -> str:
    """The token of `auth`; empty for none, by which a client asks what token is wanted (RFC 7628 §4.3)."""
    value = pairs.get(b"auth", b"").strip()
    if not value:
        return ""
    found = _BEARER.fullmatch(value)
    if found is None:
        raise ProtocolViolation("The value of auth is Bearer and a token")
    return found[1].decode("ascii")
