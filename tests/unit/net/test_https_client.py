"""The HTTPS client against web servers on loopback, some of which misbehave."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from postino.core.errors import DnsFailure
from postino.net.https_client import HttpsFailure, HttpsRequest, ask_https
from tests.support.certificates import Made, make

ROOT = make("Root", ca=True, days=(-1, 3650), now=1_700_000_000)


def site(*names: str, days: tuple[int, int] = (-1, 3650)) -> Made:
    return make(names[0], ROOT, names=names, days=days, now=1_700_000_000)


GOOD = site("web.example", "*.wild.example")
OLD = site("web.example", days=(-20, -10))
OTHER = site("other.example")
BY_COMMON_NAME = make("web.example", ROOT, days=(-1, 3650), now=1_700_000_000)
SELF_SIGNED = make("web.example", names=("web.example",), days=(-1, 3650), now=1_700_000_000)


@pytest.fixture
def authorities(tmp_path: Path) -> str:
    path = tmp_path / "root.pem"
    path.write_bytes(ROOT.pem)
    return str(path)


@asynccontextmanager
async def web_server(
    answer: bytes, *, shown: Made = GOOD, path: Path, ends: bool = True
) -> AsyncIterator[Any]:
    """Answers `answer` to every request; gives (port, the requests)."""
    (path / "web.pem").write_bytes(shown.pem + shown.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path / "web.pem")
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        asked.append(head + await reader.readexactly(length))
        writer.write(answer)
        if ends:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()


def at(*addresses: str) -> Callable[[str], Awaitable[Sequence[str]]]:
    async def lookup(host: str) -> Sequence[str]:
        return addresses

    return lookup


async def ask(port: int, authorities: str, host: str = "web.example", **more: Any) -> Any:
    more.setdefault("lookup", at("127.0.0.1"))
    more.setdefault("timeout_seconds", 5)
    most = more.pop("most_octets", 1000)
    return await ask_https(
        HttpsRequest(f"https://{host}:{port}/x?y=1", most_octets=most), authorities=authorities, **more
    )


OK = b"HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello"


async def test_a_document(tmp_path: Path, authorities: str) -> None:
    async with web_server(OK, path=tmp_path) as (port, asked):
        answer = await ask(port, authorities)
    assert (answer.status, answer.content_type, answer.body) == (200, "text/plain", b"hello")
    assert asked[0].startswith(b"GET /x?y=1 HTTP/1.1\r\n")
    assert f"\r\nHost: web.example:{port}\r\n".lower().encode() in asked[0].lower()


async def test_a_post(tmp_path: Path, authorities: str) -> None:
    async with web_server(b"HTTP/1.1 201 Created\r\n\r\n", path=tmp_path) as (port, asked):
        request = HttpsRequest(f"https://web.example:{port}/", "POST", b"the body", "application/tlsrpt+gzip")
        answer = await ask_https(request, authorities=authorities, lookup=at("127.0.0.1"))
    assert answer.status == 201
    assert asked[0].endswith(b"\r\n\r\nthe body")
    assert b"application/tlsrpt+gzip" in asked[0]


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK,
    ],
)
async def test_every_way_of_ending_a_body(tmp_path: Path, authorities: str, octets: bytes) -> None:
    async with web_server(octets, path=tmp_path) as (port, _):
        assert (await ask(port, authorities)).body == b"hello"


@pytest.mark.parametrize(
    ("octets", "is_whole"),
    [
        (OK, True),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", False),
    ],
)
async def test_who_cuts_the_connection_makes_no_other_answer(
    tmp_path: Path, authorities: str, octets: bytes, is_whole: bool
) -> None:
    (tmp_path / "web.pem").write_bytes(GOOD.pem + GOOD.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "web.pem")

    def serve(listening: socket.socket) -> None:
        link, _ = listening.accept()
        with context.wrap_socket(link, server_side=True) as inside:
            inside.recv(10_000)
            inside.sendall(octets)
            # Without the close_notify that would say that this is all.
            socket.socket(fileno=inside.detach()).close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(asyncio.to_thread(serve, listening))
        port = listening.getsockname()[1]
        if is_whole:
            assert (await ask(port, authorities)).body == b"hello"
        else:
            with pytest.raises(HttpsFailure, match=r"whole|without"):
                await ask(port, authorities)
        await serving


async def test_a_redirect_is_an_answer_like_others(tmp_path: Path, authorities: str) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n"
    async with web_server(moved, path=tmp_path) as (port, asked):
        assert (await ask(port, authorities)).status == 302
    assert len(asked) == 1


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)
async def test_what_is_no_answer(tmp_path: Path, authorities: str, octets: bytes) -> None:
    async with web_server(octets, path=tmp_path) as (port, _):
        with pytest.raises(HttpsFailure, match=r"web\.example"):
            await ask(port, authorities)


async def test_too_large_and_too_slow(tmp_path: Path, authorities: str) -> None:
    large = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001
    async with web_server(large, path=tmp_path) as (port, _):
        with pytest.raises(HttpsFailure, match="more than 1000"):
            await ask(port, authorities)
        assert len((await ask(port, authorities, most_octets=1001)).body) == 1001
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 15_000
    for endless in (b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000, chunks):
        async with web_server(endless, path=tmp_path) as (port, _):
            with pytest.raises(HttpsFailure, match="more than 20000"):
                await ask(port, authorities, most_octets=20_000)
    async with web_server(b"HTTP/1.1 200 OK\r\nContent-Le", path=tmp_path, ends=False) as (port, _):
        with pytest.raises(HttpsFailure, match="too slowly"):
            await ask(port, authorities, timeout_seconds=0.1)


@pytest.mark.parametrize("shown", [OLD, OTHER, SELF_SIGNED, BY_COMMON_NAME])
async def test_a_server_that_cannot_prove_who_it_is(tmp_path: Path, authorities: str, shown: Made) -> None:
    async with web_server(OK, path=tmp_path, shown=shown) as (port, asked):
        with pytest.raises(HttpsFailure) as refused:
            await ask(port, authorities)
    assert refused.value.is_certificate
    assert asked == []


async def test_a_wildcard_is_one_label(tmp_path: Path, authorities: str) -> None:
    async with web_server(OK, path=tmp_path) as (port, _):
        assert (await ask(port, authorities, "a.wild.example")).status == 200
        with pytest.raises(HttpsFailure):
            await ask(port, authorities, "a.b.wild.example")


async def test_the_next_address_is_tried(tmp_path: Path, authorities: str) -> None:
    async with web_server(OK, path=tmp_path) as (port, _):
        assert (await ask(port, authorities, lookup=at("127.0.0.9", "127.0.0.1"))).status == 200
        with pytest.raises(HttpsFailure, match="no address"):
            await ask(port, authorities, lookup=at())


async def test_a_dns_failure_is_a_failure(authorities: str) -> None:
    async def lookup(host: str) -> Sequence[str]:
        raise DnsFailure("no answer")

    with pytest.raises(HttpsFailure, match="no answer"):
        await ask(1, authorities, lookup=lookup)


@pytest.mark.parametrize(
    "url",
    [
        "http://web.example/",
        "https://",
        "https://[::",
        "https://u:p@web.example/",
        "https://web.example:99999/",
        "x",
    ],
)
async def test_urls_that_are_not_asked(url: str) -> None:
    with pytest.raises(HttpsFailure):
        await ask_https(HttpsRequest(url), lookup=at("127.0.0.1"), timeout_seconds=1)
