"""The three ARC fields of a message, gathered into sets.

RFC: 8617 §4.1 (the fields), §4.2 (sets and instances).
Exposure: unauthenticated octets.
Invariants: a Chain's sets are whole and numbered from 1 without a gap; whatever breaks that is refused.
Not here: whether they verify (chain.py), making them (seal.py).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from postino.core.errors import ProtocolViolation
from postino.mailauth.dkim.canonicalization import relaxed_field
from postino.mailauth.dkim.signature import (
    MAX_INSTANCE,
    Signature,
    parse_algorithm,
    parse_instance,
    parse_selector,
    parse_signature,
    parse_signing_domain,
    without_signature,
)
from postino.mailauth.dkim.signed_fields import HeaderFields, RawField
from postino.mailauth.dkim.tags import decode_base64, parse_number, parse_tags

RESULTS: Final = b"ARC-Authentication-Results"
MESSAGE: Final = b"ARC-Message-Signature"
SEAL: Final = b"ARC-Seal"

_INSTANCE: Final = re.compile(
    rb"(?:[ \t\r\n]++|\([^()\\]*+\))*+i[ \t\r\n]*+=[ \t\r\n]*+([0-9]{1,2})(?:[ \t\r\n]++|\([^()\\]*+\))*+;"
)
_ANY_INSTANCE: Final = re.compile(
    rb"(?:\A|;)[ \t\r\n]*+i[ \t\r\n]*+=[ \t\r\n]*+([0-9]{1,2})[ \t\r\n]*+(?:;|\Z)"
)


@dataclass(frozen=True, slots=True)
class ArcSet:
    """What one handler added."""

    instance: int
    results: RawField
    message: RawField
    seal: RawField
    message_signature: Signature
    seal_signature: Signature
    """Without fields and body hash, which a seal has none of."""
    status: str
    """cv=: what the handler found the chain before it to be."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Every set, from the first."""

    sets: tuple[ArcSet, ...]

    def sealed(self, instance: int) -> bytes:
        """What the seal of a set covers (RFC 8617 §5.1.1)."""
        return b"".join(_covered(self.sets[:instance]))


def _covered(sets: tuple[ArcSet, ...]) -> Iterator[bytes]:
    for one in sets:
        for field in (one.results, one.message):
            yield relaxed_field(field[1], field[2]) + b"\r\n"
        if one is not sets[-1]:
            yield relaxed_field(one.seal[1], one.seal[2]) + b"\r\n"
    last = sets[-1].seal
    yield relaxed_field(last[1], without_signature(last[2]))


def gather(fields: HeaderFields) -> Chain | None:
    """The chain, None when there is no ARC field. Raises ProtocolViolation for one that is not whole."""
    by_name = [fields.named(name.lower()) for name in (RESULTS, MESSAGE, SEAL)]
    if not any(by_name):
        return None
    counts = {len(found) for found in by_name}
    if len(counts) > 1:
        raise ProtocolViolation("An ARC set is not whole")
    if counts.pop() > MAX_INSTANCE:
        raise ProtocolViolation(f"There are more than {MAX_INSTANCE} ARC sets")
    results = {_results_instance(field[2]): field for field in by_name[0]}
    messages: dict[int, tuple[RawField, Signature]] = {}
    for field in by_name[1]:
        signature = parse_signature(field[2], is_arc=True)
        messages[signature.instance] = (field, signature)
    seals: dict[int, tuple[RawField, Signature, str]] = {}
    for field in by_name[2]:
        seal, status = parse_seal(field[2])
        seals[seal.instance] = (field, seal, status)
    numbers = range(1, len(by_name[0]) + 1)
    if not results.keys() == messages.keys() == seals.keys() == set(numbers):
        raise ProtocolViolation("The ARC sets are not numbered one by one")
    return Chain(
        tuple(
            ArcSet(n, results[n], messages[n][0], seals[n][0], messages[n][1], seals[n][1], seals[n][2])
            for n in numbers
        )
    )


def highest_instance(fields: HeaderFields) -> int:
    """The greatest i= of any ARC field, also of a chain that is broken; 0 when there is none."""
    found = [
        int(number[1])
        for name in (RESULTS, MESSAGE, SEAL)
        for field in fields.named(name.lower())
        if (number := _ANY_INSTANCE.search(field[2]))
    ]
    return max(found, default=0)


def newest_status(fields: HeaderFields) -> str:
    """cv= of the seal with the greatest i=; empty when it cannot be read."""
    seals: list[tuple[int, str]] = []
    for field in fields.named(SEAL.lower()):
        try:
            seal, status = parse_seal(field[2])
        except ProtocolViolation:
            continue
        seals.append((seal.instance, status))
    return max(seals, default=(0, ""))[1]


def parse_seal(value: bytes) -> tuple[Signature, str]:
    """An ARC-Seal's value and its cv=. Raises ProtocolViolation."""
    try:
        tags = parse_tags(value.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ProtocolViolation("The ARC-Seal is not UTF-8") from error
    if missing := [name for name in ("i", "a", "b", "cv", "d", "s") if not tags.get(name)]:
        raise ProtocolViolation(f"The tag {missing[0]}= of an ARC-Seal is missing")
    if "h" in tags:
        raise ProtocolViolation("An ARC-Seal has no h= (RFC 8617 §4.1.3)")
    if tags["cv"] not in {"none", "pass", "fail"}:
        raise ProtocolViolation("cv= is neither none, pass nor fail")
    seal = Signature(
        algorithm=parse_algorithm(tags["a"]),
        domain=parse_signing_domain(tags["d"]),
        selector=parse_selector(tags["s"]),
        fields=(),
        body_hash=b"",
        signature=decode_base64(tags["b"]),
        signed_at=parse_number(tags["t"], 12) if "t" in tags else None,
        instance=parse_instance(tags["i"]),
    )
    return seal, tags["cv"]


def _results_instance(value: bytes) -> int:
    found = _INSTANCE.match(value)
    if found is None:
        raise ProtocolViolation("ARC-Authentication-Results has no instance number")
    return parse_instance(found[1].decode())
