"""How mail programs set themselves up from an address: Thunderbird's autoconfig, Outlook's autodiscover.

Exposure: the address comes from an unauthenticated request; nothing of it but a checked address is shown, and
    whether an account exists is never told.
Invariants: the answer is well-formed XML for any address; a request body is never given to an XML parser,
    for which entities would be a way to make us read or count without end.
Not here: routing and hosts (pages.py), what is offered (offer.py).
"""

import re
from collections.abc import Iterable
from typing import Final
from xml.sax.saxutils import escape

from postino.core.address import Address, BadAddress, parse_address
from postino.servers.web.offer import MailService, Offer, Security

_WANTED: Final = re.compile(rb"<(?:[A-Za-z0-9_]+:)?EMailAddress>\s*([^<>&]{3,320}?)\s*</", re.IGNORECASE)
_SCHEMA: Final = re.compile(
    rb"<(?:[A-Za-z0-9_]+:)?AcceptableResponseSchema>\s*([^<>&]{1,200}?)\s*</", re.IGNORECASE
)
_OUTLOOK_SCHEMA: Final = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
_RESPONSE_SCHEMA: Final = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
_OUTLOOK_KINDS: Final = {"imap": "IMAP", "pop3": "POP3", "smtp": "SMTP"}


def requested_address(body: bytes) -> Address | None:
    """The address Outlook asks about; None for a request that is none, or wants another schema."""
    schema = _SCHEMA.search(body)
    if schema is not None and schema[1].decode("utf-8", "replace") != _OUTLOOK_SCHEMA:
        return None
    found = _WANTED.search(body)
    return read_address(found[1].decode("utf-8", "replace")) if found else None


def read_address(text: str) -> Address | None:
    """An address from a request, or None."""
    try:
        return parse_address(text)
    except BadAddress:
        return None


def thunderbird_config(offer: Offer, domain: str) -> bytes:
    """The file of which Thunderbird, K-9, Evolution and KMail read what to fill in."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<clientConfig version="1.1">',
        f'  <emailProvider id="{_text(domain)}">',
        f"    <domain>{_text(domain)}</domain>",
        f"    <displayName>{_text(domain)}</displayName>",
        f"    <displayShortName>{_text(domain)}</displayShortName>",
    ]
    for service in offer.services:
        kind = "outgoingServer" if service.protocol == "smtp" else "incomingServer"
        lines += [
            f'    <{kind} type="{service.protocol}">',
            f"      <hostname>{_text(offer.hostname)}</hostname>",
            f"      <port>{service.port}</port>",
            f"      <socketType>{service.security.value}</socketType>",
            "      <authentication>password-cleartext</authentication>",
            "      <username>%EMAILADDRESS%</username>",
            f"    </{kind}>",
        ]
    lines += ["  </emailProvider>", "</clientConfig>", ""]
    return "\n".join(lines).encode("utf-8")


def outlook_config(offer: Offer, address: Address) -> bytes:
    """Outlook's answer: one server of each kind, the one with TLS from the first octet where there is one."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<Autodiscover xmlns="{_RESPONSE_SCHEMA}">',
        f'  <Response xmlns="{_OUTLOOK_SCHEMA}">',
        "    <Account>",
        "      <AccountType>email</AccountType>",
        "      <Action>settings</Action>",
    ]
    for service in _one_of_each(offer.services):
        lines += [
            "      <Protocol>",
            f"        <Type>{_OUTLOOK_KINDS[service.protocol]}</Type>",
            f"        <Server>{_text(offer.hostname)}</Server>",
            f"        <Port>{service.port}</Port>",
            f"        <LoginName>{_text(str(address))}</LoginName>",
            "        <DomainRequired>off</DomainRequired>",
            "        <SPA>off</SPA>",
            f"        <SSL>{'on' if service.security is Security.TLS else 'off'}</SSL>",
            # Outlook's word for STARTTLS; it goes before <SSL> where it is known.
            f"        <Encryption>{'SSL' if service.security is Security.TLS else 'TLS'}</Encryption>",
            "        <AuthRequired>on</AuthRequired>",
            "      </Protocol>",
        ]
    lines += ["    </Account>", "  </Response>", "</Autodiscover>", ""]
    return "\n".join(lines).encode("utf-8")


def outlook_refusal() -> bytes:
    """What Outlook is told when we have nothing for it."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Autodiscover xmlns="{_RESPONSE_SCHEMA}">\n  <Response>\n    <Error Time="00:00:00" Id="0">\n'
        "      <ErrorCode>600</ErrorCode>\n"
        "      <Message>Ask for the outlook response schema, with an address served here</Message>\n"
        "      <DebugData />\n    </Error>\n  </Response>\n</Autodiscover>\n"
    ).encode("ascii")


def _one_of_each(services: Iterable[MailService]) -> list[MailService]:
    found: dict[str, MailService] = {}
    for service in services:
        found.setdefault(service.protocol, service)
    return list(found.values())


def _text(value: str) -> str:
    return escape(value, {'"': "&quot;"})
