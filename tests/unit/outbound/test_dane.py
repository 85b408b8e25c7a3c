"""Which TLSA records hold for which host: RFC 7672 §2.2, with its examples."""

import pytest

from postino.core.errors import DnsFailure
from postino.outbound.targeting.dane import find_tlsa
from postino.outbound.targeting.hosts import FoundHosts, find_hosts
from tests.support.fake_dns import FakeResolver

DIGEST = "00" * 32

# RFC 7672 §3.2.2, all of it validated.
EXAMPLE = f"""
exchange.example.org.       !secure CNAME mail.example.org.
mail.example.org.           !secure CNAME example.com.
example.com.                !secure MX 10 mx10.example.com.
example.com.                !secure MX 15 mx15.example.com.
example.com.                !secure MX 20 mx20.example.com.
mx10.example.com.           !secure
mx10.example.com.           !secure A 192.0.2.10
_25._tcp.mx10.example.com.  !secure TLSA 2 0 1 {DIGEST}
mx15.example.com.           !secure CNAME mxbackup.example.com.
mxbackup.example.com.       !secure
mxbackup.example.com.       !secure A 192.0.2.15
_25._tcp.mx15.example.com.  !secure TLSA 2 0 1 {DIGEST}
mx20.example.com.           !secure CNAME mxbackup.example.net.
mxbackup.example.net.       !secure
mxbackup.example.net.       !secure A 198.51.100.20
_25._tcp.mxbackup.example.net. !secure TLSA 2 0 1 {DIGEST}
"""
NAMES = {
    "mx10.example.com": ("mx10.example.com", "exchange.example.org", "example.com"),
    "mx15.example.com": ("mx15.example.com", "exchange.example.org", "example.com"),
    "mx20.example.com": ("mxbackup.example.net", "exchange.example.org", "example.com"),
}


async def found_and_resolver(zone: str, domain: str) -> tuple[FoundHosts, FakeResolver]:
    resolver = FakeResolver(zone)
    found = await find_hosts(resolver, domain)
    resolver.asked.clear()
    return found, resolver


async def test_the_example_of_the_rfc() -> None:
    found, resolver = await found_and_resolver(EXAMPLE, "exchange.example.org")
    for host in found.hosts:
        tlsa = await find_tlsa(resolver, found, host, 25)
        assert tlsa is not None
        assert tlsa.names == NAMES[host.name]
    assert len(found.hosts) == 3
    # The expanded name is tried first.
    assert ("_25._tcp.mxbackup.example.com", "TLSA") in resolver.asked


# zone of d.example and its host, whether the records hold, and what is asked for
HOST = "mx.d.example."
CASES = {
    "all validated": (
        f"d.example. !secure MX 1 {HOST}|{HOST} !secure|{HOST} !secure A 192.0.2.1|_25._tcp.{HOST} !secure TLSA 3 1 1 {DIGEST}",
        True,
        ["_25._tcp.mx.d.example"],
    ),
    "MX not validated": (
        f"d.example. MX 1 {HOST}|{HOST} !secure|{HOST} !secure A 192.0.2.1|_25._tcp.{HOST} !secure TLSA 3 1 1 {DIGEST}",
        False,
        [],
    ),
    "addresses not validated": (
        f"d.example. !secure MX 1 {HOST}|{HOST} A 192.0.2.1|_25._tcp.{HOST} !secure TLSA 3 1 1 {DIGEST}",
        False,
        [],
    ),
    "TLSA not validated": (
        f"d.example. !secure MX 1 {HOST}|{HOST} !secure|{HOST} !secure A 192.0.2.1|_25._tcp.{HOST} TLSA 3 1 1 {DIGEST}",
        False,
        ["_25._tcp.mx.d.example"],
    ),
    "no TLSA": (
        f"d.example. !secure MX 1 {HOST}|{HOST} !secure|{HOST} !secure A 192.0.2.1",
        False,
        ["_25._tcp.mx.d.example"],
    ),
    "by way of an alias, §2.2.3": (
        (
            f"d.example. !secure MX 1 {HOST}|{HOST} !secure|{HOST} !secure A 192.0.2.1|"
            f"_25._tcp.{HOST} !secure CNAME tlsa201._dane.d.example.|tlsa201._dane.d.example. !secure TLSA 2 0 1 {DIGEST}"
        ),
        True,
        ["_25._tcp.mx.d.example"],
    ),
    "by way of an alias that is not validated": (
        (
            f"d.example. !secure MX 1 {HOST}|{HOST} !secure|{HOST} !secure A 192.0.2.1|"
            f"_25._tcp.{HOST} CNAME tlsa201._dane.d.example.|tlsa201._dane.d.example. !secure TLSA 2 0 1 {DIGEST}"
        ),
        False,
        ["_25._tcp.mx.d.example"],
    ),
    "a validated alias of an address that is not, §2.2.2": (
        (
            f"d.example. !secure MX 1 {HOST}|{HOST} !secure CNAME x.example.|x.example. A 192.0.2.1|"
            f"_25._tcp.{HOST} !secure TLSA 3 1 1 {DIGEST}"
        ),
        True,
        ["mx.d.example", "_25._tcp.mx.d.example"],
    ),
    "an alias that is not validated either": (
        (
            f"d.example. !secure MX 1 {HOST}|{HOST} CNAME x.example.|x.example. A 192.0.2.1|"
            f"_25._tcp.{HOST} !secure TLSA 3 1 1 {DIGEST}"
        ),
        False,
        ["mx.d.example"],
    ),
    "no MX, the domain's own": (
        f"d.example. !secure|d.example. !secure A 192.0.2.1|_25._tcp.d.example. !secure TLSA 3 1 1 {DIGEST}",
        True,
        ["_25._tcp.d.example"],
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_which_records_hold(case: str) -> None:
    zone, holds, asked = CASES[case]
    found, resolver = await found_and_resolver(zone.replace("|", "\n"), "d.example")
    tlsa = await find_tlsa(resolver, found, found.hosts[0], 25)
    assert (tlsa is not None) is holds
    assert [name for name, _ in resolver.asked] == asked


async def test_a_lookup_that_fails_is_not_taken_for_no_records() -> None:
    zone = f"""
        d.example. !secure MX 1 {HOST}
        {HOST} !secure
        {HOST} !secure A 192.0.2.1
        _25._tcp.{HOST} !servfail TLSA
    """
    found, resolver = await found_and_resolver(zone, "d.example")
    with pytest.raises(DnsFailure):
        await find_tlsa(resolver, found, found.hosts[0], 25)


async def test_the_port_is_in_the_name_and_literals_have_no_records() -> None:
    found, resolver = await found_and_resolver(EXAMPLE, "example.com")
    await find_tlsa(resolver, found, found.hosts[0], 2525)
    assert resolver.asked == [("_2525._tcp.mx10.example.com", "TLSA")]
    literal = await find_hosts(resolver, "[192.0.2.1]")
    assert await find_tlsa(resolver, literal, literal.hosts[0], 25) is None
