"""The DNS as the rest of the server asks it: the Resolver port over the servers, with a cache.

RFC: 1035 §7 (resolvers), 5321 §5.1 (MX), 3596 (AAAA), 6698 (TLSA), 7672 §2.1 (what is secure, what failed),
    5891 §5 (A-labels are asked for), 2308 (that there is nothing).
Exposure: names come from recipients' addresses and from other people's records.
Invariants: every question ends within `total_seconds`, with an answer or DnsFailure; no answer is called
    secure unless each part of it came with AD from a server on loopback.
Not here: octets (message.py), sockets (transport.py), how long answers are kept (cache.py).
"""

import asyncio
import ipaddress
import random
import time
from collections.abc import Callable, Iterable
from itertools import chain, zip_longest
from typing import Any, Final

from postino.core.address import ascii_domain
from postino.core.errors import DnsFailure
from postino.core.ports import DnsAnswer, MxRecord, TlsaRecord
from postino.net.dns import records as types
from postino.net.dns.cache import AnswerCache, Found
from postino.net.dns.message import MOST_ALIASES, BadName, Question, Reading, encode_name
from postino.net.dns.servers import Server, ServerList
from postino.net.dns.transport import Transport, ask
from postino.net.dns.wire import BadAnswer

TRY_SECONDS: Final = 5.0
TOTAL_SECONDS: Final = 15.0
ROUNDS: Final = 2
SILENT_SECONDS: Final = 30.0
_NO_SUCH_NAME: Final[DnsAnswer[Any]] = DnsAnswer((), name_exists=False)

Answer = DnsAnswer[Any]


class DnsResolver:
    """Implements core.ports.Resolver. One for each worker."""

    def __init__(
        self,
        servers: ServerList,
        *,
        transport: Transport = ask,
        steady: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
        try_seconds: float = TRY_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        self._servers = servers
        self._transport = transport
        self._chance = chance or random.Random()  # noqa: S311  (shares load, guards nothing)
        self._try_seconds = try_seconds
        self._total_seconds = total_seconds
        self._steady = steady
        self._silent: dict[Server, float] = {}
        """Those that did not answer, and until when they are asked after the others."""
        self.cache: AnswerCache[Answer] = AnswerCache(steady=steady)

    async def mx(self, domain: str) -> DnsAnswer[MxRecord]:
        """See core.ports.Resolver."""
        answer: DnsAnswer[MxRecord] = await self._ask(domain, types.MX)
        if len(answer.records) < 2:
            return answer
        # RFC 5321 §5.1: the load is spread anew for each message, so not once for the cache.
        chance = self._chance.random
        order = sorted(answer.records, key=lambda mx: (mx.preference, chance()))
        return DnsAnswer(tuple(order), answer.secure, answer.name_exists, answer.canonical_name)

    async def addresses(self, host: str) -> DnsAnswer[str]:
        """See core.ports.Resolver."""
        try:
            v6, v4 = self._known(host, types.AAAA), self._known(host, types.A)
        except DnsFailure:
            v6 = v4 = None
        if v6 is None or v4 is None:
            both = await asyncio.gather(
                self._ask(host, types.AAAA), self._ask(host, types.A), return_exceptions=True
            )
            return _both_families(*both)
        return _both_families(v6, v4)

    async def txt(self, name: str) -> DnsAnswer[str]:
        """See core.ports.Resolver."""
        return await self._ask(name, types.TXT)

    async def tlsa(self, name: str) -> DnsAnswer[TlsaRecord]:
        """See core.ports.Resolver."""
        return await self._ask(name, types.TLSA)

    async def names(self, address: str) -> DnsAnswer[str]:
        """See core.ports.Resolver."""
        try:
            pointer = ipaddress.ip_address(address).reverse_pointer
        except ValueError:
            return _NO_SUCH_NAME
        return await self._ask(pointer, types.PTR)

    async def records(self, name: str, kind: str) -> DnsAnswer[str]:
        """See core.ports.Resolver."""
        answer = await self._ask(name, types.kind_of(kind))
        texts = tuple(types.zone_text(record) for record in answer.records)
        return DnsAnswer(texts, answer.secure, answer.name_exists, answer.canonical_name)

    def close(self) -> None:
        """End every question under way."""
        self.cache.close()

    # One name and type

    def _known(self, name: str, kind: int) -> Answer | None:
        return self.cache.known((ascii_domain(name), kind))

    async def _ask(self, name: str, kind: int) -> Answer:
        question = Question(ascii_domain(name.removesuffix(".")), kind)
        key = (question.name, kind)
        known = self.cache.known(key)
        if known is not None:
            return known
        try:
            encode_name(question.name)
        except BadName:
            return _NO_SUCH_NAME
        return await self.cache.ask(key, lambda: self._find(question))

    async def _find(self, question: Question) -> Found[Answer]:
        try:
            async with asyncio.timeout(self._total_seconds):
                return await self._follow(question)
        except TimeoutError:
            raise DnsFailure(f"The DNS servers do not answer the question for {question.name}") from None

    async def _follow(self, question: Question) -> Found[Answer]:
        """The answer, going after CNAMEs that a server leaves at that (RFC 7672 §2.1.3)."""
        asked, secure, ttl = question, True, None
        for _ in range(MOST_ALIASES):
            reading, server = await self._ask_servers(asked)
            secure = secure and reading.authentic and server.is_trusted
            ttl = reading.ttl if ttl is None else ttl if reading.ttl is None else min(ttl, reading.ttl)
            if reading.is_whole:
                return _found(question, reading, secure=secure, ttl=None if reading.ttl is None else ttl)
            asked = Question(reading.name, question.kind)
        raise DnsFailure(f"The CNAMEs of {question.name} do not end")

    async def _ask_servers(self, question: Question) -> tuple[Reading, Server]:
        """The first answer of use. Raises DnsFailure with what the last server had to say."""
        servers = self._servers.current()
        now = self._steady()
        order = sorted(servers, key=lambda server: self._silent.get(server, now) > now)
        said = ""
        for _ in range(ROUNDS):
            silent = False
            for server in order:
                try:
                    reading = await self._transport(server, question, seconds=self._try_seconds)
                    self._silent.pop(server, None)
                    return reading, server
                except BadAnswer as error:
                    said = f"{server}: {error}"
                except (TimeoutError, OSError) as error:
                    silent = True
                    self._silent[server] = self._steady() + SILENT_SECONDS
                    said = f"{server}: {_reason(error)}"
            if not silent:
                # All answered and none knows: asking again at once brings nothing else.
                break
        kind = types.kind_text(question.kind)
        raise DnsFailure(f"The DNS gives no answer for the {kind} records of {question.name} ({said})")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    return f"it cannot be reached ({getattr(error, 'strerror', None) or error})"


def _found(question: Question, reading: Reading, *, secure: bool, ttl: int | None) -> Found[Answer]:
    octets = 200 + 2 * len(question.name) + sum(map(types.octets_of, reading.values))
    canonical = reading.name if reading.name != question.name else ""
    answer: Answer = DnsAnswer(reading.values, secure, reading.name_exists, canonical)
    return Found(answer, ttl, is_negative=not reading.values, octets=octets)


def _both_families(v6: Answer | BaseException, v4: Answer | BaseException) -> DnsAnswer[str]:
    for one in (v6, v4):
        if isinstance(one, BaseException) and not isinstance(one, DnsFailure):
            raise one
    if isinstance(v6, BaseException) or isinstance(v4, BaseException):
        answers = [one for one in (v6, v4) if not isinstance(one, BaseException)]
        failures = [one for one in (v6, v4) if isinstance(one, BaseException)]
        # That one family has no address says nothing about the other, which nobody knows.
        if not answers or not answers[0].records:
            raise failures[0]
        only = answers[0]
        return DnsAnswer(only.records, only.secure, only.name_exists, only.canonical_name)
    return DnsAnswer(
        tuple(take_turns(v6.records, v4.records)),
        v6.secure and v4.secure,
        v6.name_exists and v4.name_exists,
        v6.canonical_name or v4.canonical_name,
    )


def take_turns(first: Iterable[str], second: Iterable[str]) -> list[str]:
    """The items of both, one of each in turn, and what is left of the longer."""
    return [item for item in chain.from_iterable(zip_longest(first, second)) if item is not None]
