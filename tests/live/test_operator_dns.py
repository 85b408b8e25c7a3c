"""The web service with real clients, and `postino dns` with a DNS on loopback."""

import asyncio
import getpass
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dns.zone
import pytest

from postino.mailauth.mta_sts import Mode, parse_policy
from postino.net.https_client import HttpsAnswer, HttpsFailure, HttpsRequest, ask_https
from postino.net.self_signed import make_self_signed
from tests.support.fake_dns import dns_on_loopback
from tests.support.live_server import LiveServer, free_ports

POLICY_HOST = "mta-sts.example.org"
REQUEST = (
    "<Autodiscover><Request><EMailAddress>ann@example.org</EMailAddress><AcceptableResponseSchema>"
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
    "</AcceptableResponseSchema></Request></Autodiscover>"
)


class WebServer:
    """A server whose web service has a certificate for the names of example.org."""

    def __init__(self, directory: Path) -> None:
        (self.port,) = free_ports(1)
        self.authorities = directory / "web.pem"
        make_self_signed(
            [POLICY_HOST, "autoconfig.example.org", "autodiscover.example.org"],
            self.authorities,
            directory / "web-key.pem",
        )
        settings = (
            f'https = ["127.0.0.1:{self.port}"]\n[web]\nmta_sts = "enforce"\nmta_sts_seconds = "14 days"\n'
            f'[[tls.more]]\ncertificate = "{self.authorities}"\nkey = "{directory / "web-key.pem"}"\n'
        )
        self.live = LiveServer(
            directory / "server", accounts={"ann@example.org": "secret"}, settings=settings
        )

    async def ask(self, host: str, path: str) -> HttpsAnswer:
        """Ask as a sending server does."""

        async def lookup(name: str) -> list[str]:
            assert name == host
            return ["127.0.0.1"]

        request = HttpsRequest(f"https://{host}:{self.port}{path}")
        return await ask_https(request, authorities=str(self.authorities), lookup=lookup)

    def curl(self, *arguments: str) -> str:
        hosts = [POLICY_HOST, "autoconfig.example.org", "autodiscover.example.org"]
        resolve = [word for host in hosts for word in ("--resolve", f"{host}:{self.port}:127.0.0.1")]
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "20", "--cacert", str(self.authorities), *resolve, *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    server = WebServer(tmp_path_factory.mktemp("web"))
    with server.live:
        yield server
        server.live.verify()


async def test_our_own_fetcher_takes_our_own_policy(web: WebServer) -> None:
    answer = await web.ask(POLICY_HOST, "/.well-known/mta-sts.txt")
    assert (answer.status, answer.content_type) == (200, "text/plain")
    policy = parse_policy(answer.body)
    assert (policy.mode, policy.mx, policy.max_age) == (Mode.ENFORCE, ("localhost",), 14 * 86_400)
    # A name the certificate is not for is not believed, and one of no domain of ours gets nothing.
    with pytest.raises(HttpsFailure) as caught:
        await web.ask("mta-sts.example.net", "/.well-known/mta-sts.txt")
    assert caught.value.is_certificate


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_gets_every_page(web: WebServer) -> None:
    base = f"https://{POLICY_HOST}:{web.port}"
    url = f"{base}/.well-known/mta-sts.txt"
    # Two over one connection, and the header alone.
    assert web.curl(url, url).count("mode: enforce\n") == 2
    assert "content-type: text/plain" in web.curl("-I", url).lower()
    assert web.curl("-o", "/dev/null", "-w", "%{http_code}", f"{base}/") == "404"
    assert web.curl("-o", "/dev/null", "-w", "%{http_code}", "--path-as-is", f"{base}/../etc/passwd") == "404"
    assert web.curl("-X", "DELETE", "-o", "/dev/null", "-w", "%{http_code}", url) == "501"
    setup = f"https://autoconfig.example.org:{web.port}/mail/config-v1.1.xml?emailaddress=ann@example.org"
    # Everything listens on loopback, so nothing is offered to others.
    assert "<domain>example.org</domain>" in web.curl(setup)
    found = web.curl(
        f"https://autodiscover.example.org:{web.port}/autodiscover/autodiscover.xml", "-d", REQUEST
    )
    assert "<Action>settings</Action>" in found


def test_what_was_asked_for_is_logged_and_counted(web: WebServer) -> None:
    asyncio.run(web.ask(POLICY_HOST, "/.well-known/mta-sts.txt"))
    web.live.wait_for_log('"event":"web.request"')
    page = subprocess.run(
        ["curl", "-s", f"http://127.0.0.1:{web.live.ports['metrics']}/metrics"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    assert 'postino_commands_total{command="mta-sts",protocol="https"}' in page


def test_dns_is_printed_published_and_found(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "postino", *arguments, "--data", str(tmp_path / "data")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert run("init", "example.org", "--generate", "--user", getpass.getuser()).returncode == 0
    file = tmp_path / "data" / "postino.toml"
    printed = run("dns", "example.org")
    assert (printed.returncode, printed.stderr) == (0, "")
    read = dns.zone.from_text(printed.stdout, origin=".", relativize=False, check_origin=False)
    zone = "\n".join(f"{name} {data.rdtype.name} {data.to_text()}" for name, _, data in read.iterate_rdatas())
    zone += "\nmail.example.org. A 45.33.32.156\n156.32.33.45.in-addr.arpa. PTR mail.example.org.\n"
    with dns_on_loopback(zone) as server:
        text = file.read_text()
        assert "[outbound]\n" in text
        file.write_text(text.replace("[outbound]\n", f'[outbound]\nresolvers = ["{server.setting}"]\n'))
        found = run("dns", "--check", "--dns-only", "--json", "example.org")
        assert found.stderr == ""
        findings = json.loads(found.stdout)
        bad = [finding for finding in findings if finding["level"] in {"problem", "warning", "unknown"}]
        assert (bad, found.returncode) == ([], 0)
        assert "dkim" in {finding["topic"] for finding in findings if finding["level"] == "ok"}
        assert {"domain", "level", "topic", "name", "sentence"} == set(findings[0])
        server.zone.remove("_dmarc.example.org")
        found = run("dns", "--check", "--dns-only", "--quiet")
        assert found.returncode == 2
        assert "problem\t_dmarc.example.org\tThere is no DMARC record; publish TXT" in found.stdout
        assert "\nok\t" not in found.stdout
    found = run("dns", "--check", "--dns-only", "--json")
    assert {finding["level"] for finding in json.loads(found.stdout)} >= {"unknown"}


def test_dns_says_what_is_wrong(tmp_path: Path) -> None:
    with LiveServer(tmp_path, accounts={"ann@example.org": "secret"}) as live:
        refused = live.cli("dns", "example.net", ok=False)
        assert refused.returncode == 1
        assert "There is no domain example.net" in refused.stderr
        assert live.cli("dns", "--json", ok=False).returncode == 2
