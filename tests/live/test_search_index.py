"""Search indexes of a running server: made behind delivery, shown and rebuilt by `postino search`."""

import imaplib
import time
from pathlib import Path

from tests.live.mail_programs import ANN, PASSWORD, client_tls, deliver, running_server
from tests.support.live_server import LiveServer


def wait_until_indexed(server: LiveServer, count: int) -> None:
    until = time.monotonic() + 60
    while True:
        ann = server.cli("search", "status", ANN).stdout.split("\t")
        if ann[:3] == [ANN, str(count), "0"]:
            return
        assert time.monotonic() < until, ann
        time.sleep(0.1)


def test_mail_is_found_before_and_after_it_is_indexed(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        deliver(server, 12)
        with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=client_tls(server)) as imap:
            imap.login(ANN, PASSWORD)
            imap.select("INBOX")

            def found(*keys: str) -> bytes:
                status, data = imap.search(None, *keys)
                assert status == "OK"
                return data[0] or b""

            searches = [
                ("SUBJECT", '"Nummer 2"'),
                ("TEXT", "NUMMER"),
                ("BODY", "unfindable"),
                ("HEADER", "To", "ann"),
            ]
            before = [found(*keys) for keys in searches]
            assert before[:3] == [b"2", b"1 2 3 4 5 6 7 8 9 10 11 12", b""]
            wait_until_indexed(server, 12)
            assert [found(*keys) for keys in searches] == before
            deliver(server, 1)
            imap.noop()
            assert found("TEXT", "NUMMER") == before[1] + b" 13"

        assert server.cli("search", "rebuild", ANN).stdout == f"{ANN}: 13 messages indexed\n"
        assert "Name an account, or take --all" in server.cli("search", "rebuild", ok=False).stderr
        files = list((server.data / "search").rglob("*.sqlite"))
        assert files
        server.cli("account", "remove", ANN, "--yes")
        assert not [path for path in files if path.exists() and path.name == files[0].name]
        server.verify()
