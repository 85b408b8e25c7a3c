"""sieve-connect and sievelib keep scripts on the server, over STARTTLS."""

import imaplib
import re
import smtplib
import socket
import subprocess
from pathlib import Path

import pytest
from sievelib.managesieve import Client

from tests.live.mail_programs import ANN, PASSWORD, client_tls, require_program, running_server
from tests.support.live_server import LiveServer

SCRIPT = 'require ["fileinto"];\nif header :contains "subject" "offer" {\n  fileinto "Junk";\n}\n'
BROKEN = "keep;\nfrobnicate;\n"


def sieve_connect(
    server: LiveServer, home: Path, *options: str, mechanism: str = "PLAIN", ok: bool = True
) -> str:
    """Run it once; gives what it printed."""
    done = subprocess.run(
        [
            require_program("sieve-connect"),
            *("--server", "localhost", "--port", str(server.ports["managesieve"]), "--4"),
            *("--user", ANN, "--passwordfd", "0", "--tlscafile", str(server.cafile)),
            *("--authmech", mechanism),
            *options,
        ],
        input=f"{PASSWORD}\n",
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    output = done.stdout + done.stderr
    assert (done.returncode == 0) == ok, output
    return output


def test_sieve_connect(tmp_path: Path) -> None:
    require_program("sieve-connect")
    home = tmp_path / "home"
    home.mkdir()
    (home / "good.sieve").write_text(SCRIPT)
    (home / "bad.sieve").write_text(BROKEN)
    with running_server(tmp_path) as server:
        good = ("--localsieve", "good.sieve", "--remotesieve", "good")
        sieve_connect(server, home, *good, "--upload")
        sieve_connect(server, home, "--remotesieve", "good", "--activate", mechanism="LOGIN")
        assert re.search(r'"?good"?.*ACTIVE', sieve_connect(server, home, "--list"))
        sieve_connect(server, home, "--localsieve", "back.sieve", "--remotesieve", "good", "--download")
        assert (home / "back.sieve").read_bytes().replace(b"\r\n", b"\n") == SCRIPT.encode()
        said = sieve_connect(server, home, "--localsieve", "bad.sieve", "--checkscript", ok=False)
        assert "line 2, column 1" in said
        said = sieve_connect(
            server, home, "--localsieve", "bad.sieve", "--remotesieve", "good", "--upload", ok=False
        )
        assert "line 2, column 1" in said
        assert "active" in sieve_connect(server, home, "--remotesieve", "good", "--delete", ok=False)
        sieve_connect(server, home, "--deactivate")
        sieve_connect(server, home, "--remotesieve", "good", "--delete")
        assert "good" not in sieve_connect(server, home, "--list")


def connected(server: LiveServer, mechanism: str) -> Client:
    client = Client("localhost", server.ports["managesieve"])
    assert client.connect(ANN, PASSWORD, starttls=True, authmech=mechanism)
    return client


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_sievelib(tmp_path: Path, mechanism: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_server(tmp_path) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.cafile))
        client = connected(server, mechanism)
        assert client.get_implementation() == "Postino"
        assert {"fileinto", "envelope", "copy"} <= set(client.get_sieve_capabilities())
        assert "PLAIN" in client.get_sasl_mechanisms()
        assert client.listscripts() == (None, [])
        assert client.havespace("main", 1000)
        assert not client.havespace("main", 2_000_000_000)
        assert client.checkscript(SCRIPT)
        assert not client.checkscript(BROKEN)
        assert b"line 2, column 1" in client.errmsg
        assert client.putscript("main", SCRIPT)
        assert client.putscript('a "clever" name', "keep;\n")
        assert not client.putscript("main", BROKEN)
        assert client.setactive("main")
        assert client.listscripts() == ("main", ['a "clever" name'])
        assert client.getscript("main") == SCRIPT.rstrip("\n")
        assert not client.deletescript("main")
        assert client.errcode == b"ACTIVE"
        assert client.renamescript("main", "other")
        assert client.setactive("")
        assert client.deletescript("other")
        assert client.listscripts() == (None, ['a "clever" name'])
        client.logout()


def test_a_script_decides_about_the_next_message_in_every_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_server(tmp_path, workers=2) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.cafile))
        client = connected(server, "PLAIN")
        assert client.putscript("main", SCRIPT)
        assert client.setactive("main")
        for number in range(4):
            # Each connection may be another worker's.
            send(server, f"An offer, number {number}")
        assert (count(server, "Junk"), count(server, "INBOX")) == (4, 0)
        assert client.putscript("main", "keep;\n")
        for number in range(4):
            send(server, f"An offer again, number {number}")
        assert (count(server, "Junk"), count(server, "INBOX")) == (4, 4)
        client.logout()


def send(server: LiveServer, subject: str) -> None:
    with smtplib.SMTP("localhost", server.ports["smtp"]) as smtp:
        smtp.sendmail("x@elsewhere.example", [ANN], f"Subject: {subject}\r\n\r\nHello\r\n")


def count(server: LiveServer, mailbox: str) -> int:
    with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=client_tls(server)) as imap:
        imap.login(ANN, PASSWORD)
        status, found = imap.select(mailbox, readonly=True)
        assert status == "OK"
        return int(found[0] or 0)


def test_large_scripts_come_back_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = "# a remark that says nothing\r\n" * 10_000 + "keep;\r\n"
    with running_server(tmp_path, workers=2) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.cafile))
        for number in range(3):
            # Each connection may be another worker's.
            client = connected(server, "PLAIN")
            if not number:
                assert client.putscript("large", large)
            found = client.getscript("large")
            assert found is not None
            assert found.replace("\r\n", "\n").strip() == large.replace("\r\n", "\n").strip()
            client.logout()


def test_openssl_finds_starttls(tmp_path: Path) -> None:
    openssl = require_program("openssl")
    with running_server(tmp_path) as server:
        where = ["-connect", f"localhost:{server.ports['managesieve']}", "-CAfile", str(server.cafile)]
        done = subprocess.run(
            [openssl, "s_client", "-starttls", "sieve", "-verify_return_error", "-quiet", "-crlf", *where],
            input=b"LOGOUT\n",
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert b'"OWNER"' not in done.stdout
    assert b"PLAIN" in done.stdout, done
    assert done.stdout.endswith(b'OK "Goodbye"\r\n')


def test_what_telnet_shows(tmp_path: Path) -> None:
    """Anybody may look at the greeting, and leaves without a login."""
    with (
        running_server(tmp_path) as server,
        socket.create_connection(("localhost", server.ports["managesieve"])) as sock,
    ):
        sock.sendall(b"LOGOUT\r\n")
        said = b""
        while more := sock.recv(4096):
            said += more
    assert b'"STARTTLS"\r\n' in said
    assert said.endswith(b'OK "Goodbye"\r\n')
