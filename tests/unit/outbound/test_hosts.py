"""Which hosts take a domain's mail: RFC 5321 §5.1, RFC 7505, and the lame cases of real domains."""

import pytest

from postino.outbound.targeting.hosts import MOST_ADDRESSES, MOST_HOSTS, Ourselves, find_hosts, is_public
from postino.outbound.targeting.target import NotNow, Undeliverable
from tests.support.fake_dns import FakeResolver

ADDRESSES = """
a.example.      A 192.0.2.1
a.example.      AAAA 2001:db8::1
b.example.      A 192.0.2.2
c.example.      AAAA 2001:db8::3
us.example.     A 192.0.2.25
alias.example.  CNAME a.example.
inside.example. A 10.0.0.1
inside.example. A 192.0.2.4
hidden.example. A 10.0.0.2
slow.example.   !timeout
"""
US = Ourselves(frozenset({"us.example"}), frozenset({"192.0.2.25"}))

# (records of the domain d.example, the hosts found as "name=address,address ...")
FOUND = {
    "by preference": (
        "MX 20 b.example.|MX 10 a.example.",
        "a.example=2001:db8::1,192.0.2.1 b.example=192.0.2.2",
    ),
    "no MX: the domain itself": ("A 192.0.2.9", "d.example=192.0.2.9"),
    "no MX, IPv6 only": ("AAAA 2001:db8::9", "d.example=2001:db8::9"),
    "the domain is an alias": ("CNAME a.example.", "d.example=2001:db8::1,192.0.2.1"),
    "MX that is an alias": ("MX 10 alias.example.", "alias.example=2001:db8::1,192.0.2.1"),
    "MX without an address beside one with": ("MX 10 none.example.|MX 20 b.example.", "b.example=192.0.2.2"),
    "MX that does not answer beside one that does": (
        "MX 10 slow.example.|MX 20 b.example.",
        "b.example=192.0.2.2",
    ),
    "MX that is an address beside one that is none": (
        "MX 10 192.0.2.7.|MX 20 b.example.",
        "b.example=192.0.2.2",
    ),
    "null MX beside others counts for nothing": ("MX 0 .|MX 20 b.example.", "b.example=192.0.2.2"),
    "the same host twice": ("MX 10 b.example.|MX 20 b.example.", "b.example=192.0.2.2"),
    "ourselves, and one better": ("MX 10 b.example.|MX 20 us.example.", "b.example=192.0.2.2"),
    "ourselves, one better, one as good, one worse": (
        "MX 5 b.example.|MX 10 us.example.|MX 10 a.example.|MX 20 c.example.",
        "b.example=192.0.2.2",
    ),
    "private addresses left out": ("MX 10 inside.example.", "inside.example=192.0.2.4"),
    "a private MX left out": ("MX 10 hidden.example.|MX 20 b.example.", "b.example=192.0.2.2"),
    "MX wins over an address of the domain": ("MX 10 b.example.|A 192.0.2.9", "b.example=192.0.2.2"),
}

# (records, error, status)
REFUSED = {
    "null MX": ("MX 0 .", Undeliverable, "5.1.10"),
    "neither MX nor address": ("TXT hello", Undeliverable, "5.1.2"),
    "MX hosts without addresses": ("MX 10 none.example.|MX 20 nix.example.", Undeliverable, "5.4.4"),
    "MX hosts that are addresses": ("MX 10 192.0.2.7.", Undeliverable, "5.4.4"),
    "we alone by name": ("MX 10 us.example.", Undeliverable, "5.4.6"),
    "we are the best": ("MX 10 us.example.|MX 20 b.example.", Undeliverable, "5.4.6"),
    "we are better than those who are down": (
        "MX 10 us.example.|MX 20 slow.example.",
        Undeliverable,
        "5.4.6",
    ),
    "no MX, and the domain is us": ("A 192.0.2.25", Undeliverable, "5.4.6"),
    "only private addresses": ("MX 10 hidden.example.", Undeliverable, "5.4.4"),
    "the MX question fails": ("!servfail MX", NotNow, "4.4.3"),
    "no answer for the only host": ("MX 10 slow.example.", NotNow, "4.4.3"),
    "one without addresses, one without an answer": (
        "MX 1 none.example.|MX 2 slow.example.",
        NotNow,
        "4.4.3",
    ),
    "better ones down, then we": ("MX 10 slow.example.|MX 20 us.example.", NotNow, "4.4.3"),
    "no MX, and no answer for the address": ("!servfail A", NotNow, "4.4.3"),
}


def resolver_of(records: str) -> FakeResolver:
    return FakeResolver(ADDRESSES + "".join(f"d.example. {record}\n" for record in records.split("|")))


@pytest.mark.parametrize("case", FOUND)
async def test_hosts_found(case: str) -> None:
    records, expected = FOUND[case]
    found = await find_hosts(resolver_of(records), "d.example", ourselves=US)
    assert " ".join(f"{host.name}={','.join(host.addresses)}" for host in found.hosts) == expected
    assert found.by_mx == ("MX" in records)


@pytest.mark.parametrize("case", REFUSED)
async def test_hosts_refused(case: str) -> None:
    records, kind, status = REFUSED[case]
    with pytest.raises(kind) as refused:
        await find_hosts(resolver_of(records), "d.example", ourselves=US)
    assert refused.value.status == status
    assert str(refused.value)


async def test_we_are_found_among_more_hosts_than_are_tried() -> None:
    hosts = [f"h{number}.example" for number in range(2 * MOST_HOSTS)]
    zone = "".join(f"d.example. MX 10 {host}.\n{host}. A 192.0.2.9\n" for host in hosts)
    resolver = FakeResolver(zone + "d.example. MX 10 us.example.\nbest.example. A 192.0.2.7\n")
    with pytest.raises(Undeliverable) as refused:
        await find_hosts(resolver, "d.example", ourselves=US)
    assert refused.value.status == "5.4.6"
    resolver.zone.add("d.example. MX 5 best.example.\n")
    found = await find_hosts(resolver, "d.example", ourselves=US)
    assert [host.name for host in found.hosts] == ["best.example"]


async def test_a_domain_that_is_not_there() -> None:
    with pytest.raises(Undeliverable, match="does not exist") as refused:
        await find_hosts(FakeResolver(), "d.example")
    assert refused.value.status == "5.1.2"


async def test_ipv6_can_be_turned_off() -> None:
    found = await find_hosts(resolver_of("MX 10 a.example.|MX 20 c.example."), "d.example", ipv6=False)
    assert [(host.name, host.addresses) for host in found.hosts] == [("a.example", ("192.0.2.1",))]


async def test_private_addresses_can_be_allowed() -> None:
    found = await find_hosts(resolver_of("MX 10 inside.example."), "d.example", private=True)
    assert found.hosts[0].addresses == ("10.0.0.1", "192.0.2.4")


async def test_hosts_and_addresses_are_bounded() -> None:
    records = [f"MX {number} h{number}.example." for number in range(50)]
    more = "".join(f"h0.example. A 192.0.2.{number}\n" for number in range(50))
    more += "".join(f"h{number}.example. A 192.0.2.1\n" for number in range(1, 50))
    resolver = resolver_of("|".join(records))
    resolver.zone.add(more)
    found = await find_hosts(resolver, "d.example")
    assert len(found.hosts) == MOST_HOSTS
    assert len(found.hosts[0].addresses) == MOST_ADDRESSES
    assert len(resolver.asked) == 1 + 2 * MOST_HOSTS


@pytest.mark.parametrize(
    ("literal", "address"),
    [
        ("[192.0.2.1]", "192.0.2.1"),
        ("[IPv6:2001:db8::1]", "2001:db8::1"),
        ("[ipv6:2001:DB8:0::1]", "2001:db8::1"),
    ],
)
async def test_address_literals_need_no_dns(literal: str, address: str) -> None:
    resolver = FakeResolver()
    found = await find_hosts(resolver, literal)
    assert [(host.name, host.addresses) for host in found.hosts] == [(address, (address,))]
    assert resolver.asked == []


@pytest.mark.parametrize(
    ("literal", "status"),
    [
        ("[192.0.2.1", "5.1.2"),
        ("[nonsense]", "5.1.2"),
        ("[IPv6:192.0.2.1]x", "5.1.2"),
        ("[192.0.2.25]", "5.4.6"),
        ("[127.0.0.1]", "5.4.4"),
        ("[IPv6:::ffff:10.0.0.1]", "5.4.4"),
    ],
)
async def test_address_literals_that_are_refused(literal: str, status: str) -> None:
    with pytest.raises(Undeliverable) as refused:
        await find_hosts(FakeResolver(), literal, ourselves=US)
    assert refused.value.status == status


async def test_a_literal_of_the_other_family() -> None:
    with pytest.raises(Undeliverable, match="IPv6"):
        await find_hosts(FakeResolver(), "[IPv6:2001:db8::1]", ipv6=False)


def test_all_of_loopback_is_us_when_we_listen_there() -> None:
    ours = Ourselves(addresses=frozenset({"127.0.0.1"}))
    assert ours.has_address("127.0.0.9")
    assert ours.has_address("::1")
    assert not ours.has_address("192.0.2.25")
    assert not Ourselves().has_address("127.0.0.1")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("198.41.0.4", True),
        ("2001:503:ba3e::2:30", True),
        ("192.0.2.1", True),
        ("2001:db8::1", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:198.41.0.4", True),
        ("2002:7f00:1::", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::c629:4", True),
        ("64:ff9b:1::a00:1", False),
        ("::127.0.0.1", False),
        ("::ffff:0:10.0.0.1", False),
        ("fec0::1", False),
        ("5f00::1", False),
    ],
)
def test_addresses_behind_the_firewall_are_not_public(address: str, public: bool) -> None:
    assert is_public(address) is public
