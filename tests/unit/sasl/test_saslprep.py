"""SASLprep: the examples of its RFC, and what we do with text it prohibits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.sasl.saslprep import saslprep


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),  # RFC 4013 §3
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("e\u0301", "\u00e9"),
        ("\u0007", "\u0007"),  # prohibited by RFC 4013: kept, see the module
        ("\u0627\u0031", "\u0627\u0031"),
        ("\u00ad", "\u00ad"),
    ],
)
def test_table(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@given(st.text(max_size=30))
def test_is_stable_and_never_empties(text: str) -> None:
    assert saslprep(text) == saslprep(text)
    assert bool(saslprep(text)) == bool(text)
