"""The command line, beside a running server and without one."""

import getpass
import imaplib
import os
import re
import smtplib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.mail_programs import ANN, BOB, PASSWORD, client_tls
from tests.support.live_server import LiveServer, free_ports


def postino(*arguments: str, stdin: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "postino", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
    )


def can_log_in(server: LiveServer, login: str, password: str) -> bool:
    with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=client_tls(server)) as imap:
        try:
            imap.login(login, password)
        except imaplib.IMAP4.error:
            return False
        return True


def recipient_status(server: LiveServer, address: str) -> int:
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"]) as smtp:
        smtp.ehlo()
        smtp.mail("x@elsewhere.example")
        return smtp.rcpt(address)[0]


def test_accounts_change_while_the_server_runs(tmp_path: Path) -> None:
    with LiveServer(tmp_path, accounts={ANN: PASSWORD}, workers=2) as server:
        assert recipient_status(server, "new@example.org") == 550
        added = server.cli(
            "account", "add", "New@Example.org", "--quota", "5GB", "--password-stdin", stdin="first pass\n"
        )
        assert added.stdout == "Added new@example.org\n"
        assert recipient_status(server, "new@example.org") == 250
        assert can_log_in(server, "new@example.org", "first pass")
        assert "new@example.org\t0\t0 octets\t4.7 GiB\n" in server.cli("account", "list").stdout

        server.cli("account", "password", "new@example.org", "--password-stdin", stdin="second pass\n")
        assert not can_log_in(server, "new@example.org", "first pass")
        assert can_log_in(server, "new@example.org", "second pass")
        made = server.cli("account", "password", "new@example.org", "--generate").stdout
        assert can_log_in(server, "new@example.org", made.split("Password: ")[1].strip())

        server.cli("account", "quota", "new@example.org", "1")
        assert recipient_status(server, "new@example.org") in {250, 452, 552}
        shown = server.cli("account", "show", "new@example.org").stdout
        assert "0 messages, 0 octets of 1 octets" in shown
        assert "INBOX\t0\t0\t0 octets" in shown

        shown = server.cli(
            "account", "quota", "new@example.org", "--messages", "7", "--mailboxes", "9"
        ).stdout
        assert shown == "new@example.org may hold 1 octets, 7 messages, 9 mailboxes\n"
        assert server.cli("account", "quota", "new@example.org", "0").stdout.endswith(
            "7 messages, 9 mailboxes\n"
        )
        shown = server.cli("account", "show", "new@example.org").stdout
        assert "0 messages, 0 octets of 7 messages, 9 mailboxes\n" in shown
        assert "administrator" not in shown
        assert (
            server.cli("account", "admin", "new@example.org").stdout
            == "new@example.org is an administrator\n"
        )
        assert "role       administrator\n" in server.cli("account", "show", "new@example.org").stdout
        assert server.cli("account", "admin", "new@example.org", "--off").stdout.endswith(
            "no longer an administrator\n"
        )

        server.cli("account", "remove", "new@example.org", "--yes")
        assert recipient_status(server, "new@example.org") == 550
        assert not can_log_in(server, "new@example.org", "second pass")
        server.verify()


def test_domains_and_aliases_change_while_the_server_runs(tmp_path: Path) -> None:
    with LiveServer(tmp_path, accounts={ANN: PASSWORD, BOB: PASSWORD}) as server:
        assert recipient_status(server, "info@example.net") == 550
        server.cli("domain", "add", "Example.NET")
        assert server.cli("domain", "list").stdout == "example.net\t0\nexample.org\t2\n"
        assert recipient_status(server, "info@example.net") == 550
        server.cli("alias", "add", "info@example.net", ANN, BOB)
        assert recipient_status(server, "info@example.net") == 250
        server.cli("alias", "add", "@example.net", BOB)
        assert recipient_status(server, "whoever@example.net") == 250
        assert server.cli("alias", "list").stdout == f"@example.net\t{BOB}\ninfo@example.net\t{ANN}, {BOB}\n"
        assert "aliases    @example.net, info@example.net" in server.cli("account", "show", BOB).stdout

        with smtplib.SMTP("127.0.0.1", server.ports["smtp"]) as smtp:
            smtp.sendmail("x@elsewhere.example", ["info@example.net"], b"Subject: both\r\n\r\n\r\n")
        listed = server.cli("account", "list").stdout
        assert re.search(rf"{ANN}\t1\t", listed)
        assert re.search(rf"{BOB}\t1\t", listed)

        refused = server.cli("domain", "remove", "example.net", ok=False)
        assert refused.returncode == 1
        assert "remove those first" in refused.stderr
        server.cli("alias", "remove", "info@example.net", ANN)
        server.cli("alias", "remove", "info@example.net")
        server.cli("alias", "remove", "@example.net")
        server.cli("domain", "remove", "example.net")
        assert recipient_status(server, "info@example.net") == 550
        server.verify()


def test_init_makes_a_server_that_serves(tmp_path: Path) -> None:
    data = tmp_path / "mail"
    # As who we are: a user "postino" of this machine may not be able to read this Python.
    user = ("--user", getpass.getuser())
    made = postino("init", "Example.org", "--data", str(data), "--account", ANN, "--generate", *user)
    assert made.returncode == 0, made.stderr
    password = re.search(r"password  (\S+)", made.stdout)
    assert password
    assert (data / "tls" / "self-signed-key.pem").stat().st_mode & 0o077 == 0
    checked = postino("check-config", "--data", str(data))
    assert checked.returncode == 0
    assert "mail.example.org" in checked.stdout
    assert postino("alias", "list", "--data", str(data)).stdout == "postmaster@example.org\tann@example.org\n"
    assert postino("verify", "--data", str(data)).stdout == "The stored mail is consistent.\n"

    again = postino("init", "example.org", "--data", str(data), "--generate")
    assert again.returncode == 1
    assert "holds a server already" in again.stderr

    server = LiveServer(tmp_path, accounts={})
    server.data, server.cafile = data, data / "tls" / "self-signed.pem"
    server.settings_file.write_text(server.settings_text())
    server.start()
    try:
        assert can_log_in(server, "ann@example.org", password[1])
        assert recipient_status(server, "postmaster@example.org") == 250
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (["account", "add", "nonsense", "--generate"], "", "'nonsense' is not an address; write one such as ann@example.org"),
        (["account", "add", "x@elsewhere.example", "--generate"], "", "There is no domain elsewhere.example; add it first"),
        (["account", "add", ANN, "--generate"], "", "is in use already; choose another"),
        (["account", "add", "x@example.org", "--generate", "--quota", "much"], "", "'much' is not a size; write one such as 500MB"),
        (["account", "add", "x@example.org"], "", "There is no terminal to ask for a password; use --password-stdin or --generate"),
        (["account", "add", "x@example.org", "--password-stdin"], "\n", "The password is empty; give one"),
        (["account", "add", "x@example.org", "--password-stdin"], "short\n", "A password needs at least 8 characters"),
        (["account", "password", ANN, "--password-stdin"], f"{ANN}\n", "This password is guessed at once; choose another"),
        (["account", "quota", "ann@example.org"], "", "Say how much, such as 5GB"),
        (["account", "show", "nobody@example.org"], "", "There is no account nobody@example.org; `postino account list` shows"),
        (["account", "remove", "nobody@example.org", "--yes"], "", "There is no account nobody@example.org"),
        (["domain", "add", "not a domain"], "", "is not a domain name; write one such as example.org"),
        (["domain", "add", "example.org"], "", "The domain example.org is there already"),
        (["domain", "remove", "example.com"], "", "There is no domain example.com"),
        (["alias", "add", "a@example.org", "nobody@example.org"], "", "There is no account nobody@example.org"),
        (["alias", "add", ANN, BOB], "", "is an account's own address"),
        (["alias", "remove", "none@example.org"], "", "There is no alias none@example.org"),
        (["account", "lst"], "", "No such command 'lst'"),
    ],
)  # fmt: skip
def test_a_mistake_is_explained_in_one_line(
    prepared: LiveServer, arguments: list[str], stdin: str, said: str
) -> None:
    done = prepared.cli(*arguments, stdin=stdin, ok=False)
    assert done.returncode != 0
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    # Only wrong usage adds how to find the right one.
    errors = [line for line in done.stderr.splitlines() if not line.startswith(("Usage:", "Try ")) and line]
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith("Error: ")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> LiveServer:
    """The data of a server that does not run."""
    server = LiveServer(tmp_path_factory.mktemp("cli"), accounts={ANN: PASSWORD, BOB: PASSWORD})
    with server:
        pass
    return server


def test_a_missing_directory_is_explained(tmp_path: Path) -> None:
    for command in (["account", "list"], ["verify"], ["serve"], ["check-config"]):
        done = postino(*command, "--data", str(tmp_path / "none"))
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert "postino init DOMAIN --data" in done.stderr


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    import apsw

    with LiveServer(tmp_path, accounts={ANN: PASSWORD}) as server:
        server.stop()
        connection = apsw.Connection(str(server.data / "postino.sqlite"))
        connection.pragma("user_version", 9999)
        connection.close()
        for command in (["account", "list"], ["serve"]):
            done = server.cli(*command, ok=False)
            assert done.returncode == 1
            (line,) = done.stderr.splitlines()
            assert "schema version 9999" in line
            assert "newer Postino" in line


def test_check_config_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text('[server]\nhostname = "x"\nworker = 2\n')
    done = postino("check-config", "--config", str(file))
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: {file}: line 3: server.worker is not a setting; did you mean server.workers?\n"
    )


def test_reference_explains_settings(tmp_path: Path) -> None:
    done = postino("reference", "limits.message_octets")
    assert done.stdout.startswith(
        "limits.message_octets\n    whole number in octets; default: 52428800 (50 MiB)\n"
    )
    toml = tmp_path / "all.toml"
    toml.write_text(postino("reference", "--toml").stdout)
    assert postino("check-config", "--config", str(toml)).returncode == 0
    assert postino("reference", "limits.nothing").returncode == 1


def test_every_help_page_has_an_example() -> None:
    pages = [[], ["demo"], ["init"], ["serve"], ["check-config"], ["verify"], ["reference"], ["account"]]
    for words in [*pages, ["account", "add"], ["domain", "add"], ["alias", "add"]]:
        done = postino(*words, "--help")
        assert done.returncode == 0
        assert "Example: postino" in done.stdout, words
    assert free_ports(1)


def test_verify_says_what_a_damaged_database_has_lost(tmp_path: Path) -> None:
    import apsw

    with LiveServer(tmp_path, accounts={ANN: PASSWORD}) as server:
        server.stop()
    file = server.data / "postino.sqlite"
    whole = file.read_bytes()
    connection = apsw.Connection(str(file))
    pages = dict(connection.execute("SELECT name, rootpage FROM sqlite_schema WHERE rootpage>0"))
    connection.close()
    damaged = bytearray(whole)
    for table in ("mailbox", "content"):
        at = (pages[table] - 1) * 8192
        damaged[at + 5 : at + 40] = b"\xff" * 35
    file.write_bytes(damaged)
    found = server.cli("verify", ok=False)
    assert found.returncode == 1
    assert "damage: the database file is damaged: " in found.stdout
    assert all(line.startswith(("damage: ", "litter: ")) for line in found.stdout.splitlines())
    assert "keep a copy of the data directory" in found.stderr
    assert "the check of mailboxes could not be carried out" in found.stdout
    assert "run `postino verify`" not in found.stdout + found.stderr
    at = (pages["setting"] - 1) * 8192
    for hopeless in (b"x" * len(whole), whole[:at] + b"\xff" * 100 + whole[at + 100 :]):
        file.write_bytes(hopeless)
        found = server.cli("verify", ok=False)
        assert found.returncode == 1
        assert len(found.stderr.splitlines()) == 1
        assert "put a backup in its place" in found.stderr
    file.write_bytes(whole)
    server.verify()


def test_mailboxes_are_shared_while_the_server_runs(tmp_path: Path) -> None:
    with (
        LiveServer(tmp_path, accounts={ANN: PASSWORD, BOB: PASSWORD}, workers=2) as server,
        imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=client_tls(server)) as imap,
    ):
        imap.login(BOB, PASSWORD)
        shared = f"Shared/{ANN}/Drafts"
        assert server.cli("acl", "list", ANN).stdout == ""
        assert imap.select(shared)[0] == "NO"
        said = server.cli("acl", "set", "Ann@Example.org", "Drafts", BOB, "lrs").stdout
        assert said == f"{BOB} now has the rights lrs in Drafts of Ann@Example.org\n"
        assert imap.select(shared)[0] == "OK"
        assert imap.list('""', "Shared/*")[1] == [f'(\\HasNoChildren) "/" {shared}'.encode()]

        server.cli("acl", "set", ANN, "Drafts", "anyone", "i")
        server.cli("acl", "set", ANN, "Drafts", BOB, "-s")
        server.cli("acl", "set", ANN, "Drafts", f"-{BOB}", "w")
        rows = f"Drafts\t-{BOB}\tw\nDrafts\tanyone\ti\nDrafts\t{BOB}\tlr\n"
        assert (
            server.cli("acl", "list", ANN).stdout == server.cli("acl", "list", ANN, "Drafts").stdout == rows
        )
        assert imap.myrights(shared)[1] == [f"{shared} lri".encode()]

        server.cli("acl", "delete", ANN, "Drafts", f"-{BOB}")
        server.cli("acl", "delete", ANN, "Drafts", "anyone")
        server.cli("acl", "delete", ANN, "Drafts", BOB)
        assert server.cli("acl", "list", ANN).stdout == ""
        for wrong, sentence in (
            (("set", ANN, "Drafts", "nobody@example.org", "lr"), "There is no account nobody@example.org"),
            (("set", ANN, "Nowhere", BOB, "lr"), "There is no mailbox 'Nowhere'"),
            (("set", ANN, "Drafts", BOB, "lrz"), "'z' is not a right"),
            (("set", ANN, "Drafts", ANN, "lr"), "The owner of a mailbox may always do everything"),
            (("list", "nobody@example.org"), "There is no account"),
        ):
            refused = server.cli("acl", *wrong, ok=False)
            assert refused.returncode == 1
            assert sentence in refused.stderr
        server.verify()


def test_whoever_sets_up_as_root_is_told_what_else_it_needs(tmp_path: Path) -> None:
    made = postino("init", "example.org", "--data", str(tmp_path / "mail"), "--generate")
    assert made.returncode == 0, made.stderr
    assert f"DNS records to publish: postino dns example.org --data {tmp_path}/mail\n" in made.stdout
    has_user = "\nuser = " in (tmp_path / "mail" / "postino.toml").read_text()
    needs_one = os.geteuid() == 0 and not has_user
    assert ('make one ("useradd --system postino")' in made.stdout) is needs_one
