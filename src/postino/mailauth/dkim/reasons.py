"""Why a signature is not believed, each with its name and sentence.

RFC: 6376 §6.1 (PERMFAIL, TEMPFAIL), 8301 §3 (what is too weak), 8601 §2.7.1 (how it is told).
"""

from enum import Enum

from postino.core.errors import ProtocolViolation
from postino.mailauth.authentication_results import AuthResult


class Reason(Enum):
    """What a signature came to: how it is told in one word, and why in a few."""

    PASSED = (AuthResult.PASS, "")
    # The field (RFC 6376 §6.1.1)
    SYNTAX = (AuthResult.NEUTRAL, "signature syntax error")
    VERSION = (AuthResult.NEUTRAL, "incompatible version")
    MISSING_TAG = (AuthResult.PERMERROR, "signature missing required tag")
    DOMAIN_MISMATCH = (AuthResult.PERMERROR, "domain mismatch")
    FROM_NOT_SIGNED = (AuthResult.PERMERROR, "From field not signed")
    EXPIRED = (AuthResult.FAIL, "signature expired")
    ALGORITHM = (AuthResult.NEUTRAL, "unknown algorithm")
    SHA1 = (AuthResult.PERMERROR, "rsa-sha1 is no longer used")
    CANONICALIZATION = (AuthResult.NEUTRAL, "unknown canonicalization")
    QUERY = (AuthResult.NEUTRAL, "unknown query method")
    NOT_TRIED = (AuthResult.NEUTRAL, "too many signatures")
    # The key (§6.1.2)
    KEY_UNAVAILABLE = (AuthResult.TEMPERROR, "key unavailable")
    NO_KEY = (AuthResult.PERMERROR, "no key for signature")
    KEY_SYNTAX = (AuthResult.PERMERROR, "key syntax error")
    KEY_HASH = (AuthResult.PERMERROR, "inappropriate hash algorithm")
    KEY_REVOKED = (AuthResult.PERMERROR, "key revoked")
    KEY_ALGORITHM = (AuthResult.PERMERROR, "inappropriate key algorithm")
    KEY_SERVICE = (AuthResult.PERMERROR, "key is not for email")
    KEY_IDENTITY = (AuthResult.PERMERROR, "key is not for subdomains")
    KEY_SMALL = (AuthResult.PERMERROR, "key too small")
    KEY_LARGE = (AuthResult.PERMERROR, "key too large")
    # The message (§6.1.3)
    BODY_HASH = (AuthResult.FAIL, "body hash did not verify")
    SIGNATURE = (AuthResult.FAIL, "signature did not verify")
    BODY_LENGTH = (AuthResult.PERMERROR, "body shorter than signed")
    UNSIGNED_CONTENT = (AuthResult.POLICY, "unsigned content")

    def __init__(self, result: AuthResult, explanation: str) -> None:
        self.result = result
        self.explanation = explanation


class SignatureRefused(ProtocolViolation):
    """A signature or key record cannot be used."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.explanation)
        self.reason = reason
