"""The web service: our policy, mail programs' settings, and nothing else, whatever is asked."""

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postino.mailauth.mta_sts import parse_policy
from postino.servers.web import session as web
from postino.servers.web.offer import MailService, Offer, Security
from postino.servers.web.pages import Request, answer
from tests.support.memory_network import MemoryClient
from tests.support.world import open_world

OFFER = Offer(
    "mail.example.org",
    (
        MailService("imaps", "imap", 993, Security.TLS),
        MailService("imap", "imap", 143, Security.STARTTLS),
        MailService("submissions", "smtp", 465, Security.TLS),
    ),
    sts_mode="enforce",
    sts_mx=("mail.example.org", "*.example.net"),
)
OUTLOOK = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
ASKED = (
    '<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/'
    'autodiscover/outlook/requestschema/2006"><Request><EMailAddress>{address}</EMailAddress>'
    f"<AcceptableResponseSchema>{OUTLOOK}</AcceptableResponseSchema></Request></Autodiscover>"
)


def ours(domain: str) -> bool:
    return domain in {"example.org", "bücher.example"}


def get(host: str, path: str, query: str = "", method: str = "GET", body: bytes = b"") -> Any:
    return answer(Request(method, host, path, query, body), OFFER, ours)


# Pages


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("mta-sts.example.org", 200),
        ("mta-sts.xn--bcher-kva.example", 200),
        ("example.org", 404),
        ("mta-sts.example.net", 404),
        ("mta-sts.", 404),
        ("mta-sts", 404),
        ("", 404),
    ],
)
def test_the_policy_is_served_for_domains_of_ours(host: str, status: int) -> None:
    page = get(host, "/.well-known/mta-sts.txt")
    assert page.status == status
    if status == 200:
        policy = parse_policy(page.body)
        assert (policy.mode.value, policy.max_age) == ("enforce", 604_800)
        assert policy.mx == ("mail.example.org", "*.example.net")
        assert page.content_type == "text/plain; charset=utf-8"


def test_the_id_changes_with_the_policy_alone() -> None:
    assert len(OFFER.policy_id) == 20
    assert Offer("mail.example.org").policy_id != OFFER.policy_id
    assert Offer("a.example", (), "none").policy == b"version: STSv1\r\nmode: none\r\nmax_age: 604800\r\n"
    assert Offer("a.example", (), "none").policy_id == Offer("b.example", (), "none").policy_id


@pytest.mark.parametrize(
    ("host", "path", "query", "status"),
    [
        ("autoconfig.example.org", "/mail/config-v1.1.xml", "emailaddress=ann%40example.org", 200),
        ("autoconfig.example.org", "/mail/config-v1.1.xml", "", 200),
        ("example.org", "/.well-known/autoconfig/mail/config-v1.1.xml", "", 200),
        ("mail.example.org", "/mail/config-v1.1.xml", "emailaddress=ann@example.org", 200),
        ("mail.example.org", "/mail/config-v1.1.xml", "", 404),
        ("autoconfig.example.net", "/mail/config-v1.1.xml", "emailaddress=ann@example.net", 404),
        ("autoconfig.example.org", "/mail/config-v1.1.xml", "&".join(f"a{n}=1" for n in range(99)), 400),
        ("autoconfig.example.org", "/mail/", "", 404),
        ("autoconfig.example.org", "/../etc/passwd", "", 404),
        ("autoconfig.example.org", "*", "", 404),
    ],
)
def test_thunderbird_finds_its_settings(host: str, path: str, query: str, status: int) -> None:
    page = get(host, path, query)
    assert page.status == status
    if status == 200:
        provider = ET.fromstring(page.body).find("emailProvider")
        assert provider is not None
        assert provider.get("id") == "example.org"
        found = [
            (
                server.tag,
                server.get("type"),
                *(server.findtext(tag) for tag in ("hostname", "port", "socketType")),
            )
            for server in provider
            if server.get("type")
        ]
        assert found == [
            ("incomingServer", "imap", "mail.example.org", "993", "SSL"),
            ("incomingServer", "imap", "mail.example.org", "143", "STARTTLS"),
            ("outgoingServer", "smtp", "mail.example.org", "465", "SSL"),
        ]


def test_outlook_finds_its_settings_whatever_the_case_of_the_path() -> None:
    body = ASKED.format(address="ann@example.org").encode()
    page = get("autodiscover.example.org", "/Autodiscover/Autodiscover.xml", method="POST", body=body)
    assert page.status == 200
    space = {"o": OUTLOOK}
    protocols = ET.fromstring(page.body).findall(".//o:Protocol", space)
    assert [
        [protocol.findtext(f"o:{tag}", "", space) for tag in ("Type", "Server", "Port", "LoginName", "SSL")]
        for protocol in protocols
    ] == [
        ["IMAP", "mail.example.org", "993", "ann@example.org", "on"],
        ["SMTP", "mail.example.org", "465", "ann@example.org", "on"],
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        ASKED.format(address="ann@example.net").encode(),
        ASKED.format(address="nobody").encode(),
        ASKED.format(address="ann@example.org").replace("outlook/response", "mobilesync/response").encode(),
        b'<!DOCTYPE a [<!ENTITY b "ann@example.org">]><EMailAddress>&b;</EMailAddress>',
        b"\xff\xfe<EMailAddress>\xff@\xff</EMailAddress>",
    ],
)
def test_outlook_is_told_when_there_is_nothing_for_it(body: bytes) -> None:
    page = get("autodiscover.example.org", "/autodiscover/autodiscover.xml", method="POST", body=body)
    assert page.status == 200
    assert b"<ErrorCode>600</ErrorCode>" in page.body
    ET.fromstring(page.body)


def test_an_address_cannot_break_the_answer() -> None:
    body = ASKED.format(address="a'b]]\"@example.org").encode()
    page = get("example.org", "/autodiscover/autodiscover.xml", method="POST", body=body)
    ET.fromstring(page.body)


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        ("/.well-known/mta-sts.txt", "POST", "GET, HEAD"),
        ("/mail/config-v1.1.xml", "POST", "GET, HEAD"),
        ("/autodiscover/autodiscover.xml", "GET", "POST"),
    ],
)
def test_other_methods_are_refused_with_those_there_are(path: str, method: str, allowed: str) -> None:
    page = get("mta-sts.example.org", path, method=method)
    assert (page.status, page.headers) == (405, (("Allow", allowed),))


# The connection


@asynccontextmanager
async def client(tmp_path: Path) -> AsyncIterator[tuple[MemoryClient, Any]]:
    async with open_world(tmp_path) as world:
        world.context.offer = OFFER
        async with MemoryClient(lambda connection: web.serve_web(world.context, connection), tls=True) as one:
            yield one, world


async def read_to_end(one: MemoryClient) -> bytes:
    """Everything until the server closes."""
    await asyncio.wait_for(asyncio.shield(one.task), 5)
    return one.take()


def read(octets: bytes, *methods: str) -> list[tuple[int, dict[str, str], bytes]]:
    """The answers to requests with these methods, as h11's client reads them."""
    exchange = h11.Connection(h11.CLIENT)
    exchange.receive_data(octets)
    exchange.receive_data(b"")
    found = []
    for method in methods:
        exchange.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        exchange.send(h11.EndOfMessage())
        head, body = exchange.next_event(), b""
        assert isinstance(head, h11.Response)
        while isinstance(event := exchange.next_event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage)
        headers = {name.decode(): value.decode() for name, value in head.headers}
        found.append((head.status_code, headers, body))
        if exchange.our_state is h11.DONE:
            exchange.start_next_cycle()
    return found


GET = b"%b /.well-known/mta-sts.txt HTTP/1.1\r\nHost: MTA-STS.Example.org:443\r\n%b\r\n"


async def test_a_connection_serves_several_requests(tmp_path: Path) -> None:
    async with client(tmp_path) as (one, world):
        one.send(GET % (b"GET", b"") + GET % (b"HEAD", b"") + GET % (b"GET", b"Connection: close\r\n"))
        octets = await read_to_end(one)
    first, second, third = read(octets, "GET", "HEAD", "GET")
    assert (first[0], first[2]) == (200, OFFER.policy)
    assert (second[0], second[2], second[1]["content-length"]) == (200, b"", str(len(OFFER.policy)))
    assert third[1]["connection"] == "close"
    assert first[1]["x-content-type-options"] == "nosniff"
    events = [event for event in world.log.events if event.event == "web.request"]
    assert len(events) == 3


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 9000, 431),
        (b"GET /" + b"a" * 2048 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20_000, 413),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"4000\r\n" + b"x" * 16384 + b"\r\n4000\r\n" + b"x" * 16384 + b"\r\n0\r\n\r\n", 413),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 404),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said_and_ends_the_connection(
    tmp_path: Path, octets: bytes, status: int
) -> None:
    async with client(tmp_path) as (one, _):
        one.send(octets)
        answered = await read_to_end(one)
    assert answered.startswith(b"HTTP/1.1 %d " % status), answered
    assert answered.count(b"HTTP/1.1 ") == 1


async def test_who_waits_for_100_is_told_to_go_on(tmp_path: Path) -> None:
    async with client(tmp_path) as (one, _):
        body = ASKED.format(address="ann@example.org").encode()
        one.send(
            b"POST /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        await asyncio.sleep(0)
        assert await one.quiet() == b"HTTP/1.1 100 Continue\r\n\r\n"
        one.send(body)
        assert b"<LoginName>ann@example.org</LoginName>" in await read_to_end(one)


async def test_a_slow_request_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "REQUEST_SECONDS", 0.01)
    async with client(tmp_path) as (one, _):
        one.send(b"GET / HTTP/1.1\r\n")
        assert (await read_to_end(one)).startswith(b"HTTP/1.1 408 ")


async def test_an_idle_connection_is_closed_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "IDLE_SECONDS", 0.01)
    async with client(tmp_path) as (one, _):
        assert await read_to_end(one) == b""


async def test_a_connection_serves_only_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "MOST_REQUESTS", 2)
    async with client(tmp_path) as (one, _):
        one.send(GET % (b"GET", b"") * 3)
        assert (await read_to_end(one)).count(b"HTTP/1.1 200 ") == 2


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["GET", "HEAD", "POST"]),
    st.text(max_size=40),
    st.sampled_from(["/.well-known/mta-sts.txt", "/mail/config-v1.1.xml", "/autodiscover/autodiscover.xml"]),
    st.text(max_size=60),
    st.binary(max_size=200),
)
def test_any_request_gets_an_answer(method: str, host: str, path: str, query: str, body: bytes) -> None:
    page = get(host, path, query, method, body)
    assert page.status in {200, 400, 404, 405}
