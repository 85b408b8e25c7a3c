"""`postino check-config` finds routes that cannot be used before the server does."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from postino.cli.main import main

ROUTE = '[[outbound.routes]]\nhost = "smtp.example.net"\nlogin = "ann"\ntls = "verified"\n'


SEVERAL = """
[[outbound.routes]]
host = "unix:/run/list.sock"
protocol = "lmtp"
domains = ["lists.example"]
[[outbound.routes]]
domains = ["a.example", ".b.example"]
senders = ["ann@example.org", "<>"]
[[outbound.routes]]
host = "smtp.example.net"
senders = ["example.org"]
"""


def check(directory: Path, text: str) -> tuple[int, str]:
    (directory / "postino.toml").write_text(text)
    done = CliRunner().invoke(main, ["check-config", "--data", str(directory)])
    return done.exit_code, done.output


def test_routes_that_can_be_used_are_right(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    code, output = check(tmp_path, ROUTE + 'password_file = "password"\n')
    assert code == 0
    assert "the settings are right" in output


@pytest.mark.parametrize(
    ("text", "ways"),
    [
        ("", ["by MX"]),
        ("[outbound]\nenabled = false\n", ["refused: outbound.enabled is false"]),
        (
            ROUTE + 'password_file = "password"\n',
            ["everything to smtp.example.net (SMTP, TLS verified, as ann)"],
        ),
        (
            SEVERAL,
            [
                "for lists.example to unix:/run/list.sock (LMTP, TLS opportunistic)",
                "for a.example, .b.example from ann@example.org, <> by MX",
                "from example.org to smtp.example.net (SMTP, TLS opportunistic)",
                "everything else by MX",
            ],
        ),
    ],
)
def test_where_mail_goes_is_shown(tmp_path: Path, text: str, ways: list[str]) -> None:
    (tmp_path / "password").write_text("secret\n")
    code, output = check(tmp_path, text)
    assert code == 0
    shown = [line.partition("mail out")[2].strip() for line in output.splitlines() if "mail out" in line]
    assert shown == ways


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            ROUTE + 'password_file = "nowhere"\n',
            (
                "outbound.routes.password_file, in [[outbound.routes]] number 1: the password file "
                "{base}/nowhere cannot be read (No such file or directory); make it"
            ),
        ),
        (
            '[[outbound.routes]]\nhost = "a.example"\ntls = "verified"\nauthorities = "postino.toml"\n',
            "outbound.routes.authorities, in [[outbound.routes]] number 1: {base}/postino.toml cannot be used",
        ),
        (
            '[[outbound.routes]]\nhost = "a.example:smtp"\n',
            "outbound.routes.host, in [[outbound.routes]] number 1: 'smtp' is not a port; write HOST:PORT",
        ),
        (
            '[[outbound.routes]]\nhots = "a.example"\n',
            "line 2: outbound.routes.hots is not a setting; did you mean outbound.routes.host?",
        ),
        (
            '[server]\nlocal_senders = ["www-data"]\n',
            "server.local_senders: 'www-data' names no user; write USER:ADDRESS or USER:DOMAIN",
        ),
        (
            '[server]\nlocal_senders = ["www-data:a b"]\n',
            "server.local_senders: 'a b' is not a domain name",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    code, output = check(tmp_path, text)
    assert code == 1
    assert sentence.format(base=tmp_path) in output.replace("\n", " ")
