"""TLS for the client's side: contexts for each degree of trust, and what the server showed.

RFC: 8996 (TLS 1.2 at least where it is relied on), 7435 §3 (any TLS is better than none where it is not),
    9525 §6.3 (names and wildcards), 8460 §4.3 (the words for what went wrong).
Exposure: certificates are what anybody made; they are parsed by OpenSSL and the cryptography package.
Invariants: a context is made once for each file of authorities, and again when that file changes.
Not here: which degree is asked for (outbound/targeting/tls_policy.py), TLSA records (mailauth/dane.py).
"""

import os
import ssl
from enum import Enum
from functools import lru_cache
from typing import Any, Final

from cryptography import x509

from postino.core.address import ascii_domain

_EXPIRED: Final = 10
_HOST_MISMATCH: Final = 62


class TlsTrust(Enum):
    """How far the server's certificate is looked at by OpenSSL."""

    ANY = "any"
    """Not at all, and any version of TLS will do: the alternative is no TLS."""
    UNCHECKED = "unchecked"
    """Not at all: the caller does; TLS 1.2 at least."""
    AUTHORITIES = "authorities"
    """An authority must vouch for it, whatever its names: the caller looks at those."""


def client_context(trust: TlsTrust, authorities: str = "") -> ssl.SSLContext:
    """The context for a handshake; `authorities` is a PEM file, empty for this machine's.

    Raises OSError or ssl.SSLError when the file cannot be used.
    """
    if trust is not TlsTrust.AUTHORITIES:
        return _context(trust, "", None)
    return _context(trust, authorities, _stamp(authorities or ssl.get_default_verify_paths().cafile or ""))


@lru_cache(16)
def _context(trust: TlsTrust, authorities: str, _stamp: tuple[int, int] | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    match trust:
        case TlsTrust.AUTHORITIES:
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.verify_mode = ssl.CERT_REQUIRED
            if authorities:
                context.load_verify_locations(authorities)
            else:
                context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        case TlsTrust.UNCHECKED:
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.verify_mode = ssl.CERT_NONE
        case TlsTrust.ANY:
            context.verify_mode = ssl.CERT_NONE
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def shown_certificates(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """The chain the server sent, as DER, its own certificate first."""
    find: Any = getattr(tls, "get_unverified_chain", None)
    if find is not None:  # Python 3.13 and later
        return tuple(find() or ())
    # The same in Python 3.11 and 3.12, where only the object below has it. Without it DANE-TA cannot find its
    # trust anchor, and the leaf alone is told.
    below: Any = getattr(tls, "_sslobj", None)
    find = getattr(below, "get_unverified_chain", None)
    if find is not None:
        return tuple(ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in find() or ())
    leaf = tls.getpeercert(binary_form=True)
    return (leaf,) if leaf else ()


def certificate_names(leaf: bytes) -> tuple[str, ...]:
    """The DNS names, lower case, and IP addresses a certificate is for; none when it cannot be read."""
    try:
        certificate = x509.load_der_x509_certificate(leaf)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return ()
    addresses = names.value.get_values_for_type(x509.IPAddress)
    return (
        *(name.lower() for name in names.value.get_values_for_type(x509.DNSName)),
        # What the operator calls by its address (RFC 9525 §6.4). No mail exchanger is called so.
        *map(str, addresses),
    )


def names_match(certified: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Whether one of the names in a certificate is one of those wanted.

    On either side `*.example.net` stands for one label below example.net.
    """
    return any(_match(has, ascii_domain(name)) for has in certified for name in wanted)


def _match(one: str, other: str) -> bool:
    if one == other:
        return True
    for pattern, name in ((one, other), (other, one)):
        if pattern.startswith("*.") and not name.startswith("*"):
            label, dot, rest = name.partition(".")
            # One that covers all of a top-level domain is nobody's.
            if label and dot and rest == pattern[2:] and "." in rest:
                return True
    return False


class TlsProblem(Enum):
    """What went wrong, in the words of RFC 8460 §4.3."""

    NOT_OFFERED = "starttls-not-supported"
    WRONG_HOST = "certificate-host-mismatch"
    EXPIRED = "certificate-expired"
    NOT_TRUSTED = "certificate-not-trusted"
    OTHER = "validation-failure"


def problem_of(error: Exception) -> TlsProblem:
    """What a failed handshake comes to."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return TlsProblem.OTHER
    if error.verify_code == _EXPIRED:
        return TlsProblem.EXPIRED
    return TlsProblem.WRONG_HOST if error.verify_code == _HOST_MISMATCH else TlsProblem.NOT_TRUSTED


def reason_of(error: Exception) -> str:
    """Why a handshake failed, in a few words for people."""
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_message:
        return error.verify_message
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
