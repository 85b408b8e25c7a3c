"""What is said of scripts that cannot be run: every fault, with its place and what to do."""

import pytest

from postino.sieve import BadScript, Budget, Circumstances, Keep, compile_script, run
from tests.unit.sieve.scripting import MESSAGE


def faults_of(script: str) -> list[str]:
    with pytest.raises(BadScript) as refused:
        compile_script(script.encode())
    return [str(fault) for fault in refused.value.faults]


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ('fileinto "A";', 'line 1, column 1: fileinto needs require "fileinto"; at the top of the script.'),
        ('if envelope "to" "x" {}', 'line 1, column 4: envelope needs require "envelope"; at the top of the script.'),
        ("keeep;", "line 1, column 1: There is no command keeep; did you mean keep?"),
        ("frobnicate;", "line 1, column 1: There is no command frobnicate."),
        ("if headr :is [] {}", "line 1, column 15: A list in [ ] holds strings with commas between, not ]."),
        ('if headr "a" "b" {}', "line 1, column 4: There is no test headr; did you mean header?"),
        ("if keep {}", "line 1, column 4: keep is an action; it belongs into a block: if ... { keep ...; }."),
        ("size :over 1;", "line 1, column 1: size is a test; it belongs behind an if."),
        ("if true;", "line 1, column 1: if needs a block in { } behind it."),
        ("if {}", "line 1, column 1: if takes one test."),
        ("if (true, false) {}", "line 1, column 1: if takes one test; put several into allof (...) or anyof (...)."),
        ("else {}", "line 1, column 1: else stands only right behind the block of an if or elsif."),
        (
            "if true {} else {} elsif true {}",
            "line 1, column 20: Nothing of an if may follow its else; remove this elsif.",
        ),
        ("if true {} else true {}", "line 1, column 12: else takes no test; write elsif for another condition."),
        ('keep; require "fileinto";', "line 1, column 7: require stands at the top of the script, before every other command."),
        ('require "fileintoo";', "line 1, column 9: This server has no extension 'fileintoo'; did you mean fileinto?"),
        ("require 1;", 'line 1, column 1: require takes one string or a list of strings: require ["fileinto"];'),
        ("keep {}", "line 1, column 1: keep ends with a semicolon, not with a block."),
        ('keep "x";', "line 1, column 1: keep takes no arguments, and there is one."),
        ("redirect;", "line 1, column 1: redirect takes address (a string), and there is none."),
        ("redirect 5;", "line 1, column 10: redirect takes a string here, not a number."),
        ('redirect "bob";', "line 1, column 1: 'bob' is not an address mail can be sent to; write user@example.org."),
        ("keep\nstop;", "line 2, column 1: keep takes no test; is there a ; missing before it?"),
        ('if header :if "a" "b" {}', "line 1, column 11: header has no :if."),
        ('if header "a" :is "b" {}', "line 1, column 15: :is stands before the other arguments of header."),
        ('if header :is :is "a" "b" {}', "line 1, column 15: :is is there twice; remove one."),
        ('if header :is :contains "a" "b" {}', "line 1, column 15: :contains and :is exclude each other; keep one."),
        ('if header :comparator "a" "b" {}', "line 1, column 4: header takes header names"),
        ('if header :comparator "i;x" "a" "b" {}', "line 1, column 23: There is no comparator i;x; known are i;octet"),
        (
            'if header :comparator "i;ascii-numeric" "a" "b" {}',
            'line 1, column 23: The comparator i;ascii-numeric needs require "comparator-i;ascii-numeric"; at the top.',
        ),
        ('if address "subject" "b" {}', "line 1, column 4: The field subject does not hold addresses; use header instead of address."),
        ("if size 5 {}", "line 1, column 4: size takes no arguments, and there is one."),
        ("if size {}", "line 1, column 4: size takes :over or :under with a number: size :over 100K."),
        ("if not (true, true) {}", "line 1, column 4: not takes one test behind it."),
        ("if allof {}", "line 1, column 4: allof takes tests in ( ), with commas between."),
    ],
)  # fmt: skip
def test_one_fault(script: str, fault: str) -> None:
    assert faults_of(script)[0].startswith(fault)


def test_all_faults_are_told_in_their_order() -> None:
    script = 'require "fileinto";\nkeeep;\nif true { redirect "x"; fileinto; }\nif headr "a" { discard 1; }\n'
    assert [fault.split(":")[0] for fault in faults_of(script)] == [
        "line 2, column 1",
        "line 3, column 11",
        "line 3, column 25",
        "line 4, column 4",
        "line 4, column 16",
    ]


def test_faults_are_told_up_to_a_number() -> None:
    assert 50 <= len(faults_of("keeep;" * 500)) <= 60


def test_require_inside_a_block_is_refused() -> None:
    assert "at the top" in faults_of('if true { require "fileinto"; }')[0]


@pytest.mark.parametrize(
    ("script", "budget", "words"),
    [
        (b"keep;" + b"if true { keep; }" * 500, Budget(steps=400), "more than 400 steps"),
        (
            b'require "fileinto";' + b"".join(b'fileinto "%d";' % number for number in range(40)),
            Budget(),
            "more than 32 actions",
        ),
        (
            b"".join(b'redirect "a%d@example.org";' % number for number in range(6)),
            Budget(),
            "sent on more than 4 times",
        ),
    ],
)
def test_a_script_that_does_too_much_is_ended_and_the_message_kept(
    script: bytes, budget: Budget, words: str
) -> None:
    evaluation = run(compile_script(script), MESSAGE, Circumstances(), budget=budget)
    assert evaluation.fault is not None
    assert words in evaluation.fault.words
    assert [type(action).__name__ for action in evaluation.actions] == ["Keep"]


def test_time_is_up_where_a_clock_says_so() -> None:
    clock = iter([0.0, *[10.0] * 1000])
    script = compile_script(b"if true { keep; }" * 5000)
    evaluation = run(script, MESSAGE, budget=Budget(seconds=2.0), steady=lambda: next(clock))
    assert evaluation.fault is not None
    assert "more than 2 seconds" in evaluation.fault.words


def test_a_name_no_field_can_have_matches_nothing_and_is_only_warned_of() -> None:
    # RFC 5228 §2.4.2.2.
    script = compile_script(b'if header :contains "a b" "" { discard; }')
    assert ["cannot be the name" in warning.words for warning in script.warnings] == [True]
    assert [type(action) for action in run(script, b"a b: x\r\n\r\n").actions] == [Keep]


_MANY_FIELDS = b"".join(b"X-F: %d some words\r\n" % number for number in range(2000)) + b"\r\n"
_LONG_FIELD = b"To: " + b"=?utf-8?q?a?= " * 5000 + b"\r\n\r\n"


def _keys(text: str, many: int) -> str:
    return "[" + ",".join(f'"{text % number}"' for number in range(many)) + "]"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (f'if header :matches "x-f" {_keys("*some*%d*q*", 200)} {{ stop; }}', _MANY_FIELDS),
        (f'if header :matches "x-f" {_keys("*q%d*", 800)} {{ stop; }}', _MANY_FIELDS),
        (f'if header :contains "x-f" {_keys("q%d", 2000)} {{ stop; }}', _MANY_FIELDS),
        ('if header :contains "x-f" "q" { stop; } elsif false {}' * 800, _MANY_FIELDS),
        ('if header :is "x-f" "q" { stop; } elsif false {}' * 800, _MANY_FIELDS),
        ('if header :comparator "i;octet" :is "x-f" "q" { stop; } elsif false {}' * 800, _MANY_FIELDS),
        ('require "mime";' + 'if header :mime "to" "q" { stop; }' * 30, _LONG_FIELD),
        ('require "index";' + 'if address :index 1 "to" "q" { stop; }' * 30, _LONG_FIELD),
        (
            f'require "body"; if body :raw :contains {_keys("q%d", 200)} {{ stop; }}',
            b"\r\n" + b"x" * 1_000_000,
        ),
    ],
)
def test_whatever_takes_long_is_counted(script: str, message: bytes) -> None:
    # What these took, and were not counted for, was up to 50 s with as much as a script and a message may have.
    evaluation = run(compile_script(script.encode()), message, budget=Budget(steps=90_000))
    assert evaluation.fault is not None
    assert "more than 90000 steps" in evaluation.fault.words


@pytest.mark.parametrize(
    ("script", "places"),
    [
        ('if true {\n keep;\nfooo;\nredirect "nobody";\n', [(1, 9), (3, 1), (4, 1)]),
        # Of two blocks, the outer one is taken to be open: the } ends the inner one.
        ("if true {\n if false {\n keep\n }\n fileinto 3;\n", [(1, 9), (4, 2), (5, 2)]),
        # An else belongs to the if whose block has no end.
        ("if true {\n keep;\nelse {\n fooo;\n}\nbarr;\n", [(1, 9), (4, 2), (6, 1)]),
        ("if true {\n if true { keep; }\n else { keep; }\nelse { fooo; }", [(1, 9), (4, 8)]),
        # No fault is made of what is missing because it could not be read.
        ("if 3 true { keep; } else { fooo; }", [(1, 4), (1, 28)]),
        ("if ) { keep; } else { fooo; }", [(1, 4), (1, 23)]),
        ('require "fileinto" ];\nfileinto "a";\nif true {', [(1, 20), (3, 9)]),
        ('redirect "nobody";\nkeep "', [(1, 1), (2, 6), (2, 7)]),
    ],
)
def test_a_fault_of_form_does_not_hide_others(script: str, places: list[tuple[int, int]]) -> None:
    with pytest.raises(BadScript) as refused:
        compile_script(script.encode())
    found = [(fault.place.line, fault.place.column) for fault in refused.value.faults]
    assert found == places


@pytest.mark.parametrize("script", ["}" * 5000, "x;" * 5000, "@ " * 5000, "if true {" * 5000, "x{" * 5000])
def test_no_more_faults_are_told_than_anybody_reads(script: str) -> None:
    with pytest.raises(BadScript) as refused:
        compile_script(script.encode())
    assert 30 < len(refused.value.faults) <= 50


@pytest.mark.parametrize(
    "test", ["exists", "header", "address", "anyof (exists)", "allof (true, exists)", "not exists"]
)
def test_an_if_whose_test_lacks_its_arguments_is_a_fault(test: str) -> None:
    with pytest.raises(BadScript, match="takes"):
        compile_script(f"if {test} {{ stop; }}".encode())
