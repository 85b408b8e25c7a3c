"""Every setting is declared once; a wrong file is explained in one sentence."""

import re
from pathlib import Path

import msgspec
import pytest

from postino.app.reload import AT_A_START
from postino.app.settings import Settings
from postino.app.settings_file import Configuration, find_settings, load_settings, read_settings
from postino.app.settings_reference import render_commented_file, render_markdown, render_text
from postino.app.settings_schema import find_table, tables
from postino.app.units import parse_duration, parse_size, show_duration, show_size
from postino.core.errors import SettingsError

BASE = Path("/base")


def read(text: str) -> Configuration:
    return read_settings(text, base=BASE)


def test_an_empty_file_gives_the_defaults() -> None:
    assert read("").settings == Settings()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[server]\nhostnam = "x"', "line 2: server.hostnam is not a setting; did you mean server.hostname?"),
        ("[limts]\n", "line 1: there is no table [limts]; did you mean limits?"),
        ('log_level = "debug"', "line 1: log_level belongs into the table [server]"),
        ("[server]\nmessage_octets = 1", "line 2: server.message_octets is not a setting; did you mean limits.message_octets?"),
        ("[server]\nzzz = 1", "line 2: server.zzz is not a setting; postino reference lists them all"),
        ('[limits]\n\nmessage_octets = "50 MiBs"', "line 3: limits.message_octets: '50 MiBs' is not a size; write one such as 500MB, 5GB or 50MiB"),
        ('[limits]\nlogin_seconds = "soon"', "line 2: limits.login_seconds: 'soon' is not a time; write one such as 90s, 5min, 12h or 30days"),
        ("[limits]\nmessage_octets = -1", "line 2: limits.message_octets must be a whole number, at least 1, not -1"),
        ("[limits]\nrecipients = 1.5", "line 2: limits.recipients must be a whole number, not 1.5"),
        ('[oauth]\nissuer = "https://a.example"', "oauth.audience is missing; name what tokens for this server say in aud, such as its host name"),
        ('[oauth]\nissuer = "http://a.example"\naudience = ["x"]', "oauth.issuer must be an https URL, not 'http://a.example': keys are asked for over TLS only"),
        ('[oauth]\nissuer = "accounts"\naudience = ["x"]', "oauth.issuer must be an https URL, not 'accounts': keys are asked for over TLS only"),
        ('[oauth]\nissuer = "https://a.example"\naudience = ["x"]\nalgorithms = ["none"]', 'line 4: oauth.algorithms must be a list of "ES256", "ES384", "ES512", "Ed25519", "HS256", "HS384", "HS512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"'),
        ('[oauth]\nissuer = "a"\nkeys = "http://a.example/k"\naudience = ["x"]', "oauth.keys must be an https URL, not 'http://a.example/k': keys are asked for over TLS only"),
        ('[oauth]\nissuer = "https://a.example"\naudience = ["x"]\nalgorithms = []', "oauth.algorithms is empty; leave it out for all that need no shared secret"),
        ('[oauth]\nissuer = "https://a.example"\naudience = ["x"]\nalgorithms = ["HS256"]', "oauth.algorithms with HS need a shared secret: give a file of keys in oauth.keys"),
        ('[server]\nhostname = "our server"', "server.hostname must be a host's name, such as mail.example.org, not 'our server'"),
        ('[outbound]\nhello_name = "a\\r\\nRSET"', "outbound.hello_name must be a host's name, such as mail.example.org, not 'a\\r\\nRSET'"),
        ('[outbound]\nsource_addresses = ["eth0"]', "outbound.source_addresses has 'eth0'; write addresses of this machine, such as 192.0.2.25"),
        ('[outbound]\nresolvers = ["unbound"]', "outbound.resolvers cannot have 'unbound'; write an address, as 127.0.0.1 or 127.0.0.1#53"),
        ("[limits]\nlogin_seconds = 0", "line 2: limits.login_seconds must be a number, above 0.0, not 0"),
        ('[listen]\nsmtp = "*:25"', "line 2: listen.smtp must be a list such as [\"...\"], not '*:25'"),
        ("[listen]\nsmtp = [25]", 'line 2: listen.smtp must be a text in "quotes"'),
        ('[listen]\nsmtp = ["*:x"]', "listen.smtp: '*:x' is not an address to listen on; write HOST:PORT such as *:25, or unix:PATH"),
        ('[listen]\nsmtp = ["::1:25"]', "listen.smtp: '::1:25' is not an address to listen on; write IPv6 as [::1]:25"),
        ('[server]\nlog_level = "loud"', "line 2: server.log_level must be one of \"debug\", \"error\", \"info\", \"warning\", not 'loud'"),
        ('[server]\nsubaddress_separator = "++"', "line 2: server.subaddress_separator must be a text of at most one character, not '++'"),
        ("[server]\nworkers = 999", "line 2: server.workers must be a whole number, at most 256, not 999"),
        ('[tls]\ncertificate = "a"', "tls.key is missing; a certificate and its key go together"),
        ('[[tls.more]]\nkey = "x"', "line 1: [[tls.more]] lacks certificate; every certificate needs it"),
        ('[[tls.more]]\ncertificat = "x"', "line 2: tls.more.certificat is not a setting; did you mean tls.more.certificate?"),
        ("[tls]\nmore = 1", "line 2: tls.more is a list of tables; write [[tls.more]] above each"),
        ("server = 3", "line 1: server is a table; write [server] above its settings"),
        ("x = [", "this is not TOML: Invalid value (at end of document)"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_explained(text: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(text)
    assert str(caught.value) == f"the settings: {sentence}"


def test_sizes_and_times_may_have_units() -> None:
    limits = read(
        '[limits]\nmessage_octets = "1.5 MiB"\nlogin_seconds = "2 min"\nrecipients = 7'
    ).settings.limits
    assert (limits.message_octets, limits.login_seconds, limits.recipients) == (1_572_864, 120.0, 7)


@pytest.mark.parametrize(
    ("text", "octets"),
    [("0", 0), ("500", 500), ("5GB", 5 * 10**9), ("5 GiB", 5 << 30), ("2G", 2 << 30), ("1.5k", 1536), ("10 octets", 10)],
)  # fmt: skip
def test_sizes(text: str, octets: int) -> None:
    assert parse_size(text) == octets


@pytest.mark.parametrize("text", ["", "GB", "-5", "5 XB", "1e9", "5GB!", "٥"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5 min", 300), ("12h", 43_200), ("1.5 days", 129_600)]
)
def test_times(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_amounts_for_people() -> None:
    assert [show_size(n) for n in (0, 999, 1024, 1536, 5 << 30, 3 << 40)] == [
        "0 octets", "999 octets", "1 KiB", "1.5 KiB", "5 GiB", "3 TiB",
    ]  # fmt: skip
    assert [show_duration(n) for n in (0.5, 59, 60, 90, 3600, 86_400, 432_000)] == [
        "0.5 s", "59 s", "1 min", "90 s", "1 h", "1 day", "5 days",
    ]  # fmt: skip


def test_paths_start_at_the_file_and_sockets_at_the_data(tmp_path: Path) -> None:
    file = tmp_path / "postino.toml"
    file.write_text('[server]\ndata = "mail"\n[listen]\nlmtp = ["unix:run/lmtp.sock"]\nimap = []')
    found = load_settings(file)
    assert found.data == tmp_path / "mail"
    assert found.listen()["lmtp"][0].path == str(tmp_path / "mail" / "run" / "lmtp.sock")
    assert found.listen()["imap"] == []
    assert found.path("/etc/key.pem") == Path("/etc/key.pem")


def test_the_file_beside_the_data_is_found_and_a_missing_one_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"postino init DOMAIN --data"):
        find_settings(tmp_path, None, required=True)
    assert find_settings(tmp_path, None, required=False).data == tmp_path
    (tmp_path / "postino.toml").write_text('[server]\nhostname = "here"')
    assert find_settings(tmp_path, None, required=True).hostname == "here"
    with pytest.raises(SettingsError, match="There is no data directory"):
        find_settings(tmp_path / "none", None, required=False)


def test_data_on_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text('[server]\ndata = "/elsewhere"\nhostname = "h"')
    found = find_settings(tmp_path / "mine", file, required=True)
    assert (found.data, found.hostname) == (tmp_path / "mine", "h")


def test_every_setting_is_explained_and_every_limit_has_a_unit() -> None:
    for table in tables():
        assert table.meaning
        for setting in table.settings:
            assert setting.meaning.endswith("."), setting.name
            if table.name == "limits" or setting.key.endswith(("_seconds", "_octets")):
                assert setting.unit, setting.name


def test_the_commented_file_uncommented_is_the_default_file() -> None:
    text = render_commented_file({})
    assert read(text).settings == Settings()
    lines = [re.sub(r"^# (?=[a-z_0-9]+ = |\[\[)", "", line) for line in text.splitlines()]
    uncommented = read("\n".join(lines)).settings
    assert uncommented.limits == Settings().limits
    assert uncommented.store == Settings().store
    assert uncommented.tls.more[0].names == ("mail.example.net",)


def test_values_given_are_set_in_the_commented_file() -> None:
    text = render_commented_file({"server.data": 'a"b\\c', "listen.imap": ("127.0.0.1:1",)})
    settings = read(text).settings
    assert settings.server.data == 'a"b\\c'
    assert settings.listen.imap == ("127.0.0.1:1",)


def test_the_reference_names_every_setting() -> None:
    page, text = render_markdown(), render_text()
    for table in tables():
        for setting in table.settings:
            assert f"| `{setting.key}` |" in page
            assert f"{setting.name}\n" in text
    assert "52428800 (50 MiB)" in page
    assert render_text(["limits.recipients"]).startswith(
        "limits.recipients\n    whole number in count; default: 1000"
    )
    with pytest.raises(SettingsError, match=r"did you mean limits\.recipients"):
        render_text(["limits.recipient"])


def test_settings_are_immutable() -> None:
    with pytest.raises(AttributeError):
        Settings().limits.recipients = 3  # type: ignore[misc]
    assert msgspec.structs.replace(Settings().limits, recipients=3).recipients == 3


def test_what_is_said_to_wait_for_a_start_is_what_a_reload_keeps_back() -> None:
    said = {
        setting.name
        for table in tables()
        for setting in table.settings
        if "Takes effect at a start" in setting.meaning
    }
    kept = {f"{table}.{name}" for table, names in AT_A_START.items() for name in names}
    assert said == kept | {setting.name for setting in find_table("listen").settings}  # type: ignore[union-attr]


def test_large_numbers_are_shown_as_people_write_them() -> None:
    assert "5184000 (60 days)" in render_text(["outbound.hold_seconds"])
    assert "1048576 (1 MiB)" in render_text(["outbound.returned_octets"])
    assert "e+" not in render_markdown()


@pytest.mark.parametrize("forbidden", ["exists", "read_text"])
def test_whoever_may_not_read_the_settings_is_told_who_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forbidden: str
) -> None:
    (tmp_path / "postino.toml").write_text("")

    def refuse(self: Path, **more: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, forbidden, refuse)
    with pytest.raises(SettingsError) as caught:
        find_settings(tmp_path, None, required=False)
    assert str(caught.value) == (
        f"You may not read {tmp_path}/postino.toml; be root for this, or the user the server runs as"
    )
