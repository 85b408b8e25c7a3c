"""`postino sieve check` and `test`: what is wrong with a script, what it would do and which line does it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from postino.cli.main import main
from postino.cli.options import show_table

MESSAGE = (
    b"From me@example.net Thu Jan  1 00:00:00 2026\n"
    b"Return-Path: <bounces@shop.example>\n"
    b"Delivered-To: ann@example.org\n"
    b"From: Shop <offers@shop.example>\n"
    b"Subject: Today only\n"
    b"\n"
    b"Buy.\n"
)


@pytest.fixture
def message(tmp_path: Path) -> Path:
    path = tmp_path / "message.eml"
    path.write_bytes(MESSAGE)
    return path


def script(tmp_path: Path, source: str) -> str:
    path = tmp_path / "rules.sieve"
    path.write_text(source)
    return str(path)


def run(*words: str, status: int = 0, given: bytes | None = None) -> str:
    done = CliRunner().invoke(main, ["sieve", *words], input=given)
    assert done.exit_code == status, done.output
    return done.output


def test_check_of_a_good_script(tmp_path: Path) -> None:
    file = script(tmp_path, 'require ["fileinto", "envelope"];\nfileinto "A";\n')
    assert run("check", file) == f"{file} is in order; it uses envelope, fileinto.\n"
    assert run("check", "-", given=b"keep;") == "standard input is in order.\n"


def test_check_names_every_fault_with_its_place(tmp_path: Path) -> None:
    file = script(tmp_path, 'fileinto "A";\nif bogus "x" {\n  keep;\n}\n')
    said = run("check", file, status=1)
    assert f"{file}:1:1: " in said
    assert f"{file}:2:4: " in said
    assert "correct what is named above" in said


def test_what_a_script_would_do_and_which_line_does_it(tmp_path: Path, message: Path) -> None:
    file = script(
        tmp_path,
        'require ["fileinto", "copy", "envelope"];\n'
        'if envelope :is "from" "bounces@shop.example" {\n'
        '    fileinto :copy "Offers";\n'
        "}\n"
        'if header :is "subject" "Today only" { redirect :copy "bob@example.net"; }\n',
    )
    assert run("test", file, str(message)) == (
        f"{file}:3: file in Offers\n"
        f"{file}:5: send on to bob@example.net\n"
        f"{file}:6: keep (nothing said otherwise)\n"
    )
    assert "Offers" not in run("test", file, str(message), "--from", "other@example.net")


def test_recipient_and_message_on_standard_input(tmp_path: Path) -> None:
    file = script(tmp_path, 'require "envelope";\nif envelope :is "to" "ann@example.org" { discard; }\n')
    assert run("test", file, "-", given=MESSAGE) == f"{file}:2: discard\n"
    assert "keep" in run("test", file, "-", "--to", "bob@example.org", given=MESSAGE)


def test_trace_shows_the_steps(tmp_path: Path, message: Path) -> None:
    file = script(tmp_path, 'if header :contains "subject" "only" {\n  discard;\n}\n')
    said = run("test", file, str(message), "--trace")
    assert f"{file}:1: " in said
    assert f"{file}:2: " in said
    assert "(1 step)\n\n" in said
    assert said.endswith(f"\n{file}:2: discard\n")


def test_what_cannot_be_done(tmp_path: Path) -> None:
    file = script(tmp_path, "keep;")
    assert "cannot both come on standard input" in run("test", "-", "-", status=2)
    assert "no such file" in run("test", file, str(tmp_path / "none"), status=1)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.sieve")
    assert run("check", missing, status=1) == (
        f"Error: {missing} cannot be read (no such file or directory); "
        "name a file that can, or - for standard input\n"
    )
    assert "(is a directory)" in run("check", str(tmp_path), status=1)


@pytest.mark.parametrize("option", ["--from", "--to"])
def test_an_envelope_is_made_of_addresses(tmp_path: Path, message: Path, option: str) -> None:
    file = script(tmp_path, "keep;")
    said = run("test", file, str(message), option, "no address", status=2)
    assert f"{option}: 'no address' is not an address; write one such as ann@example.org" in said
    assert "keep" in run("test", file, str(message), option, "")


def test_what_others_wrote_acts_on_no_terminal(tmp_path: Path, message: Path) -> None:
    output = run("check", script(tmp_path, "\x1b[2J\x9b\u202e;\n"), status=1)
    assert output.replace("\n", "").isprintable()
    assert "does not belong here" in output
    faulty = 'require ["regex", "variables"]; set "x" "(\u202e\x9b"; if header :regex "subject" "${x}" {}'
    output = run("test", script(tmp_path, faulty), str(message), "--trace")
    assert output.replace("\n", "").isprintable()


def test_a_cell_for_programs_is_one_cell(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(["a", "b"], [["x\ty\nz", "\x1b]0;\u202e"]], empty="")
    assert capsys.readouterr().out == "x?y?z\t?]0;?\n"
