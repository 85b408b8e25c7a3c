"""A real server among real ones: Postfix, Exim and OpenSMTPD send to it and take mail from it.

The server knows by routes where their domains are, except for what a test's DNS says. Every test takes a user of its
own, so that what lies in an INBOX can only be what it waits for.
"""

import email
import email.policy
import hashlib
import imaplib
import itertools
import json
import re
import smtplib
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage, Message
from pathlib import Path
from typing import Any

import dkim
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from postino.cli.main import main
from postino.mailauth.dkim.reasons import Reason
from postino.mailauth.dkim.verify import verify_dkim
from postino.mime.header import header_octets
from postino.net.self_signed import make_self_signed
from tests.live.mail_programs import client_tls, require_program, run_program
from tests.support.debian_mtas import HOST, LOGIN, PASSWORD, Exim, FarMta, OpenSmtpd, Postfix
from tests.support.dkim_examples import answer
from tests.support.fake_dns import DnsServer, dns_on_loopback
from tests.support.live_server import LiveServer, free_ports
from tests.support.unbound import FORGED, unbound

USERS = 250
USER_PASSWORD = "open sesame 1"
ARRIVAL_SECONDS = 30.0
TRACE = {"return-path", "delivered-to", "x-original-to", "received", "dkim-signature"}
"""What peers and we may put above a message."""
MOODS = {
    "bare.example.net": (
        "smtpd_discard_ehlo_keywords=pipelining, chunking, 8bitmime, smtputf8, dsn, size, enhancedstatuscodes",
        "smtpd_tls_security_level=none",
    ),
    "encrypt.example.net": ("smtpd_tls_security_level=encrypt",),
    "old.example.net": ("smtpd_tls_protocols=TLSv1",),
    "few.example.net": ("smtpd_recipient_limit=10",),
    "small.example.net": ("message_size_limit=2000",),
    "lonely.example.net": (
        "smtpd_client_connection_count_limit=1",
        "smtpd_client_event_limit_exceptions=",
    ),
    "impatient.example.net": ("smtpd_timeout=1s",),
    "grumpy.example.net": (
        "smtpd_sender_restrictions=check_sender_access inline:{ { example.org = 451 4.3.0 Not now } }",
    ),
}
"""Postfix's settings for mail to these domains of its."""
BY_MX = (
    "open.example",
    "backup.example",
    "address.example",
    "alias.example",
    "borrowed.example",
    "xn--bcher-kva.example",
)
UNSIGNED = f"""
open.example. MX 0 mx.open.example.
mx.open.example. A {HOST}
_PORT._tcp.mx.open.example. TLSA 3 1 1 {"0" * 64}
backup.example. MX 20 mx.open.example.
backup.example. MX 10 away.backup.example.
away.backup.example. A 127.0.0.99
address.example. A {HOST}
alias.example. CNAME open.example.
xn--bcher-kva.example. MX 0 mx.open.example.
null.example. MX 0 .
broken.example. !servfail
borrowed.example. MX 0 mx.right.test.
"""
"""What the DNS says of other domains, all of Postfix; PORT is where it listens."""
PEERS = pytest.mark.parametrize("name", ["postfix", "exim", "opensmtpd"])
_tokens = itertools.count(1)


@dataclass
class Peers:
    """The server and those around it."""

    directory: Path
    server: LiveServer
    postfix: Postfix
    exim: Exim
    opensmtpd: OpenSmtpd
    dns: DnsServer
    signing_keys: dict[str, str] = field(default_factory=dict)
    """Name -> record, of what we sign with."""
    _users: Iterator[int] = field(default_factory=lambda: iter(range(USERS)))

    def user(self) -> str:
        """The address of somebody who has no mail yet."""
        return address(next(self._users))

    def all(self) -> tuple[FarMta, ...]:
        """The peers."""
        return self.postfix, self.exim, self.opensmtpd

    def submit(
        self,
        sender: str,
        recipients: list[str],
        message: bytes,
        mail_options: tuple[str, ...] = (),
        rcpt_options: tuple[str, ...] = (),
    ) -> None:
        """Give the server a message of one of its users."""
        with self.submission(sender) as smtp:
            smtp.sendmail(sender, recipients, message, list(mail_options), list(rcpt_options))

    @contextmanager
    def submission(self, sender: str) -> Iterator[smtplib.SMTP_SSL]:
        """A connection of one of its users."""
        context = client_tls(self.server)
        with smtplib.SMTP_SSL("localhost", self.server.ports["submissions"], context=context) as smtp:
            smtp.login(sender, USER_PASSWORD)
            yield smtp

    def cli(self, *arguments: str) -> str:
        """What a `postino` command prints."""
        return run_command(self.server, *arguments)

    def inbox(self, user: str, count: int) -> list[bytes]:
        """The messages of somebody's INBOX, once there are so many."""
        deadline = time.monotonic() + ARRIVAL_SECONDS
        with imaplib.IMAP4(HOST, self.server.ports["imap"]) as imap:
            imap.login(user, USER_PASSWORD)
            while True:
                imap.select("INBOX", readonly=True)
                found = imap.search(None, "ALL")[1][0].split()
                if len(found) >= count:
                    break
                said = "\n".join(peer.log()[-4000:] for peer in self.all())
                assert time.monotonic() < deadline, f"{user} has {len(found)} messages, not {count}:\n{said}"
                time.sleep(0.05)
            assert len(found) == count
            parts = imap.fetch(b",".join(found).decode(), "(BODY.PEEK[])")[1]
            return [part[1] for part in parts if isinstance(part, tuple)]

    def report(self, user: str) -> "Report":
        """The report of ours in somebody's INBOX, once it is there."""
        (octets,) = self.inbox(user, 1)
        return Report(octets)

    def event(self, name: str, **fields: str) -> dict[str, Any]:
        """The first event of the server's log that has these fields, once it is there."""
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while True:
            for line in self.server.log().splitlines():
                if f'"event":"{name}"' in line:
                    event: dict[str, Any] = json.loads(line)
                    if fields.items() <= event.items():
                        return event
            assert time.monotonic() < deadline, f"no {name} with {fields}:\n{self.server.log()}"
            time.sleep(0.05)

    def assert_signed(self, message: bytes) -> None:
        """Both our signatures hold: for ourselves, for dkimpy and OpenDKIM that of RSA."""
        at = header_octets(message)
        results = answer(verify_dkim(message[:at], (message[at:],), now=0), self.signing_keys)
        assert [result.reason for result in results] == [Reason.PASSED, Reason.PASSED]

        def record(name: bytes, timeout: int = 5) -> bytes:
            return self.signing_keys[name.decode().rstrip(".")].encode()

        assert dkim.verify(message, dnsfunc=record)
        folder = self.directory / f"opendkim{next(_tokens)}"
        folder.mkdir()
        rsa = {name: text for name, text in self.signing_keys.items() if "k=rsa" in text}
        (folder / "keys").write_text("".join(f"{name} {text}\n" for name, text in rsa.items()))
        (folder / "conf").write_text(f"Mode v\nSyslog no\nTestPublicKeys {folder / 'keys'}\n")
        (folder / "message").write_bytes(message)
        program = require_program("opendkim")
        said = run_program([program, "-f", "-x", "conf", "-t", "message", "-v"], cwd=folder)
        assert "d=example.org, 2048-bit key) succeeded" in said, said


def peer_of(peers: Peers, name: str) -> FarMta:
    """The one that is called so."""
    return next(peer for peer in peers.all() if peer.name.lower() == name)


def address(number: int) -> str:
    """Of the user with this number."""
    return f"user{number}@example.org"


def token() -> str:
    """A word that no other message holds."""
    return f"token-{next(_tokens)}-is-here"


def mail(sender: str, to: str, word: str, body: bytes = b"Hello.\r\n", more: bytes = b"") -> bytes:
    """A message that nobody has a reason to add a field to."""
    header = (
        f"From: Somebody <{sender}>\r\nTo: {to}\r\nSubject: {word}\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n"
        f"Message-ID: <{word}@example.org>\r\n"
    )
    return header.encode() + more + b"\r\n" + body


def trace_of(arrived: bytes, sent: bytes, *more: str) -> str:
    """What stands above a message that has come through to the octet; only trace fields, signatures and `more`."""
    assert arrived.endswith(sent), (arrived[:2000], sent[:2000])
    trace = arrived[: len(arrived) - len(sent)]
    names = {name.lower() for name in re.findall(r"(?m)^([^\s:]+):", trace.decode())}
    assert names <= TRACE.union(more), names
    return re.sub(r"\r\n[ \t]+", " ", trace.decode())


def by_tls(trace: str) -> bool:
    """Whether the last server got it by TLS, as its own field says."""
    return "TLS" in next(line for line in trace.split("\r\n") if line.startswith("Received: "))


class PeerReport:
    """A delivery report as the standard library reads it, whoever wrote it."""

    def __init__(self, octets: bytes) -> None:
        self.message: EmailMessage = email.message_from_bytes(octets, policy=email.policy.default)
        kinds = {"message/delivery-status", "message/global-delivery-status"}
        (status,) = (part for part in self.message.walk() if part.get_content_type() in kinds)
        blocks: list[Message] = status.get_payload()
        if status.get_content_type() == "message/global-delivery-status":
            # The library takes the first block for a header, and what follows for its body.
            text = octets.partition(b"global-delivery-status\r\n")[2].decode().partition("\r\n\r\n")[2]
            text = text.partition("\r\n--")[0]
            blocks = [email.message_from_string(f"{one}\r\n\r\n") for one in text.split("\r\n\r\n")]
        # A block that ends the part with one empty line more is read as one more block.
        self.about, *self.recipients = (block for block in blocks if block.keys())

    def one(self, action: str) -> Message:
        """Its only recipient, of whom it tells this."""
        (recipient,) = self.recipients
        assert recipient["Action"] == action
        return recipient


class Report(PeerReport):
    """One of ours."""

    def __init__(self, octets: bytes) -> None:
        super().__init__(octets)
        assert self.message.get_content_type() == "multipart/report"
        assert self.message["Content-Type"].params["report-type"] == "delivery-status"
        assert self.message["Auto-Submitted"] == "auto-replied"
        words, status, self.original = self.message.iter_parts()
        assert isinstance(words, EmailMessage)
        assert not any(part.defects for part in (self.message, words, status, self.original))
        self.words: str = words.get_content().replace("\r\n", "\n")


def _certificate(directory: Path, name: str) -> Path:
    """A certificate for localhost, with its key in one file, as the peers want it."""
    make_self_signed(["localhost", HOST], directory / f"{name}.crt", directory / f"{name}.key")
    both = directory / f"{name}.pem"
    both.write_bytes((directory / f"{name}.key").read_bytes() + (directory / f"{name}.crt").read_bytes())
    return both


def _route(domain: str, port: int, more: str = "") -> str:
    return f'[[outbound.routes]]\ndomains = ["{domain}"]\nhost = "localhost:{port}"\n{more}\n'


def signed_zones(certificate: Path, port: int) -> dict[str, str]:
    """Domains of Postfix by name, whose records are signed: with its certificate, another's, none, a forged address."""
    public = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    right = hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    tlsa = f"_{port}._tcp.mx 300 TLSA 3 1 1"
    return {
        "right.test": f"@ 300 MX 0 mx\nmx 300 A {HOST}\n{tlsa} {right}",
        "wrong.test": f"@ 300 MX 0 mx\nmx 300 A {HOST}\n{tlsa} {right[::-1]}",
        "without.test": f"@ 300 MX 0 mx\nmx 300 A {HOST}",
        "forged.test": f"@ 300 MX 0 mx\nmx 300 A {FORGED}\n{tlsa} {right}",
    }


@contextmanager
def peers_around(directory: Path) -> Iterator[Peers]:
    """Start all of them; ends with the server's data verified."""
    theirs, other = _certificate(directory, "theirs"), directory / "other.crt"
    make_self_signed(["localhost", HOST], other, directory / "other.key")
    (directory / "password").write_text(PASSWORD)
    postfix_port, exim_port, opensmtpd_port, *moods = free_ports(3 + len(MOODS))
    listeners = dict(zip(moods, MOODS.values(), strict=True))
    with ExitStack() as stack:
        dns = stack.enter_context(dns_on_loopback(UNSIGNED.replace("PORT", str(postfix_port))))
        zones = signed_zones(theirs.with_suffix(".crt"), postfix_port)
        resolver = stack.enter_context(unbound(directory / "unbound", zones, beyond=dns.setting))
        trusted = f'tls = "verified"\nauthorities = "{theirs.with_suffix(".crt")}"'
        login = f'tls = "required"\nlogin = "{LOGIN}"\npassword_file = "{directory / "password"}"'
        routes = [
            _route("postfix.example.net", postfix_port),
            *(_route(domain, port) for domain, port in zip(MOODS, moods, strict=True)),
            _route("required.example.net", postfix_port, 'tls = "required"'),
            _route(
                "required.old.example.net", moods[list(MOODS).index("old.example.net")], 'tls = "required"'
            ),
            _route("verified.example.net", postfix_port, trusted),
            _route("distrusted.example.net", postfix_port, f'tls = "verified"\nauthorities = "{other}"'),
            _route("exim.example.net", exim_port),
            _route("callout.exim.example.net", exim_port),
            _route("auth.exim.example.net", exim_port, login),
            _route("opensmtpd.example.net", opensmtpd_port),
            _route("required.opensmtpd.example.net", opensmtpd_port, 'tls = "required"'),
        ]
        server = LiveServer(
            directory / "ours",
            accounts={address(number): USER_PASSWORD for number in range(USERS)},
            workers=2,
            settings=(
                f'[outbound]\nresolvers = ["{resolver}"]\nport = {postfix_port}\nprivate_addresses = true\n'
                f"mta_sts = false\nretry_seconds = 1\nlongest_retry_seconds = 2\nidle_connection_seconds = 2.5\n"
                f"daily_recipients = 0\n{''.join(routes)}"
            ),
        )
        stack.callback(server.verify)
        stack.enter_context(server)
        ours = directory / "ours.crt"
        ours.write_bytes(server.cafile.read_bytes())
        common = {"directory": directory, "relay_port": server.ports["smtp"], "our_authorities": ours}
        postfix = Postfix(
            **common,
            port=postfix_port,
            certificate=theirs,
            more_domains=(*MOODS, "required.example.net", "verified.example.net", *BY_MX, *zones),
            listeners=listeners,
        )
        exim = Exim(
            **common,
            port=exim_port,
            certificate=theirs,
            more_domains=("auth.exim.example.net", "callout.exim.example.net"),
        )
        opensmtpd = OpenSmtpd(
            **common,
            port=opensmtpd_port,
            certificate=_certificate(directory, "opensmtpd"),
            more_domains=("required.opensmtpd.example.net",),
        )
        peers = Peers(directory, server, postfix, exim, opensmtpd, dns, keys_in_use(server))
        for peer in peers.all():
            stack.enter_context(peer)
        yield peers


def keys_in_use(server: LiveServer) -> dict[str, str]:
    """Have the server sign for example.org; gives its records."""
    shown = run_command(server, "dkim", "add", "example.org")
    records = {
        name: "".join(re.findall(r'"([^"]*)"', strings))
        for name, strings in re.findall(r"^(\S+)\. IN TXT (\([^)]*\)|.*)$", shown, re.MULTILINE)
    }
    for name in records:
        run_command(server, "dkim", "use", "example.org", name.partition(".")[0])
    return records


def run_command(server: LiveServer, *arguments: str) -> str:
    """What a `postino` command prints: within this process, for its start takes longer than most tests."""
    done = CliRunner().invoke(main, [*arguments, "--data", str(server.data)])
    assert done.exit_code == 0, done.output
    return done.stdout
