"""Seal a message we pass on: what we found out about it, signed and added to its chain.

RFC: 8617 §5.1 (sealing), §4.1 (the fields).
Invariants: all other changes to the message come before; a chain that broke is closed with cv=fail, by a
    seal over our set alone (§5.1.2), and never continued.
Not here: finding it out (chain.py, dkim/verify.py), which key seals (outbound/signing/signer.py).
"""

import base64
import hashlib
from collections.abc import Sequence
from typing import Final

from postino.core.address import ascii_domain
from postino.mailauth.arc.chain import ArcResult
from postino.mailauth.arc.fields import MESSAGE, RESULTS, SEAL, gather
from postino.mailauth.authentication_results import AuthenticationResults, AuthResult, print_results
from postino.mailauth.dkim.canonicalization import Canonicalization, relaxed_field
from postino.mailauth.dkim.sign import SigningKey, signed_names
from postino.mailauth.dkim.signature import MAX_INSTANCE, base64_lines, fold_tags
from postino.mailauth.dkim.signed_fields import HeaderFields

_DKIM: Final = b"dkim-signature"


def seal_message(
    header: bytes,
    body_hash: bytes,
    key: SigningKey,
    chain: ArcResult,
    results: AuthenticationResults,
    *,
    now: int,
) -> bytes:
    """The set to put on top of `header`; empty where none may be added.

    `chain` is what verify_arc said of this very message, `body_hash` its body's, relaxed; `results` hold
    everything that was found out about it, the chain too.
    """
    instance = chain.instance + 1
    if chain.was_failed or instance > MAX_INSTANCE:
        return b""
    fields = HeaderFields(header)
    result_field = print_results(results, name=RESULTS, before=f"i={instance}; ")
    message_field = _message_field(fields, body_hash, key, instance, now)
    covered = _chain_before(fields, chain)
    for field in (result_field, message_field):
        name, _, value = field.partition(b":")
        covered.append(relaxed_field(name, value))
    tags = _tags(key, instance, now, f"cv={chain.result.value}")
    seal_field = _signed(SEAL, key, b"\r\n".join((*covered, b"")), fold_tags(SEAL, tags))
    return seal_field + message_field + result_field


def _message_field(fields: HeaderFields, body_hash: bytes, key: SigningKey, instance: int, now: int) -> bytes:
    names = signed_names(fields) + [_DKIM] * fields.count(_DKIM)
    tags = _tags(key, instance, now, "c=relaxed/relaxed")
    unsigned = fold_tags(MESSAGE, tags, names, [f"bh={base64.b64encode(body_hash).decode()}"])
    return _signed(MESSAGE, key, fields.hashed(names, Canonicalization.RELAXED), unsigned)


def _tags(key: SigningKey, instance: int, now: int, own: str) -> Sequence[str]:
    return (
        f"i={instance}",
        f"a={key.algorithm}",
        own,
        f"d={ascii_domain(key.domain)}",
        f"s={key.selector}",
        f"t={now}",
    )


def _signed(name: bytes, key: SigningKey, covered: bytes, unsigned: bytes) -> bytes:
    hashed = hashlib.sha256(covered + relaxed_field(name, unsigned[len(name) + 1 :]))
    return unsigned + base64_lines(base64.b64encode(key.sign(hashed.digest())).decode())


def _chain_before(fields: HeaderFields, chain: ArcResult) -> list[bytes]:
    if chain.result is not AuthResult.PASS:
        return []
    before = gather(fields)
    assert before is not None
    return [
        relaxed_field(field[1], field[2])
        for one in before.sets
        for field in (one.results, one.message, one.seal)
    ]
