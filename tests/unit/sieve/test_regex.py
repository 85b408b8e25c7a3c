"""POSIX extended expressions (draft-ietf-sieve-regex-01): what they match, what is refused, what they cost."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.sieve import BadScript, compile_script
from postino.sieve.regular.machine import Expression
from postino.sieve.regular.reading import BadPattern
from tests.unit.sieve.scripting import done


def found(pattern: str, text: str, comparator: str = "i;octet") -> list[str] | None:
    """The match and its groups; both ways of looking must agree."""
    expression = Expression(pattern, comparator)
    spans = expression.find(text, lambda steps: None)
    assert expression.is_in(text, lambda steps: None) is (spans is not None)
    return None if spans is None else [text[start:end] if start >= 0 else "-" for start, end in spans]


@pytest.mark.parametrize(
    ("pattern", "text", "groups"),
    [
        ("b", "abc", ["b"]),
        ("", "abc", [""]),
        ("a|ab", "xab", ["ab"]),
        ("abcd|bc", "abcd", ["abcd"]),
        ("^a$", "a", ["a"]),
        ("^a$", "ba", None),
        ("(a)|(b)", "b", ["b", "-", "b"]),
        ("(a*)(b+)", "aabb", ["aabb", "aa", "bb"]),
        ("a{2,3}", "aaaa", ["aaa"]),
        ("a{2}", "a", None),
        ("[[:digit:]]{2,}", "a123", ["123"]),
        ("[]a]+", "]a]", ["]a]"]),
        ("[^]a]", "]ab", ["b"]),
        ("[a-]+", "-a-", ["-a-"]),
        ("[[.-.]]", "-", ["-"]),
        ("\\<foo\\>", "a foo b", ["foo"]),
        ("\\bfoo\\B", "foo food", ["foo"]),
        ("\\.", "a.b", ["."]),
        (".", "\n", ["\n"]),
        ("(()|a)*", "aa", ["aa", "a", "-"]),
    ],
)
def test_what_expressions_match(pattern: str, text: str, groups: list[str] | None) -> None:
    """Leftmost, then longest."""
    assert found(pattern, text) == groups


@pytest.mark.parametrize(
    "pattern",
    ["(", ")", "*a", "a|*", "[a", "a{", "a{3,2}", "a{256}", "(?:a)", "\\1", "\\d", "a\\", "[[:no:]]", "[b-a]",
     "a****", "(" * 26 + ")" * 26, "(a{255}){255}"],
)  # fmt: skip
def test_what_cannot_be_read(pattern: str) -> None:
    """Each is refused in words."""
    with pytest.raises(BadPattern):
        Expression(pattern, "i;octet")


def test_in_scripts() -> None:
    """Matched groups go into variables; letters have no case; bad expressions are told while compiling."""
    head = 'require ["regex", "variables", "fileinto"]; '
    script = 'if header :regex "from" "<(ANN)@(.*)>" { fileinto "${1} ${2} ${3}"; }'
    assert done(head + script) == ["fileinto Ann Example.org "]
    with pytest.raises(BadScript, match="has no"):
        compile_script(b'require "regex"; if header :regex "from" "(" { keep; }')


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a+)+$", "(a|a)*b", "(a?){25}a{25}b", ".*.*.*.*b"])
def test_no_pattern_is_catastrophic(pattern: str) -> None:
    """Twice the text costs at most about twice the steps."""
    expression = Expression(pattern, "i;octet")

    def cost(length: int) -> int:
        steps: list[int] = []
        expression.find("a" * length, steps.append)
        expression.is_in("a" * length, steps.append)
        return sum(steps)

    assert cost(400) < 2.2 * cost(200)


_ATOMS = st.sampled_from(["a", "b", "[ab]", "[^a]", ".", "(a)", "(ab)", "(a|b)", "(a|ab)"])
_PATTERNS = st.lists(st.tuples(_ATOMS, st.sampled_from(["", "*", "+", "?", "{2}", "{1,2}"])), max_size=5).map(
    lambda pieces: "".join(atom + sign for atom, sign in pieces)
)


@settings(max_examples=200, deadline=None)
@given(_PATTERNS, st.text("abc", max_size=12))
def test_it_agrees_with_another_engine(pattern: str, text: str) -> None:
    """The same begins, and no longer match begins there; groups as that engine takes them up to the same end."""
    theirs = re.search(pattern, text)
    spans = Expression(pattern, "i;octet").find(text, lambda steps: None)
    assert (spans is None) is (theirs is None)
    if spans is None or theirs is None:
        return
    start, end = spans[0]
    assert start == theirs.start()
    fitting = re.compile(pattern)
    assert all(fitting.fullmatch(text, start, longer) is None for longer in range(end + 1, len(text) + 1))
    same = fitting.fullmatch(text, start, end)
    assert same is not None
    assert spans == [same.span(number) for number in range(same.re.groups + 1)]


@settings(max_examples=200, deadline=None)
@given(st.text("ab()[]{}*+?|\\^$.1,-:", max_size=20), st.text("ab", max_size=30))
def test_any_pattern_ends(pattern: str, text: str) -> None:
    """Any string is an expression or refused, and both ways of looking agree."""
    try:
        found(pattern, text)
    except BadPattern as bad:
        assert str(bad)  # noqa: PT017
