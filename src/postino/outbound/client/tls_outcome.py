"""How TLS with one host came out: what the client session tells, and TLS reports are counted from.

RFC: 8460 §4.3 (result types) and §4.3.4 (what need not be told).
Invariants: telling costs a session nothing it waits for.
Not here: why a handshake failed (net/tls_client.py), counting (tls_counts.py), reporting (tls_reporting.py).

One outcome for each connection whose host answered EHLO: with `failure` empty after a STARTTLS that is as the
policy wants it, else with the reason. What happened before (no connection, a 421 greeting) is not told.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class PolicyFailure(Enum):
    """The result types that no handshake can have: the policy itself could not be had."""

    TLSA_INVALID = "tlsa-invalid"
    DNSSEC_INVALID = "dnssec-invalid"
    STS_FETCH_ERROR = "sts-policy-fetch-error"
    STS_INVALID = "sts-policy-invalid"
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
    failure: str = ""
    """A result type of RFC 8460 §4.3: the value of a TlsProblem or a PolicyFailure; empty for success."""
    reason: str = ""
    """What exactly, in few words; no more than a line."""
    remote_address: str = ""
    local_address: str = ""
    hello: str = ""
    """The name the host gave itself in its reply to EHLO."""


TlsNote = Callable[[TlsOutcome], None]
"""Told each outcome; never raises, never waits."""
