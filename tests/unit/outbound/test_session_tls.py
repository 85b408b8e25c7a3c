"""TLS with far servers: as strict as the policy asks, never less, and told once."""

import hashlib
import ssl
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from postino.core.ports import TlsaRecord
from postino.net.tls_client import TlsProblem
from postino.outbound.client.secure import TlsFailed
from postino.outbound.client.session import ClientSession
from postino.outbound.targeting.target import Host, HostTls, NotNow, Target, TlsLevel
from tests.support.certificates import Made, make
from tests.support.far_server import DEFAULT_EXTENSIONS, FarServer, Habits
from tests.unit.outbound.sessions import (
    ADDRESS,
    NOW,
    Authority,
    Place,
    authority,
    outgoing,
    place,
    server_context,
)

NAME = "mx.far.example"
NONE = HostTls(TlsLevel.NONE)
OPPORTUNISTIC = HostTls(TlsLevel.OPPORTUNISTIC)
REQUIRED = HostTls(TlsLevel.REQUIRED)


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def tls_of(tmp_path: Path, trusted: Authority) -> Callable[[str], ssl.SSLContext]:
    made: dict[str, tuple[Made, ...]] = {
        "good": (trusted.server(NAME),),
        "wildcard": (trusted.server("*.far.example"),),
        "wrong name": (trusted.server("other.example"),),
        "expired": (trusted.server(NAME, days=(-10, -1)),),
        "self-signed": (make(NAME, names=(NAME,), now=NOW),),
    }

    def context(kind: str) -> ssl.SSLContext:
        return server_context(tmp_path, *made[kind])

    return context


def verified(trusted: Authority, **more: Any) -> HostTls:
    return HostTls(TlsLevel.VERIFIED, authorities=str(trusted.file), names=(NAME,), **more)


async def opened(there: Place, tls: HostTls) -> str:
    """`verified`, `tls`, `clear`, or what went wrong; a message went through where it was opened."""
    try:
        session = await there.open(tls)
    except TlsFailed as error:
        failed = error
    else:
        return await _used(there, session, tls)
    assert failed.status == "4.7.5"
    assert failed.remote == f"{NAME} ({ADDRESS})"
    assert not there.far.messages
    return failed.problem.value


async def _used(there: Place, session: ClientSession, tls: HostTls) -> str:
    assert (await session.send(outgoing()))[0].code == 250
    assert bool(there.far.messages[-1].tls) == bool(session.tls.version)
    # What was said in the clear is said again inside (RFC 3207 §4.2).
    hellos = there.far.commands.count("EHLO mail.example.org")
    assert hellos >= (2 if session.tls.version and not tls.implicit else 1)
    await session.quit()
    if session.tls.is_verified:
        return "verified"
    return "tls" if session.tls.version else "clear"


@pytest.mark.parametrize(
    ("kind", "none", "opportunistic", "required", "proved"),
    [
        ("good", "clear", "tls", "tls", "verified"),
        ("wildcard", "clear", "tls", "tls", "verified"),
        ("wrong name", "clear", "tls", "tls", "certificate-host-mismatch"),
        ("expired", "clear", "tls", "tls", "certificate-expired"),
        ("self-signed", "clear", "tls", "tls", "certificate-not-trusted"),
        ("not offered", "clear", "clear", "starttls-not-supported", "starttls-not-supported"),
        ("refused", "clear", "clear", "starttls-not-supported", "starttls-not-supported"),
        ("nonsense", "clear", "clear", "validation-failure", "validation-failure"),
    ],
)
async def test_levels(
    kind: str,
    none: str,
    opportunistic: str,
    required: str,
    proved: str,
    tls_of: Callable[[str], ssl.SSLContext],
    trusted: Authority,
) -> None:
    odd: dict[str, dict[str, Any]] = {
        "not offered": {"tls": tls_of("good"), "offers_tls": False},
        "refused": {"tls": tls_of("good"), "replies": {"STARTTLS": "454 4.7.0 Not now"}},
        "nonsense": {"tls": tls_of("good"), "tls_breaks": True},
    }
    habits = Habits(**odd[kind]) if kind in odd else Habits(tls=tls_of(kind))
    for tls, expected in (
        (NONE, none),
        (OPPORTUNISTIC, opportunistic),
        (REQUIRED, required),
        (verified(trusted), proved),
    ):
        async with place(habits) as there:
            assert await opened(there, tls) == expected, tls.level
            if tls.level is TlsLevel.NONE:
                assert not there.told
                continue
            (told,) = there.told
            assert (told.domain, told.host, told.remote_address) == ("far.example", NAME, ADDRESS)
            assert told.hello == NAME
            if expected not in {"tls", "verified", "clear"}:
                assert told.failure == expected
            elif expected == "clear":
                assert told.failure in {"starttls-not-supported", "validation-failure"}
            else:
                assert told.failure == ""


async def test_after_a_handshake_that_failed_a_new_connection_goes_without(
    tls_of: Callable[[str], ssl.SSLContext],
) -> None:
    async with place(Habits(tls=tls_of("good"), tls_breaks=True)) as there:
        session = await there.open(OPPORTUNISTIC)
        assert there.far.connections == 2
        assert session.tls.version == ""
        assert session.tls.problem is TlsProblem.OTHER
        assert session.tls.detail


async def test_mta_sts_in_testing_counts_and_sends_all_the_same(
    tls_of: Callable[[str], ssl.SSLContext], trusted: Authority
) -> None:
    async with place(Habits(tls=tls_of("wrong name"))) as there:
        session = await there.open(verified(trusted, testing=True, policy="p"))
        # Not in the clear: TLS with anybody is still there to be had.
        assert session.tls.version
        assert not session.tls.is_verified
        assert session.tls.problem is TlsProblem.WRONG_HOST
        assert [(told.failure, told.policy) for told in there.told] == [("certificate-host-mismatch", "p")]


@pytest.mark.parametrize(
    ("names", "certified", "is_verified"),
    [
        (("mx.far.example",), "MX.far.example", True),
        (("*.far.example",), "mx.far.example", True),
        (("*.far.example",), "far.example", False),
        (("*.far.example",), "a.mx.far.example", False),
        (("a.example", "mx.far.example"), "mx.far.example", True),
        (("mx.far.example",), "*.example", False),
        (("mx.far.example",), "*.mx.far.example", False),
        (("bücher.example",), "xn--bcher-kva.example", True),
        ((), "mx.far.example", True),
        ((), "far.example", False),
    ],
)
async def test_names(
    names: tuple[str, ...], certified: str, is_verified: bool, trusted: Authority, tmp_path: Path
) -> None:
    context = server_context(tmp_path, trusted.server(certified))
    async with place(Habits(tls=context)) as there:
        outcome = await opened(there, replace(verified(trusted), names=names))
        assert outcome == ("verified" if is_verified else "certificate-host-mismatch")


@pytest.mark.parametrize(
    ("name", "is_verified"), [("192.0.2.25", True), ("2001:db8::25", True), ("192.0.2.26", False)]
)
async def test_a_smarthost_may_be_called_by_its_address(
    name: str, is_verified: bool, trusted: Authority, tmp_path: Path
) -> None:
    addresses = [x509.IPAddress(ip_address(one)) for one in ("192.0.2.25", "2001:db8::25")]
    named = ((x509.SubjectAlternativeName(addresses), False),)
    context = server_context(tmp_path, make("smarthost", trusted.root, extensions=named, now=NOW))
    async with place(Habits(tls=context)) as there:
        outcome = await opened(there, replace(verified(trusted), names=(name,)))
        assert outcome == ("verified" if is_verified else "certificate-host-mismatch")


async def test_a_common_name_is_no_name(trusted: Authority, tmp_path: Path) -> None:
    context = server_context(tmp_path, make(NAME, trusted.root, now=NOW))
    async with place(Habits(tls=context)) as there:
        assert await opened(there, verified(trusted)) == "certificate-host-mismatch"


async def test_authorities_that_cannot_be_read(
    trusted: Authority, tls_of: Callable[[str], ssl.SSLContext]
) -> None:
    async with place(Habits(tls=tls_of("good"))) as there:
        with pytest.raises(TlsFailed, match="cannot be read"):
            await there.open(replace(verified(trusted), authorities="/nonexistent.pem"))


# DANE


def tlsa(usage: int, made: Made) -> TlsaRecord:
    return TlsaRecord(usage, 1, 1, hashlib.sha256(made.spki).digest())


@pytest.mark.parametrize("kind", ["matches", "other key", "anchor", "anchor, other name", "anchor not shown"])
async def test_dane(kind: str, tmp_path: Path) -> None:
    root = make("Root", ca=True, now=NOW)
    leaf = make(NAME, root, names=("other.example" if "name" in kind else NAME,), now=NOW)
    chain = (root,) if kind != "anchor not shown" else ()
    records = {
        # RFC 7672 §3.1.1: neither names nor authorities matter.
        "matches": tlsa(3, leaf),
        "other key": tlsa(3, root),
        "anchor": tlsa(2, root),
        "anchor, other name": tlsa(2, root),
        "anchor not shown": tlsa(2, root),
    }
    expected = {
        "matches": "verified",
        "anchor": "verified",
        "anchor, other name": "certificate-host-mismatch",
    }.get(kind, "validation-failure")
    async with place(Habits(tls=server_context(tmp_path, leaf, *chain))) as there:
        tls = HostTls(TlsLevel.VERIFIED, tlsa=(records[kind],), names=(NAME,))
        assert await opened(there, tls) == expected


# What was said before TLS


async def test_what_is_said_behind_the_reply_to_starttls_ends_it(
    tls_of: Callable[[str], ssl.SSLContext],
) -> None:
    # RFC 3207 §4.2; the client's side of CVE-2021-38371 and its like.
    for before in (b"250 2.1.0 Taken\r\n", b"2"):
        async with place(Habits(tls=tls_of("good"), before_tls=before)) as there:
            with pytest.raises(TlsFailed, match="in the clear"):
                await there.open(REQUIRED)
            assert "MAIL" not in " ".join(there.far.commands)


async def test_what_was_offered_before_tls_counts_for_nothing(
    tls_of: Callable[[str], ssl.SSLContext],
) -> None:
    habits = Habits(
        tls=tls_of("good"), extensions=(*DEFAULT_EXTENSIONS, "REQUIRETLS"), extensions_in_tls=("SIZE 99",)
    )
    async with place(habits) as there:
        session = await there.open(REQUIRED)
        assert not session.extensions.pipelining
        assert not session.extensions.require_tls
        assert session.extensions.size == 99


async def test_implicit_tls(tls_of: Callable[[str], ssl.SSLContext], trusted: Authority) -> None:
    far = FarServer(Habits(tls=tls_of("good"), implicit_tls=True))
    async with far.listen(), place() as there:
        host = Host(NAME, far.port, verified(trusted, implicit=True), ("127.0.0.1",))
        target = Target("k", (host,), "mail.example.org")
        session = await ClientSession.open(host, target, there.settings, now=NOW)
        assert session.tls.is_verified
        assert (await session.send(outgoing()))[0].code == 250
        assert far.messages[0].tls
        assert far.commands[0] == "EHLO mail.example.org"
        await session.quit()
        plain = Host(NAME, far.port, replace(host.tls, implicit=False), ("127.0.0.1",))
        with pytest.raises(NotNow):
            await ClientSession.open(plain, target, type(there.settings)(reply_seconds=0.2), now=NOW)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (NAME, NAME),
        ("bücher.example", "xn--bcher-kva.example"),
        ("mx_1.example", "mx_1.example"),
        (ADDRESS, None),
        ("a..b", None),
        ("x" * 64 + ".example", None),
        ("a\0b", None),
        ("", None),
    ],
)
async def test_the_name_we_ask_for(
    name: str, said: str | None, tls_of: Callable[[str], ssl.SSLContext]
) -> None:
    context = tls_of("good")
    asked: list[str | None] = []
    context.sni_callback = lambda _tls, server_name, _context: asked.append(server_name)
    async with place(Habits(tls=context)) as there:
        host = Host(name, 25, REQUIRED, (ADDRESS,))
        target = Target("k", (host,), "mail.example.org")
        session = await ClientSession.open(host, target, there.settings, now=NOW, network=there.network)
        assert session.tls.version
        assert asked == [said]
        await session.quit()


@pytest.mark.parametrize(("level", "expected"), [(OPPORTUNISTIC, "tls"), (REQUIRED, "validation-failure")])
async def test_an_old_tls_is_better_than_none_and_not_what_is_required(
    level: HostTls, expected: str, tmp_path: Path
) -> None:
    context = server_context(tmp_path, make(NAME, now=NOW))
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with place(Habits(tls=context)) as there:
        assert await opened(there, level) == expected
