"""Whether a URI names a way to notify somebody: mailto with addresses.

RFC: 5435 §3.2 (URIs are checked), 5436 §2.1 (mailto), 3986 §2.1 (percent-encoding), 6068 §2.
Not here: composing what is sent (delivery/).
"""

import re
from typing import Final
from urllib.parse import unquote

from postino.core.address import BadAddress, parse_address

_MOST_OCTETS: Final = 8000
_MOST_RECIPIENTS: Final = 8
_URI: Final = re.compile(r"(?:[!$&-;=?-Z_a-z~]|%[0-9A-Fa-f]{2})*")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_NAME: Final = re.compile(r"[!-9;-~]+")


def is_mailto(uri: str) -> bool:
    """Whether it is meant to be a mailto URI."""
    return uri[:7].lower() == "mailto:"


def _recipient_texts(uri: str) -> list[str]:
    path, _, query = uri[7:].partition("?")
    texts = path.split(",") if path else []
    for field in query.split("&"):
        name, _, value = field.partition("=")
        if unquote(name).lower() in {"to", "cc"}:
            texts += value.split(",") if "," in value else unquote(value).split(",")
    return [unquote(text).strip() for text in texts]


def mailto_recipients(uri: str) -> set[str]:
    """Who is told, in a form that can be compared; those that are no addresses are left out."""
    found = set()
    for text in _recipient_texts(uri):
        try:
            found.add(parse_address(text).key)
        except BadAddress:
            continue
    return found


def why_bad_method(uri: str) -> str:
    """Why nobody can be notified by it, in words; empty when it is good."""
    if not is_mailto(uri):
        scheme = _SCHEME.match(uri)
        return f"this server notifies by mailto: only, not by {scheme[0] if scheme else repr(uri[:40])}"
    if len(uri) > _MOST_OCTETS:
        return "the URI is too long"
    if _URI.fullmatch(uri) is None:
        return "a URI has ASCII characters only, and others as %20; `set :encodeurl` does that"
    for field in uri.partition("?")[2].split("&") if "?" in uri else ():
        if _NAME.fullmatch(unquote(field.partition("=")[0])) is None or "=" not in field:
            return f"{field[:40]!r} of the URI is not written name=value"
    texts = _recipient_texts(uri)
    if not texts:
        return "the URI names no address; write mailto:me@example.org"
    for text in texts:
        try:
            parse_address(text)
        except BadAddress:
            return f"{text[:80]!r} of the URI is no address"
    return "" if len(texts) <= _MOST_RECIPIENTS else f"the URI names more than {_MOST_RECIPIENTS} addresses"
