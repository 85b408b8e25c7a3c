"""offlineimap3: fetch everything, then nothing, then push a local change."""

import imaplib
from pathlib import Path

from tests.live.mail_programs import (
    ANN,
    PASSWORD,
    client_tls,
    deliver,
    require_program,
    run_program,
    running_server,
)

CONFIG = """
[general]
accounts = ann
metadata = {home}/.offlineimap
maxsyncaccounts = 1
ui = basic
fsync = False

[Account ann]
localrepository = local
remoterepository = remote

[Repository local]
type = Maildir
localfolders = {home}/mail

[Repository remote]
type = IMAP
remotehost = localhost
remoteport = {port}
remoteuser = {user}
remotepass = {password}
ssl = yes
sslcacertfile = {cafile}
usecompression = no
"""


def test_offlineimap_synchronises_both_ways(tmp_path: Path) -> None:
    offlineimap = require_program("offlineimap")
    home = tmp_path / "home"
    home.mkdir()
    with running_server(tmp_path) as server:
        deliver(server, 7)
        config = home / ".offlineimaprc"
        config.write_text(
            CONFIG.format(
                port=server.ports["imaps"], user=ANN, password=PASSWORD, cafile=server.cafile, home=home
            )
        )
        sync = [offlineimap, "-o", "-c", str(config)]
        run_program(sync, cwd=home)
        here = sorted((home / "mail/INBOX").glob("*/*"))
        assert len(here) == 7
        run_program(sync, cwd=home)
        assert sorted((home / "mail/INBOX").glob("*/*")) == here

        target = home / "mail/INBOX/cur" / (here[0].name.split(":")[0] + ":2,FS")
        here[0].rename(target)
        run_program(sync, cwd=home)
        with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=client_tls(server)) as imap:
            imap.login(ANN, PASSWORD)
            assert imap.select("INBOX", readonly=True) == ("OK", [b"7"])
            assert len(imap.search(None, "FLAGGED", "SEEN")[1][0].split()) == 1
