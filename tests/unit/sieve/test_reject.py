"""reject and ereject, with RFC 5429's examples by section, and what they cannot stand beside."""

import pytest

from postino.sieve import BadScript, Circumstances, Reject, compile_script, run
from tests.unit.sieve.scripting import MESSAGE, done


@pytest.mark.parametrize(
    ("script", "actions"),
    [
        # §2.1
        (
            (
                'require ["ereject"]; if address "from" "ann@example.org"\r\n'
                '{ ereject "I no longer accept mail from this address"; }'
            ),
            ["reject I no longer accept mail from this address"],
        ),
        # §2.2
        (
            (
                'require ["reject"];\r\nif size :over 100 { reject text:\r\nYour message is too big.\r\n'
                "Put it on a public web site.\r\n.\r\n; }"
            ),
            ["reject Your message is too big.\r\nPut it on a public web site."],
        ),
        ('require ["reject"]; if size :over 100K { reject "no"; }', ["keep"]),
        # Taking the keep back is not delivering.
        ('require "reject"; discard; reject "no";', ["discard", "reject no"]),
    ],
)
def test_messages_are_refused(script: str, actions: list[str]) -> None:
    assert done(script) == actions


def test_which_of_the_two_it_was_is_told() -> None:
    for name, is_ereject in (("reject", False), ("ereject", True)):
        evaluation = run(compile_script(f'require "{name}"; {name} "no";'.encode()), MESSAGE)
        (action,) = evaluation.actions
        assert isinstance(action, Reject)
        assert action.is_ereject is is_ereject


@pytest.mark.parametrize(
    "pair",
    [
        ("reject", 'reject "a"; reject "b";'),
        ("ereject", 'reject "a"; ereject "b";'),
        ("reject", 'keep; reject "a";'),
        ("reject", 'reject "a"; keep;'),
        ("fileinto", 'fileinto "A"; reject "a";'),
        ("fileinto", 'reject "a"; fileinto "A";'),
        ("copy", 'redirect :copy "a@example.org"; reject "a";'),
        ("copy", 'reject "a"; redirect :copy "a@example.org";'),
        ("vacation", 'vacation "away"; reject "a";'),
        ("vacation", 'reject "a"; vacation "away";'),
    ],
)
def test_a_message_is_refused_or_delivered_but_not_both(pair: tuple[str, str]) -> None:
    """§2.4, and RFC 5230 §4.7."""
    extension, commands = pair
    (found,) = done(f'require ["reject", "{extension}"]; {commands}')
    assert found.startswith("fault: a message that was ")


def test_a_vacation_that_sends_nothing_cannot_stand_beside_a_refusal_either() -> None:
    nobody = Circumstances(envelope_from="", envelope_to="bob@example.com")
    (found,) = done('require ["reject", "vacation"]; vacation "away"; reject "a";', MESSAGE, nobody)
    assert found.startswith("fault: ")
    (found,) = done('require ["reject", "vacation"]; reject "a"; vacation "away";', MESSAGE, nobody)
    assert found.startswith("fault: ")


def test_what_answers_a_delivery_is_not_for_what_imap_does() -> None:
    """RFC 6785 §3.11 and §4.6."""
    for name in ("reject", "ereject", "vacation", "vacation-seconds"):
        for names in (f'"imapsieve", "{name}"', f'"{name}", "imapsieve"'):
            with pytest.raises(BadScript, match=f"{name} cannot be used together with imapsieve"):
                compile_script(f"require [{names}];".encode())
        with pytest.raises(BadScript, match="cannot be used together"):
            compile_script(f'require "{name}"; require "imapsieve";'.encode())
    during = Circumstances(environment={"imap.cause": "COPY"})
    for script in (
        'require "reject"; reject "no";',
        'require "ereject"; ereject "no";',
        'require "vacation"; vacation "away";',
        'require ["envelope", "imapsieve"]; if envelope "from" "" { discard; }',
    ):
        (found,) = done(script, MESSAGE, during)
        assert found.startswith("fault: ")
    assert done('require ["envelope", "imapsieve"]; discard;', MESSAGE, during) == ["discard"]
