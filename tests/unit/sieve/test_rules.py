"""Rules as a block of a script: what they say in Sieve, and that a person's own lines survive them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.sieve.rules import (
    BadRules,
    Condition,
    ConditionKind,
    Rule,
    Ruled,
    add_rule,
    check_rule,
    described,
    find_rule,
    free_name,
    move_rule,
    read_rules,
    remove_rule,
    suggested_name,
    write_rules,
)


def _from(*values: str) -> Condition:
    return Condition(kind=ConditionKind.FROM, values=values)


BOSS = Rule(name="boss", conditions=(_from("boss@example.org"),), move_to="Boss")
LARGE = Rule(
    name="large",
    conditions=(Condition(kind=ConditionKind.LARGER, values=("5000000",)),),
    flags=("\\Flagged", "big"),
    stop=True,
)


def _lines(rule: Rule) -> list[str]:
    """The generated Sieve without the markers and the rule as a value."""
    lines = write_rules(Ruled(rules=(rule,))).decode().splitlines()
    assert lines[0].startswith("/* Rules of `postino rule` (1, ")
    assert lines[-1] == "/* End of the rules of `postino rule`. */"
    return [line for line in lines[1:-1] if not line.startswith("# rule ")]


@pytest.mark.parametrize(
    ("condition", "test"),
    [
        (_from("boss@example.org"), 'address :is "from" "boss@example.org"'),
        (_from("a@x.org", "b@x.org"), 'address :is "from" ["a@x.org", "b@x.org"]'),
        (_from("@example.org"), 'address :is :domain "from" "example.org"'),
        (_from("*@*.example.org"), 'address :matches "from" "*@*.example.org"'),
        (_from("The Boss"), 'header :contains "from" "The Boss"'),
        (
            _from("a@x.org", "Ann"),
            'anyof(address :is "from" "a@x.org", header :contains "from" "Ann")',
        ),
        (
            Condition(kind=ConditionKind.TO, values=("me+shop@x.org",)),
            'address :is ["to", "cc"] "me+shop@x.org"',
        ),
        (
            Condition(kind=ConditionKind.SUBJECT, values=('say "hi" \\o/',)),
            'header :contains "subject" "say \\"hi\\" \\\\o/"',
        ),
        (Condition(kind=ConditionKind.SUBJECT, values=("[bug *]*",)), 'header :matches "subject" "[bug *]*"'),
        (
            Condition(kind=ConditionKind.LIST, values=("talk@lists.example.org",)),
            (
                'header :contains ["list-id", "list-post"] '
                '["<talk.lists.example.org>", "<mailto:talk@lists.example.org>"]'
            ),
        ),
        (
            Condition(kind=ConditionKind.LIST, values=("<talk.example.org>",)),
            'header :contains ["list-id", "list-post"] "<talk.example.org>"',
        ),
        (
            Condition(kind=ConditionKind.HEADER, values=("yes",), field="X-Spam-Flag"),
            'header :contains "X-Spam-Flag" "yes"',
        ),
        (Condition(kind=ConditionKind.LARGER, values=("5000000",)), "size :over 5000000"),
    ],
)
def test_condition_as_sieve(condition: Condition, test: str) -> None:
    assert _lines(Rule(name="r", conditions=(condition,), stop=True)) == [f"if {test} {{", "    stop;", "}"]


def test_actions_as_sieve_in_the_order_in_which_flags_reach_the_copies() -> None:
    rule = Rule(
        name="r",
        conditions=(_from("a@x.org"), Condition(kind=ConditionKind.SUBJECT, values=("hi",))),
        is_any=True,
        move_to="Boss",
        copy_to=("Kept/All",),
        flags=("\\Flagged", "\\Seen"),
        forward_to=("b@y.org",),
        stop=True,
    )
    assert _lines(rule) == [
        'require ["copy", "fileinto", "imap4flags", "mailbox"];',
        'if anyof(address :is "from" "a@x.org",',
        '          header :contains "subject" "hi") {',
        '    addflag ["\\\\Flagged", "\\\\Seen"];',
        '    fileinto :copy :create "Kept/All";',
        '    redirect :copy "b@y.org";',
        '    fileinto :create "Boss";',
        "    stop;",
        "}",
    ]


def test_every_message_discarded() -> None:
    assert _lines(Rule(name="r", discard=True)) == ["if true {", "    discard;", "}"]


OWN = [
    b"",
    b"keep;\n",
    b"# mine\r\nkeep;\r\n",
    b'require "fileinto";\nfileinto "X";\n',
    b'# first\n/* and; "then" */ REQUIRE ["fileinto",\n  # why; \n  "copy"];  # end\nrequire "body";\nkeep;',
    b'require "fileinto"; keep;\n',
    b'require "fileinto";',
    b'require "fileinto"; # no line end',
    b"require broken\nkeep;\n",
    b"/* never closed require",
    b'require "a;b"; require;',
    b"\xff\xfe\x00keep;",
]


@pytest.mark.parametrize("own", OWN)
def test_own_lines_survive_octet_for_octet(own: bytes) -> None:
    with_two = write_rules(Ruled(rules=(BOSS, LARGE), own=own))
    read = read_rules(with_two)
    assert read == Ruled(rules=(BOSS, LARGE), own=own)
    assert write_rules(read) == with_two
    assert write_rules(Ruled(rules=(), own=read.own)) == own


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                b'require "fileinto";',
                b"\n",
                b"\r\n",
                b" ",
                b"# c;",
                b"/* ",
                b"*/",
                b'"',
                b"keep;",
                b'require ["a"',
                b"]",
                b";",
            ]
        ),
        max_size=12,
    ).map(b"".join),
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30),
)
def test_any_own_lines_and_any_names_survive(own: bytes, text: str) -> None:
    rule = Rule(name=f"r {text}", conditions=(_from(text),), move_to=text)
    assert read_rules(write_rules(Ruled(rules=(rule,), own=own))) == Ruled(rules=(rule,), own=own)


def test_the_block_stands_after_the_own_requires_which_nothing_but_requires_may_precede() -> None:
    own = b'require ["fileinto", "body"]; # needed\nif body :contains "x" { fileinto "X"; }\n'
    script = write_rules(Ruled(rules=(BOSS,), own=own))
    assert script.startswith(b'require ["fileinto", "body"]; # needed\n/* Rules of')
    assert script.endswith(
        b'/* End of the rules of `postino rule`. */\nif body :contains "x" { fileinto "X"; }\n'
    )


def test_a_require_written_below_the_block_moves_the_block() -> None:
    script = write_rules(Ruled(rules=(BOSS,), own=b"keep;\n"))
    edited = script.replace(b"keep;\n", b'require "body";\nkeep;\n')
    assert write_rules(read_rules(edited)).startswith(b'require "body";\n/* Rules of')


def test_other_line_ends_are_no_change_by_hand() -> None:
    script = write_rules(Ruled(rules=(BOSS, LARGE), own=b"keep;\n")).replace(b"\n", b"\r\n")
    assert read_rules(script) == Ruled(rules=(BOSS, LARGE), own=b"keep;\r\n")


_SCRIPT = write_rules(Ruled(rules=(BOSS,), own=b"# own\nkeep;\n"))


@pytest.mark.parametrize(
    "edited",
    [
        _SCRIPT.replace(b'fileinto :create "Boss"', b'fileinto :create "Chief"'),
        _SCRIPT.replace(b"/* End of the rules of `postino rule`. */\n", b""),
        _SCRIPT[_SCRIPT.index(b"\n") + 1 :],
        _SCRIPT + _SCRIPT,
        _SCRIPT.replace(b"(1, ", b"(one, "),
        _SCRIPT.replace(b"# rule {", b"# rule {{"),
    ],
)
def test_a_block_changed_by_hand_is_refused(edited: bytes) -> None:
    with pytest.raises(BadRules, match=r"begin in line [0-9]+ of the script were changed by hand"):
        read_rules(edited)


def test_a_newer_form_is_refused() -> None:
    with pytest.raises(BadRules, match="newer Postino"):
        read_rules(_SCRIPT.replace(b"(1, ", b"(2, "))


def test_without_the_markers_the_rules_are_own_lines() -> None:
    without = b"".join(line for line in _SCRIPT.splitlines(keepends=True) if not line.startswith(b"/*"))
    assert read_rules(without) == Ruled(own=without)


def test_add_remove_and_move() -> None:
    rules = add_rule(add_rule((), BOSS), LARGE, at=1)
    assert rules == (LARGE, BOSS)
    assert move_rule(rules, "boss", 1) == (BOSS, LARGE)
    assert move_rule(rules, "1", 2) == (BOSS, LARGE)
    assert remove_rule(rules, "large") == (BOSS,)
    assert find_rule(rules, "2") == 1


def test_refusals_say_what_to_do() -> None:
    for attempt, words in [
        (lambda: add_rule((BOSS,), BOSS), "already"),
        (lambda: remove_rule((BOSS,), "other"), "postino rule list"),
        (lambda: remove_rule((BOSS,), "2"), "no rule '2'"),
        (lambda: move_rule((BOSS,), "boss", 2), "the places are 1 to 1"),
        (lambda: add_rule((BOSS,), LARGE, at=3), "the places are 1 to 2"),
    ]:
        with pytest.raises(BadRules, match=words):
            attempt()


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule(name="r", conditions=(_from("a@x.org"),)), "does nothing"),
        (Rule(name="r", move_to="A", discard=True), "cannot both"),
        (Rule(name="r", conditions=(_from(""),), stop=True), "value is empty"),
        (Rule(name="r", conditions=(_from("a\r\nb"),), stop=True), "line end"),
        (Rule(name="12", stop=True), "no name for a rule"),
        (
            Rule(
                name="r",
                conditions=(Condition(kind=ConditionKind.HEADER, values=("v",), field="A B"),),
                stop=True,
            ),
            "no name of a header field",
        ),
        (
            Rule(name="r", conditions=(Condition(kind=ConditionKind.LARGER, values=("5M",)),), stop=True),
            "no size in octets",
        ),
    ],
)
def test_rules_that_make_no_sense(rule: Rule, words: str) -> None:
    with pytest.raises(BadRules, match=words):
        check_rule(rule)


def test_names_and_descriptions() -> None:
    assert suggested_name(BOSS.conditions) == "from boss@example.org"
    assert free_name((BOSS,), "boss") == "boss (2)"
    assert free_name((BOSS,), "new") == "new"
    assert described(BOSS) == ("from boss@example.org", "move to Boss")
    assert described(LARGE) == ("larger 5000000", "flag \\Flagged big, stop")
