"""How values are compared with keys (RFC 5228 §2.7)."""

import pytest

from postino.sieve import BadScript, Budget, Circumstances, SieveMessage, compile_script, run
from postino.sieve.matching import Pattern, number_of
from tests.unit.sieve.scripting import holds


@pytest.mark.parametrize(
    ("pattern", "value", "pieces"),
    [
        ("", "", []),
        ("a", "a", []),
        ("a", "ab", None),
        ("*", "", [""]),
        ("*", "abc", ["abc"]),
        ("?", "", None),
        ("??", "ab", ["a", "b"]),
        ("a*c", "abc", ["b"]),
        ("a*c", "abcd", None),
        ("*b", "abab", ["aba"]),
        ("*b*", "abab", ["a", "ab"]),  # RFC 5229 §3.2: as little as possible
        ("*a*a*", "aaa", ["", "", "a"]),
        ("*a*?", "aa", ["", "", "a"]),
        ("a*?b", "axb", ["", "x"]),
        ("a*?b", "ab", None),
        ("*?", "xyz", ["xy", "z"]),
        (r"\*", "*", []),
        (r"\*", "x", None),
        (r"a\?b", "a?b", []),
        (r"\\*", r"\x", ["x"]),
        ("a\\", "a\\", []),
        ("[a]*", "[a]b", ["b"]),
        ("(.)*", "(.)x", ["x"]),
        ("*\n*", "a\nb", ["a", "b"]),
        ("*ü?", "xüy", ["x", "y"]),
    ],
)
def test_patterns(pattern: str, value: str, pieces: list[str] | None) -> None:
    found = Pattern(pattern).match(value)
    assert (None if found is None else [value[start:end] for start, end in found]) == pieces


@pytest.mark.parametrize(
    ("test", "answer"),
    [
        # §2.7.1: "frobnitzm" is neither contained in nor is "frob".
        ('header :contains "subject" "FROM"', True),
        ('header :is "subject" "grüße from ann"', True),
        ('header :is "subject" "grüße"', False),
        ('header :comparator "i;octet" :is "subject" "grüße from ann"', False),
        ('header :comparator "i;octet" :is "subject" "Grüße from Ann"', True),
        ('header :comparator "i;octet" :contains "subject" "Ann"', True),
        ('header :comparator "i;octet" :matches "subject" "gr*"', False),
        ('header :matches "subject" "GR*ANN"', True),
        # ASCII letters only: an umlaut is not folded.
        ('header :contains "subject" "GRÜ"', False),
        ('header :is "x-empty" ""', True),
        ('header :contains "x-empty" ""', True),
        ('header :contains "x-missing" ""', False),
        ('header :matches "x-missing" "*"', False),
        ('header :contains ["x-missing", "subject"] ["nothing", "ann"]', True),
        ('header ["subject", "from"] "Ann Author <Ann@Example.org>"', True),
        # §2.4.2.2: white space around is not part of a value.
        ('header "x-caffeine" "C8H10N4O2"', True),
    ],
)
def test_headers_under_comparators(test: str, answer: bool) -> None:
    assert holds(test) is answer


@pytest.mark.parametrize(
    ("test", "answer"),
    [('"GRÜSSE FROM ANN"', False), ('"GRÜßE from ann"', True), ('"gru\u0308ße from ann"', True)],
)
def test_letters_of_all_scripts_are_folded_by_unicode_casemap(test: str, answer: bool) -> None:
    assert (
        holds(f'header :comparator "i;unicode-casemap" "subject" {test}', "comparator-i;unicode-casemap")
        is answer
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("007", 7), ("12abc", 12), ("abc", float("inf")), ("", float("inf")), ("-1", float("inf"))],
)
def test_numbers_of_ascii_numeric(text: str, number: float) -> None:
    assert number_of(text) == number


def test_numeric_comparison_knows_digits_only() -> None:
    message = b"X-Score: 0042 points\r\n\r\n"
    test = 'header :comparator "i;ascii-numeric" :is "x-score" "42"'
    assert holds(test, "comparator-i;ascii-numeric", message=message)


def test_many_stars_over_a_long_value_take_linear_time() -> None:
    script = compile_script(b'if header :matches "subject" "' + b"*a" * 500 + b'*b" { discard; }')
    message = SieveMessage(b"Subject: " + b"a" * 100_000 + b"\r\n\r\n", b"")
    evaluation = run(script, message, Circumstances(), budget=Budget(steps=200_000))
    assert evaluation.fault is None
    assert evaluation.steps < 100_000


_SIXTY_FOUR_K = 'set "v" "aaaaaaaaaaaaaaaa";' + 'set "v" "${v}${v}";' * 12


@pytest.mark.parametrize("sign", ["a?", "?", "*", "a"])
def test_a_pattern_has_a_length(sign: str) -> None:
    with pytest.raises(BadScript, match="A pattern of :matches has at most 2048 characters"):
        compile_script(f'if header :matches "subject" "*{sign * 2048}" {{}}'.encode())
    made = f'require "variables"; set "v" "{sign * 2000}"; if string :matches "a" "*${{v}}${{v}}" {{}}'
    fault = run(compile_script(made.encode()), b"\r\n", Circumstances()).fault
    assert fault is not None
    assert "at most 2048 characters" in fault.words


def test_what_is_tried_at_each_place_costs_more() -> None:
    script = f'require "variables"; {_SIXTY_FOUR_K} if string :matches "${{v}}" "*{"a?" * 1000}b*" {{}}'
    found = run(compile_script(script.encode()), b"\r\n", Circumstances())
    assert found.steps > 200_000


@pytest.mark.parametrize("test", ['header :matches "x" "*a*b"', 'exists "x"', 'header :index 9 "x" "y"'])
def test_many_short_fields_are_counted(test: str) -> None:
    script = compile_script(b'require "index";' + f"if not {test} {{}}".encode() * 40)
    message = SieveMessage(b"X: v\r\n" * 10_000 + b"\r\n", b"")
    assert run(script, message, Circumstances()).steps > 10_000
