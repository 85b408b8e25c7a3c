"""Every way to log in, and COMPRESS, on a real server over real TLS, in all three protocols."""

import base64
import imaplib
import json
import poplib
import smtplib
import ssl
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client_certificates import ClientAuthority
from tests.support.live_server import LiveServer
from tests.support.scram_client import ScramClient
from tests.support.tokens import published, token

ANN = "ann@example.org"
SETTINGS = """
[tls]
client_authorities = "{authority}"

[oauth]
issuer = "https://login.example.org"
keys = "{keys}"
audience = ["mail.example.org"]
scopes = ["mail"]
"""


class Place:
    """The server, and who vouches for clients."""

    def __init__(self, server: LiveServer, authority: ClientAuthority, strangers: ClientAuthority) -> None:
        self.server = server
        self.authority = authority
        self.strangers = strangers

    def context(self, certificate: Path | None = None) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(self.server.cafile))
        if certificate is not None:
            made.load_cert_chain(certificate)
        return made

    def imap(self, certificate: Path | None = None) -> imaplib.IMAP4_SSL:
        port = self.server.ports["imaps"]
        return imaplib.IMAP4_SSL("localhost", port, ssl_context=self.context(certificate), timeout=10)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("logins")
    keys = directory / "keys.json"
    keys.write_text(json.dumps(published()))
    authority, strangers = ClientAuthority(directory), ClientAuthority(directory, "strangers")
    settings = SETTINGS.format(authority=authority.file, keys=keys)
    with LiveServer(directory, accounts={ANN: "secret"}, settings=settings) as server:
        yield Place(server, authority, strangers)


def now_token(**claims: Any) -> str:
    now = int(time.time())
    return token(iat=now, exp=now + 600, **claims) if "exp" not in claims else token(iat=now, **claims)


def bearer(text: str) -> bytes:
    return f"n,a={ANN},\x01host=localhost\x01port=993\x01auth=Bearer {text}\x01\x01".encode()


def initially(message: bytes) -> Callable[[bytes], bytes]:
    """Answers the empty challenge with `message`, what comes after it with ^A."""
    left = [message]
    return lambda _: left.pop() if left else b"\x01"


def test_the_mechanisms_are_the_same_in_all_protocols(place: Place) -> None:
    wanted = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN"]
    with place.imap() as imap:
        found = [name.removeprefix("AUTH=") for name in imap.capabilities if name.startswith("AUTH=")]
        assert found == wanted
    pop = poplib.POP3_SSL("localhost", place.server.ports["pop3s"], context=place.context(), timeout=10)
    assert pop.capa()["SASL"] == wanted
    pop.quit()
    with smtplib.SMTP_SSL(
        "localhost", place.server.ports["submissions"], context=place.context(), timeout=10
    ) as smtp:
        smtp.ehlo()
        assert smtp.esmtp_features["auth"].split() == wanted


def test_a_token_over_imap(place: Place) -> None:
    with place.imap() as imap:
        assert imap.authenticate("OAUTHBEARER", initially(bearer(now_token())))[0] == "OK"
    with place.imap() as imap:
        message = f"user={ANN}\x01auth=Bearer {now_token()}\x01\x01".encode()
        assert imap.authenticate("XOAUTH2", initially(message))[0] == "OK"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"exp": 1_000_000_000}, "EXPIRED"),
        ({"email": "bob@example.org"}, "AUTHORIZATIONFAILED"),
        ({"aud": "x"}, "AUTHENTICATIONFAILED"),
    ],
)
def test_a_bad_token_has_its_code(place: Place, claims: dict[str, Any], code: str) -> None:
    imap = place.imap()
    with pytest.raises(imaplib.IMAP4.error, match=rf"\[{code}\]"):
        imap.authenticate("OAUTHBEARER", initially(bearer(now_token(**claims))))
    imap.shutdown()


def test_a_token_over_pop3_and_submission(place: Place) -> None:
    pop = poplib.POP3_SSL("localhost", place.server.ports["pop3s"], context=place.context(), timeout=10)
    encoded = base64.b64encode(bearer(now_token()).replace(b"host=localhost\x01port=993\x01", b"")).decode()
    pop._putcmd("AUTH OAUTHBEARER")  # type: ignore[attr-defined]
    assert pop._getresp() == b"+ "  # type: ignore[attr-defined]
    assert pop._shortcmd(encoded).startswith(b"+OK")  # type: ignore[attr-defined]
    pop.quit()
    with smtplib.SMTP("localhost", place.server.ports["submission"], timeout=10) as smtp:
        smtp.starttls(context=place.context())
        smtp.ehlo()
        assert smtp.docmd("AUTH", f"OAUTHBEARER {encoded}")[0] == 235
    with smtplib.SMTP("localhost", place.server.ports["submission"], timeout=10) as smtp:
        smtp.starttls(context=place.context())
        smtp.ehlo()
        refused = base64.b64encode(bearer("bad")).decode()
        code, told = smtp.docmd("AUTH", f"OAUTHBEARER {refused}")
        assert code == 334
        assert json.loads(base64.b64decode(told)) == {
            "status": "invalid_token",
            "scope": "mail",
            "openid-configuration": "https://login.example.org/.well-known/openid-configuration",
        }
        assert smtp.docmd("AQ==")[0] == 535


def test_a_client_certificate_is_offered_external_and_logs_in(place: Place) -> None:
    certificate = place.authority.certificate("Ann", ANN)
    with place.imap(certificate) as imap:
        assert "AUTH=EXTERNAL" in imap.capabilities
        assert imap.authenticate("EXTERNAL", initially(b""))[0] == "OK"
    with smtplib.SMTP("localhost", place.server.ports["submission"], timeout=10) as smtp:
        smtp.starttls(context=place.context(certificate))
        smtp.ehlo()
        assert smtp.docmd("AUTH", "EXTERNAL =")[0] == 235
    pop = poplib.POP3("localhost", place.server.ports["pop3"], timeout=10)
    pop.stls(context=place.context(certificate))
    assert pop._shortcmd("AUTH EXTERNAL =").startswith(b"+OK")  # type: ignore[attr-defined]
    pop.quit()


def test_a_certificate_of_somebody_else_lets_nobody_in(place: Place) -> None:
    imap = place.imap(place.authority.certificate("Bob", "bob@example.org"))
    with pytest.raises(imaplib.IMAP4.error, match="AUTHORIZATIONFAILED"):
        imap.authenticate("EXTERNAL", initially(ANN.encode()))
    imap.shutdown()
    # The common name counts only where the settings say so.
    imap = place.imap(place.authority.certificate(ANN))
    assert "AUTH=EXTERNAL" not in imap.capabilities
    imap.shutdown()


@pytest.mark.parametrize("kind", ["stranger", "expired"])
def test_a_certificate_nobody_vouches_for_is_no_connection_for_users(place: Place, kind: str) -> None:
    if kind == "stranger":
        certificate = place.strangers.certificate("Ann", ANN)
    else:
        certificate = place.authority.certificate("Ann", ANN, expired=True)
    with pytest.raises((OSError, imaplib.IMAP4.abort)):
        place.imap(certificate)
    # Other mail servers show what they have, and nobody asks them for it.
    with smtplib.SMTP("localhost", place.server.ports["smtp"], timeout=10) as smtp:
        smtp.starttls(context=place.context(certificate))
        assert smtp.ehlo()[0] == 250


def test_scram_plus_binds_to_the_certificate_in_tls_1_3(place: Place) -> None:
    import hashlib

    with place.imap() as imap:
        assert imap.sock.version() == "TLSv1.3"
        shown = imap.sock.getpeercert(binary_form=True)
        assert shown is not None
        client = ScramClient(ANN, "secret", binding=hashlib.sha256(shown).digest())

        def answer(challenge: bytes) -> bytes:
            if not challenge:
                return client.first()
            if challenge.startswith(b"r="):
                return client.final(challenge)
            assert client.trusts(challenge)
            return b""

        assert imap.authenticate("SCRAM-SHA-256-PLUS", answer)[0] == "OK"


class Compressed(imaplib.IMAP4_SSL):
    """imaplib, compressed once deflate() was called."""

    _inflater: Any = None
    _deflater: Any = None

    def deflate(self) -> None:
        imaplib.Commands.setdefault("COMPRESS", ("AUTH", "SELECTED"))  # type: ignore[attr-defined]
        assert self._simple_command("COMPRESS", "DEFLATE")[0] == "OK"  # type: ignore[attr-defined]
        self._deflater, self._inflater = zlib.compressobj(wbits=-15), zlib.decompressobj(-15)
        self._plain = b""
        self.received = 0

    def send(self, data: bytes) -> None:
        if self._deflater is not None:
            data = self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
        super().send(data)

    def _more(self) -> None:
        octets = self.sock.recv(65536)
        assert octets, "the server closed"
        self.received += len(octets)
        self._plain += self._inflater.decompress(octets)

    def readline(self) -> bytes:
        if self._inflater is None:
            return super().readline()
        while b"\n" not in self._plain:
            self._more()
        line, _, self._plain = self._plain.partition(b"\n")
        return line + b"\n"

    def read(self, size: int) -> bytes:
        if self._inflater is None:
            return super().read(size)
        while len(self._plain) < size:
            self._more()
        octets, self._plain = self._plain[:size], self._plain[size:]
        return octets


def test_large_messages_travel_compressed_both_ways_over_tls(place: Place) -> None:
    import random

    text = b"Subject: text\r\n\r\n" + b"".join(b"line %d of a long text\r\n" % n for n in range(60_000))
    noise = base64.encodebytes(random.Random(7).randbytes(3_000_000)).replace(b"\n", b"\r\n")
    attachment = b"Subject: picture\r\nContent-Transfer-Encoding: base64\r\n\r\n" + noise
    imap = Compressed("localhost", place.server.ports["imaps"], ssl_context=place.context(), timeout=30)
    with imap:
        imap.login(ANN, "secret")
        assert imap.create("Large")[0] == "OK"
        imap.deflate()
        for message in (text, attachment, text):
            assert imap.append("Large", None, None, message)[0] == "OK"
        imap.select("Large")
        before = imap.received
        _, found = imap.fetch("1:3", "(BODY.PEEK[])")
        assert [part[1] for part in found if isinstance(part, tuple)] == [text, attachment, text]
        assert imap.received - before < len(attachment) * 0.8 + len(text)
