"""`postino rule`: rules in an account's script, in force at once, beside what stands there."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from postino.cli.main import main
from postino.core.ids import AccountId
from postino.sieve import FileInto, Keep, compile_script, evaluate
from postino.store.scripts import ScriptLimits, get_script, list_scripts, put_script, set_active
from postino.store.store import open_store
from postino.store.verify import verify
from tests.support.world import NOW

ANN = "ann@example.org"
FROM_BOSS = b"From: The Boss <boss@example.org>\r\nSubject: now\r\n\r\nwork\r\n"


def run(data: Path, *words: str) -> str:
    done = CliRunner().invoke(main, ["rule", *words, "--data", str(data)])
    assert done.exit_code == 0, done.output
    return done.output


def refused(data: Path, *words: str) -> str:
    done = CliRunner().invoke(main, ["rule", *words, "--data", str(data)])
    assert done.exit_code != 0
    return " ".join(done.output.split())


def scripts(data: Path) -> dict[str, tuple[bool, bytes]]:
    """Ann's: name, whether it is active, its text."""
    store = open_store(data)
    try:
        assert store.read_now(verify) == []
        return store.read_now(
            lambda tx: {
                row.name: (row.is_active, get_script(tx, AccountId(1), row.name))
                for row in list_scripts(tx, AccountId(1))
            }
        )
    finally:
        store.close_now()


def put(data: Path, name: str, source: bytes, *, active: bool) -> None:
    store = open_store(data)

    def write(tx):
        stored = compile_script(source).stored
        put_script(tx, AccountId(1), name, source, stored, now=NOW, limits=ScriptLimits())
        if active:
            set_active(tx, AccountId(1), name)

    store.write_now(write)
    store.close_now()


def test_the_first_rule_makes_a_script_and_activates_it(data: Path) -> None:
    said = run(data, "add", ANN, "--from", "boss@example.org", "--move-to", "Boss", "--mark-read")
    assert said == (
        "Rule 'from boss@example.org' is in force: from boss@example.org: flag \\Seen, move to Boss\n"
    )
    ((name, (is_active, source)),) = scripts(data).items()
    assert (name, is_active) == ("main", True)
    (filed,) = evaluate(compile_script(source), FROM_BOSS)
    assert isinstance(filed, FileInto)
    assert (filed.target.mailbox, filed.target.create, filed.target.flags) == ("Boss", True, ("\\Seen",))
    (kept,) = evaluate(compile_script(source), FROM_BOSS.replace(b"boss@", b"ann@"))
    assert isinstance(kept, Keep)


def test_rules_are_listed_moved_and_removed(data: Path) -> None:
    run(data, "add", ANN, "--subject", "one", "--flag", "--name", "first")
    run(data, "add", ANN, "--larger", "5MB", "--discard", "--at", "1")
    run(data, "add", ANN, "--every", "--keyword", "$Seen-by-rule", "--stop")
    assert run(data, "list", ANN) == (
        "1\tlarger 5000000\tlarger 5000000\tdiscard\n"
        "2\tfirst\tsubject one\tflag \\Flagged\n"
        "3\tevery message\tevery message\tflag $Seen-by-rule, stop\n"
    )
    assert run(data, "move", ANN, "first", "1") == "Rule 'first' is now number 1\n"
    assert run(data, "remove", ANN, "2") == "Rule 'larger 5000000' is removed\n"
    assert [each["name"] for each in json.loads(run(data, "list", ANN, "--json"))] == [
        "first",
        "every message",
    ]


def test_hand_written_sieve_survives(data: Path) -> None:
    own = b'# my own\r\nrequire "fileinto";\r\nif size :over 1M { fileinto "Large"; }\r\n'
    put(data, "mine", own, active=True)
    put(data, "other", b"keep;", active=False)
    run(
        data,
        "add",
        ANN,
        "--list",
        "talk@lists.example.org",
        "--copy-to",
        "Lists/Talk",
        "--forward-to",
        "x@y.org",
    )
    source = scripts(data)["mine"][1]
    assert b"fileinto :copy" in source
    run(data, "remove", ANN, "1")
    assert scripts(data) == {"mine": (True, own), "other": (False, b"keep;")}


def test_an_inactive_main_is_left_alone(data: Path) -> None:
    put(data, "main", b"discard;", active=False)
    run(data, "add", ANN, "--to", "@lists.example.org", "--flag")
    there = scripts(data)
    assert there["main"] == (False, b"discard;")
    assert there["main-2"][0]


def test_outgoing_rules_are_in_the_outgoing_script(data: Path) -> None:
    run(data, "add", ANN, "--to", "@client.example", "--move-to", "Clients", "--outgoing")
    assert list(scripts(data)) == ["outgoing"]
    assert not scripts(data)["outgoing"][0]
    assert run(data, "list", ANN) == ""
    assert (
        run(data, "list", ANN, "--outgoing") == "1\tto @client.example\tto @client.example\tmove to Clients\n"
    )


def test_a_block_changed_by_hand_is_refused(data: Path) -> None:
    run(data, "add", ANN, "--from", "boss@example.org", "--move-to", "Boss")
    put(data, "main", scripts(data)["main"][1].replace(b'"Boss"', b'"Chief"'), active=True)
    assert "changed by hand" in refused(data, "add", ANN, "--every", "--stop")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", ANN, "--move-to", "Boss"], "--every"),
        (["add", ANN, "--every", "--from", "x", "--stop"], "--every"),
        (["add", ANN, "--from", "x"], "does nothing"),
        (["add", ANN, "--from", "x", "--forward-to", "no address"], "is not an address"),
        (["add", ANN, "--from", "x", "--keyword", "two words"], "$Work"),
        (["add", ANN, "--larger", "big", "--flag"], "is not a size"),
        (["add", "eve@example.org", "--from", "x", "--flag"], "There is no account"),
        (["remove", ANN, "none"], "There is no rule 'none'"),
    ],
)
def test_refusals(data: Path, words: list[str], said: str) -> None:
    assert said in refused(data, *words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--move-to", "a//b"], "'a//b' is no name for a mailbox; write one such as Lists/Talk"),
        (["--copy-to", ""], "'' is no name for a mailbox"),
        (["--forward-to", "nobody"], "'nobody' is not an address; write one such as ann@example.org"),
    ],
)
def test_where_nothing_can_go_is_refused_in_words_of_rules(
    data: Path, words: list[str], expected: str
) -> None:
    said = refused(data, "add", ANN, "--from", "boss@example.org", *words)
    assert expected in said
    assert "column" not in said
    assert scripts(data) == {}
