"""From a domain to a session that has proved its server, over real DNS and TLS on loopback."""

import hashlib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from postino.core.ids import Instant
from postino.net.https_client import HttpsAnswer, HttpsRequest
from postino.outbound.client.secure import TlsFailed
from postino.outbound.client.session import ClientSession
from postino.outbound.client.tls_outcome import TlsOutcome
from postino.outbound.settings import OutboundSettings
from postino.outbound.targeting.finding import Targeting
from postino.outbound.targeting.hosts import Ourselves
from postino.outbound.targeting.routes import Destination
from postino.outbound.targeting.target import NotNow
from postino.store.store import open_store
from tests.support.certificates import Made, make
from tests.support.fake_dns import DnsServer, dns_server
from tests.support.far_server import FarServer, Habits
from tests.support.memory_network import FixedClock, RecordingLog

NOW = int(time.time())
ROOT = make("Root", ca=True, now=NOW)
GOOD = make("mx.d.example", ROOT, names=("mx.d.example",), now=NOW)
OTHER = make("other.example", ROOT, names=("other.example",), now=NOW)
EXPIRED = make("mx.d.example", ROOT, names=("mx.d.example",), days=(-9, -2), now=NOW)

SECURE = """
d.example.      !secure MX 10 mx.d.example.
mx.d.example.   !secure
mx.d.example.   !secure A 127.0.0.1
"""
PLAIN = "d.example. MX 10 mx.d.example.\nmx.d.example. A 127.0.0.1\n"


def ee(made: Made) -> str:
    return f"3 1 1 {hashlib.sha256(made.spki).hexdigest()}"


def ta(made: Made) -> str:
    return f"2 0 1 {hashlib.sha256(made.der).hexdigest()}"


@dataclass
class There:
    dns: DnsServer
    far: FarServer
    targeting: Targeting
    settings: OutboundSettings
    noted: list[TlsOutcome]

    async def outcome(self) -> str:
        """`verified`, `encrypted` or `clear`; or why not."""
        try:
            target = await self.targeting.targets.find(Destination("d.example", None, "d.example"))
            session = await ClientSession.open(
                target.hosts[0], target, self.settings, now=Instant(NOW), note=self.noted.append
            )
        except TlsFailed as failed:
            return failed.problem.value
        except NotNow as failed:
            return failed.status
        await session.quit()
        return "verified" if session.tls.is_verified else "encrypted" if session.tls.version else "clear"


Open = Callable[..., AbstractAsyncContextManager[There]]


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Open]:
    store = open_store(tmp_path / "data", first=True)

    @asynccontextmanager
    async def world(zone: str, *shown: Made, tlsa: str = "", policy: str = "") -> AsyncIterator[There]:
        context = None
        if shown:
            chain = tmp_path / "far.pem"
            chain.write_bytes(b"".join(made.pem for made in shown) + shown[0].key_pem)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(chain)
        far = FarServer(Habits(tls=context))

        async def fetch(request: HttpsRequest) -> HttpsAnswer:
            return HttpsAnswer(200, "text/plain", policy.encode())

        async with dns_server(zone) as dns, far.listen():
            settings = OutboundSettings(resolvers=(dns.setting,), port=far.port, private_addresses=True)
            log: Any = RecordingLog()
            targeting = Targeting(
                settings,
                store,
                clock=FixedClock(NOW),
                log=log,
                hostname="mail.us.example",
                ourselves=Ourselves(),
                submitter=lambda: None,
            )
            targeting._sts._fetch = fetch
            if tlsa:
                dns.zone.add(f"_{far.port}._tcp.mx.d.example. {tlsa}")
            if policy:
                dns.zone.add('_mta-sts.d.example. TXT "v=STSv1; id=1;"')
            yield There(dns, far, targeting, settings, [])
            await targeting.close()

    yield world
    await store.close()


DANE = {
    "usage 3": (SECURE, (GOOD,), f"!secure TLSA {ee(GOOD)}", "verified"),
    "usage 3, expired and for another name": (SECURE, (EXPIRED,), f"!secure TLSA {ee(EXPIRED)}", "verified"),
    "usage 3, another key": (SECURE, (GOOD,), f"!secure TLSA {ee(OTHER)}", "validation-failure"),
    "usage 2": (SECURE, (GOOD, ROOT), f"!secure TLSA {ta(ROOT)}", "verified"),
    "usage 2, the anchor not shown": (SECURE, (GOOD,), f"!secure TLSA {ta(ROOT)}", "validation-failure"),
    "usage 2, another name": (SECURE, (OTHER, ROOT), f"!secure TLSA {ta(ROOT)}", "certificate-host-mismatch"),
    "usage 2, expired": (SECURE, (EXPIRED, ROOT), f"!secure TLSA {ta(ROOT)}", "certificate-expired"),
    "no TLS there": (SECURE, (), f"!secure TLSA {ee(GOOD)}", "starttls-not-supported"),
    "unusable records, no TLS there": (SECURE, (), f"!secure TLSA 1{ee(GOOD)[1:]}", "starttls-not-supported"),
    "unusable records": (SECURE, (OTHER,), f"!secure TLSA 1{ee(GOOD)[1:]}", "encrypted"),
    "the lookup fails": (SECURE, (GOOD,), "!servfail TLSA", "4.7.5"),
    "records not validated": (SECURE, (GOOD,), f"TLSA {ee(OTHER)}", "encrypted"),
    "nothing validated": (PLAIN, (GOOD,), f"TLSA {ee(OTHER)}", "encrypted"),
    "nothing at all": (PLAIN, (), "", "clear"),
}


@pytest.mark.parametrize("case", DANE)
async def test_dane(there: Open, case: str) -> None:
    zone, shown, tlsa, expected = DANE[case]
    async with there(zone, *shown, tlsa=tlsa) as way:
        assert await way.outcome() == expected


async def test_a_resolver_that_does_not_validate_gives_no_dane(there: Open) -> None:
    async with there(SECURE, GOOD, tlsa=f"!secure TLSA {ee(OTHER)}") as way:
        way.dns.validates = False
        assert await way.outcome() == "encrypted"


POLICY = "version: STSv1\nmode: {}\nmx: mx.d.example\nmax_age: 86400\n"
STS = {
    "enforced": ("enforce", (GOOD,), "verified", [""]),
    "enforced, another name": (
        "enforce",
        (OTHER,),
        "certificate-host-mismatch",
        ["certificate-host-mismatch"],
    ),
    "enforced, expired": ("enforce", (EXPIRED,), "certificate-expired", ["certificate-expired"]),
    "enforced, no TLS": ("enforce", (), "starttls-not-supported", ["starttls-not-supported"]),
    "tested": ("testing", (GOOD,), "verified", [""]),
    "tested, another name": ("testing", (OTHER,), "encrypted", ["certificate-host-mismatch"]),
    "tested, no TLS": ("testing", (), "clear", ["starttls-not-supported"]),
    "none": ("none", (OTHER,), "encrypted", [""]),
}


@pytest.mark.parametrize("case", STS)
async def test_mta_sts(there: Open, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mode, shown, expected, noted = STS[case]
    authorities = tmp_path / "root.pem"
    authorities.write_bytes(ROOT.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(authorities))
    async with there(PLAIN, *shown, policy=POLICY.format(mode)) as way:
        assert await way.outcome() == expected
        assert [outcome.failure for outcome in way.noted] == noted
        assert [outcome.domain for outcome in way.noted] == ["d.example"]
