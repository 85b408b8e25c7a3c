"""The list of commands, and how errors end."""

import importlib
from typing import Any

import click
import pytest
from click.testing import CliRunner

from postino.cli import main as main_module
from postino.cli.main import main
from postino.cli.options import new_password
from postino.core.errors import StoreError


def commands() -> list[str]:
    return main.list_commands(click.Context(main))


def test_every_command_listed_is_there_under_its_name() -> None:
    for name in commands():
        found = main.get_command(click.Context(main), name)
        assert found is not None
        assert found.name == name
        assert found.help
    assert main.get_command(click.Context(main), "nothing") is None


def test_help_imports_no_command() -> None:
    done = CliRunner().invoke(main, ["--help"])
    assert done.exit_code == 0
    for name in commands():
        assert f"\n  {name} " in done.output


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (StoreError("The disk is full; make room"), "Error: The disk is full; make room"),
        (PermissionError(13, "Permission denied", "/x"), "Error: /x: Permission denied"),
        (KeyError("k"), "Error: A fault in Postino itself: KeyError: 'k'. Set POSTINO_DEBUG=1 to see where, and please report it"),
    ],
)  # fmt: skip
def test_an_error_ends_as_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception, line: str) -> None:
    @click.command()
    def verify() -> None:
        raise error

    monkeypatch.delenv("POSTINO_DEBUG", raising=False)
    module: Any = importlib.import_module("postino.cli.verify")
    monkeypatch.setattr(module, "verify", verify)
    done = CliRunner().invoke(main, ["verify"])
    assert done.exit_code == 1
    assert done.output.strip() == line


def test_made_up_passwords_differ_and_are_easy_to_type() -> None:
    made = {new_password() for _ in range(100)}
    assert len(made) == 100
    for password in made:
        assert len(password) == 19
        assert not set(password) & set("lo01O ")


def test_commands_are_documented_once() -> None:
    assert set(main_module._COMMANDS) == set(commands())
