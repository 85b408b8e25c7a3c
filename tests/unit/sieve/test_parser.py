"""Trees, and what is said of scripts that have none (RFC 5228 §8.2)."""

import pytest

from postino.sieve import BadScript, Budget
from postino.sieve.language.parser import parse
from postino.sieve.language.printer import show

EXAMPLE = """\
require ["fileinto", "reject"];
# a comment
if anyof (header :contains ["From", "Cc"] "coyote", not size :over 100K) {
  fileinto "ACME"; /* another */
} elsif true { } else { reject text:
Go away.
.
; }
"""


def test_a_tree_is_shown_one_command_a_line() -> None:
    assert show(parse(EXAMPLE.replace("\n", "\r\n").encode())).split("\r\n") == [
        'require ["fileinto", "reject"];',
        'if anyof (header :contains ["From", "Cc"] "coyote", not size :over 102400) {',
        '    fileinto "ACME";',
        "}",
        "elsif true {",
        "}",
        "else {",
        '    reject "Go away.',
        '";',
        "}",
        "",
    ]


def faults_of(script: str, budget: Budget | None = None) -> list[str]:
    with pytest.raises(BadScript) as refused:
        parse(script.encode(), budget=budget or Budget())
    return [str(fault) for fault in refused.value.faults]


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("keep", "line 1, column 5: A ; is missing behind keep, before the end of the script."),
        ("keep }", "line 1, column 6: A ; is missing behind keep, before }."),
        ("keep; }", "line 1, column 7: There is no { that this } belongs to; remove it."),
        ("if true { keep;", "line 1, column 9: This { has no }; put one where its block ends."),
        ('"x";', "line 1, column 1: A command is to begin here, and not a string."),
        ('redirect ["a" "b"];', "line 1, column 15: A comma or ] is missing in the list, before a string."),
        ("redirect [];", "line 1, column 11: A list in [ ] holds strings with commas between, not ]."),
        ("if allof (true, ) {}", "line 1, column 17: A test is to begin here, and not )."),
        ("if allof (true; ) {}", "line 1, column 15: A comma or ) is missing between tests, before ;."),
    ],
)
def test_what_is_wrong_is_said_where_it_is(script: str, fault: str) -> None:
    assert faults_of(script)[0] == fault


def test_all_faults_are_told_at_once() -> None:
    found = faults_of('keep\nif true { "x"; stop }\nredirect ["a" "b"];\nkeep; §')
    assert [fault.split(":")[0] for fault in found] == [
        "line 2, column 11",
        "line 2, column 21",
        "line 3, column 15",
        "line 4, column 7",
    ]


@pytest.mark.parametrize(
    "script", ["if true {" * 90 + "}" * 90, "if " + "not " * 90 + "true {}", "if " + "allof (" * 50]
)
def test_nesting_has_a_limit(script: str) -> None:
    assert "nested deeper than 64" in faults_of(script)[0]


def test_fifteen_nested_blocks_and_test_lists_are_taken() -> None:
    # RFC 5228 §2.10.7 asks for 15 of each.
    tests = "allof (not anyof (" * 7 + "allof (true)" + "))" * 7
    parse(("if true {" * 14 + f"if {tests} {{ }}" + "}" * 14).encode())


def test_a_script_of_nothing_is_one() -> None:
    assert parse(b"").commands == ()
    assert parse(b" # only this").commands == ()
