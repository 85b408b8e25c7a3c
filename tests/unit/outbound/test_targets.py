"""Hosts with what each must prove: DANE before MTA-STS before what can be had, and routes before all."""

from collections.abc import Sequence
from typing import Any

import pytest

from postino.core.ids import Instant
from postino.mailauth.mta_sts import parse_policy
from postino.mailauth.tlsrpt import sts_policy
from postino.outbound.client.tls_outcome import TlsOutcome
from postino.outbound.settings import OutboundSettings
from postino.outbound.targeting.hosts import Ourselves
from postino.outbound.targeting.mta_sts import KeptPolicy
from postino.outbound.targeting.routes import Destination, Route
from postino.outbound.targeting.target import HostTls, NotNow, Target, TlsLevel, TlsOrigin
from postino.outbound.targeting.targets import Targets
from postino.outbound.targeting.tls_policy import TlsPolicies
from postino.store.sts_policies import StoredPolicy
from tests.support.fake_dns import FakeResolver

DIGEST = "ab" * 32
PLAIN = """
d.example.      MX 10 mx1.d.example.
d.example.      MX 20 mx2.d.example.
mx1.d.example.  A 192.0.2.1
mx2.d.example.  A 192.0.2.2
relay.example.  A 192.0.2.9
relay.example.  AAAA 2001:db8::9
"""
SECURE = """
d.example.      !secure MX 10 mx1.d.example.
d.example.      !secure MX 20 mx2.d.example.
mx1.d.example.  !secure
mx1.d.example.  !secure A 192.0.2.1
mx2.d.example.  !secure
mx2.d.example.  !secure A 192.0.2.2
"""


def tlsa(host: str, text: str = f"3 1 1 {DIGEST}") -> str:
    return f"_25._tcp.{host}. !secure TLSA {text}\n"


class FakeSts:
    """Has one policy for d.example, or none."""

    def __init__(self, text: str = "") -> None:
        self.kept = None
        if text:
            policy = parse_policy(text.encode())
            stored = StoredPolicy("d.example", "1", text, Instant(0), Instant(2**40))
            self.kept = KeptPolicy(stored, policy, sts_policy("d.example", text, policy.mx))

    async def policy(self, domain: str) -> KeptPolicy | None:
        return self.kept


def sts(mode: str, *patterns: str) -> str:
    return f"version: STSv1\nmode: {mode}\nmax_age: 1000\n" + "".join(f"mx: {one}\n" for one in patterns)


class Finder:
    def __init__(self, zone: str, policy: str = "", settings: OutboundSettings | None = None) -> None:
        self.noted: list[TlsOutcome] = []
        self.resolver = FakeResolver(zone)
        fake_sts: Any = FakeSts(policy)
        policies = TlsPolicies(self.resolver, fake_sts, self.noted.append)
        self.targets = Targets(
            self.resolver,
            policies,
            settings or OutboundSettings(),
            hostname="mail.us.example",
            ourselves=Ourselves(frozenset({"mail.us.example"})),
        )

    async def find(self, route: Route | None = None, key: str = "d.example") -> Target:
        return await self.targets.find(Destination(key, route, "d.example"))


def shown(target: Target) -> list[str]:
    """`mx1 VERIFIED dane` of each host."""
    return [
        f"{host.name.partition('.')[0]} {host.tls.level.name} {host.tls.origin.value}"
        for host in target.hosts
    ]


# (zone, MTA-STS policy, hosts, what is noted for reports)
CASES: dict[str, tuple[str, str, Sequence[str], Sequence[str]]] = {
    "neither": (PLAIN, "", ["mx1 OPPORTUNISTIC default", "mx2 OPPORTUNISTIC default"], []),
    "MTA-STS": (PLAIN, sts("enforce", "*.d.example"), ["mx1 VERIFIED sts", "mx2 VERIFIED sts"], []),
    "MTA-STS for one of two": (
        PLAIN,
        sts("enforce", "mx2.d.example"),
        ["mx2 VERIFIED sts"],
        ["mx1.d.example validation-failure"],
    ),
    "MTA-STS in testing": (
        PLAIN,
        sts("testing", "mx2.d.example"),
        ["mx1 OPPORTUNISTIC default", "mx2 VERIFIED sts"],
        ["mx1.d.example validation-failure"],
    ),
    "TLSA records without DNSSEC": (
        PLAIN + tlsa("mx1.d.example"),
        "",
        ["mx1 OPPORTUNISTIC default", "mx2 OPPORTUNISTIC default"],
        [],
    ),
    "DANE": (
        SECURE + tlsa("mx1.d.example") + tlsa("mx2.d.example", f"2 0 1 {DIGEST}"),
        "",
        ["mx1 VERIFIED dane", "mx2 VERIFIED dane"],
        [],
    ),
    "DANE for one of two: the order is the MX's": (
        SECURE + tlsa("mx2.d.example"),
        "",
        ["mx1 OPPORTUNISTIC default", "mx2 VERIFIED dane"],
        [],
    ),
    "DANE before MTA-STS": (
        SECURE + tlsa("mx1.d.example"),
        sts("enforce", "*.d.example"),
        ["mx1 VERIFIED dane", "mx2 VERIFIED sts"],
        [],
    ),
    "DANE whatever MTA-STS allows": (
        SECURE + tlsa("mx1.d.example"),
        sts("enforce", "mx2.d.example"),
        ["mx1 VERIFIED dane", "mx2 VERIFIED sts"],
        [],
    ),
    "TLSA records that prove nothing": (
        SECURE + tlsa("mx1.d.example", f"1 1 1 {DIGEST}"),
        "",
        ["mx1 REQUIRED dane", "mx2 OPPORTUNISTIC default"],
        ["mx1.d.example tlsa-invalid"],
    ),
    "and MTA-STS that does": (
        SECURE + tlsa("mx1.d.example", f"1 1 1 {DIGEST}"),
        sts("enforce", "*.d.example"),
        ["mx1 VERIFIED sts", "mx2 VERIFIED sts"],
        ["mx1.d.example tlsa-invalid"],
    ),
    "and MTA-STS that is only testing": (
        SECURE + tlsa("mx1.d.example", f"1 1 1 {DIGEST}"),
        sts("testing", "*.d.example"),
        ["mx1 REQUIRED dane", "mx2 VERIFIED sts"],
        ["mx1.d.example tlsa-invalid"],
    ),
    "a TLSA lookup that fails": (
        SECURE + "_25._tcp.mx1.d.example. !servfail\n",
        "",
        ["mx2 OPPORTUNISTIC default"],
        ["mx1.d.example dnssec-invalid"],
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_what_each_host_must_prove(case: str) -> None:
    zone, policy, hosts, noted = CASES[case]
    finder = Finder(zone, policy)
    target = await finder.find()
    assert shown(target) == hosts
    assert [f"{outcome.host} {outcome.failure}" for outcome in finder.noted] == noted
    assert all(host.tls.policy for host in target.hosts)


async def test_what_travels_with_a_target() -> None:
    settings = OutboundSettings(source_addresses=("192.0.2.25",), port=2525)
    target = await Finder(PLAIN, settings=settings).find()
    assert (target.key, target.domain, target.hello_name) == ("d.example", "d.example", "mail.us.example")
    assert target.source_addresses == ("192.0.2.25",)
    assert [host.port for host in target.hosts] == [2525, 2525]
    named = await Finder(PLAIN, settings=OutboundSettings(hello_name="out.us.example")).find()
    assert named.hello_name == "out.us.example"


async def test_names_that_a_certificate_must_have() -> None:
    by_sts = await Finder(PLAIN, sts("testing", "*.d.example")).find()
    assert [(host.tls.names, host.tls.testing) for host in by_sts.hosts] == [
        (("mx1.d.example",), True),
        (("mx2.d.example",), True),
    ]
    by_dane = await Finder(SECURE + tlsa("mx1.d.example", f"2 0 1 {DIGEST}")).find()
    assert by_dane.hosts[0].tls.names == ("mx1.d.example", "d.example")
    assert by_dane.hosts[0].tls.tlsa[0].data == bytes.fromhex(DIGEST)


async def test_no_host_left_is_no_way_at_present() -> None:
    with pytest.raises(NotNow, match="MTA-STS") as refused:
        await Finder(PLAIN, sts("enforce", "other.example")).find()
    assert refused.value.status == "4.7.5"
    failing = SECURE + "_25._tcp.mx1.d.example. !servfail\n_25._tcp.mx2.d.example. !timeout\n"
    with pytest.raises(NotNow):
        await Finder(failing).find()


async def test_dane_and_mta_sts_can_be_turned_off() -> None:
    zone, policy = SECURE + tlsa("mx1.d.example"), sts("enforce", "*.d.example")
    target = await Finder(zone, policy, OutboundSettings(dane=False)).find()
    assert shown(target) == ["mx1 VERIFIED sts", "mx2 VERIFIED sts"]
    finder = Finder(zone, policy, OutboundSettings(dane=False, mta_sts=False))
    assert shown(await finder.find()) == ["mx1 OPPORTUNISTIC default", "mx2 OPPORTUNISTIC default"]
    assert not any(kind == "TLSA" for _, kind in finder.resolver.asked)


async def test_a_literal_has_no_policy() -> None:
    finder = Finder("", sts("enforce", "*.d.example"))
    target = await finder.targets.find(Destination("[192.0.2.1]", None, "[192.0.2.1]"))
    assert shown(target) == ["192 OPPORTUNISTIC default"]
    assert finder.resolver.asked == []


# Routes


def rule(level: TlsLevel) -> HostTls:
    return HostTls(level, TlsOrigin.ROUTE)


async def test_a_route_to_a_host_is_looked_up_as_an_address() -> None:
    finder = Finder(PLAIN)
    route = Route("relay.example", 587, "", False, rule(TlsLevel.REQUIRED), "ann", "secret", ("192.0.2.30",))
    target = await finder.find(route, "ann@relay.example:587")
    assert [(host.name, host.port, host.addresses) for host in target.hosts] == [
        ("relay.example", 587, ("2001:db8::9", "192.0.2.9"))
    ]
    assert target.hosts[0].tls == route.tls
    assert (target.login, target.password, target.domain) == ("ann", "secret", "")
    assert target.source_addresses == ("192.0.2.30",)
    assert {kind for _, kind in finder.resolver.asked} == {"A", "AAAA"}


@pytest.mark.parametrize(
    ("host", "addresses"),
    [("127.0.0.1", ("127.0.0.1",)), ("2001:db8::1", ("2001:db8::1",)), ("localhost", ("127.0.0.1",))],
)
async def test_a_route_to_an_address_asks_nothing(host: str, addresses: tuple[str, ...]) -> None:
    finder = Finder("")
    target = await finder.find(Route(host, 25))
    assert target.hosts[0].addresses == addresses
    assert finder.resolver.asked == []


async def test_a_route_to_a_unix_socket() -> None:
    target = await Finder("").find(Route(unix_path="/run/lmtp", is_lmtp=True, tls=rule(TlsLevel.NONE)))
    assert target.is_lmtp
    assert target.hosts[0].unix_path == "/run/lmtp"


@pytest.mark.parametrize("zone", ["", "relay.example. !servfail", "relay.example. MX 1 mx.example."])
async def test_a_route_whose_host_cannot_be_found_is_tried_again(zone: str) -> None:
    with pytest.raises(NotNow, match=r"relay\.example"):
        await Finder(zone).find(Route("relay.example", 25))


@pytest.mark.parametrize(
    ("level", "policy", "hosts"),
    [
        (TlsLevel.OPPORTUNISTIC, "", "mx1 OPPORTUNISTIC default"),
        (TlsLevel.OPPORTUNISTIC, sts("enforce", "*.d.example"), "mx1 VERIFIED sts"),
        (TlsLevel.REQUIRED, "", "mx1 REQUIRED route"),
        (TlsLevel.REQUIRED, sts("enforce", "*.d.example"), "mx1 VERIFIED sts"),
        (TlsLevel.VERIFIED, "", "mx1 VERIFIED route"),
        (TlsLevel.NONE, sts("enforce", "*.d.example"), "mx1 NONE route"),
    ],
)
async def test_a_route_by_mx_asks_for_no_less_than_the_policy(
    level: TlsLevel, policy: str, hosts: str
) -> None:
    target = await Finder(PLAIN, policy).find(Route(tls=rule(level)))
    assert shown(target)[0] == hosts
    assert target.domain == "d.example"


async def test_a_route_that_wants_proof_turns_testing_into_earnest() -> None:
    target = await Finder(PLAIN, sts("testing", "mx2.d.example")).find(Route(tls=rule(TlsLevel.VERIFIED)))
    assert [(host.tls.names, host.tls.testing) for host in target.hosts] == [
        (("mx1.d.example",), False),
        (("mx2.d.example",), False),
    ]
