"""curl speaks imaps, pop3s and smtps, and the STARTTLS forms."""

from pathlib import Path

from tests.live.mail_programs import ANN, BOB, PASSWORD, deliver, require_program, run_program, running_server


def test_curl_sends_lists_and_reads(tmp_path: Path) -> None:
    curl = require_program("curl")
    letter = tmp_path / "letter.txt"
    letter.write_bytes(
        b"From: bob@example.org\r\nTo: ann@example.org\r\nSubject: by curl\r\n\r\nhello from curl\r\n"
    )
    with running_server(tmp_path) as server:
        deliver(server, 1)
        tls = [curl, "-sS", "--cacert", str(server.cafile)]
        bob, ann = ["--user", f"{BOB}:{PASSWORD}"], ["--user", f"{ANN}:{PASSWORD}"]
        envelope = ["--mail-from", BOB, "--mail-rcpt", ANN, "--upload-file", str(letter)]
        run_program([*tls, f"smtps://localhost:{server.ports['submissions']}", *bob, *envelope], cwd=tmp_path)
        run_program(
            [*tls, "--ssl-reqd", f"smtp://localhost:{server.ports['submission']}", *bob, *envelope],
            cwd=tmp_path,
        )

        pop = f"pop3s://localhost:{server.ports['pop3s']}"
        assert len(run_program([*tls, f"{pop}/", *ann], cwd=tmp_path).split("\n")) >= 3
        assert "hello from curl" in run_program([*tls, f"{pop}/3", *ann], cwd=tmp_path)
        stls = f"pop3://localhost:{server.ports['pop3']}/2"
        assert "hello from curl" in run_program([*tls, "--ssl-reqd", stls, *ann], cwd=tmp_path)

        imap = f"imaps://localhost:{server.ports['imaps']}"
        assert "INBOX" in run_program([*tls, f"{imap}/", *ann], cwd=tmp_path)
        assert "hello from curl" in run_program([*tls, f"{imap}/INBOX;MAILINDEX=3", *ann], cwd=tmp_path)
        assert "by curl" in run_program(
            [*tls, f"{imap}/INBOX;UID=2;SECTION=HEADER.FIELDS%20(SUBJECT)", *ann], cwd=tmp_path
        )
        run_program([*tls, "-T", str(letter), f"{imap}/Drafts", *ann], cwd=tmp_path)
        starttls = f"imap://localhost:{server.ports['imap']}/INBOX"
        found = run_program([*tls, "--ssl-reqd", starttls, "-X", "SEARCH SUBJECT curl", *ann], cwd=tmp_path)
        assert "SEARCH 2 3" in found
