"""Verify a message's DKIM signatures, asking for keys along the way.

RFC: 6376 §6 (verifying), 8463 §3 (Ed25519), 8301 §3 (rsa-sha1 and small keys are refused), 8616 §5.
Exposure: unauthenticated octets and other people's DNS. At most MAX_SIGNATURES are tried, so that a message
    costs a limited number of questions and signature checks.
Invariants: every signature gives a result with its reason; PASSED means that the whole body and every field
    named in h= are as they were signed.
Not here: what follows from it (DMARC, filing).
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from postino.core.address import ascii_domain
from postino.mailauth.authentication_results import AuthResult, MethodResult, Property
from postino.mailauth.dkim.canonicalization import BodyHash, Canonicalization
from postino.mailauth.dkim.key_record import KeyRecord, PublicKey, parse_key_record
from postino.mailauth.dkim.reasons import Reason, SignatureRefused
from postino.mailauth.dkim.signature import Signature, parse_signature, without_signature
from postino.mailauth.dkim.signed_fields import HeaderFields, RawField, hashed_signature
from postino.mailauth.questions import Check, TxtAnswer, TxtQuestion

MAX_SIGNATURES: Final = 10
MAX_RECORDS: Final = 4
"""Records of one name that are tried; there should be one (RFC 6376 §3.6.2.2)."""
_SHOWN_SIGNATURE: Final = 8
_FIELD: Final = b"dkim-signature"
_PADDING: Final = PKCS1v15()
_HASHED: Final = Prehashed(SHA256())
_KEY_TYPES: Final = {"rsa-sha256": "rsa", "ed25519-sha256": "ed25519"}


@dataclass(frozen=True, slots=True)
class DkimResult:
    """What one signature came to."""

    reason: Reason
    signature: Signature | None = None
    """None when its field could not be read."""
    key_bits: int = 0
    """Of an RSA key that was found."""
    is_testing: bool = False
    """The key's owner is only trying DKIM out: nothing may follow from a failure (RFC 6376 §3.6.1, t=y)."""

    def as_method_result(self) -> MethodResult:
        """As it stands in Authentication-Results (RFC 8601 §2.7.1, 6008 for several)."""
        properties: tuple[Property, ...] = ()
        if found := self.signature:
            shown = base64.b64encode(found.signature).decode()[:_SHOWN_SIGNATURE]
            properties = (
                Property("header", "d", found.domain),
                Property("header", "i", found.identity),
                Property("header", "s", found.selector),
                Property("header", "a", found.algorithm),
                Property("header", "b", shown),
            )
        size = f"{self.key_bits}-bit key" if self.key_bits else ""
        testing = "test mode" if self.is_testing else ""
        notes = [note for note in (self.reason.explanation, size, testing) if note]
        return MethodResult("dkim", self.reason.result.value, properties, comment=", ".join(notes))


def dkim_method_results(results: Sequence[DkimResult]) -> list[MethodResult]:
    """All of a message's results for Authentication-Results; one that says `none` when it is not signed."""
    return [result.as_method_result() for result in results] or [MethodResult("dkim", AuthResult.NONE.value)]


@dataclass(slots=True)
class Candidate:
    """A signature that can be read, with its field."""

    field: RawField
    signature: Signature
    key: PublicKey | None = None
    reason: Reason | None = None
    is_testing: bool = False

    def refuse(self, reason: Reason) -> None:
        """Settle it, once."""
        self.reason = self.reason or reason


def verify_dkim(header: bytes, body: Iterable[bytes], *, now: int) -> Check[tuple[DkimResult, ...]]:
    """Check every signature; results in the order of the fields.

    `body` is read only when there is a signature with a key, once, from its beginning.
    """
    fields = HeaderFields(header)
    results: list[DkimResult | Candidate] = []
    for number, field in enumerate(fields.named(_FIELD)):
        if number >= MAX_SIGNATURES:
            results.append(DkimResult(Reason.NOT_TRIED))
            break
        try:
            candidate = Candidate(field, parse_signature(field[2]))
        except SignatureRefused as refused:
            results.append(DkimResult(refused.reason))
        else:
            check_usable(candidate, now)
            results.append(candidate)
    candidates = [result for result in results if isinstance(result, Candidate)]
    yield from find_keys(candidates)
    verify_candidates(fields, body, candidates)
    return tuple(result if isinstance(result, DkimResult) else _result(result) for result in results)


def _result(candidate: Candidate) -> DkimResult:
    bits = candidate.key.key_size if isinstance(candidate.key, RSAPublicKey) else 0
    reason = candidate.reason or Reason.PASSED
    return DkimResult(reason, candidate.signature, bits, candidate.is_testing)


def check_usable(candidate: Candidate, now: int) -> None:
    """Refuse what needs no key to be refused (RFC 6376 §6.1.1)."""
    signature = candidate.signature
    if signature.algorithm == "rsa-sha1":
        candidate.refuse(Reason.SHA1)
    elif signature.algorithm not in _KEY_TYPES:
        candidate.refuse(Reason.ALGORITHM)
    elif signature.expires_at is not None and signature.expires_at < now:
        candidate.refuse(Reason.EXPIRED)


def find_keys(candidates: Sequence[Candidate]) -> Check[None]:
    """Ask for the keys of those not settled yet, all at once (RFC 6376 §6.1.2)."""
    waiting = [candidate for candidate in candidates if candidate.reason is None]
    names = list(dict.fromkeys(candidate.signature.key_name for candidate in waiting))
    if not names:
        return
    answers = yield [TxtQuestion(name) for name in names]
    found: Mapping[str, TxtAnswer] = dict(zip(names, answers, strict=True))
    for candidate in waiting:
        _take_key(candidate, found[candidate.signature.key_name])


def _take_key(candidate: Candidate, answer: TxtAnswer) -> None:
    if answer is None:
        candidate.refuse(Reason.KEY_UNAVAILABLE)
        return
    reason = Reason.NO_KEY
    for text in answer[:MAX_RECORDS]:
        try:
            record = parse_key_record(text)
            candidate.is_testing = record.is_testing
            candidate.key = usable_key(record, candidate.signature)
        except SignatureRefused as refused:
            reason = refused.reason
        else:
            return
    candidate.refuse(reason)


def usable_key(record: KeyRecord, signature: Signature) -> PublicKey:
    """The record's key, when it may verify this signature. Raises SignatureRefused."""
    if record.hashes is not None and "sha256" not in record.hashes:
        raise SignatureRefused(Reason.KEY_HASH)
    if "*" not in record.services and "email" not in record.services:
        raise SignatureRefused(Reason.KEY_SERVICE)
    if not record.octets:
        raise SignatureRefused(Reason.KEY_REVOKED)
    if record.key_type != _KEY_TYPES.get(signature.algorithm):
        raise SignatureRefused(Reason.KEY_ALGORITHM)
    host = ascii_domain(signature.identity.rpartition("@")[2])
    if "s" in record.flags and host not in {"", signature.domain}:
        raise SignatureRefused(Reason.KEY_IDENTITY)
    return record.public_key()


def verify_candidates(fields: HeaderFields, body: Iterable[bytes], candidates: Sequence[Candidate]) -> None:
    """Settle those that have a key (RFC 6376 §6.1.3); reads `body` when there is one."""
    waiting = [candidate for candidate in candidates if candidate.reason is None and candidate.key]
    if not waiting:
        return
    hashes: dict[tuple[Canonicalization, int | None], BodyHash] = {}
    for candidate in waiting:
        wanted = (candidate.signature.body_canonicalization, candidate.signature.body_octets)
        hashes.setdefault(wanted, BodyHash(*wanted))
    for piece in body:
        for body_hash in hashes.values():
            body_hash.update(piece)
    digests = {wanted: body_hash.digest() for wanted, body_hash in hashes.items()}
    for candidate in waiting:
        signature = candidate.signature
        wanted = (signature.body_canonicalization, signature.body_octets)
        octets = hashes[wanted].octets
        if signature.body_octets is not None and signature.body_octets > octets:
            candidate.refuse(Reason.BODY_LENGTH)
        elif digests[wanted] != signature.body_hash:
            candidate.refuse(Reason.BODY_HASH)
        elif not _is_signed(fields, candidate):
            candidate.refuse(Reason.SIGNATURE)
        # SECURITY: what stands behind l= may be anything, up to all that is shown (RFC 6376 §8.2).
        elif signature.body_octets is not None and signature.body_octets < octets:
            candidate.refuse(Reason.UNSIGNED_CONTENT)


def _is_signed(fields: HeaderFields, candidate: Candidate) -> bool:
    signature = candidate.signature
    canonicalization = signature.header_canonicalization
    hashed = hashlib.sha256(fields.hashed(signature.fields, canonicalization, own=candidate.field))
    emptied = without_signature(candidate.field[2])
    hashed.update(hashed_signature(candidate.field, canonicalization, emptied))
    assert candidate.key is not None
    return is_signed_by(candidate.key, signature.signature, hashed.digest())


def is_signed_by(key: PublicKey, signature: bytes, digest: bytes) -> bool:
    """Whether the signature is of this SHA-256 hash, by this key."""
    try:
        if isinstance(key, RSAPublicKey):
            key.verify(signature, digest, _PADDING, _HASHED)
        else:
            key.verify(signature, digest)
    except InvalidSignature:
        return False
    return True
