"""Tables on a terminal show what others wrote, and do nothing of what it says."""

import io
import sys

import pytest

from postino.cli.options import show_table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("550 [/foo] no", "550 [/foo] no"),
        ("[bold]550[/bold]", "[bold]550[/bold]"),
        ("[link=http://evil.example]550[/link]", "[link=http://evil.example]550[/link]"),
        (":smile:", ":smile:"),
        ("\x1b]0;title\x07x", "?]0;title?x"),
        ("a\u202eb", "a?b"),
        ("[127.0.0.1]", "[127.0.0.1]"),
    ],
)
def test_a_cell_is_only_text(monkeypatch: pytest.MonkeyPatch, text: str, shown: str) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "100")
    show_table(["reply"], [[text]], empty="")
    assert shown in terminal.getvalue()
    assert "\x1b]" not in terminal.getvalue()
