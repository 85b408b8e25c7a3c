"""isync's mbsync: two-way synchronisation, and nothing left to do the second time."""

from pathlib import Path

from tests.live.mail_programs import ANN, PASSWORD, deliver, require_program, run_program, running_server

CONFIG = """
IMAPAccount postino
Host localhost
Port {port}
User {user}
Pass "{password}"
{tls}
CertificateFile {cafile}

IMAPStore remote
Account postino

MaildirStore local
Path {home}/mail/
Inbox {home}/mail/INBOX
SubFolders Verbatim

Channel all
Far :remote:
Near :local:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
CopyArrivalDate yes
"""


def local_messages(home: Path, mailbox: str) -> list[Path]:
    return sorted(path for part in ("cur", "new") for path in (home / "mail" / mailbox / part).glob("*"))


def test_mbsync_synchronises_both_ways_and_then_rests(tmp_path: Path) -> None:
    mbsync = require_program("mbsync")
    home = tmp_path / "home"
    (home / "mail").mkdir(parents=True)
    with running_server(tmp_path) as server:
        sent = deliver(server, 12)
        config = home / ".mbsyncrc"
        config.write_text(
            CONFIG.format(
                port=server.ports["imaps"],
                user=ANN,
                password=PASSWORD,
                cafile=server.cafile,
                home=home,
                tls="SSLType IMAPS",
            )
        )
        sync = [mbsync, "-c", str(config), "all"]
        run_program(sync, cwd=home)
        here = local_messages(home, "INBOX")
        assert len(here) == 12
        kept = [path.read_bytes().replace(b"\r\n", b"\n") for path in here]
        assert all(
            any(octets.replace(b"\r\n", b"\n").split(b"\n\n", 1)[1] in k for k in kept) for octets in sent
        )

        def names() -> list[str]:
            return [str(path) for path in local_messages(home, "INBOX")]

        before = names()
        quiet = run_program([mbsync, "-c", str(config), "-V", "all"], cwd=home)
        assert names() == before
        assert "pulling" not in quiet.lower() or "+0 *0 #0" in quiet or "F: +0" in quiet

        # A flag and a deletion here, a new message on either side.
        here[0].rename(home / "mail/INBOX/cur" / (here[0].name.split(":")[0] + ":2,S"))
        here[1].rename(home / "mail/INBOX/cur" / (here[1].name.split(":")[0] + ":2,ST"))
        new = home / "mail/INBOX/cur/1700000000.R1.here:2,F"
        new.write_bytes(
            b"From: ann@example.org\nSubject: written here\nDate: Mon, 1 Jun 2026 10:00:00 +0000\n\nlocal\n"
        )
        deliver(server, 1, first=50)
        run_program(sync, cwd=home)
        assert len(local_messages(home, "INBOX")) == 13
        run_program(sync, cwd=home)
        assert len(local_messages(home, "INBOX")) == 13

        import imaplib

        from tests.live.mail_programs import client_tls

        with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=client_tls(server)) as imap:
            imap.login(ANN, PASSWORD)
            assert imap.select("INBOX", readonly=True) == ("OK", [b"13"])
            assert imap.search(None, "SEEN")[1] != [b""]
            assert len(imap.search(None, "FLAGGED")[1][0].split()) == 1
            assert len(imap.search(None, "SUBJECT", '"written here"')[1][0].split()) == 1
