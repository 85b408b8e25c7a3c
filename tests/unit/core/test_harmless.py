"""Text of others as terminals and traces are given it."""

import pytest

from postino.core.harmless import harmless, harmless_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße, 你好\u3000\u200dनमस्ते 🙂", "Grüße, 你好\u3000\u200dनमस्ते 🙂"),
        ("a\r\nb\tc\0", "a??b?c?"),
        ("\x1b[31m \x9b31m \x7f \x85", "?[31m ?31m ? ?"),
        ("\u202egpj.exe\u2066\u2069\u200f\u061c", "?gpj.exe????"),
        ("a\u2028b\u2029c", "a?b?c"),
        ("\udcff", "?"),
    ],
)
def test_harmless(text: str, shown: str) -> None:
    assert harmless(text) == shown


def test_lines_stay() -> None:
    assert harmless_lines("a\x1b\nb\r\n") == "a?\nb?\n"
