"""A DNS for tests: a scripted Resolver, and a real server on loopback that can misbehave.

Both answer from the same zone text, one record a line, as zone files have them:

    example.net.        300 MX   10 mx1.example.net.
    mx1.example.net.        A    192.0.2.1
    secure.example.         !secure MX 0 mx.secure.example.
    slow.example.           !timeout
    broken.example.         !servfail MX
    alias.example.          CNAME example.net.

A name without a line does not exist; `!secure` before a type makes the answers of that name and type validated;
`!secure` alone makes that there is nothing else at this name validated, too. `!timeout` and `!servfail` fail every
type, or the one named after them. A TTL is optional (3600).
"""

import asyncio
import ipaddress
import queue
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from postino.core.address import ascii_domain
from postino.core.errors import DnsFailure
from postino.core.ports import DnsAnswer, MxRecord, TlsaRecord
from postino.net.dns import records as types
from postino.net.dns.message import BadName, encode_name
from postino.net.dns.resolver import take_turns

DEFAULT_TTL = 3600
MOST_ALIASES = 12


@dataclass(slots=True)
class _Name:
    records: dict[int, list[tuple[int, str]]] = field(default_factory=dict)
    """Type -> (TTL, text)."""
    secure: set[int] = field(default_factory=set)
    fails: dict[int, str] = field(default_factory=dict)
    """Type (0: every one) -> `timeout` or `servfail`."""
    all_secure: bool = False


class Zone:
    """What the world's DNS says; can be changed while it is served."""

    def __init__(self, text: str = "") -> None:
        self.names: dict[str, _Name] = {}
        self.add(text)

    def add(self, text: str) -> None:
        """Add the records of a zone text."""
        for line in text.splitlines():
            words = line.split(";")[0].split() if '"' not in line else line.split()
            if words:
                self._add(words[0], words[1:])

    def remove(self, name: str) -> None:
        """Forget everything about a name."""
        self.names.pop(_key(name), None)

    def _add(self, name: str, words: list[str]) -> None:
        here = self.names.setdefault(_key(name), _Name())
        ttl, secure = DEFAULT_TTL, False
        while words and (words[0].isdigit() or words[0] == "IN" or words[0].startswith("!")):
            word = words.pop(0)
            if word.isdigit():
                ttl = int(word)
            elif word == "!secure":
                secure = True
            elif word in ("!timeout", "!servfail"):
                here.fails[types.kind_of(words.pop(0)) if words else 0] = word[1:]
                return
        if not words:
            here.all_secure = here.all_secure or secure
            return
        kind = types.kind_of(words.pop(0))
        if secure:
            here.secure.add(kind)
        if words:
            here.records.setdefault(kind, []).append((ttl, " ".join(words)))

    def failure(self, name: str, kind: int) -> str:
        """`timeout`, `servfail` or empty."""
        here = self.names.get(_key(name))
        return here.fails.get(kind, here.fails.get(0, "")) if here is not None else ""

    def find(self, name: str, kind: int) -> tuple[str, list[tuple[int, str]], bool, bool]:
        """(name at the end of CNAMEs, records, secure, exists). Raises DnsFailure."""
        name, secure = _key(name), True
        for _ in range(MOST_ALIASES):
            here = self.names.get(name)
            if self.failure(name, kind):
                raise DnsFailure(f"{name}: {self.failure(name, kind)}")
            if here is None:
                return name, [], False, self._has_below(name)
            alias = here.records.get(types.kind_of("CNAME"))
            if alias and kind != types.kind_of("CNAME"):
                secure = secure and (here.all_secure or types.kind_of("CNAME") in here.secure)
                name = _key(alias[0][1])
                continue
            secure = secure and (here.all_secure or kind in here.secure)
            return name, here.records.get(kind, []), secure, True
        raise DnsFailure(f"the CNAMEs of {name} do not end")

    def _has_below(self, name: str) -> bool:
        return any(other.endswith(f".{name}") for other in self.names)


def _key(name: str) -> str:
    return ascii_domain(name.removesuffix("."))


class FakeResolver:
    """core.ports.Resolver over a Zone. `asked` has every question; `now` is whatever clock the test moves."""

    def __init__(
        self,
        zone: Zone | str = "",
        *,
        wait: Callable[[str, str], Any] | None = None,
    ) -> None:
        """`wait(name, type)` may give an awaitable that ends before the answer is given (slow servers)."""
        self.zone = zone if isinstance(zone, Zone) else Zone(zone)
        self.asked: list[tuple[str, str]] = []
        self._wait = wait

    async def mx(self, domain: str) -> DnsAnswer[MxRecord]:
        answer: DnsAnswer[MxRecord] = await self._ask(domain, types.MX)
        ordered = tuple(sorted(answer.records, key=lambda mx: mx.preference))
        return DnsAnswer(ordered, answer.secure, answer.name_exists, answer.canonical_name)

    async def addresses(self, host: str) -> DnsAnswer[str]:
        found: list[DnsAnswer[str]] = []
        failure: DnsFailure | None = None
        for kind in (types.AAAA, types.A):
            try:
                found.append(await self._ask(host, kind))
            except DnsFailure as error:
                failure = error
                found.append(DnsAnswer(()))
        if failure is not None and not any(one.records for one in found):
            raise failure
        v6, v4 = found
        return DnsAnswer(
            tuple(take_turns(v6.records, v4.records)),
            v6.secure and v4.secure,
            v6.name_exists and v4.name_exists,
            v6.canonical_name or v4.canonical_name,
        )

    async def txt(self, name: str) -> DnsAnswer[str]:
        return await self._ask(name, types.TXT)

    async def tlsa(self, name: str) -> DnsAnswer[TlsaRecord]:
        return await self._ask(name, types.TLSA)

    async def names(self, address: str) -> DnsAnswer[str]:
        return await self._ask(ipaddress.ip_address(address).reverse_pointer, types.PTR)

    async def records(self, name: str, kind: str) -> DnsAnswer[str]:
        answer = await self._ask(name, types.kind_of(kind))
        texts = tuple(types.zone_text(value) for value in answer.records)
        return DnsAnswer(texts, answer.secure, answer.name_exists, answer.canonical_name)

    async def _ask(self, name: str, kind: int) -> DnsAnswer[Any]:
        self.asked.append((_key(name), types.kind_text(kind)))
        if self._wait is not None:
            waiting = self._wait(_key(name), types.kind_text(kind))
            if waiting is not None:
                await waiting
        try:
            encode_name(name)
        except BadName:
            return DnsAnswer((), name_exists=False)
        canonical, records, secure, exists = self.zone.find(name, kind)
        values = tuple(_value(kind, text) for _, text in records)
        return DnsAnswer(values, secure, exists, canonical if canonical != _key(name) else "")


def _value(kind: int, text: str) -> Any:
    octets = dns.rdata.from_text(dns.rdataclass.IN, kind, text, dns.name.root, relativize=False).to_wire()
    assert octets is not None
    return types.read_value(kind, octets, 0, len(octets))


def _text_of(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower().removesuffix(".")


# The real server

Answer = Callable[[bytes, bool], Iterable[bytes]]
"""(query, by TCP) -> the datagrams, or the one message, to send back."""


class DnsServer:
    """Answers from a Zone on loopback, by UDP and TCP of one port.

    `habits` is what goes wrong, each for every question until taken out again: `silent`, `truncate` (by UDP),
    `wrong_id`, `wrong_question`, `garbage`, `refuse`, `no_edns`, `referral`, `endless_cname`, `cut_tcp`,
    `only_cname` (leaves the target of a CNAME to the asker), `no_soa`, `guesses` (wrong ones before the right).
    """

    def __init__(self, zone: Zone | str, *, validates: bool = True) -> None:
        self.zone = zone if isinstance(zone, Zone) else Zone(zone)
        self.habits: set[str] = set()
        self.asked: list[tuple[str, str, str]] = []
        """(name, type, `udp` or `tcp`)"""
        self.validates = validates
        self.address = "127.0.0.1"
        self.port = 0

    @property
    def setting(self) -> str:
        """As outbound.resolvers has it."""
        return f"{self.address}#{self.port}"

    def answer(self, octets: bytes, *, tcp: bool) -> list[bytes]:
        """What is sent back for a query, message by message."""
        query = dns.message.from_wire(octets)
        asked = query.question[0]
        self.asked.append((_text_of(asked.name), types.kind_text(asked.rdtype), "tcp" if tcp else "udp"))
        habits = self.habits
        if "silent" in habits:
            return []
        if "garbage" in habits:
            return [octets[:2] + b"\x81\x80" + octets[4:12] + b"\xc0\x0c" * 40]
        reply = self._reply(query)
        if reply is None:
            return []
        if "truncate" in habits and not tcp:
            reply.answer.clear()
            reply.flags |= dns.flags.TC
        if "wrong_id" in habits:
            reply.id ^= 1
        if "wrong_question" in habits:
            reply.question[0] = dns.rrset.RRset(
                dns.name.from_text("other.example."), asked.rdclass, asked.rdtype
            )
        wire = reply.to_wire(max_size=65_535)
        if not tcp and len(wire) > 1232:
            reply.answer.clear()
            reply.flags |= dns.flags.TC
            wire = reply.to_wire()
        if "guesses" in habits and not tcp:
            return [bytes([wire[0] ^ n, *wire[1:]]) for n in range(1, 20)] + [wire]
        return [wire]

    def _reply(self, query: dns.message.Message) -> dns.message.Message | None:
        asked = query.question[0]
        reply = dns.message.make_response(query, recursion_available=True)
        habits = self.habits
        if "refuse" in habits:
            reply.set_rcode(dns.rcode.REFUSED)
            return reply
        if "no_edns" in habits and query.edns >= 0:
            reply = dns.message.make_response(query)
            reply.use_edns(False)
            reply.set_rcode(dns.rcode.FORMERR)
            return reply
        if "referral" in habits:
            reply.flags &= ~dns.flags.RA
            reply.authority.append(dns.rrset.from_text(asked.name, 300, "IN", "NS", "ns.elsewhere.example."))
            return reply
        if "endless_cname" in habits:
            self._endless(reply, asked)
            return reply
        name, kind = _text_of(asked.name), int(asked.rdtype)
        return self._fill(reply, name, kind, wants_ad=bool(query.flags & dns.flags.AD or query.ednsflags))

    def _endless(self, reply: dns.message.Message, asked: Any) -> None:
        here = asked.name
        for number in range(40):
            target = dns.name.from_text(f"{number}.endless.example.")
            reply.answer.append(dns.rrset.from_text(here, 300, "IN", "CNAME", str(target)))
            here = target

    def _fill(
        self, reply: dns.message.Message, name: str, kind: int, *, wants_ad: bool
    ) -> dns.message.Message | None:
        zone, secure = self.zone, True
        cname = types.kind_of("CNAME")
        for _ in range(MOST_ALIASES):
            failure = zone.failure(name, kind)
            if failure == "timeout":
                return None
            if failure:
                reply.set_rcode(dns.rcode.SERVFAIL)
                reply.answer.clear()
                return reply
            here = zone.names.get(name)
            alias = here.records.get(cname) if here is not None else None
            if here is None or not alias or kind == cname:
                break
            secure = secure and (here.all_secure or cname in here.secure)
            reply.answer.append(_rrset(name, cname, alias))
            name = _key(alias[0][1])
            if len(reply.answer) == MOST_ALIASES or "only_cname" in self.habits:
                if self.validates and secure and wants_ad:
                    reply.flags |= dns.flags.AD
                return reply
        _, records, is_secure, exists = zone.find(name, kind)
        if records:
            reply.answer.append(_rrset(name, kind, records))
        else:
            if not exists:
                reply.set_rcode(dns.rcode.NXDOMAIN)
            if "no_soa" not in self.habits:
                apex = name.rpartition(".")[2] or "."
                soa = f"ns.{apex}. hostmaster.{apex}. 1 3600 600 86400 60"
                reply.authority.append(dns.rrset.from_text(f"{apex}.", 900, "IN", "SOA", soa))
        if self.validates and secure and is_secure and wants_ad:
            reply.flags |= dns.flags.AD
        return reply


def _rrset(name: str, kind: int, records: list[tuple[int, str]]) -> dns.rrset.RRset:
    ttl = min(ttl for ttl, _ in records)
    texts = [text for _, text in records]
    return dns.rrset.from_text(f"{name}.", ttl, "IN", types.kind_text(kind), *texts)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        for message in self._server.answer(data, tcp=False):
            self._transport.sendto(message, addr)


@asynccontextmanager
async def dns_server(
    zone: Zone | str, *, address: str = "127.0.0.1", validates: bool = True
) -> AsyncIterator[DnsServer]:
    """A DNS server on a free port of `address`; `validates` is whether it sets AD for `!secure` answers."""
    server = DnsServer(zone, validates=validates)

    async def by_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            query = await reader.readexactly(struct.unpack(">H", await reader.readexactly(2))[0])
            for message in server.answer(query, tcp=True):
                whole = struct.pack(">H", len(message)) + message
                writer.write(whole[: len(whole) // 2] if "cut_tcp" in server.habits else whole)
            await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(by_tcp, address, 0)
    server.address, server.port = address, listener.sockets[0].getsockname()[1]
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Udp(server), local_addr=(address, server.port)
    )
    try:
        yield server
    finally:
        transport.close()
        listener.close()


@contextmanager
def dns_on_loopback(zone: str) -> Iterator[DnsServer]:
    """A DNS in a thread, for programs that run beside us."""
    started: queue.Queue[tuple[DnsServer, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def serve() -> None:
        stop = asyncio.Event()
        async with dns_server(zone) as server:
            started.put((server, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    server, loop, stop = started.get(timeout=10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
