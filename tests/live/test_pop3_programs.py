"""fetchmail and getmail6 empty a maildrop over TLS."""

from pathlib import Path

from tests.live.mail_programs import ANN, PASSWORD, deliver, require_program, run_program, running_server


def test_fetchmail_takes_everything_once(tmp_path: Path) -> None:
    fetchmail = require_program("fetchmail")
    home = tmp_path / "home"
    home.mkdir()
    with running_server(tmp_path) as server:
        sent = deliver(server, 5)
        inbox = home / "inbox"
        config = home / ".fetchmailrc"
        config.write_text(
            f"poll localhost protocol pop3 port {server.ports['pop3s']} uidl\n"
            f'  user "{ANN}" password "{PASSWORD}" ssl sslcertck sslcertfile "{server.cafile}"\n'
            f'  mda "cat >> {inbox}" no rewrite keep\n'
        )
        config.chmod(0o600)
        # fetchmail will not poll without a mail spool of its own name; 1 means there was nothing to fetch.
        command = [fetchmail, "-f", str(config), "--nosyslog", "--pidfile", str(home / "pid")]
        environment = {"FETCHMAILHOME": str(home), "FETCHMAIL_INCLUDE_ROOT_UIDL": "1"}
        run_program(command, cwd=home, env=environment)
        got = inbox.read_bytes()
        assert got.count(b"Message-ID: <sample-") == 5
        assert all(octets.split(b"\r\n\r\n", 1)[1].replace(b"\r\n", b"\n").strip() in got for octets in sent)
        run_program(command, cwd=home, env=environment, ok=(1,))
        assert inbox.read_bytes() == got


def test_getmail_takes_everything_and_deletes_it(tmp_path: Path) -> None:
    getmail = require_program("getmail")
    home = tmp_path / "home"
    home.mkdir()
    inbox = home / "inbox"
    with running_server(tmp_path) as server:
        deliver(server, 5)
        config = home / "getmailrc"
        # As root getmail delivers only through a command that was allowed to be one.
        config.write_text(
            "[retriever]\ntype = SimplePOP3SSLRetriever\nserver = localhost\n"
            f"port = {server.ports['pop3s']}\nusername = {ANN}\npassword = {PASSWORD}\n"
            f"ca_certs = {server.cafile}\n"
            "[destination]\ntype = MDA_external\npath = /usr/bin/tee\n"
            f'arguments = ("-a", "{inbox}")\nallow_root_commands = true\nunixfrom = false\n'
            "[options]\ndelete = true\nverbose = 1\n"
        )
        command = [getmail, "--getmaildir", str(home), "--rcfile", str(config)]
        run_program(command, cwd=home)
        got = inbox.read_bytes()
        assert got.count(b"Message-ID: <sample-") == 5
        run_program(command, cwd=home)
        assert inbox.read_bytes() == got
