"""Debian's Postfix with opendkim as a submission server: signs what it takes and passes it to a sink.

Invariants: as bench/peers/debian.py: every file below the bench's own directory, own control commands.
Configured for speed: no look-ups, no limits, the connection to the sink always cached, 50 deliveries at once;
a Unix socket between the two, for over TCP their small packets wait for one another (11 messages a second).
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import IO, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.corpus import DOMAIN
from bench.peers.debian import POSTFIX_PROGRAMS, DebianPair, install
from bench.peers.server import (
    HOST,
    Ports,
    ServerProblem,
    end_process,
    fresh_directory,
    require_free,
    run_quietly,
    wait_for_greeting,
)

_DESTINATIONS_AT_ONCE: Final = 50

_MAIN: Final = """\
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
command_directory = /usr/sbin
daemon_directory = {programs}
maillog_file = {root}/log
maillog_file_prefixes = {root}
myhostname = mail.{domain}
mydestination =
inet_interfaces = {host}
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_recipient_limit = 2000
in_flow_delay = 0
relayhost = [{host}]:{sink}
smtp_host_lookup = native
smtp_dns_support_level = disabled
smtp_tls_security_level = none
smtp_destination_concurrency_limit = {at_once}
initial_destination_concurrency = {at_once}
smtp_connection_cache_destinations = [{host}]:{sink}
smtpd_milters = unix:{root}/milter
milter_default_action = tempfail
message_size_limit = 52428800
alias_maps =
alias_database =
"""

_MASTER: Final = """\
{submission} inet n     -       n       -       -       smtpd
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
proxymap  unix  -       -       n       -       -       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
"""

_OPENDKIM: Final = """\
Syslog no
Mode s
Domain {domain}
Selector bench
KeyFile {root}/key.pem
Canonicalization relaxed/relaxed
SignatureAlgorithm rsa-sha256
OversignHeaders From
Socket local:{root}/milter
UMask 000
RequireSafeKeys no
Background no
PidFile {root}/opendkim.pid
"""


class DebianSending:
    """Postfix, with opendkim asked about every message."""

    name = DebianPair.name

    def __init__(self, work: Path, ports: Ports, sink: int) -> None:
        self.ports = ports
        self._root = work / "debian-sending"
        self._sink = sink
        self._milter: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def start(self) -> None:
        """Start both; needs root, because Postfix does."""
        if os.geteuid() != 0:
            raise ServerProblem("Postfix starts only as root; run the bench as root or with --without-peers")
        install({"postfix": "/usr/sbin/postfix", "opendkim": "/usr/sbin/opendkim"})
        self.stop()
        require_free(self.ports)
        self._write()
        self._log = (self._root / "opendkim.log").open("ab")
        self._milter = subprocess.Popen(
            ["/usr/sbin/opendkim", "-f", "-x", f"{self._root}/opendkim.conf"],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        code, said = run_quietly(["postfix", "-c", f"{self._root}/conf", "start"])
        if code:
            raise ServerProblem(f"postfix did not start: {said[-400:]}")
        wait_for_greeting(self.ports.submission, b"220", 20.0, lambda: True)

    def stop(self) -> None:
        """Stop both, if an instance of this directory runs."""
        if (self._root / "conf/main.cf").exists():
            run_quietly(["postfix", "-c", f"{self._root}/conf", "stop"])
        if self._milter is not None:
            end_process(self._milter, 5.0)
            self._milter = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def version(self) -> str:
        """As the programs say it."""
        postfix = run_quietly(["postconf", "-d", "-h", "mail_version"])[1]
        said = run_quietly(["/usr/sbin/opendkim", "-V"])[1].splitlines()
        return f"for sending: Postfix {postfix} + {said[0] if said else 'opendkim'}"

    def _write(self) -> None:
        fresh_directory(self._root)
        for path in ("conf", "queue", "data"):
            (self._root / path).mkdir(mode=0o755)
        shutil.chown(self._root / "data", "postfix")
        values = {
            "root": self._root,
            "host": HOST,
            "domain": DOMAIN,
            "programs": POSTFIX_PROGRAMS,
            "submission": self.ports.submission,
            "sink": self._sink,
            "at_once": _DESTINATIONS_AT_ONCE,
        }
        (self._root / "conf/main.cf").write_text(_MAIN.format(**values))
        (self._root / "conf/master.cf").write_text(_MASTER.format(**values))
        shutil.copy("/etc/postfix/dynamicmaps.cf", self._root / "conf")
        (self._root / "opendkim.conf").write_text(_OPENDKIM.format(**values))
        key = rsa.generate_private_key(65537, 2048)
        path = self._root / "key.pem"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        path.chmod(0o600)
