"""Validate the ARC chain of a message, asking for keys along the way.

RFC: 8617 §5.2 (validation), §4.4 (its outcome).
Exposure: unauthenticated octets and other people's DNS: at most two questions for a chain whose newest set
    is wrong, 51 for any.
Invariants: PASS means that every seal and the newest message signature verify; every error is a FAIL for
    good (§5.2.1), that of the DNS too.
Not here: which older message signatures still hold (§5.2 step 5, which is optional), what follows from it.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from postino.core.errors import ProtocolViolation
from postino.mailauth.arc.fields import ArcSet, Chain, gather, highest_instance, newest_status
from postino.mailauth.authentication_results import AuthResult, MethodResult
from postino.mailauth.dkim.signed_fields import HeaderFields
from postino.mailauth.dkim.verify import (
    Candidate,
    check_usable,
    find_keys,
    is_signed_by,
    verify_candidates,
)
from postino.mailauth.questions import Check


@dataclass(frozen=True, slots=True)
class ArcResult:
    """The Chain Validation Status."""

    result: AuthResult
    """NONE, PASS or FAIL."""
    instance: int = 0
    """The newest set's; 0 when there is none."""
    explanation: str = ""
    """Why it failed."""
    was_failed: bool = False
    """The newest seal said so already: the chain is closed (§5.1 step 2)."""
    sealers: tuple[str, ...] = ()
    """Of a chain that passed: d= of each seal, from the first."""

    def as_method_result(self) -> MethodResult:
        """As it stands in Authentication-Results (RFC 8617 §6)."""
        seals = [f"as.{number}.{domain}=pass" for number, domain in enumerate(self.sealers, 1)]
        comment = self.explanation or ", ".join(seals)
        return MethodResult("arc", self.result.value, comment=comment)


def verify_arc(header: bytes, body: Iterable[bytes], *, now: int) -> Check[ArcResult]:
    """Validate the chain. `body` is read only when there is one whose structure holds, once."""
    fields = HeaderFields(header)
    highest = highest_instance(fields)
    try:
        chain = gather(fields)
        if chain is None:
            return ArcResult(AuthResult.NONE)
        _require_structure(chain.sets)
        yield from _require_newest(fields, chain, body, now)
        yield from _require_seals(chain, chain.sets[:-1], now)
    except ProtocolViolation as broken:
        was_failed = newest_status(fields) == "fail"
        return ArcResult(AuthResult.FAIL, highest, str(broken), was_failed)
    sealers = tuple(one.seal_signature.domain for one in chain.sets)
    return ArcResult(AuthResult.PASS, highest, sealers=sealers)


def _require_structure(sets: Sequence[ArcSet]) -> None:
    if sets[-1].status == "fail":
        raise ProtocolViolation("the chain had failed before")
    for one in sets:
        if one.status != ("none" if one.instance == 1 else "pass"):
            raise ProtocolViolation(f"the seal of set {one.instance} says cv={one.status}")


def _require_newest(fields: HeaderFields, chain: Chain, body: Iterable[bytes], now: int) -> Check[None]:
    newest = chain.sets[-1]
    message = Candidate(newest.message, newest.message_signature)
    seal = Candidate(newest.seal, newest.seal_signature)
    for candidate in (message, seal):
        check_usable(candidate, now)
    yield from find_keys((message, seal))
    verify_candidates(fields, body, (message,))
    if message.reason is not None:
        raise ProtocolViolation(f"message signature {newest.instance}: {message.reason.explanation}")
    _require_seal(chain, newest.instance, seal)


def _require_seals(chain: Chain, sets: Sequence[ArcSet], now: int) -> Check[None]:
    seals = [Candidate(one.seal, one.seal_signature) for one in sets]
    for candidate in seals:
        check_usable(candidate, now)
    yield from find_keys(seals)
    for one, candidate in zip(reversed(sets), reversed(seals), strict=True):
        _require_seal(chain, one.instance, candidate)


def _require_seal(chain: Chain, instance: int, seal: Candidate) -> None:
    if seal.reason is not None:
        raise ProtocolViolation(f"seal {instance}: {seal.reason.explanation}")
    digest = hashlib.sha256(chain.sealed(instance)).digest()
    assert seal.key is not None
    if not is_signed_by(seal.key, seal.signature.signature, digest):
        raise ProtocolViolation(f"seal {instance}: signature did not verify")
