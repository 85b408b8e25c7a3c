"""The supervisor and its workers: starting, sharing, replacing, reloading and ending."""

import imaplib
import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.mail_programs import ANN, PASSWORD, client_tls
from tests.support.live_server import LiveServer

ACCOUNTS = {ANN: PASSWORD}


def until(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def send(server: LiveServer, subject: str) -> None:
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"]) as smtp:
        smtp.sendmail("x@elsewhere.example", [ANN], f"Subject: {subject}\r\n\r\ntext\r\n".encode())


def metrics(server: LiveServer) -> list[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.ports['metrics']}/metrics", timeout=10) as page:
        return page.read().decode().splitlines()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie nobody has waited for yet is dead.
    return ") Z " not in Path(f"/proc/{pid}/stat").read_text()


def workers_of(server: LiveServer) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]


def test_every_worker_gets_connections_and_one_page_counts_them_all(tmp_path: Path) -> None:
    with LiveServer(tmp_path, accounts=ACCOUNTS, workers=2) as server:
        for number in range(20):
            send(server, str(number))
        assert "postino_workers 2.0" in metrics(server)
        assert "postino_messages_accepted_total 20.0" in metrics(server)
        events = [json.loads(line) for line in server.log().splitlines()]
        assert {e["worker"] for e in events if e["event"] == "message.delivered"} == {0, 1}
        assert server.stop() == 0
        server.verify()


def test_a_session_in_one_worker_hears_of_mail_taken_by_another(tmp_path: Path) -> None:
    with LiveServer(tmp_path, accounts=ACCOUNTS, workers=2) as server:
        tls = client_tls(server)
        with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=tls) as imap:
            imap.login(ANN, PASSWORD)
            imap.select("INBOX")
            imap.send(b"i1 IDLE\r\n")
            assert imap.readline().startswith(b"+")
            for number in range(8):
                send(server, str(number))
            imap.sock.settimeout(10)
            seen = b""
            while b"* 8 EXISTS" not in seen:
                seen = imap.readline()
                assert seen.startswith(b"* "), seen
            imap.send(b"DONE\r\n")
            while not imap.readline().startswith(b"i1 OK"):
                pass


def test_sigterm_says_goodbye_to_the_idle_and_ends_well(tmp_path: Path) -> None:
    with LiveServer(tmp_path, accounts=ACCOUNTS, workers=2) as server:
        sockets = {
            name: socket.create_connection(("127.0.0.1", server.ports[name]), timeout=10)
            for name in ("smtp", "imap", "pop3")
        }
        files = {name: one.makefile("rb") for name, one in sockets.items()}
        for file in files.values():
            assert file.readline()
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 6
        assert files["smtp"].readline().startswith(b"421 ")
        assert files["imap"].readline().startswith(b"* BYE")
        files["pop3"].readline()
        for name, file in files.items():
            assert file.read() == b"", name
            sockets[name].close()
        assert '"server.stopped"' in server.log()


def test_sigterm_keeps_what_was_acknowledged_and_refuses_what_was_coming(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    last: list[bytes] = []

    def send_until_refused(number: int) -> None:
        with socket.create_connection(("127.0.0.1", server.ports["smtp"]), timeout=20) as raw:
            file = raw.makefile("rwb")
            file.readline()
            for turn in range(100_000):
                subject = f"{number}-{turn}"
                helo = b"HELO x\r\n" if turn == 0 else b"NOOP\r\n"
                file.write(helo + f"MAIL FROM:<>\r\nRCPT TO:<{ANN}>\r\nDATA\r\n".encode())
                file.flush()
                answers = [file.readline() for _ in range(4)]
                if answers[-1].startswith(b"354"):
                    file.write(f"Subject: {subject}\r\n\r\ntext\r\n.\r\n".encode())
                    file.flush()
                    answers = [file.readline()]
                    if answers[0].startswith(b"250"):
                        acknowledged.append(subject)
                        continue
                last.append(next(answer for answer in answers if not answer.startswith(b"2")))
                return

    with LiveServer(tmp_path, accounts=ACCOUNTS, workers=2) as server:
        with socket.create_connection(("127.0.0.1", server.ports["smtp"]), timeout=20) as stalled:
            coming = stalled.makefile("rwb")
            coming.write(f"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<{ANN}>\r\nDATA\r\nSubject: half".encode())
            coming.flush()
            while not coming.readline().startswith(b"354"):
                pass
            senders = [threading.Thread(target=send_until_refused, args=(n,)) for n in range(6)]
            for sender in senders:
                sender.start()
            until(lambda: len(acknowledged) > 60, "too few were acknowledged")
            os.kill(server.pid, signal.SIGTERM)
            assert coming.readline().startswith(b"421 4.3.2 ")
        for sender in senders:
            sender.join(20)
        assert server.stop() == 0
        assert len(last) == 6
        assert all(answer.startswith(b"421 ") for answer in last), last
        server.start()
        with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=client_tls(server)) as imap:
            imap.login(ANN, PASSWORD)
            imap.select("INBOX")
            _, found = imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        kept = [one[1].decode().split()[1] for one in found if isinstance(one, tuple)]
        assert sorted(kept) == sorted(acknowledged)
        server.verify()


def test_workers_do_not_outlive_their_supervisor(tmp_path: Path) -> None:
    with LiveServer(tmp_path, accounts=ACCOUNTS, workers=2) as server:
        workers = workers_of(server)
        assert len(workers) == 2
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: not any(map(is_alive, workers)), "workers live on")
        server.start_again()
        send(server, "again")
        server.verify()


def test_a_worker_that_keeps_dying_is_tried_more_and_more_slowly(tmp_path: Path) -> None:
    with LiveServer(tmp_path, accounts=ACCOUNTS) as server:
        for times in range(1, 6):
            until(lambda: bool(workers_of(server)), "no worker")
            os.kill(workers_of(server)[0], signal.SIGKILL)
            server.wait_for_log('"worker.died"', times=times)
        server.wait_for_log('"worker.restarted"', times=5)
        pauses = [json.loads(x)["restart_in"] for x in server.log().splitlines() if '"worker.died"' in x]
        assert pauses == [0, 0, 0, 0.4, 0.8]
        send(server, "still here")


def test_sighup_changes_limits_and_keeps_what_is_right_when_the_file_is_wrong(tmp_path: Path) -> None:
    def announced() -> str:
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"]) as smtp:
            smtp.ehlo()
            return smtp.esmtp_features["size"]

    with LiveServer(tmp_path, accounts=ACCOUNTS, workers=2) as server:
        assert announced() == str(50 * 1024 * 1024)
        server.settings_file.write_text(server.settings_text('[limits]\nmessage_octets = "1 MiB"'))
        server.hang_up()
        server.wait_for_log('"settings.loaded"', times=2)
        assert {announced() for _ in range(10)} == {str(1024 * 1024)}
        server.settings_file.write_text("[limits]\nmessage_octet = 3")
        server.hang_up()
        server.wait_for_log('"settings.refused"', times=2)
        assert "did you mean limits.message_octets?" in server.log()
        assert announced() == str(1024 * 1024)


def test_a_worker_started_later_has_the_settings_read_last_and_waits_with_the_others(tmp_path: Path) -> None:
    def announced() -> str:
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"]) as smtp:
            smtp.ehlo()
            return smtp.esmtp_features["size"]

    with LiveServer(tmp_path, accounts=ACCOUNTS) as server:
        text = server.settings_text('[limits]\nmessage_octets = "1 MiB"\n[store]\nlock_seconds = 3\n')
        text = text.replace("[server]", f'[server]\ndata = "{tmp_path / "elsewhere"}"')
        server.settings_file.write_text(text.replace("pop3 = [", 'pop3 = ["127.0.0.1:1", '))
        server.hang_up()
        server.wait_for_log('"at_next_start":["listen.pop3","server.data","store.lock_seconds"]')
        assert announced() == str(1024 * 1024)
        (worker,) = workers_of(server)
        os.kill(worker, signal.SIGKILL)
        server.wait_for_log('"worker.restarted"')
        until(lambda: announced() == str(1024 * 1024), "the new worker has the old settings")
        send(server, "to the data that was there")
        assert not (tmp_path / "elsewhere").exists()
        server.settings_file.write_text(server.settings_text())
        assert server.stop() == 0
        server.verify()


def test_a_second_server_is_kept_out_in_one_line(tmp_path: Path) -> None:
    with LiveServer(tmp_path, accounts=ACCOUNTS) as server:
        again = server.cli("serve", ok=False)
        assert again.returncode == 1
        (line,) = again.stderr.splitlines()
        assert line.startswith(f"Error: A server with process id {server.pid} already serves {server.data};")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_busy_port_is_named_in_one_line(tmp_path: Path, workers: int) -> None:
    with LiveServer(tmp_path / "first", accounts=ACCOUNTS, workers=workers) as first:
        second = LiveServer(tmp_path / "second", accounts=ACCOUNTS, workers=workers)
        second.ports = {**second.ports, "imap": first.ports["imap"]}
        with pytest.raises(AssertionError, match="the server ended with 1"), second:
            pass
        assert f"Error: Port {first.ports['imap']} on 127.0.0.1 is in use by another program" in second.log()
        assert "Traceback" not in second.log()


def test_a_damaged_certificate_stops_the_start_in_one_line(tmp_path: Path) -> None:
    with LiveServer(tmp_path, accounts=ACCOUNTS) as server:
        server.stop()
        server.cafile.write_text("not a certificate")
        again = server.cli("serve", ok=False)
        assert again.returncode == 1
        assert len(again.stderr.splitlines()) == 1
        assert str(server.cafile) in again.stderr


def test_root_is_given_up(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give root up")
    try:
        subprocess.run([sys.executable, "-c", "import apsw"], user="nobody", check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("Python is installed where only root may read it")
    # The directories pytest makes are closed to other users.
    directory = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    directory.chmod(0o755)
    try:
        with LiveServer(directory / "x", accounts=ACCOUNTS, workers=2) as server:
            server.stop()
            text = server.settings_file.read_text().replace('user = "root"', 'user = "nobody"')
            server.settings_file.write_text(text)
            server.start()
            for pid in [server.pid, *workers_of(server)]:
                status = Path(f"/proc/{pid}/status").read_text()
                uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
                assert "0" not in uids
            send(server, "as nobody")
            server.cli("account", "add", "new@example.org", "--generate")
            send(server, "the command line did not take the files over")
            server.stop()
            server.settings_file.write_text(text.replace('user = "nobody"', ""))
            refused = server.cli("serve", ok=False)
            assert refused.returncode == 1
            assert "does not serve as root" in refused.stderr
    finally:
        subprocess.run(["rm", "-rf", str(directory)], check=True)


def test_importing_the_server_is_quick() -> None:
    program = "import time; t = time.perf_counter(); import postino.app.supervisor as s; s.load_servers(); print(time.perf_counter() - t)"
    seconds = min(
        float(subprocess.check_output([sys.executable, "-c", program], text=True)) for _ in range(3)
    )
    assert seconds < 1.5, "imports alone would make the start slow"
