"""What scripts are told of server, client and local time in a real delivery (RFC 5183 §4.1, 5260 §4.1)."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from postino import __version__
from postino.delivery.filters.environment import client_items, host_items, local_minutes
from postino.smtp.received import Arrival
from tests.support.scripted import scripted, send

ITEMS = (
    "domain", "host", "location", "name", "phase", "remote-host", "remote-ip", "version", "vnd.postino.direction",
    "vnd.acme.unknown",
)  # fmt: skip
TELLING = 'require ["environment", "variables", "editheader", "fileinto"];' + "".join(
    f'if environment :matches "{item}" "*" {{ addheader "X-Item" "{item}=${{1}}"; }}' for item in ITEMS
)
MESSAGE = b"From: ann@example.org\r\nTo: sue@far.example\r\nSubject: x\r\n\r\nWords.\r\n"


def told(octets: bytes) -> dict[str, str]:
    found = re.findall(rb"^X-Item: ([^=\r]+)=([^\r]*)\r$", octets, re.MULTILINE)
    return {name.decode(): value.decode() for name, value in found}


async def test_mail_that_comes_in(tmp_path: Path) -> None:
    async with scripted(tmp_path) as place, place.client("smtp") as client:
        await place.script(TELLING)
        assert (await send(client, MESSAGE)).startswith("250")
        ((octets, _, _),) = place.mail("INBOX")
        host = place.world.context.hostname
        items = told(octets)
        assert items.pop("remote-ip").count(".") == 3
        assert items == {
            "domain": host.partition(".")[2],
            "host": host,
            "location": "MTA",
            "name": "Postino",
            "phase": "during",
            "remote-host": "client.example",
            "version": __version__,
            "vnd.postino.direction": "incoming",
        }


async def test_mail_that_goes_out(tmp_path: Path) -> None:
    """It is before final delivery."""
    async with scripted(tmp_path) as place:
        script = (
            'require ["environment", "fileinto"]; if allof(environment "vnd.postino.direction" "outgoing",'
            ' environment "phase" "pre", environment "location" "MTA") { fileinto "Archive"; }'
        )
        await place.script(script, name="outgoing")
        async with place.client("submission") as client:
            await send(client, MESSAGE, "sue@far.example", sender="ann@example.org")
        assert len(place.mail("Archive")) == 1


@pytest.mark.parametrize(
    ("hello", "address", "items"),
    [
        ("mx.far.example", "192.0.2.1", {"remote-host": "mx.far.example", "remote-ip": "192.0.2.1"}),
        ("[192.0.2.1]", "192.0.2.1", {"remote-host": "", "remote-ip": "192.0.2.1"}),
        ("mx.far.example", "2001:db8::1", {"remote-host": "mx.far.example", "remote-ip": "IPv6:2001:db8::1"}),
        ("mx", "fe80::1%eth0", {"remote-host": "mx", "remote-ip": "IPv6:fe80::1"}),
        ("not a host", "192.0.2.1", {"remote-host": "", "remote-ip": "192.0.2.1"}),
        ("mx.example.org", "", {"remote-host": ""}),
    ],
)
def test_section_4_1_the_client(hello: str, address: str, items: dict[str, str]) -> None:
    """Addresses stand as in SMTP's literals; a name only where the client said one."""
    assert client_items(Arrival(hello, address, "ESMTP")) == items


@pytest.mark.parametrize(("host", "domain"), [("mx.example.org", "example.org"), ("localhost", "localhost")])
def test_section_4_1_the_server(host: str, domain: str) -> None:
    items = host_items(host)
    assert (items["host"], items["domain"]) == (host, domain)


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "EST5EDT,M3.2.0,M11.1.0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("new_york")
@pytest.mark.parametrize(
    ("seconds", "minutes"), [(1_767_225_600.0, -300), (1_782_864_000.0, -240), (1e20, 0), (-1e20, 0)]
)
def test_local_time_has_seasons(seconds: float, minutes: int) -> None:
    """January and July; what no clock can show is UTC."""
    assert local_minutes(seconds) == minutes
