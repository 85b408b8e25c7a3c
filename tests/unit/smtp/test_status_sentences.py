"""Status codes in plain words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.smtp.status_sentences import explain_delay, explain_failure, shown_size

SIZE = 30_000_000


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("5.1.1", "There is no mailbox of that name at example.net. Check the spelling"),
        ("5.1.2", "There is no mail system for example.net."),
        ("5.1.10", "example.net takes no mail at all."),
        ("5.2.2", "The recipient's mailbox is full."),
        ("5.3.4", "The message is 30 MB, which is more than the mail system of example.net takes."),
        ("5.4.6", "The message went round in circles"),
        ("5.5.9", "The mail system of example.net and ours did not understand each other."),
        ("5.6.7", "does not take addresses with letters such as é or ü"),
        ("5.7.26", "is not convinced that the message is from you"),
        ("5.7.30", "cannot promise the protected connections"),
        ("5.7.999", "refuses the message by a rule of its own"),
        ("5.0.0", "The mail system of example.net does not take the message."),
        ("5.9.9", "The mail system of example.net does not take the message."),
        ("", "The mail system of example.net does not take the message."),
        ("garbage", "The mail system of example.net does not take the message."),
    ],
)
def test_failures(status: str, says: str) -> None:
    assert says in explain_failure(status, where="example.net", size=SIZE)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("4.4.1", "The mail system of example.net does not answer."),
        ("4.2.2", "The recipient's mailbox is full."),
        ("4.7.1", "does not take the message yet"),
        ("5.1.1", "does not take the message at present"),
        ("", "does not take the message at present"),
    ],
)
def test_delays(status: str, says: str) -> None:
    assert says in explain_delay(status, where="example.net", size=SIZE)


@given(st.integers(2, 5), st.integers(0, 999), st.integers(0, 999))
def test_every_code_gives_whole_sentences(first: int, second: int, third: int) -> None:
    for explain in (explain_failure, explain_delay):
        said = explain(f"{first}.{second}.{third}", where="example.net", size=1)
        assert re.fullmatch(r"(?:[A-Z]|example\.net).*\.", said)
        assert not set("{}") & set(said)


@pytest.mark.parametrize(
    ("octets", "shown"),
    [(0, "1 KB"), (1499, "1 KB"), (999_499, "999 KB"), (1_000_000, "1 MB"), (31_457_280, "31.5 MB")],
)
def test_sizes(octets: int, shown: str) -> None:
    assert shown_size(octets) == shown
