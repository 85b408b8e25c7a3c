"""What the settings offer to mail programs and other servers, as the web service and `postino dns` tell it.

RFC: 8314 §3 (TLS from the first octet goes first), 8461 §3.2 (the policy's values).
Invariants: a service that listens on loopback or a Unix socket only is not offered.
Not here: the pages (servers/web), the records (dns_records.py).
"""

import ipaddress
from typing import Final

from postino.app.settings_file import Configuration
from postino.core.address import ascii_domain
from postino.net.sockets import ListenAddress
from postino.servers.web.offer import MailService, Offer, Security

_SERVICES: Final = (
    ("imaps", "imap", Security.TLS),
    ("imap", "imap", Security.STARTTLS),
    ("pop3s", "pop3", Security.TLS),
    ("pop3", "pop3", Security.STARTTLS),
    ("submissions", "smtp", Security.TLS),
    ("submission", "smtp", Security.STARTTLS),
)
_LONGEST_POLICY_SECONDS: Final = 31_557_600


def make_offer(configuration: Configuration) -> Offer:
    """What is offered with these settings."""
    listen = configuration.listen()
    web = configuration.settings.web
    services = []
    for name, protocol, security in _SERVICES:
        port = public_port(listen[name])
        if port:
            services.append(MailService(name, protocol, port, security))
    hostname = ascii_domain(configuration.hostname)
    return Offer(
        hostname=hostname,
        services=tuple(services),
        managesieve_port=public_port(listen["managesieve"]),
        sts_mode=web.mta_sts,
        sts_mx=tuple(ascii_domain(name) for name in web.mta_sts_mx) or (hostname,),
        sts_max_age=min(int(web.mta_sts_seconds), _LONGEST_POLICY_SECONDS),
    )


def public_port(addresses: list[ListenAddress]) -> int:
    """The port others reach a service on; 0 when nobody but this machine does."""
    for address in addresses:
        if not address.path and address.port and not _is_loopback(address.host):
            return address.port
    return 0


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
