"""The rest of the world, from a seed: domains, their DNS and policies, their servers, and the weather over them."""

import asyncio
import hashlib
import ssl
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from postino.net.dns import records as types
from postino.net.https_client import HttpsAnswer, HttpsFailure, HttpsRequest
from tests.sim.network import FarHost, Network
from tests.support.certificates import Made, make
from tests.support.fake_dns import FakeResolver, Zone
from tests.support.far_server import FarServer, Habits

MOST_DOMAINS = 8
HOSTS_EACH = 3
_YEARS = (-400, 4000)
TEMPORARY = (
    "451 4.3.0 Not now",
    "450 4.2.1 Busy",
    "421 4.3.2 Going down",
    "452 4.5.3 Too many",
    "421 4.7.0 Too many connections",
    "451 4.7.1 Greylisted",
    "400 Hm",
)
PERMANENT = ("550 5.1.1 Nobody", "554 5.7.1 No", "552 5.2.2 Full", "550 No such user", "500 Odd")
OFFERS = (
    "PIPELINING",
    "8BITMIME",
    "SMTPUTF8",
    "CHUNKING",
    "DSN",
    "ENHANCEDSTATUSCODES",
    "BINARYMIME",
    "REQUIRETLS",
    "MT-PRIORITY",
    "DELIVERBY",
)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="postino-sim-tls-")


@cache
def root() -> Made:
    """Who vouches for the world's certificates."""
    return make("Root", ca=True, days=_YEARS)


@cache
def authorities() -> Path:
    """Its certificate, as a file."""
    path = Path(_folder().name) / "root.pem"
    path.write_bytes(root().pem)
    return path


@cache
def certificate(name: str) -> Made:
    """A good one for that host."""
    return make(name, root(), names=(name,), days=_YEARS)


@cache
def tls_context(name: str, quality: str) -> ssl.SSLContext:
    """How the host shows itself: `good`, or `wrong` (for another name), `expired`, `own` (vouched for by nobody)."""
    made = {
        "good": lambda: certificate(name),
        "wrong": lambda: make("other.example", root(), names=("other.example",), days=_YEARS),
        "expired": lambda: make(name, root(), names=(name,), days=(-900, -800)),
        "own": lambda: make(name, names=(name,), days=_YEARS),
    }[quality]()
    path = Path(_folder().name) / f"{name}-{quality}.pem"
    path.write_bytes(made.pem + made.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@dataclass(eq=False)
class Domain:
    """One of them, as it means to be."""

    name: str
    hosts: list[FarHost]
    policy: str
    """`plain`, `dane`, `enforce` or `testing` (MTA-STS)."""
    policy_id: int = 1
    weather: str = "fair"


@dataclass(eq=False)
class Place:
    """What else is known of a host than the network sees."""

    host: FarHost
    fair: Habits
    """On a good day."""
    tls: str
    """The quality of its certificate on a good day; empty for no TLS."""
    shown: str = ""
    """The quality it shows now; empty for no TLS."""


class World:
    """All domains and hosts. `resolver` is how our processes ask for them."""

    def __init__(self, seed: str, network: Network, slowness: float) -> None:
        self._chance = Random(f"{seed}/places")
        self._weather = Random(f"{seed}/weather")
        self._dns = Random(f"{seed}/dns")
        self.network = network
        self.domains: list[Domain] = []
        self.places: dict[str, Place] = {}
        """By host name."""
        self.zone = Zone()
        self.resolver = FakeResolver(self.zone, wait=self._answer_time)
        self._slowness = slowness
        self._broken: list[tuple[str, int]] = []
        for number in range(self._chance.randint(3, MOST_DOMAINS)):
            self._found(number)

    # The beginning

    def _found(self, number: int) -> None:
        chance = self._chance
        name = f"d{number}.example"
        policy = chance.choice(("plain", "plain", "plain", "dane", "enforce", "testing"))
        hosts = []
        for at in range(1, chance.randint(1, HOSTS_EACH) + 1):
            host_name = f"mx{at}.{name}"
            last = 10 * number + at
            addresses = [f"203.0.113.{last}"]
            if chance.random() < 0.3:
                addresses.append(f"2001:db8::{last:x}")
            good = policy != "plain" or chance.random() < 0.4
            tls = "good" if good else chance.choice(("", "", "wrong", "expired", "own"))
            place = Place(FarHost(host_name, tuple(addresses), FarServer()), Habits(), tls)
            place.fair = self._habits(place)
            place.host.serves.add(name)
            place.host.server.habits = self._with_tls(place, place.fair, tls)
            self.places[host_name] = place
            self.network.add(place.host)
            hosts.append(place.host)
        domain = Domain(name, hosts, policy)
        self.domains.append(domain)
        self.publish(domain)

    def _habits(self, place: Place) -> Habits:
        """A host on a good day."""
        chance = self._chance
        offers = [word for word in OFFERS if chance.random() < (0.7 if word in OFFERS[:6] else 0.35)]
        if chance.random() < 0.5:
            offers.append(f"SIZE {chance.choice((2_000, 100_000, 10_485_760))}")
        if chance.random() < 0.2:
            offers.append(f"LIMITS MAILMAX={chance.randint(1, 3)} RCPTMAX={chance.randint(1, 100)}")
        return Habits(
            hostname=place.host.name,
            extensions=tuple(offers),
            knows_ehlo=chance.random() < 0.95,
            replies={"RCPT": _nobodies},
            greylist=chance.choice((0, 0, 0, 1, 2)),
            most_messages=chance.choice((0, 0, 0, 2)),
            most_recipients=chance.choice((0, 0, 0, 1, 3)),
            closes_after_message=chance.random() < 0.1,
            slow_seconds=self._slowness * chance.choice((0.0, 0.02, 0.02, 0.2, 0.2, 1.5)),
        )

    def _with_tls(self, place: Place, habits: Habits, quality: str) -> Habits:
        place.shown = "" if quality == "breaks" else quality
        if quality == "breaks":
            # It agrees to TLS, and then talks nonsense.
            return replace(habits, tls=tls_context(place.host.name, "good"), tls_breaks=True)
        return replace(habits, tls=tls_context(place.host.name, quality) if quality else None)

    def publish(self, domain: Domain) -> None:
        """The domain's DNS as it means to have it."""
        zone, name = self.zone, domain.name
        mark = "!secure " if domain.policy == "dane" else ""
        zone.remove(name)
        zone.remove(f"_mta-sts.{name}")
        listed = domain.hosts[: self._chance.randint(1, len(domain.hosts))]
        lines = [f"{name}. {mark}MX {self._chance.choice((10, 10, 20))} {host.name}." for host in listed]
        if mark:
            lines.append(f"{name}. !secure")
        for host in domain.hosts:
            zone.remove(host.name)
            zone.remove(f"_25._tcp.{host.name}")
            if mark:
                lines.append(f"{host.name}. !secure")
                spki = hashlib.sha256(certificate(host.name).spki).hexdigest()
                lines.append(f"_25._tcp.{host.name}. !secure TLSA 3 1 1 {spki}")
            for address in host.addresses:
                kind = "AAAA" if ":" in address else "A"
                lines.append(f"{host.name}. {mark}{kind} {address}")
        if domain.policy in ("enforce", "testing"):
            lines.append(f'_mta-sts.{name}. TXT "v=STSv1; id={domain.policy_id};"')
        zone.add("\n".join(lines))
        domain.weather = "fair"

    # Policies

    async def fetch(self, request: HttpsRequest) -> HttpsAnswer:
        """The web servers of MTA-STS policies."""
        name = request.url.removeprefix("https://mta-sts.").partition("/")[0]
        await asyncio.sleep(self._dns.uniform(0.05, 2.0))
        domain = next(one for one in self.domains if one.name == name)
        if self._dns.random() < 0.2:
            raise HttpsFailure("The policy host is down")
        patterns = "".join(f"mx: {host.name}\n" for host in domain.hosts)
        age = 3 * 86_400
        text = f"version: STSv1\nmode: {domain.policy}\n{patterns}max_age: {age}\n"
        return HttpsAnswer(200, "text/plain", text.encode())

    # Weather

    def _answer_time(self, name: str, kind: str) -> Any:
        if self.zone.failure(name, types.kind_of(kind)) == "timeout":
            return asyncio.sleep(self._dns.uniform(3.0, 12.0))
        if self._dns.random() < 0.3:
            return asyncio.sleep(self._dns.uniform(0.001, 0.4))
        return None

    def change_weather(self) -> str:
        """Something changes somewhere; says what."""
        chance = self._weather
        domain = chance.choice(self.domains)
        match chance.choice(("host", "host", "host", "host", "tls", "dns", "dns", "fair", "fair")):
            case "host":
                return self._change_host(self.places[chance.choice(domain.hosts).name])
            case "tls":
                place = self.places[chance.choice(domain.hosts).name]
                quality = chance.choice(("", "wrong", "expired", "own", "breaks", place.tls, place.tls))
                place.host.server.habits = self._with_tls(place, place.host.server.habits, quality)
                return f"{place.host.name} tls {quality}"
            case "dns":
                return self._change_dns(domain)
            case _:
                return self.clear_up(domain)

    def _change_host(self, place: Place) -> str:
        chance, host = self._weather, place.host
        kind = chance.random()
        if kind < 0.25:
            host.state = chance.choice(("refuses", "silent"))
            if chance.random() < 0.7:
                self.network.cut(host)
            return f"{host.name} {host.state}"
        host.state = "up"
        fair = self._with_tls(place, place.fair, place.tls)
        if kind < 0.45:
            host.server.habits = fair
            return f"{host.name} fair"
        host.server.habits = self._bad_day(fair, host)
        return f"{host.name} bad day"

    def _bad_day(self, fair: Habits, host: FarHost) -> Habits:
        chance = self._weather
        stage = chance.choice(("CONNECT", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "BODY", "END", "TAKEN"))
        match chance.choice(
            ("say", "say", "say", "say", "drop", "reset", "stall", "slow", "lines", "crowd", "never")
        ):
            case "say":
                share = chance.choice((0.1, 0.3, 1.0))
                own = Random(chance.random())
                replies = {
                    one: _now_and_then(one, share, own)
                    for one in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "END")
                }
                return replace(fair, replies=replies)
            case "drop":
                return replace(fair, drop_at=stage)
            case "reset":
                return replace(fair, reset_at=stage)
            case "stall":
                return replace(fair, stall_at=stage)
            case "slow":
                return replace(fair, slow_seconds=chance.choice((5.0, 20.0, 70.0)))
            case "lines":
                where = chance.choice(("CONNECT", "EHLO", "MAIL", "END"))
                code = b"220" if where == "CONNECT" else chance.choice((b"250", b"451"))
                many = b"".join(code + b"-%d\r\n" % number for number in range(3000)) + code + b" Done\r\n"
                return replace(fair, replies={"RCPT": _nobodies, where: many})
            case "crowd":
                most = chance.randint(1, 2)

                def greet(_: str) -> str | None:
                    full = self.network.links_to(host) > most
                    return "421 4.7.0 Too many connections from you" if full else None

                return replace(fair, replies={"RCPT": _nobodies, "CONNECT": greet})
            case _:
                return replace(
                    fair, replies={"RCPT": chance.choice(PERMANENT), "END": chance.choice(PERMANENT)}
                )

    def _change_dns(self, domain: Domain) -> str:
        chance, zone = self._weather, self.zone
        how = chance.choice(("!timeout", "!servfail"))
        what = chance.choice(("mx", "mx", "addresses", "tlsa", "txt", "lame", "moves", "gone", "null"))
        host = chance.choice(domain.hosts).name
        match what:
            case "mx":
                zone.add(f"{domain.name}. {how} MX")
            case "addresses":
                zone.add(f"{host}. {how}")
            case "tlsa":
                zone.add(f"_25._tcp.{host}. {how}")
            case "txt":
                zone.add(f"_mta-sts.{domain.name}. {how}")
            case "lame":
                mark = "!secure " if domain.policy == "dane" else ""
                lame = chance.choice(("nowhere.example.", "203.0.113.1.", "private.example."))
                zone.add(f"{domain.name}. {mark}MX 5 {lame}\nprivate.example. A 10.0.0.1")
            case "moves":
                self._weather.shuffle(domain.hosts)
                domain.policy_id += 1
                self.publish(domain)
                return f"{domain.name} moves"
            case "gone" if chance.random() < 0.3:
                zone.remove(domain.name)
            case "null" if chance.random() < 0.3:
                zone.remove(domain.name)
                mark = "!secure " if domain.policy == "dane" else ""
                zone.add(f"{domain.name}. {mark}MX 0 .")
            case _:
                return "nothing"
        domain.weather = what
        return f"{domain.name} dns {what} {how}"

    def clear_up(self, domain: Domain) -> str:
        """All is well with a domain again."""
        self.publish(domain)
        for host in domain.hosts:
            place = self.places[host.name]
            host.state = "up"
            host.server.habits = self._with_tls(place, place.fair, place.tls)
        return f"{domain.name} fair"


def _nobodies(path: str) -> str | None:
    return "550 5.1.1 There is nobody of that name" if path.startswith("nobody") else None


def _now_and_then(stage: str, share: float, chance: Random) -> Any:
    def say(argument: str) -> str | None:
        if chance.random() >= share:
            return _nobodies(argument) if stage == "RCPT" else None
        if chance.random() < 0.15:
            return chance.choice(PERMANENT)
        return chance.choice(TEMPORARY)

    return say
