"""spamtest, spamtestplus and virustest, with RFC 5235's examples by section."""

import pytest

from postino.sieve import BadScript, Circumstances, compile_script
from tests.unit.sieve.scripting import MESSAGE, done

_NUMERIC = '"relational", "comparator-i;ascii-numeric"'


@pytest.mark.parametrize(
    ("percent", "mailbox"),
    [
        (None, "fileinto INBOX.unclassified"),
        (0.0, "keep"),
        (12.0, "keep"),
        (13.0, "fileinto INBOX.spam-trap"),
        (100.0, "fileinto INBOX.spam-trap"),
    ],
)
def test_spam_in_tenths(percent: float | None, mailbox: str) -> None:
    """§3.2.1."""
    script = (
        f'require ["spamtest", "fileinto", {_NUMERIC}];\r\n'
        'if spamtest :value "eq" :comparator "i;ascii-numeric" "0" { fileinto "INBOX.unclassified"; }\r\n'
        'elsif spamtest :value "ge" :comparator "i;ascii-numeric" "3" { fileinto "INBOX.spam-trap"; }'
    )
    assert done(script, MESSAGE, Circumstances(spam_percent=percent)) == [mailbox]


@pytest.mark.parametrize(
    "first",
    [
        'spamtest :value "eq" :comparator "i;ascii-numeric" "0"',
        'spamtest :percent :count "eq" :comparator "i;ascii-numeric" "0"',
    ],
)
@pytest.mark.parametrize(
    ("percent", "action"),
    [
        (None, "fileinto INBOX.unclassified"),
        (0.0, "fileinto INBOX.not-spam"),
        (0.1, "fileinto INBOX.spam-trap"),
        (36.0, "fileinto INBOX.spam-trap"),
        (37.0, "discard"),
        (100.0, "discard"),
    ],
)
def test_spam_in_hundredths(first: str, percent: float | None, action: str) -> None:
    """§3.2.2, both examples."""
    script = (
        f'require ["spamtestplus", "fileinto", {_NUMERIC}];\r\n'
        f'if {first} {{ fileinto "INBOX.unclassified"; }}\r\n'
        'elsif spamtest :percent :value "eq" :comparator "i;ascii-numeric" "0" { fileinto "INBOX.not-spam"; }\r\n'
        'elsif spamtest :percent :value "lt" :comparator "i;ascii-numeric" "37" { fileinto "INBOX.spam-trap"; }\r\n'
        "else { discard; }"
    )
    assert done(script, MESSAGE, Circumstances(spam_percent=percent)) == [action]


@pytest.mark.parametrize(
    ("percent", "tenths", "hundredths"),
    [
        (-5.0, 1, 0),
        (0.0, 1, 0),
        (0.01, 2, 1),
        (50.0, 6, 50),
        (99.9, 9, 99),
        (100.0, 10, 100),
        (250.0, 10, 100),
    ],
)
def test_scales(percent: float, tenths: int, hundredths: int) -> None:
    facts = Circumstances(spam_percent=percent)
    for test in (f'spamtest "{tenths}"', f'spamtest :percent "{hundredths}"'):
        assert done(f'require "spamtestplus"; if {test} {{ discard; }}', MESSAGE, facts) == ["discard"]


def test_hundredths_need_spamtestplus() -> None:
    """§3.2."""
    with pytest.raises(BadScript, match=r":percent of spamtest needs require .spamtestplus"):
        compile_script(b'require "spamtest"; if spamtest :percent "0" { stop; }')


@pytest.mark.parametrize(
    ("value", "actions"),
    [
        (None, ["fileinto INBOX.unclassified"]),
        (0, ["fileinto INBOX.unclassified"]),
        (1, ["keep"]),
        (4, ["fileinto INBOX.quarantine"]),
        (5, ["discard"]),
        (9, ["discard"]),
    ],
)
def test_viruses(value: int | None, actions: list[str]) -> None:
    """§3.3."""
    script = (
        f'require ["virustest", "fileinto", {_NUMERIC}];\r\n'
        'if virustest :value "eq" :comparator "i;ascii-numeric" "0" { fileinto "INBOX.unclassified"; }\r\n'
        'if virustest :value "eq" :comparator "i;ascii-numeric" "4" { fileinto "INBOX.quarantine"; }\r\n'
        'elsif virustest :value "eq" :comparator "i;ascii-numeric" "5" { discard; }'
    )
    assert done(script, MESSAGE, Circumstances(virus_value=value)) == actions


def test_whether_anybody_looked_can_be_counted() -> None:
    """§3.1."""
    script = f'require ["virustest", {_NUMERIC}]; if virustest :count "eq" "1" {{ discard; }}'
    assert done(script, MESSAGE, Circumstances(virus_value=1)) == ["discard"]
    assert done(script, MESSAGE, Circumstances()) == ["keep"]
