"""Put our name to what we send: DKIM for our own authors, an ARC seal on what we pass on.

RFC: 6376 §5 (signing), 8463 §6 (two algorithms), 8617 §5.1 (sealing), 8601 §5 (whose results count).
Invariants: a message that came from elsewhere is never signed for its author, for anybody may have written
    it; keys are as the store had them at most a second ago; of a large body one piece is in memory at a time.
Not here: when keys come into use (key_schedule.py), the signatures themselves (mailauth/dkim, mailauth/arc).
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from postino.core.address import domain_key
from postino.core.errors import ProtocolViolation
from postino.core.ids import Instant
from postino.core.ports import Clock, Resolver
from postino.mailauth.arc.chain import verify_arc
from postino.mailauth.arc.seal import seal_message
from postino.mailauth.authentication_results import (
    FIELD_NAME,
    AuthenticationResults,
    MethodResult,
    Property,
    parse_results,
)
from postino.mailauth.dkim.canonicalization import BodyHash, Canonicalization
from postino.mailauth.dkim.private_key import PrivateKey, unpack_key
from postino.mailauth.dkim.reasons import Reason
from postino.mailauth.dkim.sign import SigningKey, sign_message
from postino.mailauth.dkim.signed_fields import HeaderFields
from postino.mailauth.dkim.verify import dkim_method_results, verify_dkim
from postino.mime.address import Group, parse_address_list
from postino.mime.header import raw_fields
from postino.net.dns.asking import answer
from postino.outbound.client.outgoing import BodyReader
from postino.outbound.settings import OutboundSettings
from postino.store.dkim_keys import signing_keys
from postino.store.queue.values import QueuedMessage
from postino.store.store import Store

PIECE_OCTETS: Final = 256 * 1024
REMEMBER_SECONDS: Final = 1.0
MOST_REMEMBERED: Final = 10_000
DAY_SECONDS: Final = 86_400
_OWN_METHODS: Final = frozenset({"dkim", "arc"})
_RECEIVED: Final = re.compile(
    rb"\s*from \S+ (?:\(\[(?:IPv6:)?([0-9A-Fa-f.:]+)\]\))?"
    rb"\s*by (\S+) with (\S+)(?: \([^()]*\))?\s+id (\S+?)[;\s]"
)


class Signer:
    """One for each worker."""

    def __init__(
        self,
        store: Store,
        *,
        resolver: Resolver,
        hostname: str,
        clock: Clock,
        settings: Callable[[], OutboundSettings],
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._resolver = resolver
        self._hostname = hostname
        self._clock = clock
        self._settings = settings
        self._steady = steady
        self._keys: dict[str, tuple[SigningKey, ...]] = {}
        self._forget_at = 0.0
        self._parsed: dict[bytes, PrivateKey] = {}

    async def sign(self, header: bytes, body: "bytes | BodyReader") -> bytes:
        """The DKIM-Signature fields to put on top, one for each key in use of the author's domain.

        Empty when that is not ours or has no keys, and for a message that does not have one From field.
        """
        fields = HeaderFields(header)
        domain = author_domain(fields)
        keys = self._keys_of(domain) if domain else ()
        if not keys:
            return b""
        return sign_message(
            fields,
            await _hash_of(body),
            keys,
            now=self._clock.now(),
            expire_seconds=self._settings().dkim_expire_days * DAY_SECONDS,
            author_domain=domain,
        )

    async def pass_on(self, header: bytes, body: "bytes | BodyReader", message: QueuedMessage) -> bytes:
        """The fields to put on top of a forwarded message from the queue; see pass_on_from()."""
        return await self.pass_on_from(header, body, message.reverse_path, message.message_id)

    async def pass_on_from(
        self, header: bytes, body: "bytes | BodyReader", reverse_path: str, message_id: str
    ) -> bytes:
        """The fields to put on top of a forwarded message: an ARC set, or DKIM when it was submitted here.

        `reverse_path` is the rewritten one, whose domain seals; `message_id` our name for the message in its
        Received field.
        """
        fields = HeaderFields(header)
        arrival = _arrival(fields, self._hostname, message_id)
        # SECURITY: only the id that we gave this message proves that the Received field on top is ours, and
        # so that its author was logged in and wrote with an address of theirs.
        if arrival is not None and arrival.is_submission:
            return await self.sign(header, body)
        keys: tuple[SigningKey, ...] = ()
        for domain in (reverse_path.rpartition("@")[2], self._hostname):
            keys = keys or self._keys_of(domain_key(domain.lower()))
        return await self._seal(header, fields, body, keys[0], arrival) if keys else b""

    async def signers_of(self, header: bytes, body: "bytes | BodyReader") -> "Signers":
        """Whose valid signatures a message bears that came from elsewhere."""
        check = verify_dkim(header, _pieces(body), now=self._clock.now())
        results = await answer(check, self._resolver, in_thread=_is_large(body))
        return Signers(
            frozenset(
                domain_key(found.signature.domain)
                for found in results
                if found.reason is Reason.PASSED and found.signature is not None
            ),
            any(found.reason is Reason.KEY_UNAVAILABLE for found in results),
        )

    async def _seal(
        self,
        header: bytes,
        fields: HeaderFields,
        body: "bytes | BodyReader",
        key: SigningKey,
        arrival: "_Arrival | None",
    ) -> bytes:
        now = self._clock.now()
        is_large = _is_large(body)
        # PERF: a message with neither signature nor chain, as most that are forwarded are not, reads its body
        # once; each check of another field reads it once more.
        dkim = await answer(verify_dkim(header, _pieces(body), now=now), self._resolver, in_thread=is_large)
        chain = await answer(verify_arc(header, _pieces(body), now=now), self._resolver, in_thread=is_large)
        arc = chain.as_method_result()
        if arrival is not None and arrival.address:
            remote = Property("smtp", "remote-ip", arrival.address)
            arc = MethodResult(arc.method, arc.result, (remote,), comment=arc.comment)
        results = (*own_results(header, self._hostname), *dkim_method_results(dkim), arc)
        return seal_message(
            header,
            await _hash_of(body),
            key,
            chain,
            AuthenticationResults(self._hostname, results),
            now=now,
        )

    def _keys_of(self, domain: str) -> tuple[SigningKey, ...]:
        if not self._settings().dkim:
            return ()
        # PERF: a read after a commit costs 70 us (delivery/recipients.py), so each domain is asked for once a
        # second; forgetting all together needs no look at each.
        now = self._steady()
        if now >= self._forget_at or len(self._keys) >= MOST_REMEMBERED:
            self._keys.clear()
            self._forget_at = now + REMEMBER_SECONDS
        found = self._keys.get(domain)
        if found is None:
            found = self._keys[domain] = self._read_keys(domain, self._clock.now())
        return found

    def _read_keys(self, domain: str, now: Instant) -> tuple[SigningKey, ...]:
        rows = self._store.read_now(lambda tx: signing_keys(tx, _with_parents(domain), now))
        return tuple(SigningKey(row.domain, row.selector, self._parse(row.private_key)) for row in rows)

    def _parse(self, octets: bytes) -> PrivateKey:
        found = self._parsed.get(octets)
        if found is None:
            if len(self._parsed) >= MOST_REMEMBERED:
                self._parsed.clear()
            found = self._parsed[octets] = unpack_key(octets)
        return found


class Signers(NamedTuple):
    """What the signatures of a received message prove."""

    proved: frozenset[str]
    """Domains, as the store has them."""
    is_open: bool
    """The DNS gave no answer about one."""


def author_domain(fields: HeaderFields) -> str:
    """The domain of the (first) author as the store has domains; empty without exactly one From field."""
    values = fields.named(b"from")
    if len(values) != 1:
        return ""
    for entry in parse_address_list(values[0][2]):
        for mailbox in entry.members if isinstance(entry, Group) else (entry,):
            if mailbox.domain:
                return domain_key(mailbox.domain.decode("utf-8", "replace").lower())
    return ""


def _with_parents(domain: str) -> Sequence[str]:
    """The domain and those above it, but no top-level domain."""
    labels = domain.split(".")
    return [".".join(labels[at:]) for at in range(min(len(labels), 127)) if len(labels) - at > 1 or at == 0]


class _Arrival:
    """What our own Received field says."""

    __slots__ = ("address", "is_submission")

    def __init__(self, address: str, protocol: str) -> None:
        self.address = address
        self.is_submission = protocol.endswith("A")


def _arrival(fields: HeaderFields, hostname: str, message_id: str) -> _Arrival | None:
    received = fields.named(b"received")
    found = _RECEIVED.match(received[0][2]) if received else None
    if found is None or found[2] != hostname.encode() or found[4] != message_id.encode():
        return None
    return _Arrival((found[1] or b"").decode(), found[3].decode())


def own_results(header: bytes, hostname: str) -> list[MethodResult]:
    """What this server wrote down about the message when it came, but for what is checked again here.

    SECURITY: only above our Received field, which is the first: below it anybody may have written our name.
    """
    found: list[MethodResult] = []
    for _, name, value in raw_fields(header):
        if name.lower() == b"received":
            break
        if name.lower() != FIELD_NAME.lower():
            continue
        try:
            results = parse_results(value)
        except ProtocolViolation:
            continue
        if results.server.lower() == hostname.lower():
            found += [one for one in results.results if one.method not in _OWN_METHODS]
    return found


def _is_large(body: "bytes | BodyReader") -> bool:
    return not isinstance(body, bytes) or len(body) > PIECE_OCTETS


def _pieces(body: "bytes | BodyReader") -> Iterator[bytes]:
    if isinstance(body, bytes):
        for start in range(0, len(body), PIECE_OCTETS):
            yield body[start : start + PIECE_OCTETS]
        return
    for start in range(0, body.size, PIECE_OCTETS):
        yield body.read(start, min(PIECE_OCTETS, body.size - start))


async def _hash_of(body: "bytes | BodyReader") -> bytes:
    return await asyncio.to_thread(_hash, body) if _is_large(body) else _hash(body)


def _hash(body: "bytes | BodyReader") -> bytes:
    found = BodyHash(Canonicalization.RELAXED)
    for piece in _pieces(body):
        found.update(piece)
    return found.digest()
