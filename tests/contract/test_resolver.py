"""What every Resolver must keep: the real one over a server on loopback, and the scripted one of the tests."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from postino.core.errors import DnsFailure
from postino.core.ports import MxRecord, TlsaRecord
from postino.net.dns.resolver import DnsResolver
from postino.net.dns.servers import ServerList
from tests.support.fake_dns import FakeResolver, dns_server

ZONE = """
example.net.            300 MX   20 mx2.example.net.
example.net.            300 MX   10 mx1.example.net.
mx1.example.net.        A        192.0.2.1
mx1.example.net.        A        192.0.2.2
mx1.example.net.        AAAA     2001:db8::1
mx2.example.net.        A        192.0.2.3
null.example.           MX       0 .
alias.example.          CNAME    one.example.
one.example.            CNAME    example.net.
text.example.           TXT      "v=STSv1; " "id=1;"
secure.example.         !secure MX 10 mx.secure.example.
mx.secure.example.      !secure A 192.0.2.9
mx.secure.example.      !secure
_25._tcp.mx.secure.example. !secure TLSA 3 1 1 0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef
half.example.           !secure A 192.0.2.7
into.example.           !secure CNAME mx1.example.net.
servfail.example.       !servfail
nofamily.example.       !servfail A
onefamily.example.      !servfail A
onefamily.example.      AAAA 2001:db8::7
1.2.0.192.in-addr.arpa. PTR Mx1.Example.NET.
xn--bcher-kva.example.  A 192.0.2.8
srv.example.            SRV 0 5 993 imap.example.
loop.example.           CNAME pool.example.
pool.example.           CNAME loop.example.
"""


@pytest.fixture(params=["real", "fake"])
async def resolver(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    if request.param == "fake":
        yield FakeResolver(ZONE)
        return
    async with dns_server(ZONE) as server:
        real = DnsResolver(ServerList((server.setting,)))
        yield real
        real.close()


async def test_mail_exchangers_come_by_preference(resolver: Any) -> None:
    answer = await resolver.mx("Example.NET")
    assert answer.records == (MxRecord(10, "mx1.example.net"), MxRecord(20, "mx2.example.net"))
    assert answer.name_exists
    assert not answer.secure
    assert answer.canonical_name == ""


async def test_the_null_mx_is_a_host_without_a_name(resolver: Any) -> None:
    assert (await resolver.mx("null.example")).records == (MxRecord(0, ""),)


async def test_addresses_of_both_families_take_turns(resolver: Any) -> None:
    answer = await resolver.addresses("mx1.example.net")
    assert answer.records[0] == "2001:db8::1"
    assert sorted(answer.records[1:]) == ["192.0.2.1", "192.0.2.2"]


async def test_one_family_that_fails_is_left_out(resolver: Any) -> None:
    assert (await resolver.addresses("onefamily.example")).records == ("2001:db8::7",)


async def test_no_address_in_one_family_and_no_answer_in_the_other_is_no_answer(resolver: Any) -> None:
    with pytest.raises(DnsFailure):
        await resolver.addresses("nofamily.example")


async def test_a_name_that_is_not_there(resolver: Any) -> None:
    for answer in (await resolver.mx("no.such.name"), await resolver.addresses("no.such.name")):
        assert not answer.name_exists
        assert answer.records == ()


@pytest.mark.parametrize(
    "name", ["a..example", "x" * 64 + ".example", "." * 3, "y." * 130 + "example", "a\\b", ""]
)
async def test_a_name_that_cannot_be_is_not_there(resolver: Any, name: str) -> None:
    answer = await resolver.mx(name)
    assert answer.records == ()


async def test_a_name_without_such_records(resolver: Any) -> None:
    answer = await resolver.txt("example.net")
    assert (answer.records, answer.name_exists) == ((), True)


async def test_cnames_are_followed_and_told(resolver: Any) -> None:
    answer = await resolver.mx("alias.example")
    assert [record.host for record in answer.records] == ["mx1.example.net", "mx2.example.net"]
    assert answer.canonical_name == "example.net"


async def test_cnames_in_a_circle_are_a_failure(resolver: Any) -> None:
    with pytest.raises(DnsFailure):
        await resolver.mx("loop.example")


async def test_strings_of_a_txt_record_are_joined(resolver: Any) -> None:
    assert (await resolver.txt("text.example")).records == ("v=STSv1; id=1;",)


async def test_what_was_validated_is_secure(resolver: Any) -> None:
    assert (await resolver.mx("secure.example")).secure
    addresses = await resolver.addresses("mx.secure.example")
    assert (addresses.records, addresses.secure) == (("192.0.2.9",), True)
    tlsa = await resolver.tlsa("_25._tcp.mx.secure.example")
    data = bytes.fromhex("0123456789abcdef" * 4)
    assert (tlsa.records, tlsa.secure) == ((TlsaRecord(3, 1, 1, data),), True)


async def test_addresses_of_which_one_family_was_not_validated_are_not_secure(resolver: Any) -> None:
    assert not (await resolver.addresses("half.example")).secure


async def test_a_validated_alias_of_something_else_is_not_secure(resolver: Any) -> None:
    assert not (await resolver.addresses("into.example")).secure
    alias = await resolver.records("into.example", "CNAME")
    assert (alias.records, alias.secure) == (("mx1.example.net.",), True)


async def test_servfail_is_a_failure(resolver: Any) -> None:
    with pytest.raises(DnsFailure):
        await resolver.mx("servfail.example")


async def test_names_of_an_address(resolver: Any) -> None:
    assert (await resolver.names("192.0.2.1")).records == ("mx1.example.net",)
    assert not (await resolver.names("192.0.2.77")).name_exists


async def test_u_labels_are_asked_for_as_a_labels(resolver: Any) -> None:
    assert (await resolver.addresses("Bücher.example")).records == ("192.0.2.8",)


async def test_any_type_as_text(resolver: Any) -> None:
    assert (await resolver.records("srv.example", "SRV")).records == ("0 5 993 imap.example.",)
    assert (await resolver.records("mx2.example.net", "A")).records == ("192.0.2.3",)
    with pytest.raises(ValueError, match="NOSUCH"):
        await resolver.records("example.net", "NOSUCH")
