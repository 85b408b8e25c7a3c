"""Gather what a domain's DNS records are made of: settings, certificate, DKIM keys, this machine's addresses.

Invariants: reads only; what cannot be told is left empty, and the records say so.
Not here: the records (records.py).
"""

import hashlib
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from postino.app.offered import make_offer, public_port
from postino.app.operator_dns.records import DkimKey, DnsFacts
from postino.app.settings_file import Configuration
from postino.core.address import ascii_domain
from postino.core.ids import Instant
from postino.net.sockets import outward_addresses
from postino.net.tls import read_certificate
from postino.store.dkim_keys import KeyState, list_keys
from postino.store.tx import Tx


def dkim_keys(tx: Tx, domain: str, now: Instant) -> list[DkimKey]:
    """The keys of a domain whose records must be there. Raises StoreError for a domain that is not ours."""
    return [
        DkimKey(
            key.selector,
            key.record,
            is_in_use=key.state(now) is KeyState.IN_USE,
            is_waiting=key.state(now) is KeyState.WAITING,
        )
        for key in list_keys(tx, domain)
        if key.state(now) is not KeyState.REMOVABLE
    ]


def gather_facts(
    configuration: Configuration, domain: str, dkim: Sequence[DkimKey], certificate: Path
) -> DnsFacts:
    """Everything about one domain. `certificate` is the file of the default certificate."""
    found = _certificate(certificate)
    routes = configuration.settings.outbound.routes
    for_all = [route.host for route in routes if route.host and not route.domains and not route.senders]
    return DnsFacts(
        domain=ascii_domain(domain),
        offer=make_offer(configuration),
        addresses=_addresses(configuration),
        dkim=tuple(dkim),
        certificate_sha256=_key_hash(found) if found is not None else "",
        is_self_signed=found is None or found.issuer == found.subject,
        issuer=_organization(found) if found is not None else "",
        serves_https=public_port(configuration.listen()["https"]) > 0,
        relays=tuple(for_all),
    )


def _addresses(configuration: Configuration) -> tuple[str, ...]:
    """This server's public addresses: those it is told to send from or listen on, else this machine's own."""
    wanted = list(configuration.settings.outbound.source_addresses)
    wanted += [address.host for address in configuration.listen()["smtp"] if not address.path]
    for candidates in (wanted, outward_addresses()):
        public = [text for text in dict.fromkeys(candidates) if _is_public(text)]
        if public:
            return tuple(sorted(public, key=lambda text: ":" in text))
    return ()


def _is_public(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


def _certificate(file: Path) -> x509.Certificate | None:
    try:
        return read_certificate(file)
    except (OSError, ValueError):
        return None


def _key_hash(certificate: x509.Certificate) -> str:
    """What TLSA 3 1 1 holds: SHA-256 of the public key."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(key).hexdigest()


def _organization(certificate: x509.Certificate) -> str:
    found = certificate.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(found[0].value) if found else ""
