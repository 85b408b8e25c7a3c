"""neomutt opens the INBOX over TLS, tags, copies, deletes and sends, driven by its own commands."""

import imaplib
from pathlib import Path

from tests.live.mail_programs import (
    ANN,
    BOB,
    PASSWORD,
    client_tls,
    deliver,
    require_program,
    run_program,
    running_server,
)

CONFIG = """
set folder = "imaps://localhost:{imaps}/"
set spoolfile = "+INBOX"
set imap_user = "{user}"
set imap_pass = "{password}"
set smtp_url = "smtps://{user}@localhost:{submissions}/"
set smtp_pass = "{password}"
set smtp_authenticators = "plain"
set from = "{user}"
set certificate_file = "{cafile}"
set ssl_ca_certificates_file = "{cafile}"
set ssl_force_tls = yes
set record = ""
set postponed = "+Drafts"
set header_cache = "{home}/cache"
set message_cachedir = "{home}/cache"
set confirmappend = no
set confirmcreate = no
set delete = yes
set quit = yes
set sleep_time = 0
set mail_check = 1
"""


def test_neomutt_sends_moves_copies_and_deletes(tmp_path: Path) -> None:
    neomutt = require_program("neomutt")
    home = tmp_path / "home"
    home.mkdir()
    with running_server(tmp_path) as server:
        deliver(server, 3)
        config = home / "muttrc"
        settings = {
            "imaps": server.ports["imaps"],
            "submissions": server.ports["submissions"],
            "cafile": server.cafile,
        }
        config.write_text(CONFIG.format(user=ANN, password=PASSWORD, home=home, **settings))
        body = home / "body.txt"
        body.write_text("written in neomutt\n")
        terminal = {"TERM": "xterm", "LINES": "40", "COLUMNS": "120"}
        send = f"{neomutt} -F {config} -s 'From neomutt' -- {BOB} < {body}"
        run_program(["sh", "-c", send], cwd=home, env=terminal)
        # Its keys: copy message 1, move message 2, delete message 1, leave. `script` gives it a terminal.
        push = (
            "<first-entry><copy-message>=Sent<enter><next-entry><save-message>=Archive<enter>"
            "<first-entry><delete-message><sync-mailbox><quit>"
        )
        run_program(
            ["script", "-qec", f"{neomutt} -F {config} -e 'push \"{push}\"'", "/dev/null"],
            cwd=home,
            env=terminal,
        )
        with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=client_tls(server)) as imap:
            imap.login(ANN, PASSWORD)
            assert imap.select("Sent", readonly=True) == ("OK", [b"1"])
            assert imap.select("Archive", readonly=True) == ("OK", [b"1"])
            assert imap.select("INBOX", readonly=True) == ("OK", [b"1"])
        with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=client_tls(server)) as imap:
            imap.login(BOB, PASSWORD)
            assert imap.select("INBOX", readonly=True) == ("OK", [b"1"])
            assert b"written in neomutt" in imap.fetch("1", "(BODY.PEEK[TEXT])")[1][0][1]
