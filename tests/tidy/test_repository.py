"""The repository keeps its own rules: sizes, citations, documented settings and commands."""

import ast
import csv
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src" / "postino").rglob("*.py"))
INDEX = ROOT / "docs" / "rfc-index.tsv"
LONGEST_MODULE_LINES = 600


def rfc_index() -> dict[int, tuple[str, str, str]]:
    """RFC number -> (status, modules, title)."""
    with INDEX.open(encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    assert rows[0] == ["rfc", "status", "module", "title"]
    return {int(row[0]): (row[1], row[2], row[3]) for row in rows[1:]}


def cited_rfcs(text: str) -> set[int]:
    """Numbers in `RFC 9051 §6.4.7`, and in a docstring line `RFC: 9051 §4.3 (..), 7888 (..).`"""
    # Without a space it is a name, such as IMAP's item RFC822.
    found = {int(number) for number in re.findall(r"RFC[ -](\d{3,5})\b", text)}
    for line in re.findall(r"^RFC: (.*(?:\n    .*)*)", text, re.MULTILINE):
        found |= {int(n) for n in re.findall(r"(?<![§.\d])\b(\d{4})\b(?!\.)", line)}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT / "src")))
def test_every_rfc_cited_in_code_is_in_the_index(path: Path) -> None:
    missing = cited_rfcs(path.read_text(encoding="utf-8")) - rfc_index().keys()
    assert not missing, f"add {sorted(missing)} to docs/rfc-index.tsv"


def test_the_index_is_sorted_and_its_words_are_known() -> None:
    index = rfc_index()
    assert list(index) == sorted(index)
    assert {status for status, _, _ in index.values()} <= {"yes", "partial", "no"}


def test_every_rfc_we_claim_names_modules_that_exist_and_cite_it() -> None:
    for number, (status, modules, _) in rfc_index().items():
        if status == "no":
            assert modules == "-", f"RFC {number} is 'no' and must name no module"
            continue
        for module in modules.split(" "):
            base = ROOT / "src" / "postino" / module.replace(".", "/")
            path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
            assert path.exists(), f"RFC {number} names {module}, which is not there"
        paths = [
            p
            for module in modules.split(" ")
            for p in (
                (ROOT / "src" / "postino" / module.replace(".", "/")).rglob("*.py")
                if (ROOT / "src" / "postino" / module.replace(".", "/")).is_dir()
                else [(ROOT / "src" / "postino" / module.replace(".", "/")).with_suffix(".py")]
            )
        ]
        assert any(number in cited_rfcs(p.read_text(encoding="utf-8")) for p in paths), (
            f"RFC {number} is claimed for {modules}, but nothing there cites it"
        )


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT / "src")))
def test_a_module_says_what_it_is_and_stays_readable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "a module begins with a docstring"
    assert text.count("\n") <= LONGEST_MODULE_LINES, "split the module: one idea a file"


def test_no_todo_goes_without_an_issue() -> None:
    for path in SOURCES:
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not re.search(r"\b(TODO|FIXME|XXX)\b(?!\(#\d+\))", line), f"{path.name}: {line.strip()}"


def test_the_settings_page_is_the_generated_one() -> None:
    from postino.app.settings_reference import render_markdown

    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == render_markdown(), "run: make docs"


def test_every_command_has_help_with_an_example() -> None:
    import click

    from postino.cli.main import main

    def walk(command: click.Command, context: click.Context, words: list[str]) -> None:
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                walk(found, click.Context(found, info_name=name, parent=context), [*words, name])
        text = command.get_help(context)
        assert "postino" in text, f"{' '.join(words)} --help shows no example"
        assert "Example" in text, f"{' '.join(words)} --help shows no example"

    walk(main, click.Context(main, info_name="postino"), ["postino"])
