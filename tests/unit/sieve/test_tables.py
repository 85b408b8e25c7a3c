"""Ifs that are run together decide as those that are run one by one; scripts read from the store as compiled ones.

The traced form of a script looks at every if in its turn, so it is the oracle.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.sieve import Evaluation, compile_script, run, stored_script
from postino.sieve.actions import FileInto
from postino.sieve.circumstances import Circumstances

_REQUIRE = (
    'require ["fileinto", "envelope", "variables", "imap4flags", "editheader", "relational", "subaddress",'
    ' "comparator-i;ascii-numeric", "comparator-i;unicode-casemap", "regex"];\r\n'
)
_MESSAGE = (
    b"From: Ann <ann+shop@example.org>\r\nTo: bob@example.org, carol@example.net\r\nSubject: Old offer\r\n"
    b"Subject: NEW word\r\nX-Empty:\r\nList-Id: <dev.lists.example>\r\n\r\nwords\r\n"
)
_FROM_ANN = Circumstances(envelope_from="ann+shop@example.org", envelope_to="bob@example.org", separator="+")
_FROM_NOBODY = Circumstances(envelope_from="", envelope_to="bob@example.org", separator="+")


def everything_of(evaluation: Evaluation) -> tuple[object, ...]:
    return evaluation.actions, evaluation.remembered, evaluation.fault and evaluation.fault.words


def check_alike(source: str, circumstances: Circumstances = _FROM_ANN) -> Evaluation:
    """All three forms of the script decide the same; gives what they decided."""
    script = compile_script(source.encode())
    stored = stored_script(script.stored, name=script.name, octets=script.octets)
    together = run(script, _MESSAGE, circumstances)
    assert everything_of(run(script, _MESSAGE, circumstances, traced=True)) == everything_of(together)
    assert everything_of(run(stored, _MESSAGE, circumstances)) == everything_of(together)
    assert (stored.requires, stored.end, stored.octets) == (script.requires, script.end, script.octets)
    return together


_fields = st.sampled_from(["subject", "x-empty", "list-id", "from", "none", "X-Empty"])
_words = st.sampled_from(
    ["", "new", "NEW word", "offer", "Old", "<dev", "ann", "*", "*w?rd", "old*", "?", "Straße"]
)
_addresses = st.sampled_from(["ann+shop", "example.org", "BOB@example.org", "shop", "ann", "", "*@example.*"])
_compare = st.sampled_from(
    ["", ":is", ":contains", ":matches", ':comparator "i;octet" :is', ':contains :comparator "i;octet"',
     ':comparator "i;unicode-casemap"', ':count "ge" :comparator "i;ascii-numeric"', ":regex"]
)  # fmt: skip
_parts = st.sampled_from(["", ":all", ":domain", ":localpart", ":user", ":detail"])


@st.composite
def comparisons(draw: st.DrawFn) -> str:
    how = draw(_compare)
    match draw(st.integers(0, 5)):
        case 0 | 1:
            words = draw(
                _words.filter(lambda word: ("?" not in word and "*" not in word) or ":regex" not in how)
            )
            return f'header {how} ["{draw(_fields)}", "{draw(_fields)}"] ["{words}"]'
        case 2:
            key = draw(_addresses.filter(lambda word: "*" not in word or ":regex" not in how))
            return f'address {how} {draw(_parts)} ["{draw(st.sampled_from(["from", "to", "cc"]))}"] "{key}"'
        case 3:
            key = draw(_addresses.filter(lambda word: "*" not in word or ":regex" not in how))
            return f'envelope {how} {draw(_parts)} "{draw(st.sampled_from(["from", "TO"]))}" "{key}"'
        case 4:
            return f'exists ["{draw(_fields)}", "{draw(_fields)}"]'
        case _:
            return draw(
                st.sampled_from(["size :over 10", "size :over 10K", "true", "false", 'hasflag "${1}"'])
            )


_tests = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        inner.map(lambda one: f"not {one}"),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: f"anyof ({', '.join(some)})"),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: f"allof ({', '.join(some)})"),
    ),
    max_leaves=4,
)
_blocks = st.sampled_from(
    [
        'addflag "f${1}";',
        'fileinto "a${1}-${2}";',
        'fileinto "b"; stop;',
        'addheader "Subject" "brand new";',
        'deleteheader "Subject";',
        'set "x" "${1}";',
        "stop;",
    ]
)
_chains = st.lists(st.tuples(_tests, _blocks), min_size=1, max_size=4).flatmap(
    lambda branches: st.sampled_from(["", ' else { addflag "else"; }']).map(
        lambda otherwise: " elsif ".join(f"{test} {{ {block} }}" for test, block in branches) + otherwise
    )
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(_chains, _chains, st.just("")), min_size=3, max_size=9), st.booleans())
def test_ifs_run_together_decide_as_one_by_one(chains: list[str], is_from_nobody: bool) -> None:
    source = _REQUIRE + "\r\n".join(f"if {chain}" if chain else 'addflag "between";' for chain in chains)
    check_alike(source, _FROM_NOBODY if is_from_nobody else _FROM_ANN)


def test_what_a_block_edits_is_seen_by_the_ifs_behind_it() -> None:
    decided = check_alike(
        'require ["editheader", "fileinto"];'
        'if header :contains "subject" "offer" { deleteheader "Subject"; addheader "X-New" "here"; }'
        'if header :contains "subject" "word" { fileinto "wrong"; }'
        'if header :is "x-new" "here" { fileinto "right"; }'
        'if header :is "x-old" "here" { fileinto "wrong too"; }'
    )
    assert [action.target.mailbox for action in decided.actions if hasattr(action, "target")] == ["right"]


def test_pieces_that_a_test_leaves_behind_are_kept_when_the_rest_of_allof_is_false() -> None:
    decided = check_alike(
        'require ["variables", "fileinto"];'
        'if allof (header :matches "subject" "* offer", header :is "x" "y") { stop; }'
        'if header :is "a" "b" { stop; }'
        'if header :is "c" "d" { stop; }'
        'fileinto "of ${1}";'
    )
    assert [action.target.mailbox for action in decided.actions if hasattr(action, "target")] == ["of Old"]


def test_an_envelope_test_fails_in_its_turn_when_imap_runs_the_script() -> None:
    circumstances = Circumstances(environment={"imap.cause": "APPEND"})
    rules = "".join(f'if envelope "from" "{n}@example.org" {{ stop; }}' for n in range(5))
    decided = check_alike('require "envelope";' + rules, circumstances)
    assert decided.fault is not None
    assert "envelope" in decided.fault.words


@pytest.mark.parametrize("rules", [3, 100])
def test_rules_that_cannot_apply_cost_next_to_nothing(rules: int) -> None:
    source = "".join(f'if header :contains "subject" "word{n}" {{ discard; }}' for n in range(rules))
    assert check_alike(source).steps <= 2 * rules


def test_ifs_that_apply_in_turn_are_not_all_kept() -> None:
    # Each is made when it first applies; a script of a thousand different ones stays small in memory.
    block = 'fileinto "' + "x" * 400 + '";'
    source = 'require "fileinto";' + "".join(
        f'if header :is "x-number" "{n}" {{ {block} }}' for n in range(100)
    )
    script = compile_script(source.encode())
    stored = stored_script(script.stored, name="script", octets=script.octets)
    for number in [*range(100), 3]:
        decided = run(stored, b"X-Number: %d\r\n\r\n" % number)
        assert isinstance(decided.actions[0], FileInto)
    assert stored.footprint < 36 * len(script.stored) / 2
