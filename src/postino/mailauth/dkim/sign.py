"""Sign a message with every key of its domain.

RFC: 6376 §5 (signing), 8463 §3 (Ed25519), §6 (RSA beside it), 8301 §3 (what is strong enough), 8616 §5
    (A-labels, which every verifier takes).
Invariants: no l=, so that nothing can be put behind a signed body; a field that readers are shown or that
    says how a body is to be read is named in h= once more than it is there, so that none can be added
    (RFC 6376 §8.15).
Not here: which key signs what (outbound/signing/signer.py).
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from postino.core.address import ascii_domain
from postino.mailauth.dkim.canonicalization import Canonicalization, relaxed_field
from postino.mailauth.dkim.signature import base64_lines, fold_tags
from postino.mailauth.dkim.signed_fields import HeaderFields

FIELD_NAME: Final = b"DKIM-Signature"

OVERSIGNED: Final = (
    *(b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"reply-to", b"in-reply-to", b"references"),
    *(b"mime-version", b"content-type", b"content-transfer-encoding"),
)
"""Signed, and nobody may add one, whether the message has any or not."""

SIGNED_IF_THERE: Final = (
    *(b"sender", b"list-id", b"list-help", b"list-subscribe", b"list-unsubscribe", b"list-unsubscribe-post"),
    *(b"list-post", b"list-owner", b"list-archive", b"content-id", b"content-description"),
    *(
        b"content-disposition",
        b"content-language",
        b"auto-submitted",
        b"feedback-id",
        b"autocrypt",
        b"openpgp",
    ),
)
"""As those, but only in a message that has one: lists that leave the rest of a message alone add theirs, and
their readers would see a broken signature otherwise."""

RESENT: Final = (
    b"resent-from",
    b"resent-sender",
    b"resent-to",
    b"resent-cc",
    b"resent-date",
    b"resent-message-id",
)
"""Signed if there; others may stand above them (RFC 5322 §3.6.6)."""

_PADDING: Final = PKCS1v15()
_HASHED: Final = Prehashed(SHA256())


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and where its public half is published."""

    domain: str
    """As the store has it, with U-labels."""
    selector: str
    private: RSAPrivateKey | Ed25519PrivateKey

    @property
    def algorithm(self) -> str:
        """a="""
        return "rsa-sha256" if isinstance(self.private, RSAPrivateKey) else "ed25519-sha256"

    def sign(self, digest: bytes) -> bytes:
        """Sign a SHA-256 hash."""
        # PERF: 290 us, all but 5 the RSA operation itself. `cryptography` gives the GIL up meanwhile, but a
        # thread for it costs a fifth of it, so small messages are signed where they are (bench: signing).
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(digest, _PADDING, _HASHED)
        return self.private.sign(digest)


def signed_names(fields: HeaderFields) -> list[bytes]:
    """h= for this header."""
    names: list[bytes] = []
    for name in OVERSIGNED:
        names += [name] * (fields.count(name) + 1)
    for name in SIGNED_IF_THERE:
        if there := fields.count(name):
            names += [name] * (there + 1)
    for name in RESENT:
        names += [name] * fields.count(name)
    return names


def sign_message(
    header: bytes | HeaderFields,
    body_hash: bytes,
    keys: Sequence[SigningKey],
    *,
    now: int,
    expire_seconds: int = 0,
    author_domain: str = "",
) -> bytes:
    """The fields to put on top of `header`, one for each key; the first key's is on top.

    `body_hash` is the body's, relaxed. `author_domain` is From's when it lies below the keys' domain.
    """
    fields = header if isinstance(header, HeaderFields) else HeaderFields(header)
    names = signed_names(fields)
    common = hashlib.sha256(fields.hashed(names, Canonicalization.RELAXED))
    body_tag = f"bh={base64.b64encode(body_hash).decode()}"
    signed: list[bytes] = []
    for key in keys:
        domain = ascii_domain(key.domain)
        tags = [
            "v=1",
            f"a={key.algorithm}",
            "c=relaxed/relaxed",
            f"d={domain}",
            f"s={key.selector}",
            f"t={now}",
        ]
        if author_domain and ascii_domain(author_domain) != domain:
            tags.insert(4, f"i=@{ascii_domain(author_domain)}")
        if expire_seconds:
            tags.append(f"x={now + expire_seconds}")
        unsigned = fold_tags(FIELD_NAME, tags, names, [body_tag])
        hashed = common.copy()
        hashed.update(relaxed_field(FIELD_NAME, unsigned[len(FIELD_NAME) + 1 :]))
        signature = base64.b64encode(key.sign(hashed.digest())).decode()
        signed += (unsigned, base64_lines(signature))
    return b"".join(signed)
