"""Reports and times by which to be there, of redirect and the envelope: RFC 6009's examples by section."""

import pytest

from postino.sieve import BadScript, Circumstances, Redirect, compile_script, run
from tests.unit.sieve.scripting import MESSAGE, done

_NOW = 1_795_428_000.0
FACTS = Circumstances(
    envelope_from="ann@example.org",
    notify="SUCCESS,DELAY",
    original_recipient="rfc822;bob@example.com",
    ret="HDRS",
    envid="QQ314159",
    by_time=-90,
    by_mode="R",
    by_trace=True,
    now=_NOW,
    zone_minutes=60,
)


def holds(test: str, facts: Circumstances = FACTS) -> bool:
    names = '["envelope", "envelope-dsn", "envelope-deliverby", "relational", "comparator-i;ascii-numeric"]'
    found = done(f"require {names}; if {test} {{ discard; }}", MESSAGE, facts)
    assert found in (["discard"], ["keep"]), found
    return found == ["discard"]


@pytest.mark.parametrize(
    ("test", "answer"),
    [
        # §4.1
        ('envelope "notify" "SUCCESS"', True),
        ('envelope "NOTIFY" "delay"', True),
        ('envelope "notify" "FAILURE"', False),
        ('envelope :comparator "i;ascii-numeric" :count "eq" "notify" "2"', True),
        ('envelope :matches "orcpt" "rfc822;*@example.com"', True),
        ('envelope "ret" "HDRS"', True),
        ('envelope "envid" "QQ314159"', True),
        # §5, §5.1
        ('envelope :contains "bytimerelative" "-"', True),
        ('envelope "bytimerelative" "-90"', True),
        ('envelope "bymode" "return"', True),
        ('envelope "bytrace" "trace"', True),
        ('envelope :matches :zone "+0000" "bytimeabsolute" "*T*:*:*Z"', True),
        ('envelope :matches "bytimeabsolute" "*+01:00"', True),
        ('envelope :matches :zone "-0330" "bytimeabsolute" "*-03:30"', True),
        ('envelope :count "eq" "bytrace" "1"', True),
    ],
)
def test_other_parts_of_the_envelope(test: str, answer: bool) -> None:
    assert holds(test) is answer


@pytest.mark.parametrize(
    "part", ["notify", "orcpt", "ret", "envid", "bytimeabsolute", "bytimerelative", "bymode", "bytrace"]
)
def test_what_was_not_said_matches_nothing(part: str) -> None:
    nothing = Circumstances(envelope_from="ann@example.org")
    assert not holds(f'envelope :contains "{part}" ""', nothing)
    assert holds(f'envelope :count "eq" "{part}" "0"', nothing)


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ('envelope :domain "orcpt" "a"', "is no address and has no :domain"),
        ('envelope :all "bymode" "a"', "is no address and has no :all"),
        ('envelope :zone "CET" "bytimeabsolute" "a"', "no time zone"),
        ('envelope :zone "+2400" "bytimeabsolute" "a"', "no time zone"),
        ('envelope "size" "a"', "The envelope has no part"),
    ],
)
def test_bad_parts(test: str, words: str) -> None:
    with pytest.raises(BadScript, match=words):
        compile_script(
            f'require ["envelope", "envelope-dsn", "envelope-deliverby"]; if {test} {{ stop; }}'.encode()
        )
    with pytest.raises(BadScript, match=r"needs require .envelope-dsn"):
        compile_script(b'require "envelope"; if envelope "notify" "NEVER" { stop; }')


def sent(arguments: str) -> Redirect:
    script = (
        'require ["copy", "redirect-dsn", "redirect-deliverby", "date", "variables"];\r\n'
        f'redirect :copy {arguments} "cellphone@example.com";'
    )
    evaluation = run(compile_script(script.encode()), MESSAGE, FACTS)
    assert evaluation.fault is None
    action = evaluation.actions[0]
    assert isinstance(action, Redirect)
    return action


def test_what_a_redirect_asks_for() -> None:
    """§6.2 and §7.2."""
    found = sent("")
    assert (found.notify, found.ret, found.by_seconds, found.by_mode, found.by_trace) == (
        None, "", None, "", False,
    )  # fmt: skip
    found = sent(':notify "never" :ret "full"')
    assert (found.notify, found.ret) == ("NEVER", "FULL")
    assert sent(':notify "SUCCESS,FAILURE"').notify == "SUCCESS,FAILURE"
    found = sent(":bytimerelative 600")
    # §7: without :bymode it is returned.
    assert (found.by_seconds, found.by_mode, found.by_trace) == (600, "R", False)
    found = sent(':bytimerelative 600 :bymode "notify" :bytrace')
    assert (found.by_mode, found.by_trace) == ("N", True)


def test_an_absolute_time_is_told_as_one_from_now() -> None:
    assert sent(':bytimeabsolute "2026-11-23T11:10:00+01:00"').by_seconds == 600


def test_a_time_can_be_made_of_variables() -> None:
    """§7.2, the second example."""
    script = (
        'require ["copy", "redirect-deliverby", "date", "variables", "relational"];\r\n'
        'if currentdate :matches "date" "*" {set "date" "${0}";}\r\n'
        'if currentdate :matches "zone" "*" {set "zone" "${0}";}\r\n'
        'redirect :copy :bytimeabsolute "${date}T20:00:00${zone}" :bymode "return" "cellphone@example.com";'
    )
    evaluation = run(compile_script(script.encode()), MESSAGE, FACTS)
    assert evaluation.fault is None
    action = evaluation.actions[0]
    assert isinstance(action, Redirect)
    assert action.by_seconds is not None
    assert (action.by_seconds + int(_NOW) + 3600) % 86_400 == 20 * 3600
    bad = 'require ["redirect-deliverby", "variables"]; redirect :bytimeabsolute "${x}" "a@example.com";'
    assert done(bad)[0].startswith("fault: :bytimeabsolute")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (':notify "NEVER,SUCCESS"', ":notify is NEVER, or"),
        (':notify ""', ":notify is NEVER, or"),
        (':ret "BODY"', ":ret is FULL or HDRS"),
        (":bytrace", ":bytrace counts for"),
        (':bymode "notify"', ":bymode counts for"),
        (':bytimerelative 1 :bymode "never"', ":bymode is notify or return"),
        (':bytimeabsolute "tomorrow"', ":bytimeabsolute is a date"),
        (':bytimeabsolute "2026-11-23T11:00:00"', ":bytimeabsolute is a date"),
        (':bytimeabsolute "2026-11-23T11:00:00Z" :bytimerelative 1', "exclude each other"),
    ],
)
def test_bad_options(arguments: str, words: str) -> None:
    with pytest.raises(BadScript, match=words):
        compile_script(
            f'require ["redirect-dsn", "redirect-deliverby"]; redirect {arguments} "a@example.com";'.encode()
        )
