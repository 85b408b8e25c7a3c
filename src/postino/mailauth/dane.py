"""Whether a server's certificates are what its TLSA records say.

RFC: 7672 §3 (usages 2 and 3 only, names for 2), 7671 §5 (what each usage means) and §9 (digest agility),
    6698 §2.1 (the fields), 5280 §4.2.1.9 and §4.2.1.10 (who may sign for whom).
Exposure: certificates and records are other people's; parsed by the cryptography package.
Invariants: a certificate that cannot be read, and a record that makes no sense, match nothing.
Not here: finding the records (outbound/targeting/dane.py), the handshake (net/tls_client.py).
"""

import datetime
import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import count
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from postino.core.address import ascii_domain
from postino.core.errors import PostinoError
from postino.core.ids import Instant
from postino.core.ports import TlsaRecord

TRUST_ANCHOR: Final = 2
END_ENTITY: Final = 3
_CERTIFICATE: Final = 0
_PUBLIC_KEY: Final = 1
_FULL: Final = 0
_DIGESTS: Final = {1: hashlib.sha256, 2: hashlib.sha512}
"""By matching type; the higher is the stronger."""
_MOST_CERTIFICATES: Final = 10
_MOST_SIGNATURES: Final = 20
"""Checked for one chain: names can be made so that each certificate may be the issuer of every other."""
_UNDERSTOOD: Final = frozenset(
    {
        x509.BasicConstraints.oid,
        x509.KeyUsage.oid,
        x509.ExtendedKeyUsage.oid,
        x509.SubjectAlternativeName.oid,
        x509.NameConstraints.oid,
        x509.CertificatePolicies.oid,
    }
)


class DaneMismatch(PostinoError):
    """The server is not the one its TLSA records promise; `str()` says why in a few words."""

    def __init__(self, reason: str, *, is_name: bool = False, is_expired: bool = False) -> None:
        super().__init__(reason)
        self.is_name = is_name
        """A certificate matches, and is for another name."""
        self.is_expired = is_expired


def usable_records(records: Iterable[TlsaRecord]) -> tuple[TlsaRecord, ...]:
    """Those that can prove a mail server; of digests only the strongest for each usage and selector.

    When this is empty and there were records, TLS is a must all the same, with any certificate
    (RFC 7672 §2.2).
    """
    found = [record for record in records if _is_usable(record)]
    strongest: dict[tuple[int, int], int] = {}
    for record in found:
        key = (record.usage, record.selector)
        strongest[key] = max(strongest.get(key, 0), record.matching_type)
    return tuple(
        record
        for record in found
        if record.matching_type in (_FULL, strongest[record.usage, record.selector])
    )


def _is_usable(record: TlsaRecord) -> bool:
    # RFC 7672 §3.1.3: authorities of the web (usages 0 and 1) mean nothing between mail servers.
    if record.usage not in (TRUST_ANCHOR, END_ENTITY) or record.selector not in (_CERTIFICATE, _PUBLIC_KEY):
        return False
    if record.matching_type == _FULL:
        return _can_be_read(record)
    digest = _DIGESTS.get(record.matching_type)
    return digest is not None and len(record.data) == digest().digest_size


def _can_be_read(record: TlsaRecord) -> bool:
    try:
        if record.selector == _CERTIFICATE:
            x509.load_der_x509_certificate(record.data)
        else:
            load_der_public_key(record.data)
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def check_chain(
    records: Sequence[TlsaRecord], chain: Sequence[bytes], names: Collection[str], *, now: Instant
) -> None:
    """Return when the certificates the server showed (DER, its own first) are what a record says.

    `names` are those of HostTls: one of them must be in the certificate where a trust anchor vouches for it.
    Raises DaneMismatch.
    """
    usable = usable_records(records)
    certificates = [found for found in map(_read, chain[:_MOST_CERTIFICATES]) if found is not None]
    if not chain or not certificates or _read(chain[0]) is None:
        raise DaneMismatch("the server shows no certificate that can be read")
    leaf = certificates[0]
    # RFC 7672 §3.1.1: neither names nor dates matter here; the record's own signature says how long it holds.
    if any(_matches(record, leaf) for record in usable if record.usage == END_ENTITY):
        return
    anchors = [record for record in usable if record.usage == TRUST_ANCHOR]
    if not anchors:
        raise DaneMismatch("its certificate matches no TLSA record")
    path = _path_to_anchor(anchors, certificates)
    _check_path(path, now)
    if not any(_names_host(pattern, ascii_domain(name)) for pattern in _dns_names(leaf) for name in names):
        raise DaneMismatch("its certificate is for another name", is_name=True)


def _read(der: bytes) -> x509.Certificate | None:
    try:
        certificate = x509.load_der_x509_certificate(der)
        # These are read when first asked for, and may then be what cannot be read.
        _ = certificate.extensions, certificate.public_key(), certificate.subject, certificate.issuer
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension):
        return None
    return certificate


def _matches(record: TlsaRecord, certificate: x509.Certificate) -> bool:
    if record.selector == _CERTIFICATE:
        octets = certificate.public_bytes(Encoding.DER)
    else:
        octets = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = _DIGESTS.get(record.matching_type)
    return (octets if digest is None else digest(octets).digest()) == record.data


# Usage 2: from the server's certificate to a trust anchor


def _path_to_anchor(
    anchors: list[TlsaRecord], certificates: list[x509.Certificate]
) -> list[x509.Certificate]:
    """The server's certificate, those between, and the anchor. Raises DaneMismatch."""
    given = [
        _read(record.data)
        for record in anchors
        if (record.selector, record.matching_type) == (_CERTIFICATE, _FULL)
    ]
    left = certificates[1:] + [anchor for anchor in given if anchor is not None]
    path = [certificates[0]]
    checks = count()
    while left:
        issuer = next((one for one in left if _issued_by(path[-1], one, checks)), None)
        if issuer is None:
            break
        left.remove(issuer)
        path.append(issuer)
        if any(_matches(record, issuer) for record in anchors):
            return path
    raise DaneMismatch("its certificate leads to no trust anchor of the TLSA records")


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate, checks: Iterator[int]) -> bool:
    if certificate.issuer != issuer.subject:
        return False
    # SECURITY: what one of them costs, whoever made the certificates decides; the event loop waits meanwhile.
    if next(checks) >= _MOST_SIGNATURES:
        raise DaneMismatch("its chain has too many certificates of one name")
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _check_path(path: list[x509.Certificate], now: Instant) -> None:
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    names = _dns_names(path[0])
    for depth, certificate in enumerate(path):
        if certificate.not_valid_after_utc < moment:
            raise DaneMismatch("a certificate of its chain has expired", is_expired=True)
        if certificate.not_valid_before_utc > moment:
            raise DaneMismatch("a certificate of its chain is not valid yet")
        if any(one.critical and one.oid not in _UNDERSTOOD for one in certificate.extensions):
            raise DaneMismatch("a certificate of its chain has conditions nobody here understands")
        if depth:
            _check_authority(certificate, depth - 1, names)


def _check_authority(certificate: x509.Certificate, below: int, names: Sequence[str]) -> None:
    """Whether it may sign, with `below` authorities between it and the server's own."""
    constraints = _extension(certificate, x509.BasicConstraints)
    if not isinstance(constraints, x509.BasicConstraints) or not constraints.ca:
        raise DaneMismatch("a certificate of its chain signed another and is no authority's")
    if constraints.path_length is not None and below > constraints.path_length:
        raise DaneMismatch("its chain is longer than one of its authorities allows")
    usage = _extension(certificate, x509.KeyUsage)
    if isinstance(usage, x509.KeyUsage) and not usage.key_cert_sign:
        raise DaneMismatch("a certificate of its chain signed another and may not")
    limits = _extension(certificate, x509.NameConstraints)
    if isinstance(limits, x509.NameConstraints):
        allowed = [one.value for one in limits.permitted_subtrees or () if isinstance(one, x509.DNSName)]
        excluded = [one.value for one in limits.excluded_subtrees or () if isinstance(one, x509.DNSName)]
        for name in names:
            if (allowed and not _is_below(name, allowed)) or _is_below(name, excluded):
                raise DaneMismatch("an authority of its chain may not vouch for its name", is_name=True)


def _is_below(name: str, trees: list[str]) -> bool:
    bare = name.removeprefix("*.")
    return any(
        not tree or bare == tree.lower().lstrip(".") or bare.endswith("." + tree.lower().lstrip("."))
        for tree in trees
    )


def _extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> x509.ExtensionType | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _dns_names(certificate: x509.Certificate) -> list[str]:
    """DNS-IDs, or where there is none the common name (RFC 7672 §3.2.3)."""
    names = _extension(certificate, x509.SubjectAlternativeName)
    found = names.get_values_for_type(x509.DNSName) if isinstance(names, x509.SubjectAlternativeName) else []
    if not found:
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        found = [one.value for one in common if isinstance(one.value, str)]
    return [name.lower() for name in found]


def _names_host(pattern: str, name: str) -> bool:
    """`*` is the whole first label and stands for exactly one (RFC 7672 §3.2.3)."""
    if pattern.startswith("*."):
        label, _, rest = name.partition(".")
        return bool(label) and "." in rest and rest == pattern[2:]
    return pattern == name
