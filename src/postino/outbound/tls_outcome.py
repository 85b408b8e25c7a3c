"""How TLS with one host came out: what the client session tells, and TLS reports are counted from.

RFC: 8460 §4.3 (result types) and §4.3.4 (what need not be told).
Invariants: telling costs a session nothing it waits for.
Not here: counting (tls_counts.py), reporting (tls_reporting.py).

One outcome for each connection whose host answered: with `failure` None after STARTTLS as the policy wants it,
else with the reason. What happened before any octet of TLS could flow (no connection, a 421 greeting) is not
told (RFC 8460 §4.3.4).
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final


class TlsFailure(Enum):
    """The result types of RFC 8460 §4.3, as reports spell them."""

    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    CERTIFICATE_HOST_MISMATCH = "certificate-host-mismatch"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_TRUSTED = "certificate-not-trusted"
    VALIDATION_FAILURE = "validation-failure"
    TLSA_INVALID = "tlsa-invalid"
    DNSSEC_INVALID = "dnssec-invalid"
    STS_POLICY_FETCH_ERROR = "sts-policy-fetch-error"
    STS_POLICY_INVALID = "sts-policy-invalid"
    STS_WEBPKI_INVALID = "sts-webpki-invalid"


@dataclass(frozen=True, slots=True)
class TlsOutcome:
    """One attempt at TLS."""

    domain: str
    """Target.domain: whose report it goes into. Empty (a route's host): nobody's."""
    policy: str
    """HostTls.policy of the host."""
    host: str
    """Host.name."""
    failure: TlsFailure | None = None
    reason: str = ""
    """What exactly, in few words; no more than a line."""
    remote_address: str = ""
    local_address: str = ""
    hello: str = ""
    """The name the host gave itself in its reply to EHLO."""


TlsNote = Callable[[TlsOutcome], None]
"""Told each outcome; never raises, never waits."""

# X509_V_ERR_* of OpenSSL, which ssl.SSLCertVerificationError.verify_code has.
_EXPIRED: Final = frozenset({9, 10})
_OTHER_NAME: Final = frozenset({62, 63, 64})


def failure_of(error: Exception) -> tuple[TlsFailure, str]:
    """What a handshake that failed this way counts as, with its reason."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message or str(error.reason)
        if error.verify_code in _EXPIRED:
            return TlsFailure.CERTIFICATE_EXPIRED, reason
        if error.verify_code in _OTHER_NAME:
            return TlsFailure.CERTIFICATE_HOST_MISMATCH, reason
        return TlsFailure.CERTIFICATE_NOT_TRUSTED, reason
    if isinstance(error, ssl.SSLError):
        return TlsFailure.VALIDATION_FAILURE, str(error.reason or error)
    return TlsFailure.VALIDATION_FAILURE, str(error) or type(error).__name__
