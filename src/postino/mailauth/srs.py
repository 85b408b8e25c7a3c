"""Rewrite the reverse-path of forwarded mail to one of ours, and find the sender again when it comes back.

A forwarder's machine may not send with the sender's own address under SPF. So `ann@example.net`, forwarded by
`team@example.org`, leaves as `SRS0=HHHHHHHH=TT=example.net=ann@example.org`; HHHHHHHH proves that it was made
here, TT is the day. What another forwarder rewrote already becomes `SRS1=HHHHHHHH=first.example==...`, which
leads back to that first one without growing at each hop. There is no RFC; the form is that of the Sender
Rewriting Scheme's paper, with a longer hash.

RFC: 5321 §4.5.3.1.1 (64 octets), §2.4 (case of local parts), 7208 §D (forwarding).
Exposure: anybody writes to what looks like these addresses.
Invariants: undo(rewrite(path)) is path, but for case, while it is fresh; what was not made with the secret is
    refused, in time that does not tell how much of it was right.
Not here: keeping the secret and the paths that are too long (store/returns.py).
"""

import base64
import hmac
import re
from enum import Enum
from hashlib import blake2b, sha256
from typing import Final, NamedTuple

from postino.core.address import MAX_LOCAL_OCTETS, Address, ascii_domain
from postino.core.errors import PostinoError
from postino.core.ids import Instant

VALID_DAYS: Final = 21
"""How long a far server may take to report a failure."""
_HASH_LETTERS: Final = 8
_TOKEN_OCTETS: Final = 10
_DAY_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"
_DAYS: Final = len(_DAY_LETTERS) ** 2
_SHAPE: Final = re.compile(r"srs([01])[=+-](.+)", re.IGNORECASE | re.DOTALL)


class Fault(Enum):
    """Why an address leads back to nobody."""

    MALFORMED = "malformed"
    FORGED = "forged"
    EXPIRED = "expired"


class BadReturn(PostinoError):
    """The address looks like a rewritten reverse-path, and is none of ours that is still good."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"The rewritten address is {fault.value}")
        self.fault = fault


class Kept(NamedTuple):
    """What a path too long to be written into another leads back by: a name for it in the store."""

    token: str


def is_rewritten(local_part: str) -> bool:
    """Whether an address may be a rewritten one, ours or another's."""
    # PERF: asked of each recipient; nearly none begins so.
    return local_part[:3].lower() == "srs" and _SHAPE.fullmatch(local_part) is not None


def rewrite(path: Address, domain: str, secret: bytes, now: Instant) -> Address | None:
    """`path` as an address of `domain`; None when that would have more than 64 octets before the @."""
    shape = _SHAPE.fullmatch(path.local_part)
    # A domain beyond ASCII would make a local part of it that few servers take.
    domain_before = ascii_domain(path.domain) if path.local_part.isascii() else path.domain
    if shape is None:
        stated = f"{_day_text(now)}={domain_before}={path.local_part}"
        local = f"SRS0={_hash(stated, secret)}={stated}"
    elif shape[1] == "0":
        stated = f"{domain_before}={path.local_part[4:]}"
        local = f"SRS1={_hash(stated, secret)}={stated}"
    else:
        # Already once removed: the first forwarder stays, and this one takes the last one's place.
        stated = shape[2].partition("=")[2]
        local = f"SRS1={_hash(stated, secret)}={stated}"
    return Address(local, domain) if len(local.encode()) <= MAX_LOCAL_OCTETS else None


def rewrite_kept(token: str, domain: str, secret: bytes, now: Instant) -> Address:
    """An address of `domain` for the path that the store keeps as `token`."""
    stated = f"{_day_text(now)}=={token}"
    return Address(f"SRS0={_hash(stated, secret)}={stated}", domain)


def token_of(path: Address, secret: bytes) -> str:
    """The name by which the store is to keep a path; the same path always has the same."""
    digest = blake2b(str(path).encode(), key=secret[:64], digest_size=_TOKEN_OCTETS).digest()
    return base64.b32encode(digest).decode("ascii").rstrip("=").lower()


def undo(local_part: str, secret: bytes, now: Instant) -> Address | Kept:
    """Whose path this is the rewritten form of. Raises BadReturn."""
    shape = _SHAPE.fullmatch(local_part)
    if shape is None:
        raise BadReturn(Fault.MALFORMED)
    given, found, stated = shape[2].partition("=")
    if not found:
        raise BadReturn(Fault.MALFORMED)
    # SECURITY: compared whole, before anything in it is believed.
    if not hmac.compare_digest(given.lower().encode(), _hash(stated, secret).lower().encode()):
        raise BadReturn(Fault.FORGED)
    if shape[1] == "1":
        domain, found, rest = stated.partition("=")
        if not (domain and found and rest):
            raise BadReturn(Fault.MALFORMED)
        return Address(f"SRS0{rest}", domain.lower())
    parts = stated.split("=", 2)
    if len(parts) != 3 or not parts[2]:
        raise BadReturn(Fault.MALFORMED)
    day, domain, local = parts
    if not _is_fresh(day, now):
        raise BadReturn(Fault.EXPIRED)
    return Address(local, domain.lower()) if domain else Kept(local.lower())


def _hash(stated: str, secret: bytes) -> str:
    digest = hmac.digest(secret, stated.lower().encode(), sha256)
    return base64.b32encode(digest)[:_HASH_LETTERS].decode("ascii")


def _day_text(now: Instant) -> str:
    high, low = divmod(now // 86_400 % _DAYS, len(_DAY_LETTERS))
    return (_DAY_LETTERS[high] + _DAY_LETTERS[low]).upper()


def _is_fresh(text: str, now: Instant) -> bool:
    numbers = [_DAY_LETTERS.find(letter) for letter in text.lower()]
    if len(numbers) != 2 or min(numbers) < 0:
        return False
    age = (now // 86_400 - (numbers[0] * len(_DAY_LETTERS) + numbers[1])) % _DAYS
    # A day early is another worker's clock.
    return age <= VALID_DAYS or age == _DAYS - 1
