"""Debian's Postfix, Exim and OpenSMTPD as the far side: each takes mail for its domain and relays the rest to us.

Only one of them can be installed, so Exim and OpenSMTPD are unpacked beside and run in a mount namespace of their own,
where /etc/passwd knows their users. Everything else is in the test's directory; only what was started here is ended.

Each refuses mail for NOBODY at its domain, and takes it for everybody else.
"""

import fcntl
import os
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from tests.live.mail_programs import require_program

HOST = "127.0.0.1"
NOBODY = "nobody"
GREY = "grey"
"""What begins so is refused at Exim for the time being while the file `grey` is in its directory."""
LOOP = "loop"
"""At Postfix: sent on to LOOP@example.org, at once."""
LATE = "late"
"""At Exim: taken, and reported on as undeliverable then."""
LOGIN, PASSWORD = "relay", "let me in"
"""What Exim wants for mail to its domain that begins with `auth.`."""
_START_SECONDS = 20.0
_ARRIVAL_SECONDS = 30.0
_USERS = {"Debian-exim": 64_025, "opensmtpd": 64_026, "opensmtpq": 64_027}
_CACHE = Path(tempfile.gettempdir()) / f"postino-debian-mtas-{os.getuid()}"


def unpacked(*packages: str) -> Path:
    """The root of what these Debian packages hold, without installing them."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a mail server users of its own")
    for program in ("apt-get", "dpkg", "unshare"):
        require_program(program)
    _CACHE.mkdir(mode=0o755, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for package in packages:
            if not (_CACHE / package).exists():
                with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
                    subprocess.run(
                        ["apt-get", "-qq", "download", package], cwd=folder, check=True, capture_output=True
                    )
                    (archive,) = Path(folder).glob("*.deb")
                    subprocess.run(["dpkg", "-x", archive, _CACHE / "root"], check=True)
                (_CACHE / package).touch()
    return _CACHE / "root"


@dataclass(kw_only=True)
class FarMta:
    """One mail server. `relay_port` is where mail for other domains goes: us."""

    directory: Path
    port: int
    relay_port: int
    certificate: Path | None = None
    """With its key in one PEM file: STARTTLS is offered."""
    requires_tls: bool = False
    """Mail is taken, and passed on to us, by TLS only."""
    without: tuple[str, ...] = ()
    """EHLO keywords that are not announced."""
    domain: str = ""
    more_domains: tuple[str, ...] = ()
    """Taken like `domain`."""
    our_authorities: Path | None = None
    """Who vouches for us: mail from `verified` at its domain is passed on to a server with that certificate
    only (not by OpenSMTPD), from `plain` without TLS, from `encrypted` with it."""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    name: ClassVar[str] = ""
    command_words: ClassVar[int] = 0

    def __post_init__(self) -> None:
        self.domain = self.domain or f"{self.name.lower()}.example.net"
        self.directory = self.directory / self.name.lower()

    def __enter__(self) -> "FarMta":
        self.directory.mkdir(parents=True)
        # Its processes are others than the one that made the directory.
        for folder in (self.directory, *self.directory.parents):
            if folder.stat().st_uid == os.getuid() and folder != Path("/"):
                folder.chmod(folder.stat().st_mode | 0o055)
        self.configure()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, for the first time or again, and wait until it answers."""
        self.launch()
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                with socket.create_connection((HOST, self.port), timeout=5.0) as probe:
                    if probe.recv(512).startswith(b"220"):
                        return
            except OSError:
                pass
            if time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"{self.name} did not start:\n{self.log()}")
            time.sleep(0.02)

    def configure(self) -> None:
        """Write the configuration."""
        raise NotImplementedError

    def launch(self) -> None:
        """Start it."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it and what it started."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(5.0)
            except subprocess.TimeoutExpired:
                pass
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._process.wait()
            self._process = None

    def log(self) -> str:
        """All it has logged."""
        return "\n".join(
            path.read_text(errors="replace")
            for path in sorted(self.directory.glob("*log*"))
            if path.is_file()
        )

    def wait_for_log(self, pattern: str) -> None:
        """Return once it has logged something that fits."""
        deadline = time.monotonic() + _ARRIVAL_SECONDS
        while not re.search(pattern, self.log()):
            assert time.monotonic() < deadline, f"{self.name} did not log {pattern}:\n{self.log()[-8000:]}"
            time.sleep(0.02)

    def received(self, count: int, holding: bytes = b"") -> list[bytes]:
        """The messages delivered there that hold these octets, once there are `count`; line ends as CRLF."""
        deadline = time.monotonic() + _ARRIVAL_SECONDS
        while True:
            every = (path.read_bytes() for path in sorted(self.directory.glob("mail/**/new/*")))
            found = [octets for octets in every if holding in octets]
            if len(found) >= count:
                return [octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for octets in found]
            assert time.monotonic() < deadline, (
                f"{len(found)} of {count} at {self.name}:\n{self.log()[-8000:]}"
            )
            time.sleep(0.02)

    def submit(
        self,
        sender: str,
        recipients: list[str],
        message: bytes,
        options: tuple[str, ...] = (),
        rcpt_options: tuple[str, ...] = (),
    ) -> None:
        """Give it a message, to be passed on to us."""
        with smtplib.SMTP(HOST, self.port, timeout=20) as client:
            client.ehlo()
            if self.certificate is not None and self.name != "OpenSMTPD":
                client.starttls()
                client.ehlo()
            client.sendmail(sender, recipients, message, list(options), list(rcpt_options))

    def _run(self, command: list[str | Path], *, prepare: str = "") -> None:
        """Run `command` in the foreground, in a mount namespace where its users exist and `prepare` was done."""
        for file in ("passwd", "group"):
            lines = Path("/etc", file).read_text()
            for user, number in _USERS.items():
                tail = f"{number}::/nonexistent:/bin/false" if file == "passwd" else ""
                if f"\n{user}:" not in lines:
                    lines += f"{user}:x:{number}:{tail}\n"
            (self.directory / file).write_text(lines)
        script = "".join(
            f"mount --bind {self.directory}/{file} /etc/{file} && " for file in ("passwd", "group")
        )
        with (self.directory / "run-log").open("ab") as log:
            self._process = subprocess.Popen(
                ["unshare", "-m", "sh", "-c", f'{script}{prepare} exec "$@"', "sh", *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


@dataclass(kw_only=True)
class Postfix(FarMta):
    """As the package gives it, with an own queue; mail for its domain lies in a Maildir."""

    listeners: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """More ports, each with settings of its own, NAME=VALUE."""

    name = "Postfix"

    def configure(self) -> None:
        """Its two files, and the folders it works in."""
        if os.geteuid() != 0:
            pytest.skip("Postfix starts only as root")
        require_program("postfix")
        for folder in ("conf", "queue", "data", "mail"):
            (self.directory / folder).mkdir(mode=0o755)
        shutil.chown(self.directory / "data", "postfix")
        shutil.chown(self.directory / "mail", "mail", "mail")
        level = "encrypt" if self.requires_tls else "may"
        lines = [
            "compatibility_level = 3.6",
            f"queue_directory = {self.directory}/queue",
            f"data_directory = {self.directory}/data",
            f"maillog_file = {self.directory}/maillog",
            f"maillog_file_prefixes = {self.directory}",
            f"myhostname = {self.domain}",
            "mydestination =",
            "inet_interfaces = 127.0.0.1",
            "inet_protocols = ipv4",
            "mynetworks = 127.0.0.0/8",
            "smtpd_relay_restrictions = permit_mynetworks, reject",
            f"smtpd_recipient_restrictions = check_recipient_access inline:{{ {{{NOBODY}@ = 550 5.1.1 No such user here}} }}",
            # What comes from loopback is not to be mended: it stands for the whole world.
            "local_header_rewrite_clients =",
            "smtpd_peername_lookup = no",
            "smtputf8_enable = yes",
            "smtpd_tls_received_header = yes",
            f"relayhost = [{HOST}]:{self.relay_port}",
            "smtp_host_lookup = native",
            "smtp_dns_support_level = disabled",
            f"smtp_tls_security_level = {level}",
            f"virtual_mailbox_domains = {' '.join((self.domain, *self.more_domains))}",
            f"virtual_mailbox_base = {self.directory}/mail",
            "virtual_mailbox_maps = static:all/",
            "virtual_minimum_uid = 1",
            "virtual_uid_maps = static:8",
            "virtual_gid_maps = static:8",
            f"smtpd_discard_ehlo_keywords = {' '.join(self.without)}",
            f"virtual_alias_maps = inline:{{ {{ {LOOP}@{self.domain} = {LOOP}@example.org }} }}",
            "alias_maps =",
            "alias_database =",
            "minimal_backoff_time = 2s",
            "queue_run_delay = 2s",
        ]
        if self.certificate is not None:
            lines += [f"smtpd_tls_chain_files = {self.certificate}", f"smtpd_tls_security_level = {level}"]
        ways = {"plain": ["smtp_tls_security_level=none"], "encrypted": ["smtp_tls_security_level=encrypt"]}
        if self.our_authorities is not None:
            trust = f"smtp_tls_CAfile={self.our_authorities}"
            ways["verified"] = [
                "smtp_tls_security_level=verify",
                "smtp_tls_verify_cert_match=localhost",
                trust,
            ]
        choices = " ".join(f"{{ {way}@{self.domain} = {way}:[{HOST}]:{self.relay_port} }}" for way in ways)
        lines.append(f"sender_dependent_default_transport_maps = inline:{{ {choices} }}")
        (self.directory / "conf/main.cf").write_text("\n".join(lines) + "\n")
        services = "rewrite:trivial-rewrite proxymap smtp relay:smtp"
        services += " error retry:error"
        table = [f"{self.port} inet n - n - - smtpd", "qmgr unix n - n 300 1 qmgr"]
        for port, settings in self.listeners.items():
            table.append(f"{port} inet n - n - - smtpd" + "".join(f" -o {{ {one} }}" for one in settings))
        for way, settings in ways.items():
            table.append(f"{way} unix - - n - - smtp" + "".join(f" -o {one}" for one in settings))
        table.append("virtual unix - n n - - virtual")
        table += [f"{name} unix n - n - 0 {name}" for name in ("cleanup", "showq")]
        table += [f"{name} unix - - n - 0 bounce" for name in ("bounce", "defer", "trace")]
        for service in services.split():
            name, _, program = service.partition(":")
            table.append(f"{name} unix - - n - - {program or name}")
        table += [f"{name} unix - - n - 1 {name}" for name in ("anvil", "scache", "tlsmgr")]
        table.append("postlog unix-dgram n - n - 1 postlogd")
        (self.directory / "conf/master.cf").write_text("\n".join(table) + "\n")
        shutil.copy("/etc/postfix/dynamicmaps.cf", self.directory / "conf")

    def launch(self) -> None:
        """Through its own master."""
        self._control("start")

    def stop(self) -> None:
        """By its own control command."""
        self._control("stop")

    def _control(self, word: str) -> None:
        with tempfile.TemporaryFile() as said:
            # A daemon that keeps the descriptors would hold a pipe open for ever.
            done = subprocess.run(
                ["postfix", "-c", self.directory / "conf", word],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                timeout=30,
                check=False,
            )
            said.seek(0)
            if word == "start":
                assert done.returncode == 0, said.read().decode() + self.log()


class Exim(FarMta):
    """A small configuration of its own; delivers as its own user."""

    name = "Exim"

    def configure(self) -> None:
        """One file, and the folders it works in."""
        root = unpacked("exim4-base", "exim4-daemon-light")
        for folder in ("spool", "mail"):
            (self.directory / folder).mkdir()
            os.chown(self.directory / folder, _USERS["Debian-exim"], _USERS["Debian-exim"])
        (self.directory / "logs").mkdir()
        os.chown(self.directory / "logs", _USERS["Debian-exim"], _USERS["Debian-exim"])
        tls = "tls_advertise_hosts ="
        if self.certificate is not None:
            tls = f"tls_advertise_hosts = *\ntls_certificate = {self.certificate}"
        refuse = "  require encrypted = *\n" if self.requires_tls else ""
        enforced = "  hosts_require_tls = *\n" if self.requires_tls else ""
        domains = " : ".join((self.domain, *self.more_domains))
        ways = {
            "plain": "  hosts_avoid_tls = *\n  hosts_try_chunking =\n",
            "encrypted": "  hosts_require_tls = *\n",
        }
        if self.our_authorities is not None:
            trust = f"  tls_verify_certificates = {self.our_authorities}\n"
            # The name it asks for is the address: that is what it is told to connect to.
            ways["verified"] = ways["encrypted"] + trust + "  tls_verify_hosts = *\n"
        routers = "".join(
            f"{way}:\n  driver = manualroute\n  senders = {way}@{self.domain}\n"
            f'  route_list = * "{HOST}::{self.relay_port}" byname\n  transport = {way}\n  self = send\n'
            for way in ways
        )
        transports = "".join(
            f"{way}:\n  driver = smtp\n  allow_localhost\n{how}" for way, how in ways.items()
        )
        configuration = f"""\
exim_path = {root}/usr/sbin/exim4
keep_environment =
deliver_drop_privilege = true
primary_hostname = {self.domain}
spool_directory = {self.directory}/spool
log_file_path = {self.directory}/logs/%slog
log_selector = -queue_run
pid_file_path = {self.directory}/spool/exim.pid
local_interfaces = {HOST}
daemon_smtp_ports = {self.port}
host_lookup =
rfc1413_query_timeout = 0s
smtputf8_advertise_hosts = {"" if "smtputf8" in self.without else "*"}
chunking_advertise_hosts = {"" if "chunking" in self.without else "*"}
pipelining_advertise_hosts = {"" if "pipelining" in self.without else "*"}
dsn_advertise_hosts = *
recipients_max = 25
smtp_accept_max_per_connection = 4
{tls}
acl_smtp_rcpt = rcpt
acl_smtp_data = data
begin acl
rcpt:
{refuse}  deny
    local_parts = {NOBODY}
    message = There is nobody called $local_part here
  defer
    local_parts = ^{GREY}
    condition = ${{if exists{{{self.directory}/grey}}}}
    message = 4.7.1 Come back a little later
  deny
    domains = callout.{self.domain}
    !verify = sender/callout=10s
    message = Nobody reads answers to $sender_address
  deny
    domains = auth.{self.domain}
    !authenticated = *
    message = Log in first
  accept
data:
  deny
    condition = ${{if >{{$max_received_linelength}}{{998}}}}
    message = maximum allowed line length is 998 octets, got $max_received_linelength
  accept
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if and{{{{eq{{$auth2}}{{{LOGIN}}}}}{{eq{{$auth3}}{{{PASSWORD}}}}}}}}}
  server_set_id = $auth2
begin routers
late:
  driver = redirect
  domains = {domains}
  local_parts = {LATE}
  data = :fail: The mailbox has been closed
  allow_fail
here:
  driver = accept
  domains = {domains}
  transport = maildir
{routers}out:
  driver = manualroute
  route_list = * "{HOST}::{self.relay_port}" byname
  transport = remote
  self = send
begin transports
maildir:
  driver = appendfile
  maildir_format
  directory = {self.directory}/mail
  create_directory
remote:
  driver = smtp
  allow_localhost
{enforced}{transports}begin retry
* * F,1h,2s
"""
        (self.directory / "exim.conf").write_text(configuration)

    def launch(self) -> None:
        """In the foreground, looking at its queue every other second."""
        root = unpacked("exim4-base", "exim4-daemon-light")
        self._run([root / "usr/sbin/exim4", "-C", self.directory / "exim.conf", "-bdf", "-q2s"])

    def log(self) -> str:
        """Its main log, too."""
        logs = self.directory / "logs"
        return super().log() + "".join(path.read_text(errors="replace") for path in logs.glob("*"))


class OpenSmtpd(FarMta):
    """Debian 12's build cannot be a TLS server (its key process breaks with OpenSSL 3): STARTTLS is offered and
    fails, which is a habit worth having in the tests; as a client its TLS is sound."""

    name = "OpenSMTPD"

    def configure(self) -> None:
        """One file, and the Maildir."""
        (self.directory / "mail").mkdir()
        shutil.chown(self.directory / "mail", "mail", "mail")
        tls, listen = "", ""
        if self.certificate is not None:
            self.certificate.chmod(0o600)
            tls = f'pki here cert "{self.certificate}"\npki here key "{self.certificate}"\n'
            listen = " tls pki here"
        scheme = "smtp+tls" if self.requires_tls else "smtp"
        domains = ", ".join(f'"{domain}"' for domain in (self.domain, *self.more_domains))
        us = f"{HOST}:{self.relay_port}"
        (self.directory / "smtpd.conf").write_text(
            f'table everybody {{ "@" = "mail" }}\n'
            f"{tls}listen on {HOST} port {self.port}{listen} hostname {self.domain}\n"
            f'action "here" maildir "{self.directory}/mail" virtual <everybody>\n'
            f'action "out" relay host {scheme}://{us} tls no-verify helo {self.domain}\n'
            f'action "plain" relay host smtp+notls://{us} helo {self.domain}\n'
            f'action "encrypted" relay host smtp+tls://{us} tls no-verify helo {self.domain}\n'
            f'match from any for domain {{ {domains} }} rcpt-to regex "^{NOBODY}@" reject\n'
            f'match from any for domain {{ {domains} }} action "here"\n'
            f'match from any mail-from "plain@{self.domain}" for any action "plain"\n'
            f'match from any mail-from "encrypted@{self.domain}" for any action "encrypted"\n'
            'match from any for any action "out"\n'
        )
        (self.directory / "smtpd.conf").chmod(0o600)

    def launch(self) -> None:
        """In the foreground, with its fixed folders made of memory."""
        root = unpacked("opensmtpd")
        prepare = (
            "mkdir -p /var/spool/smtpd /var/lib/opensmtpd && mount -t tmpfs none /var/spool/smtpd &&"
            " chmod 711 /var/spool/smtpd && mount -t tmpfs none /var/lib/opensmtpd &&"
            " chmod 755 /var/lib/opensmtpd && mkdir -m 755 /var/lib/opensmtpd/empty &&"
            " mount -t tmpfs none /usr/libexec && chmod 755 /usr/libexec &&"
            f" cp -r {root}/usr/libexec/opensmtpd /usr/libexec/ && mount -t tmpfs none /run && chmod 755 /run &&"
        )
        self._run([root / "usr/sbin/smtpd", "-d", "-v", "-f", self.directory / "smtpd.conf"], prepare=prepare)
