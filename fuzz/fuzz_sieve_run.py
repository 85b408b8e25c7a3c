"""Sieve's interpreter: scripts of all extensions over any message.

Oracle: every script ends within its budget and decides something; the message it was given stays as it was; an edited
message is header and body again; traced and from its stored form, it decides the same.
The first octet says how many of the others choose the script; the rest is the message.
Run: python fuzz/fuzz_sieve_run.py -max_total_time=20
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import common

from postino.mime.header import header_octets
from postino.sieve import (
    NO_SURROUNDINGS,
    Budget,
    Circumstances,
    FileInto,
    Keep,
    Redirect,
    SieveMessage,
    compile_script,
    run,
    stored_script,
)
from tests.support.sieve_scripts import script_of

BUDGET = Budget(steps=20_000)
FACTS = Circumstances(
    envelope_from="ann@example.org", envelope_to="bob+x@example.com", now=1_795_428_000.0, spam_percent=50.0
)


def test_one_input(octets: bytes) -> None:
    """Run one script over one message."""
    size = octets[0] if octets else 0
    script = compile_script(script_of(octets[1 : 1 + size], is_clean=True).encode())
    octets = octets[1 + size :]
    message = SieveMessage.of(octets)
    found = run(script, message, FACTS, NO_SURROUNDINGS, budget=BUDGET)
    assert found.actions
    assert len(found.actions) <= BUDGET.actions + 1
    assert found.steps <= 2 * BUDGET.steps + 100_000
    assert message.header + bytes(message.body) == octets
    for action in found.actions:
        if isinstance(action, Keep | FileInto | Redirect) and action.edited is not None:
            body = message.body if action.edited.body is None else action.edited.body
            whole = action.edited.header + bytes(body)
            if body:
                assert header_octets(whole) == len(action.edited.header)
    stored = stored_script(script.stored, name=script.name, octets=script.octets)
    again = run(stored, octets, FACTS, NO_SURROUNDINGS, budget=BUDGET, traced=True)
    assert list(again.actions) == list(found.actions)


if __name__ == "__main__":
    common.run(test_one_input, "sieve")
