"""Programs of this machine that hand mail in by the local socket: who they are, and whom they may send as.

Exposure: any user of this machine whom the socket's directory lets in; who it is says the system, not they.
Invariants: only root and the server's own user send as anybody; nobody sends as somebody by asking for it.
Not here: the socket (net/sockets.py), the command that uses it (cli/send.py).
"""

import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from postino.core.address import Address, BadAddress, domain_key, parse_address, parse_domain
from postino.core.errors import SettingsError

EVERY_USER: Final = "*"


@dataclass(frozen=True, slots=True)
class LocalUser:
    """One user of this machine."""

    name: str
    is_operator: bool
    hostname: str
    addresses: frozenset[str] = frozenset()
    """Address.key of each one they may send as, beside NAME@hostname."""
    domains: frozenset[str] = frozenset()

    def may_send_as(self, address: Address) -> bool:
        """Whether mail may go out under this address."""
        if self.is_operator or address.key in self.addresses or domain_key(address.domain) in self.domains:
            return True
        return address.domain == self.hostname and address.local_part.lower() == self.name.lower()


def find_local_user(user_id: int | None, *, hostname: str, senders: Sequence[str]) -> LocalUser:
    """Who that is. `senders` are the setting's USER:ADDRESS and USER:DOMAIN; None is nobody we know."""
    hostname = domain_key(hostname.lower())
    if user_id is None:
        return LocalUser("", False, hostname)
    try:
        name = pwd.getpwuid(user_id).pw_name
    except KeyError:
        name = str(user_id)
    addresses, domains = set[str](), set[str]()
    for text in senders:
        user, identity = parse_local_sender(text)
        if user not in {name, EVERY_USER}:
            continue
        if isinstance(identity, Address):
            addresses.add(identity.key)
        else:
            domains.add(identity)
    is_operator = user_id in {0, os.geteuid()}
    return LocalUser(name, is_operator, hostname, frozenset(addresses), frozenset(domains))


def parse_local_sender(text: str) -> tuple[str, Address | str]:
    """USER and whom they may send as, an address or a domain. Raises SettingsError."""
    user, colon, identity = text.partition(":")
    try:
        if not colon or not user:
            raise BadAddress(f"{text!r} names no user; write USER:ADDRESS or USER:DOMAIN")
        return user, parse_address(identity) if "@" in identity else parse_domain(identity)
    except BadAddress as error:
        raise SettingsError(f"server.local_senders: {error}") from error
