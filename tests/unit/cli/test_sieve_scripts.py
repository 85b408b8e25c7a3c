"""`postino sieve put` and its like, and `postino trace`: scripts of accounts, domains and the server."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from postino.cli.main import main
from postino.core.ids import AccountId
from postino.store.scripts import active_script, list_site_scripts
from postino.store.store import open_store
from postino.store.trace import TraceEvent, note_trace
from postino.store.verify import verify
from tests.support.world import NOW

ANN = "ann@example.org"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "main.sieve"
    path.write_bytes(b"# \xc3\xbc\r\nkeep;\r\n")
    return path


def run(data: Path, *words: object, given: bytes | None = None) -> str:
    done = CliRunner().invoke(main, [*map(str, words), "--data", str(data)], input=given)
    assert done.exit_code == 0, done.output
    return done.output


def source(data: Path, *words: str) -> bytes:
    return CliRunner().invoke(main, ["sieve", "get", *words, "--data", str(data)]).stdout_bytes


def refused(data: Path, *words: object, given: bytes | None = None) -> str:
    done = CliRunner().invoke(main, [*map(str, words), "--data", str(data)], input=given)
    assert done.exit_code != 0
    return " ".join(done.output.split())


def look(data: Path, fn):
    store = open_store(data)
    try:
        assert store.read_now(verify) == []
        return store.read_now(fn)
    finally:
        store.close_now()


def rows(output: str) -> list[list[str]]:
    return [line.split("\t") for line in output.splitlines()]


def test_a_script_is_put_in_force_listed_and_shown(data, script):
    assert "Put main for ann@example.org" in run(data, "sieve", "put", ANN, script)
    assert rows(run(data, "sieve", "list", ANN))[0][:3] == ["main", "-", "13"]
    run(data, "sieve", "put", ANN, script, "--name", "other", "--activate")
    assert [row[:2] for row in rows(run(data, "sieve", "list", ANN))] == [["main", "-"], ["other", "active"]]
    assert source(data, ANN, "other") == script.read_bytes()
    assert look(data, lambda tx: active_script(tx, AccountId(1))).name == "other"


def test_another_is_made_active_or_none(data, script):
    run(data, "sieve", "put", ANN, script, "--activate")
    run(data, "sieve", "put", ANN, "-", "--name", "second", given=b"discard;")
    assert "second filters" in run(data, "sieve", "activate", ANN, "second")
    assert "is active" in refused(data, "sieve", "delete", ANN, "second")
    assert "Deleted main" in run(data, "sieve", "delete", ANN, "main")
    run(data, "sieve", "deactivate", ANN)
    run(data, "sieve", "delete", ANN, "second")
    assert run(data, "sieve", "list", ANN) == ""


def test_the_outgoing_script_is_named_so(data, script):
    assert "runs on what the account sends" in run(data, "sieve", "put", ANN, script, "--name", "outgoing")
    assert rows(run(data, "sieve", "list", ANN))[0][:2] == ["outgoing", "outgoing"]


def test_scripts_of_domains_and_of_the_server_have_a_place(data, script):
    assert "before accounts' scripts" in run(data, "sieve", "put", "--server", script, "--place", "before")
    run(data, "sieve", "put", "--domain", "Example.ORG", script, "--place", "global", "--name", "shared")
    assert [row[:3] for row in rows(run(data, "sieve", "list"))] == [
        ["the server", "main", "before"],
        ["example.org", "shared", "global"],
    ]
    assert [row[:2] for row in rows(run(data, "sieve", "list", "--server"))] == [["main", "before"]]
    assert source(data, "--domain", "example.org", "shared") == script.read_bytes()
    run(data, "sieve", "delete", "--server", "main")
    run(data, "sieve", "delete", "--domain", "example.org", "shared")
    assert look(data, list_site_scripts) == []


def test_every_place_can_be_named(data, script):
    from postino.store.scripts import ScriptPlace

    for place in ScriptPlace:
        run(data, "sieve", "put", "--server", script, "--place", place.value, "--name", place.value)
    assert {row.place for _, row in look(data, list_site_scripts)} == set(ScriptPlace)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["put", ANN], "takes ACCOUNT and FILE"),
        (["put", "--server", ANN, "{file}", "--place", "before"], "takes FILE"),
        (["put", "--server", "--domain", "example.org", "{file}"], "not both"),
        (["put", "--server", "{file}"], "say --place before|after|"),
        (["put", "--server", "{file}", "--place", "before", "--activate"], "--activate goes with ACCOUNT"),
        (["put", ANN, "{file}", "--place", "before"], "--place goes with --domain or --server"),
        (["put", ANN, "-"], "Say --name"),
        (["put", ANN, "{file}", "--name", "a\nb"], "no control characters"),
        (["put", "eve@example.org", "{file}"], "There is no account eve@example.org"),
        (["put", "--domain", "example.com", "{file}", "--place", "after"], "There is no domain example.com"),
        (["get", ANN, "none"], "There is no script none"),
        (["get", "--server", "none"], "There is no script none"),
        (["get", ANN], "takes ACCOUNT and NAME"),
        (["list", ANN, "more"], "takes ACCOUNT"),
        (["list", "--server", ANN], "takes no further word"),
        (["activate", ANN, "none"], "There is no script none"),
        (["activate", ANN, ""], "deactivate"),
        (["delete", ANN, "none"], "There is no script none"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(data, script, words, sentence):
    before = look(data, lambda tx: tx.all("SELECT * FROM sieve_script"))
    assert sentence in refused(data, "sieve", *(word.replace("{file}", str(script)) for word in words))
    assert look(data, lambda tx: tx.all("SELECT * FROM sieve_script")) == before


def test_a_bad_script_is_not_put_and_every_fault_is_shown(data):
    said = refused(data, "sieve", "put", ANN, "-", "--name", "main", given=b"keep\r\n;nonsense 1;\r\nfoo;")
    assert "standard input:2:" in said
    assert "standard input:3:1:" in said
    assert run(data, "sieve", "list", ANN) == ""


def test_settings_bound_scripts(data, script):
    (data / "postino.toml").write_text("[sieve]\nscripts = 1\nscript_octets = 20\n")
    run(data, "sieve", "put", ANN, script)
    assert "at most 1 scripts" in refused(data, "sieve", "put", ANN, script, "--name", "second")
    assert "20" in refused(data, "sieve", "put", ANN, "-", "--name", "main", given=b"#" * 30)


def note(data: Path, message_id: str, *events: TraceEvent, seconds: int = 0) -> None:
    store = open_store(data)
    store.write_now(lambda tx: note_trace(tx, AccountId(1), message_id, events, NOW + seconds))
    store.close_now()


def test_trace_tells_what_scripts_did_and_which_line_did_it(data):
    note(data, "aa01", TraceEvent("main", 12, "filed in Boss"), TraceEvent("", 0, "kept"))
    note(data, "bb02", TraceEvent("after", 3, "sent on to x@example.com"), seconds=1)
    assert rows(run(data, "trace", ANN)) == [
        ["2026-01-01 00:00:01", "bb02", "after:3", "sent on to x@example.com"],
        ["2026-01-01 00:00:00", "aa01", "main:12", "filed in Boss"],
        ["2026-01-01 00:00:00", "aa01", "-", "kept"],
    ]
    assert [row[1] for row in rows(run(data, "trace", ANN, "--last", "1"))] == ["bb02"]
    assert [row[1] for row in rows(run(data, "trace", ANN, "aa01"))] == ["aa01", "aa01"]
    assert "No script of ann@example.org decided about a message cc03" in refused(data, "trace", ANN, "cc03")


@pytest.mark.parametrize(
    "command",
    ["sieve put", "sieve get", "sieve list", "sieve activate", "sieve deactivate", "sieve delete", "trace"],
)
def test_each_command_explains_itself_with_an_example(command):
    done = CliRunner().invoke(main, [*command.split(), "--help"])
    assert done.exit_code == 0
    assert f"Example: postino {command} " in " ".join(done.output.split())


def test_faults_are_named_by_the_file_that_is_to_be_corrected(data: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.sieve"
    bad.write_bytes(b"keep;\nfrobnicate;\n")
    said = refused(data, "sieve", "put", ANN, bad, "--name", "main")
    assert f"{bad}:2:1: " in said
    assert f"{bad} has a fault" in said


def test_scripts_of_an_unknown_domain_are_not_listed(data: Path) -> None:
    assert "There is no domain nix.example" in refused(data, "sieve", "list", "--domain", "nix.example")
    assert run(data, "sieve", "list", "--domain", "example.org") == ""
