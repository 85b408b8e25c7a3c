"""Counting, adding workers up, and the page."""

import asyncio
from pathlib import Path

import pytest

from postino.app.metrics_page import metrics_page, own_counts, socket_path
from postino.core.limits import Limits
from postino.net.listener import Listeners, Service
from postino.net.sockets import ListenAddress, bind
from postino.servers.metrics import MOST_LABEL_SETS, Metrics, merge, render_page


def busy() -> Metrics:
    metrics = Metrics()
    metrics.connection_opened("imap")
    metrics.connection_opened("imap")
    metrics.connection_closed("imap")
    metrics.login("imap", ok=True)
    metrics.login("imap", ok=False)
    metrics.command("imap", "FETCH")
    metrics.message_accepted(5000, 3)
    metrics.message_accepted(100_000_000, 1)
    metrics.message_refused("no-such-user")
    return metrics


def test_the_page_adds_workers_up() -> None:
    page = render_page(merge([busy().snapshot(), busy().snapshot()])).decode()
    for line in (
        'postino_connections_total{protocol="imap"} 4.0',
        'postino_sessions{protocol="imap"} 2.0',
        'postino_logins_total{protocol="imap",result="failed"} 2.0',
        'postino_commands_total{command="FETCH",protocol="imap"} 2.0',
        "postino_messages_accepted_total 4.0",
        "postino_message_recipients_total 8.0",
        'postino_messages_refused_total{reason="no-such-user"} 2.0',
        "postino_workers 2.0",
        'postino_message_size_octets_bucket{le="4096"} 0.0',
        'postino_message_size_octets_bucket{le="16384"} 2.0',
        'postino_message_size_octets_bucket{le="+Inf"} 4.0',
    ):
        assert line in page.splitlines(), line


def test_an_idle_server_shows_its_counters_at_zero() -> None:
    assert "postino_messages_accepted_total 0.0" in render_page(merge([Metrics().snapshot()])).decode()


def test_label_sets_are_bounded() -> None:
    metrics = Metrics()
    for number in range(MOST_LABEL_SETS * 2):
        metrics.message_refused(f"invented-{number}")
    assert len(metrics.counters) == MOST_LABEL_SETS


class Silent:
    def refused(self, service: str, address: str, reason: str) -> None: ...
    def handshake_failed(self, service: str, address: str, reason: str) -> None: ...
    def session_broken(self, service: str, address: str, error: BaseException) -> None:
        raise error

    def accept_paused(self, service: str, reason: str) -> None: ...


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(-1), 5)
    writer.close()
    return answer


@pytest.mark.parametrize("deep", [False, True])
async def test_one_worker_shows_the_page_for_all(tmp_path: Path, deep: bool) -> None:
    run = tmp_path / ("d" * 120) if deep else tmp_path
    run.mkdir(exist_ok=True)
    listeners = Listeners(limits=Limits, tls_context=lambda: None, log=Silent())
    other = bind(ListenAddress("", 0, socket_path(run, 1)))[0][0]
    listeners.listen(other, Service("counts", own_counts(busy())))
    page = bind(ListenAddress("127.0.0.1", 0))[0][0]
    port = page.getsockname()[1]
    # Three workers, of which number 2 does not answer.
    listeners.listen(page, Service("metrics", metrics_page(busy(), run, 0, 3)))
    answer = await ask(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"postino_workers 2.0\n" in body
    assert b'postino_connections_total{protocol="imap"} 4.0\n' in body
    assert (await ask(port, b"GET /other HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 404 ")
    assert (await ask(port, b"POST /metrics HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 405 ")
    assert (await ask(port, b"HEAD /metrics HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")
    assert (await ask(port, b"x" * 20_000)).startswith(b"HTTP/1.1 405 ")
    await listeners.close(0.1)
