"""Unbound, which validates: zones below `test` are signed here, each with a trust anchor of its own.

So what it says of them has the AD bit because the signatures hold, not because a test says so. What is not
below `test` it asks of another DNS.
"""

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dns.dnssec
import dns.exception
import dns.message
import dns.name
import dns.query
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec

from tests.live.mail_programs import require_program
from tests.support.live_server import free_ports

HOST = "127.0.0.1"
FORGED = "192.0.2.66"
_START_SECONDS = 15.0
_VALID_SECONDS = 86_400


def signed_zone(name: str, records: str) -> tuple[str, str]:
    """(the zone's text with keys, signatures and NSEC; its trust anchor). `records` begins lines with @ or a label."""
    origin = dns.name.from_text(name)
    text = f"@ 300 SOA ns hostmaster 1 3600 600 86400 60\n@ 300 NS ns\nns 300 A {HOST}\n{records}\n"
    zone = dns.zone.from_text(text, origin=origin, relativize=False)
    key = ec.generate_private_key(ec.SECP256R1())
    record = dns.dnssec.make_dnskey(key.public_key(), dns.dnssec.Algorithm.ECDSAP256SHA256, flags=257)
    with zone.writer() as changes:
        dns.dnssec.sign_zone(zone, changes, keys=[(key, record)], lifetime=_VALID_SECONDS)
    signed = zone.to_text(relativize=False)
    assert isinstance(signed, str)
    return signed, f"{origin} DNSKEY {record}"


@contextmanager
def unbound(directory: Path, zones: Mapping[str, str], *, beyond: str) -> Iterator[str]:
    """Start it; gives what outbound.resolvers is to say. `zones` are signed by signed_zone(), `beyond` ADDRESS#PORT.

    Where a zone has FORGED for an address, it is replaced by ours after it was signed.
    """
    program = require_program("unbound")
    directory.mkdir()
    (port,) = free_ports(1)
    lines = [
        "server:",
        '  chroot: ""',
        '  username: ""',
        '  pidfile: ""',
        f'  directory: "{directory}"',
        f"  interface: {HOST}@{port}",
        "  use-syslog: no",
        f'  logfile: "{directory}/log"',
        '  module-config: "validator iterator"',
        "  do-not-query-localhost: no",
        "  val-log-level: 2",
        # It has an opinion of its own about this name.
        '  local-zone: "test." nodefault',
    ]
    tables = []
    for name, records in zones.items():
        text, anchor = signed_zone(name, records)
        (directory / name).write_text(text.replace(FORGED, HOST))
        lines.append(f'  trust-anchor: "{anchor}"')
        tables.append(
            f'auth-zone:\n  name: "{name}"\n  zonefile: "{directory / name}"\n  for-downstream: no\n  for-upstream: yes'
        )
    lines += [*tables, "remote-control:\n  control-enable: no"]
    for name in ("example", "net", "org"):
        lines.append(f'forward-zone:\n  name: "{name}"\n  forward-addr: {beyond.replace("#", "@")}')
    (directory / "unbound.conf").write_text("\n".join(lines) + "\n")
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(
            [program, "-d", "-p", "-c", directory / "unbound.conf"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_until_it_answers(directory, port)
        yield f"{HOST}#{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_it_answers(directory: Path, port: int) -> None:
    query = dns.message.make_query("localhost.", "A")
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            dns.query.udp(query, HOST, port=port, timeout=0.2)
            return
        except (dns.exception.Timeout, OSError):
            assert time.monotonic() < deadline, (directory / "log").read_text()
            time.sleep(0.02)
