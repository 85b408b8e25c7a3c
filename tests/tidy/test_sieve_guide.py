"""The examples of docs/sieve.md do what the guide says they do: compile, run, parse."""

import re
import shlex
from pathlib import Path

import click
import pytest

from postino.cli.main import main
from postino.sieve import compile_script

GUIDE = (Path(__file__).parents[2] / "docs" / "sieve.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("source", blocks("sieve"))
def test_scripts_compile_without_a_warning(source: str) -> None:
    assert compile_script(source.encode()).warnings == ()


@pytest.mark.parametrize("source", blocks("python"))
def test_programs_run(source: str) -> None:
    exec(compile(source, "docs/sieve.md", "exec"), {})


@pytest.mark.parametrize("line", [line for block in blocks("console") for line in block.splitlines()])
def test_command_lines_are_understood(line: str) -> None:
    program, *words = shlex.split(line)
    assert program == "postino"
    command: click.Command = main
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"there is no {words[0]}"
        command, words = found, words[1:]
    command.make_context("postino", words)


def test_the_guide_has_examples_of_each_kind() -> None:
    assert [bool(blocks(kind)) for kind in ("sieve", "python", "console")] == [True, True, True]
