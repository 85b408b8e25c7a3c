"""Which way a message takes, and what is said of ways that cannot be."""

from pathlib import Path

import pytest

from postino.core.errors import SettingsError
from postino.outbound.settings import OutboundSettings, RouteSettings
from postino.outbound.targeting.routes import (
    Destination,
    Routes,
    check_override,
    check_routes,
    read_password_file,
)
from postino.outbound.targeting.target import TlsLevel


def routes(*tables: RouteSettings) -> Routes:
    return Routes(OutboundSettings(routes=tables), lambda file: f"secret of {file}")


def route(**given: object) -> RouteSettings:
    return RouteSettings(**given)  # type: ignore[arg-type]


def test_without_routes_everything_goes_by_mx() -> None:
    assert routes().destination("ann@example.org", "example.net") == Destination(
        "example.net", None, "example.net"
    )


@pytest.mark.parametrize(
    ("table", "key", "port", "level"),
    [
        (route(host="smtp.example.net"), "smtp.example.net:25", 25, TlsLevel.OPPORTUNISTIC),
        (route(host="SMTP.Example.NET:2525", tls="none"), "smtp.example.net:2525 tls=none", 2525, TlsLevel.NONE),
        (route(host="smtp.example.net", tls="implicit"), "smtp.example.net:465 tls=implicit", 465, TlsLevel.VERIFIED),
        (route(host="smtp.example.net", tls="verified", login="ann", password_file="p"), "ann@smtp.example.net:587 tls=verified", 587, TlsLevel.VERIFIED),
        (route(host="192.0.2.1"), "192.0.2.1:25", 25, TlsLevel.OPPORTUNISTIC),
        (route(host="[2001:db8::1]:26"), "[2001:db8::1]:26", 26, TlsLevel.OPPORTUNISTIC),
        (route(host="2001:DB8::1"), "[2001:db8::1]:25", 25, TlsLevel.OPPORTUNISTIC),
        (route(host="[2001:db8::1]"), "[2001:db8::1]:25", 25, TlsLevel.OPPORTUNISTIC),
        (route(host="lmtp.example.net:24", protocol="lmtp"), "lmtp.example.net:24 lmtp", 24, TlsLevel.OPPORTUNISTIC),
        (route(host="h.example", source_addresses=("192.0.2.9",)), "h.example:25 from 192.0.2.9", 25, TlsLevel.OPPORTUNISTIC),
        (route(host="localhost:1587", tls="none", login="ann", password_file="p"), "ann@localhost:1587 tls=none", 1587, TlsLevel.NONE),
    ],
)  # fmt: skip
def test_what_a_route_says(table: RouteSettings, key: str, port: int, level: TlsLevel) -> None:
    found = routes(table).destination("ann@example.org", "example.net")
    assert found.route is not None
    assert (found.key, found.route.port, found.route.tls.level) == (key, port, level)
    assert found.domain == "example.net"
    assert found.route.password == ("secret of p" if table.login else "")
    assert found.route.tls.names == ((found.route.host,) if level is TlsLevel.VERIFIED else ())


def test_a_unix_socket_is_never_asked_for_tls() -> None:
    found = routes(route(host="unix:/run/lmtp.sock", protocol="lmtp")).destination("", "example.net")
    assert found.key == "unix:/run/lmtp.sock"
    assert found.route is not None
    assert (found.route.unix_path, found.route.is_lmtp, found.route.tls.level) == (
        "/run/lmtp.sock", True, TlsLevel.NONE,
    )  # fmt: skip


def test_the_first_route_that_fits_is_taken() -> None:
    found = routes(
        route(host="a.example", domains=("example.net",), senders=("ann@example.org",)),
        route(host="b.example", domains=(".example.net", "MÜNCHEN.example")),
        route(host="c.example", senders=("example.org", ".sub.example")),
        route(host="d.example", senders=("<>",)),
        route(domains=("direct.example",), tls="verified"),
        route(host="e.example"),
    )
    cases = {
        ("ann@example.org", "example.net"): "a.example:25",
        ("Ann@EXAMPLE.org", "example.net"): "a.example:25",
        ("bob@example.org", "example.net"): "b.example:25",
        ("ann@example.org", "x.example.net"): "b.example:25",
        ("ann@other.example", "notexample.net"): "e.example:25",
        ("ann@other.example", "münchen.example"): "b.example:25",
        ("bob@example.org", "elsewhere.example"): "c.example:25",
        ("bob@x.sub.example", "elsewhere.example"): "c.example:25",
        ("bob@sub.example", "elsewhere.example"): "c.example:25",
        ("", "elsewhere.example"): "d.example:25",
        ("x@y.example", "direct.example"): "direct.example tls=verified",
        ("x@y.example", "elsewhere.example"): "e.example:25",
        ("x@y.example", "[192.0.2.1]"): "e.example:25",
    }
    assert {case: found.destination(*case).key for case in cases} == cases
    # Asked again, from memory.
    assert {case: found.destination(*case).key for case in cases} == cases


def test_a_route_without_a_host_goes_by_mx_with_its_own_tls_and_source() -> None:
    found = routes(route(tls="verified", source_addresses=("192.0.2.9", "2001:db8::9")))
    destination = found.destination("ann@example.org", "example.net")
    assert destination.route is not None
    assert destination.route.is_by_mx
    assert destination.key == "example.net tls=verified from 192.0.2.9,2001:db8::9"


@pytest.mark.parametrize(
    ("boss", "others"),
    [
        ({"tls": "required"}, {}),
        ({"tls": "verified"}, {"tls": "required"}),
        ({"tls": "verified", "authorities": "/a.pem"}, {"tls": "verified"}),
        ({"tls": "verified", "authorities": "/a.pem"}, {"tls": "verified", "authorities": "/b.pem"}),
        ({"tls": "verified"}, {"tls": "implicit"}),
        ({}, {"tls": "none"}),
    ],
)
@pytest.mark.parametrize("host", ["smtp.example.net:1025", ""])
def test_a_route_that_asks_for_more_shares_no_connection(
    boss: dict[str, str], others: dict[str, str], host: str
) -> None:
    if not host and ("authorities" in {*boss, *others} or "implicit" in others.values()):
        return
    found = routes(route(host=host, senders=("boss@example.org",), **boss), route(host=host, **others))
    one, other = (found.destination(f"{who}@example.org", "example.net").key for who in ("boss", "ann"))
    assert one != other


def test_what_the_operator_sets_for_a_domain_goes_first_and_can_be_taken_back() -> None:
    found = routes(route(host="smart.example"))
    assert found.destination("", "example.net").key == "smart.example:25"
    found.set_overrides({"example.net": "backup.example:26", "direct.example": ""})
    assert found.destination("", "example.net").key == "backup.example:26"
    assert found.destination("", "direct.example") == Destination("direct.example", None, "direct.example")
    assert found.destination("", "other.example").key == "smart.example:25"
    found.set_overrides({})
    assert found.destination("", "example.net").key == "smart.example:25"


@pytest.mark.parametrize(
    ("table", "key", "sentence"),
    [
        (route(host="smtp.example.net:x"), "host", "'x' is not a port"),
        (route(host="smtp.example.net:0"), "host", "'0' is not a port"),
        (route(host="smtp.example.net:65536"), "host", "'65536' is not a port"),
        (route(host="not a host"), "host", "'not a host' is not a server"),
        (route(host="2001:db8::1:x"), "host", "'x' is not a port"),
        (route(host="unix:"), "host", "a path is missing"),
        (route(host="unix:/x", tls="verified"), "tls", "a Unix socket needs no TLS"),
        (route(host="unix:/x", login="a", password_file="b"), "login", "it means nothing for a Unix socket"),
        (route(host="h.example", protocol="lmtp"), "host", "LMTP has no port of its own"),
        (route(host="h.example:25", protocol="lmtp"), "host", "LMTP must not be spoken on port 25"),
        (route(host="h.example", login="ann"), "password_file", "it is missing; login is given"),
        (route(host="h.example", password_file="f"), "login", "it is missing; password_file is given"),
        (route(host="h.example", login="ann", password_file="f"), "tls", "a password must not travel in the clear"),
        (route(host="h.example", authorities="ca.pem"), "authorities", "they are asked only where tls is verified"),
        (route(protocol="lmtp"), "protocol", "mail exchangers do not speak lmtp"),
        (route(tls="implicit"), "tls", "mail exchangers do not speak implicit"),
        (route(login="ann", password_file="f"), "login", "without a host it means nothing"),
        (route(authorities="ca.pem", tls="verified"), "authorities", "without a host it means nothing"),
        (route(host="h.example", domains=("a b",)), "domains", "'a b' is not a domain name"),
        (route(host="h.example", senders=("@example.org",)), "senders", "'@example.org' is not an address"),
        (route(host="h.example", senders=("",)), "senders", "'' is not a domain name"),
        (route(host="h.example", source_addresses=("mail",)), "source_addresses", "'mail' is not an IP address"),
    ],
)  # fmt: skip
def test_a_route_that_cannot_be_is_named(table: RouteSettings, key: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_routes(OutboundSettings(routes=(route(host="fine.example"), table)))
    start = f"outbound.routes.{key}, in [[outbound.routes]] number 2: {sentence}"
    assert str(caught.value).startswith(start)


def test_an_override_is_checked_like_a_route() -> None:
    check_override("backup.example:26")
    check_override("")
    with pytest.raises(SettingsError, match="'x' is not a port"):
        check_override("backup.example:x")


def test_passwords_are_read_when_routes_are_made() -> None:
    def refuse(file: str) -> str:
        raise SettingsError(f"{file} is not there")

    settings = OutboundSettings(
        routes=(route(host="h.example", login="a", password_file="f", tls="verified"),)
    )
    with pytest.raises(SettingsError, match=r"outbound\.routes\.password_file, .* number 1: f is not there"):
        Routes(settings, refuse)


def test_a_password_file_holds_one_line(tmp_path: Path) -> None:
    file = tmp_path / "password"
    for content in (b"s3cret", b"s3cret\n", b"s3cret\r\n"):
        file.write_bytes(content)
        assert read_password_file(file) == "s3cret"
    file.write_bytes(b" blank ends stay \n")
    assert read_password_file(file) == " blank ends stay "
    for content in (b"", b"\n", b"a\nb\n", b"a\0b", b"x" * 5000):
        file.write_bytes(content)
        with pytest.raises(SettingsError, match="must hold one line"):
            read_password_file(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="is not UTF-8"):
        read_password_file(file)
    file.unlink()
    with pytest.raises(SettingsError, match=r"cannot be read .*; make it"):
        read_password_file(file)
