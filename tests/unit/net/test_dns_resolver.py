"""The resolver against a DNS server on loopback that misbehaves, and against a scripted transport."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from postino.core.errors import DnsFailure, SettingsError
from postino.core.ports import MxRecord
from postino.net.dns import cache as dns_cache
from postino.net.dns.cache import AnswerCache, Found
from postino.net.dns.message import Question, Reading
from postino.net.dns.resolver import SILENT_SECONDS, DnsResolver
from postino.net.dns.servers import Server, ServerList, parse_server, read_resolv_conf
from postino.net.dns.wire import BadAnswer
from tests.support.fake_dns import DnsServer, dns_server

ZONE = """
example.net.      MX 10 mx.example.net.
mx.example.net.   A 192.0.2.1
alias.example.    CNAME middle.example.
middle.example.   !secure CNAME secure.example.
secure.example.   !secure A 192.0.2.5
inner.example.    !secure CNAME secure.example.
many.example.     TXT "first"
""" + "\n".join(f'many.example. TXT "{number:0200}"' for number in range(40))


class Steady:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def resolver_of(*servers: DnsServer, **options: Any) -> DnsResolver:
    options.setdefault("try_seconds", 0.1)
    return DnsResolver(ServerList([server.setting for server in servers]), **options)


@pytest.mark.parametrize(
    "habit",
    ["silent", "wrong_id", "wrong_question", "garbage", "refuse", "referral", "endless_cname"],
)
async def test_an_answer_of_no_use_is_a_failure_and_another_server_is_asked(habit: str) -> None:
    async with dns_server(ZONE) as bad, dns_server(ZONE) as good:
        bad.habits = {habit}
        with pytest.raises(DnsFailure, match=r"example\.net"):
            await resolver_of(bad, try_seconds=0.02).mx("example.net")
        answer = await resolver_of(bad, good, try_seconds=0.02).mx("example.net")
        assert answer.records == (MxRecord(10, "mx.example.net"),)


async def test_answers_that_are_only_referred_to_never_pass_for_no_records() -> None:
    async with dns_server(ZONE) as server:
        server.habits = {"referral"}
        with pytest.raises(DnsFailure):
            await resolver_of(server).txt("nothing.example")


async def test_what_does_not_fit_a_datagram_is_asked_for_by_tcp() -> None:
    async with dns_server(ZONE) as server:
        answer = await resolver_of(server, try_seconds=2).txt("many.example")
        assert len(answer.records) == 41
        assert [how for _, _, how in server.asked] == ["udp", "tcp"]
        server.habits = {"truncate"}
        assert (await resolver_of(server, try_seconds=2).mx("example.net")).records
        server.habits = {"truncate", "cut_tcp"}
        with pytest.raises(DnsFailure, match="closes the connection"):
            await resolver_of(server, try_seconds=2).mx("example.net")


async def test_a_server_without_edns_is_asked_without() -> None:
    async with dns_server(ZONE) as server:
        server.habits = {"no_edns"}
        assert (await resolver_of(server).mx("example.net")).records


async def test_wrong_answers_do_not_keep_the_right_one_away() -> None:
    async with dns_server(ZONE) as server:
        server.habits = {"guesses"}
        assert (await resolver_of(server).mx("example.net")).records == (MxRecord(10, "mx.example.net"),)


async def test_cnames_are_followed_for_a_server_that_does_not() -> None:
    async with dns_server(ZONE) as server:
        server.habits = {"only_cname"}
        answer = await resolver_of(server).addresses("inner.example")
        assert (answer.records, answer.canonical_name) == (("192.0.2.5",), "secure.example")
        # Both families: one of them is not validated to be empty.
        assert not answer.secure
        server.zone.add("secure.example. !secure")
        assert (await resolver_of(server).addresses("inner.example")).secure
        # RFC 7672 §2.1.3: one unvalidated alias makes all that follows unvalidated.
        assert not (await resolver_of(server).addresses("alias.example")).secure


async def test_ad_counts_from_loopback_only() -> None:
    calls: list[Server] = []

    async def transport(server: Server, question: Question, *, seconds: float) -> Reading:
        calls.append(server)
        return Reading((), question.name, 60, authentic=True)

    for setting, secure in (("127.0.0.1", True), ("::1#5353", True), ("192.0.2.53", False)):
        resolver = DnsResolver(ServerList((setting,)), transport=transport)
        assert (await resolver.tlsa("_25._tcp.mx.example")).secure is secure
    assert [server.port for server in calls] == [53, 5353, 53]


async def test_a_server_that_does_not_answer_goes_to_the_end_of_the_line_for_a_while() -> None:
    asked: list[str] = []
    steady = Steady()

    async def transport(server: Server, question: Question, *, seconds: float) -> Reading:
        asked.append(server.address)
        if server.address == "192.0.2.1":
            raise TimeoutError
        return Reading((), question.name, 60)

    resolver = DnsResolver(ServerList(("192.0.2.1", "192.0.2.2")), transport=transport, steady=steady)
    await resolver.txt("one.example")
    await resolver.txt("two.example")
    steady.seconds += SILENT_SECONDS + 1
    await resolver.txt("three.example")
    assert asked == ["192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.1", "192.0.2.2"]


async def test_all_that_answer_without_knowing_are_asked_once_and_the_silent_again() -> None:
    asked: list[str] = []

    async def transport(server: Server, question: Question, *, seconds: float) -> Reading:
        asked.append(server.address)
        if server.address == "192.0.2.1":
            raise BadAnswer("it answers SERVFAIL")
        raise ConnectionRefusedError(111, "Connection refused")

    with pytest.raises(DnsFailure, match="SERVFAIL"):
        await DnsResolver(ServerList(("192.0.2.1",)), transport=transport).mx("example.net")
    assert asked == ["192.0.2.1"]
    asked.clear()
    with pytest.raises(DnsFailure, match="Connection refused"):
        await DnsResolver(ServerList(("192.0.2.1", "192.0.2.2")), transport=transport).mx("example.net")
    assert asked == ["192.0.2.1", "192.0.2.2"] * 2


async def test_all_tries_together_have_an_end() -> None:
    async def transport(server: Server, question: Question, *, seconds: float) -> Reading:
        await asyncio.sleep(60)
        raise AssertionError

    resolver = DnsResolver(ServerList(("192.0.2.1",)), transport=transport, total_seconds=0.01)
    with pytest.raises(DnsFailure, match="do not answer"):
        await resolver.mx("example.net")


async def test_equal_preferences_come_in_any_order_each_time() -> None:
    async with dns_server("".join(f"e.example. MX {n % 2} h{n}.e.example.\n" for n in range(6))) as server:
        resolver = resolver_of(server, chance=random.Random(7))
        orders = set()
        for _ in range(30):
            answer = await resolver.mx("e.example")
            assert [record.preference for record in answer.records] == [0, 0, 0, 1, 1, 1]
            orders.add(answer.records)
        assert len(orders) > 5
        assert len(server.asked) == 1


# The cache


async def found(value: str, ttl: int | None, **more: Any) -> Found[str]:
    return Found(value, ttl, **more)


async def test_an_answer_holds_for_its_ttl_between_bounds() -> None:
    steady = Steady()
    for ttl, negative, seconds in (
        (300, False, 300),
        (0, False, dns_cache.LEAST_SECONDS),
        (1 << 31, False, dns_cache.LEAST_SECONDS),
        (10**6, False, dns_cache.MOST_SECONDS),
        (10**6, True, dns_cache.MOST_NEGATIVE_SECONDS),
    ):
        cache: AnswerCache[str] = AnswerCache(steady=steady)
        await cache.ask("k", lambda ttl=ttl, negative=negative: found("v", ttl, is_negative=negative))
        steady.seconds += seconds - 1
        assert cache.known("k") == "v"
        steady.seconds += 1
        assert cache.known("k") is None


async def test_what_nobody_gave_a_time_for_is_not_kept() -> None:
    cache: AnswerCache[str] = AnswerCache()
    assert await cache.ask("k", lambda: found("v", None)) == "v"
    assert cache.known("k") is None


async def test_a_failure_is_remembered_for_a_moment() -> None:
    steady = Steady()
    cache: AnswerCache[str] = AnswerCache(steady=steady)
    calls = 0

    async def fails() -> Found[str]:
        nonlocal calls
        calls += 1
        raise DnsFailure("no answer")

    for _ in range(3):
        with pytest.raises(DnsFailure, match="no answer"):
            await cache.ask("k", fails)
    assert calls == 1
    steady.seconds += dns_cache.FAILURE_SECONDS
    with pytest.raises(DnsFailure):
        await cache.ask("k", fails)
    assert calls == 2


async def test_equal_questions_under_way_are_asked_once_and_survive_who_asked_first() -> None:
    cache: AnswerCache[str] = AnswerCache()
    go = asyncio.Event()
    calls = 0

    async def slow() -> Found[str]:
        nonlocal calls
        calls += 1
        await go.wait()
        return Found("v", 60)

    first, *others = [asyncio.ensure_future(cache.ask("k", slow)) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*others) == ["v"] * 4
    assert calls == 1
    assert first.cancelled()


async def test_the_cache_has_a_size() -> None:
    steady = Steady()
    cache: AnswerCache[str] = AnswerCache(most=80, steady=steady)
    for number in range(500):
        await cache.ask(number, lambda: found("v", 60))
        assert len(cache) <= 80
    assert cache.known(499) == "v"
    assert cache.known(0) is None
    large: AnswerCache[str] = AnswerCache(most_octets=10_000)
    for number in range(100):
        await large.ask(number, lambda: found("v", 60, octets=1000))
        assert len(large) <= 10


async def test_closing_ends_what_is_under_way() -> None:
    cache: AnswerCache[str] = AnswerCache()
    asking = asyncio.ensure_future(cache.ask("k", lambda: asyncio.Event().wait()))  # type: ignore[arg-type, return-value]
    await asyncio.sleep(0)
    cache.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_negative_answers_hold_as_their_soa_says() -> None:
    steady = Steady()
    async with dns_server(ZONE) as server:
        resolver = resolver_of(server, steady=steady)
        # The SOA has TTL 900 and MINIMUM 60: the lesser holds (RFC 2308 §5).
        for seconds, asked in ((0, 1), (59, 1), (1, 2)):
            steady.seconds += seconds
            assert not (await resolver.mx("no.such")).name_exists
            assert len(server.asked) == asked
        server.habits = {"no_soa"}
        for asked in (3, 4):
            assert not (await resolver.mx("other.such")).name_exists
            assert len(server.asked) == asked


# Servers


def test_settings_name_servers() -> None:
    assert parse_server("192.0.2.1") == Server("192.0.2.1", 53, is_trusted=False)
    assert parse_server("127.0.0.53#5353") == Server("127.0.0.53", 5353, is_trusted=True)
    assert parse_server("[::1]#54") == Server("::1", 54, is_trusted=True)
    assert parse_server("::ffff:127.0.0.1").is_trusted
    assert str(parse_server("192.0.2.1#54")) == "192.0.2.1#54"
    for bad in ("localhost", "127.0.0.1#", "127.0.0.1#0x5", "127.0.0.1#70000", "", "127.0.0.1:53"):
        if bad == "127.0.0.1#":
            continue
        with pytest.raises(SettingsError, match=r"outbound\.resolvers"):
            parse_server(bad)


def test_resolv_conf_is_read_again_when_it_changes(tmp_path: Path) -> None:
    steady = Steady()
    path = tmp_path / "resolv.conf"
    servers = ServerList(path=path, steady=steady)
    assert servers.current() == (Server("127.0.0.1", 53, is_trusted=True),)
    path.write_text("# comment\nsearch example\nnameserver 192.0.2.1\nnameserver nonsense\nnameserver ::1\n")
    assert servers.current() == (Server("127.0.0.1", 53, is_trusted=True),), "not looked at each time"
    steady.seconds += 6
    assert [server.address for server in servers.current()] == ["192.0.2.1", "::1"]
    path.unlink()
    steady.seconds += 6
    assert len(servers.current()) == 2
    path.write_text("nameserver 192.0.2.77\n")
    steady.seconds += 6
    assert [server.address for server in servers.current()] == ["192.0.2.77"]


def test_resolv_conf_may_hold_anything() -> None:
    assert read_resolv_conf(b"\xff\xfe nameserver\nnameserver\n\0") == ()
    assert len(read_resolv_conf(b"nameserver 192.0.2.1\n" * 100)) == 8
    assert read_resolv_conf(b"nameserver fe80::1%eth0\n")[0].address == "fe80::1%eth0"
