"""Certificates by name, changed on disk while the server runs."""

import datetime
import hashlib
import socket
import ssl
import time
from pathlib import Path

from postino.net.self_signed import VALID_DAYS, make_self_signed
from tests.live.mail_programs import ANN, PASSWORD
from tests.support.live_server import LiveServer


def shown(port: int, server_name: str = "localhost", *, starttls: bool = False) -> str:
    """The hash of the certificate a client is shown."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        if starttls:
            file = raw.makefile("rb")
            file.readline()
            raw.sendall(b"EHLO x\r\n")
            while file.readline()[3:4] == b"-":
                pass
            raw.sendall(b"STARTTLS\r\n")
            assert file.readline().startswith(b"220")
        with context.wrap_socket(raw, server_hostname=server_name) as tls:
            found = tls.getpeercert(binary_form=True)
            assert found is not None
            return hashlib.sha256(found).hexdigest()


def on_disk(file: Path) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read_text())).hexdigest()


def test_renewed_files_are_shown_without_a_restart(tmp_path: Path) -> None:
    with LiveServer(
        tmp_path, accounts={ANN: PASSWORD}, workers=2, settings="[tls]\ncheck_seconds = 0.2"
    ) as server:
        port = server.ports["imaps"]
        before = on_disk(server.cafile)
        assert shown(port) == before == shown(server.ports["submission"], starttls=True)
        with socket.create_connection(("127.0.0.1", server.ports["imap"]), timeout=10) as kept:
            kept.recv(1000)
            make_self_signed(["localhost"], server.cafile, server.cafile.with_name("self-signed-key.pem"))
            after = on_disk(server.cafile)
            assert after != before
            server.wait_for_log('"certificate.loaded"', times=2)
            assert {shown(port) for _ in range(8)} == {after}
            assert shown(server.ports["submission"], starttls=True) == after
            kept.sendall(b"a NOOP\r\n")
            assert kept.recv(1000).startswith(b"a OK")


def test_a_wrong_renewal_is_told_and_the_old_certificate_stays(tmp_path: Path) -> None:
    with LiveServer(tmp_path, accounts={ANN: PASSWORD}, settings="[tls]\ncheck_seconds = 0.1") as server:
        before = on_disk(server.cafile)
        make_self_signed(["localhost"], tmp_path / "new.pem", tmp_path / "new-key.pem")
        server.cafile.write_bytes((tmp_path / "new.pem").read_bytes())
        server.wait_for_log('"certificate.refused"')
        assert shown(server.ports["imaps"]) == before
        server.cafile.with_name("self-signed-key.pem").write_bytes((tmp_path / "new-key.pem").read_bytes())
        server.wait_for_log('"certificate.loaded"')
        assert shown(server.ports["imaps"]) == on_disk(tmp_path / "new.pem")
        time.sleep(0.3)
        assert server.log().count('"certificate.refused"') == 1


def test_names_choose_certificates_and_sighup_brings_new_ones(tmp_path: Path) -> None:
    files = tmp_path / "net.pem", tmp_path / "net-key.pem"
    make_self_signed(["mail.example.net"], *files)
    more = f'[[tls.more]]\ncertificate = "{files[0]}"\nkey = "{files[1]}"\n'
    with LiveServer(tmp_path, accounts={ANN: PASSWORD}) as server:
        port = server.ports["pop3s"]
        assert shown(port, "mail.example.net") == on_disk(server.cafile)
        server.settings_file.write_text(server.settings_text(more))
        server.hang_up()
        server.wait_for_log('"settings.loaded"')
        assert shown(port, "mail.example.net") == on_disk(files[0])
        assert shown(port, "localhost") == on_disk(server.cafile)
        assert shown(server.ports["submission"], "mail.example.net", starttls=True) == on_disk(files[0])


def make_old(certificate: Path, *, days_left: int) -> None:
    now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=VALID_DAYS - days_left)
    make_self_signed(
        ["localhost"], certificate, certificate.with_name(f"{certificate.stem}-key.pem"), now=now
    )


def test_a_self_signed_certificate_is_made_anew_before_it_expires(tmp_path: Path) -> None:
    with LiveServer(tmp_path, accounts={ANN: PASSWORD}) as server:
        server.stop()
        assert '"certificate.made"' not in server.log()
        make_old(server.cafile, days_left=-1)
        old = on_disk(server.cafile)
        server.start()
        server.wait_for_log('"certificate.made"')
        assert shown(server.ports["imaps"]) == on_disk(server.cafile) != old
        assert '"certificate.expires"' not in server.log()


def test_a_certificate_that_expires_soon_is_told_of_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "mine.pem"
    make_old(file, days_left=3)
    settings = f'[tls]\ncertificate = "{file}"\nkey = "{tmp_path / "mine-key.pem"}"\n'
    with LiveServer(tmp_path, accounts={ANN: PASSWORD}, settings=settings, workers=2) as server:
        before = on_disk(file)
        server.wait_for_log('"certificate.expires"')
        assert shown(server.ports["imaps"]) == before == on_disk(file)
        assert server.log().count('"certificate.expires"') == 1
