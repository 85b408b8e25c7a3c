"""Debian's Postfix and Dovecot as one mail server: SMTP in, LMTP to sdbox, IMAP and POP3 out.

Invariants: every file is under the bench's own directory; the system's configuration is read,
    never written; only the instances started here are stopped, by their own control commands.
Configured as a careful administrator would for speed: login processes reused, no DNS look-ups, no
client limits, no in-flow delay, maps of recipients left out, default process limits and default
mail_fsync (a message is on disk before LMTP answers). The static password costs nothing to check.
"""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.corpus import DOMAIN
from bench.peers.server import (
    HOST,
    PASSWORD,
    Ports,
    ServerProblem,
    fresh_directory,
    require_free,
    run_quietly,
    wait_for_greeting,
)

_PACKAGES: Final = {
    "postfix": "/usr/sbin/postfix",
    "dovecot-imapd": "/usr/lib/dovecot/imap",
    "dovecot-pop3d": "/usr/lib/dovecot/pop3",
    "dovecot-lmtpd": "/usr/lib/dovecot/lmtp",
    "dovecot-sieve": "/usr/bin/sievec",
}
POSTFIX_PROGRAMS: Final = "/usr/lib/postfix/sbin"
_MAIL_USER: Final = "mail"  # every Debian has it; the peers' mailboxes belong to it

_DOVECOT: Final = """\
base_dir = {root}/dovecot/run
state_dir = {root}/dovecot/state
log_path = {root}/dovecot/log
instance_name = postino-bench
protocols = imap pop3 lmtp
listen = {host}
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
first_valid_uid = 1
mail_uid = {user}
mail_gid = {user}
mail_location = sdbox:{root}/mail/%n
mail_max_userip_connections = 0
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={user} home={root}/mail/%n allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
}}
service imap-login {{
  service_count = 0
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  service_count = 0
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
"""

# Compiled at the first delivery and kept beside the script, as Pigeonhole does by itself.
_PIGEONHOLE: Final = """\
protocol lmtp {{
  mail_plugins = sieve
}}
plugin {{
  sieve = file:{root}/mail/%n/main.sieve
}}
"""

_POSTFIX_MAIN: Final = """\
compatibility_level = 3.6
queue_directory = {root}/postfix/queue
data_directory = {root}/postfix/data
command_directory = /usr/sbin
daemon_directory = {programs}
maillog_file = {root}/postfix/log
maillog_file_prefixes = {root}
myhostname = mail.{domain}
mydestination =
inet_interfaces = {host}
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
in_flow_delay = 0
virtual_mailbox_domains = {domain}
virtual_transport = lmtp:inet:{host}:{lmtp}
lmtp_host_lookup = native
lmtp_destination_concurrency_limit = 50
message_size_limit = 52428800
alias_maps =
alias_database =
"""

_POSTFIX_MASTER: Final = """\
{smtp}    inet  n       -       n       -       -       smtpd
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
proxymap  unix  -       -       n       -       -       proxymap
smtp      unix  -       -       n       -       -       smtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
lmtp      unix  -       -       n       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
"""


def install_peers() -> None:
    """Install what is missing of Postfix and Dovecot with apt-get, or say what to type."""
    install(_PACKAGES)


def install(packages: Mapping[str, str]) -> None:
    """Install those of the Debian packages whose program is not there, or say what to type."""
    missing = [package for package, program in packages.items() if not Path(program).exists()]
    if not missing:
        return
    advice = "install the peers with: apt-get install " + " ".join(missing)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ServerProblem(f"{', '.join(missing)} cannot be found on this machine; {advice}")
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    run_quietly([*environment, "apt-get", "update", "-qq"], 300.0)
    code, said = run_quietly(
        [*environment, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], 600.0
    )
    if code:
        raise ServerProblem(f"apt-get failed; {advice}: {said[-300:]}")


class DebianPair:
    """Postfix in front, Dovecot behind."""

    name = "Postfix + Dovecot"

    def __init__(self, work: Path, ports: Ports, *, scripts: Mapping[str, bytes] | None = None) -> None:
        """`scripts` by login: Pigeonhole then filters what LMTP brings."""
        self.ports = ports
        self._scripts = scripts or {}
        self._root = work / ("debian-sieve" if scripts else "debian")

    def start(self) -> None:
        """Start both with empty mailboxes; needs root, because Postfix does."""
        if os.geteuid() != 0:
            raise ServerProblem("Postfix starts only as root; run the bench as root or with --without-peers")
        self.stop()
        require_free(self.ports)
        self._write()
        for command in (
            ["dovecot", "-c", f"{self._root}/dovecot/dovecot.conf"],
            ["postfix", "-c", f"{self._root}/postfix/conf", "start"],
        ):
            code, said = run_quietly(command)
            if code:
                raise ServerProblem(f"{command[0]} did not start: {said[-400:]}")
        for port, greeting in (
            (self.ports.imap, b"* OK"),
            (self.ports.pop3, b"+OK"),
            (self.ports.lmtp, b"220"),
            (self.ports.smtp, b"220"),
        ):
            wait_for_greeting(port, greeting, 20.0, lambda: True)

    def stop(self) -> None:
        """Stop both, if an instance of this directory runs."""
        if (self._root / "postfix/conf/main.cf").exists():
            run_quietly(["postfix", "-c", f"{self._root}/postfix/conf", "stop"])
        if (self._root / "dovecot/run/master.pid").exists():
            run_quietly(["dovecot", "-c", f"{self._root}/dovecot/dovecot.conf", "stop"])

    def version(self) -> str:
        """As the programs say it."""
        postfix = run_quietly(["postconf", "-d", "-h", "mail_version"])[1]
        dovecot = run_quietly(["dovecot", "--version"])[1].split(" ")[0]
        return f"Postfix {postfix} + Dovecot {dovecot} (sdbox, LMTP)"

    def imap_session_pids(self) -> list[int]:
        """Processes that serve IMAP sessions here, for their memory."""
        master = int((self._root / "dovecot/run/master.pid").read_text())
        pids = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                found = re.match(r"(\d+) \((imap)\) \S (\d+)", status.read_text())
            except OSError:
                continue
            if found and int(found[3]) == master:
                pids.append(int(found[1]))
        return pids

    def _write(self) -> None:
        fresh_directory(self._root)
        for path in ("dovecot/run", "dovecot/state", "mail", "postfix/conf", "postfix/queue", "postfix/data"):
            directory = self._root / path
            directory.mkdir(parents=True)
            directory.chmod(0o755)
        shutil.chown(self._root / "mail", _MAIL_USER, _MAIL_USER)
        shutil.chown(self._root / "postfix/data", "postfix")
        values = {
            "root": self._root,
            "host": HOST,
            "user": _MAIL_USER,
            "password": PASSWORD,
            "domain": DOMAIN,
            "programs": POSTFIX_PROGRAMS,
            "smtp": self.ports.smtp,
            "imap": self.ports.imap,
            "pop3": self.ports.pop3,
            "lmtp": self.ports.lmtp,
        }
        configuration = _DOVECOT + (_PIGEONHOLE if self._scripts else "")
        (self._root / "dovecot/dovecot.conf").write_text(configuration.format(**values))
        for login, script in self._scripts.items():
            home = self._root / "mail" / login.partition("@")[0]
            home.mkdir()
            (home / "main.sieve").write_bytes(script)
            for owned in (home, home / "main.sieve"):
                shutil.chown(owned, _MAIL_USER, _MAIL_USER)
        conf = self._root / "postfix/conf"
        (conf / "main.cf").write_text(_POSTFIX_MAIN.format(**values))
        (conf / "master.cf").write_text(_POSTFIX_MASTER.format(**values))
        shutil.copy("/etc/postfix/dynamicmaps.cf", conf)
