"""Sieve's interpreter: scripts of all extensions over any message.

Oracle: every script ends within its budget and decides something; the message it was given stays as it was; an edited
message is header and body again; traced and from its stored form, it decides the same.
The first octet chooses budget and circumstances, the second says how many of the others choose the script; the rest is
the message.
Run: python fuzz/fuzz_sieve_run.py -max_total_time=20
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import common

from postino.mime.header import header_octets
from postino.sieve import (
    Budget,
    Circumstances,
    FileInto,
    Keep,
    Redirect,
    Script,
    SieveMessage,
    compile_script,
    run,
    stored_script,
)
from postino.sieve.circumstances import NoSurroundings
from tests.support.sieve_scripts import script_of

BUDGETS = (
    Budget(steps=20_000),
    Budget(
        steps=50,
        actions=2,
        redirects=1,
        body_octets=100,
        variable_octets=20,
        variables=2,
        include_depth=1,
        includes=2,
    ),
)
FACTS = (
    Circumstances(
        envelope_from="ann@example.org", envelope_to="bob+x@example.com", now=1_795_428_000.0, spam_percent=50.0
    ),
    Circumstances(now=2e11, zone_minutes=-800, addresses=("bob@example.com",), virus_value=5, flags=("\\Seen", "a")),
    Circumstances(
        envelope_from="bob@example.com", envelope_to="ann@example.org", envelope_auth="bob@example.com",
        environment={"vnd.postino.direction": "outgoing", "location": "MS"}, separator="-",
        notify="SUCCESS", ret="FULL", envid="x", original_recipient="rfc822;a", by_time=-5, by_mode="R", by_trace=True,
    ),
    Circumstances(
        environment={"imap.cause": "FLAG", "imap.changedflags": "a \\\\Seen", "imap.mailbox": "Junk"}, flags=("$Junk",)
    ),
)  # fmt: skip


class Same(NoSurroundings):
    """Global scripts are all the one that runs; everything asked for is there."""

    def __init__(self, one: Script) -> None:
        self._one = one

    def mailbox_exists(self, name: str) -> bool:
        return True

    def metadata(self, mailbox: str | None, annotation: str) -> str | None:
        return "5 a"

    def has_list(self, name: str) -> bool:
        return True

    def in_list(self, name: str, value: str) -> bool:
        return len(value) > 3

    def list_members(self, name: str) -> tuple[str, ...]:
        return ("a@example.net", "b@example.net", "not one")

    def script(self, name: str, *, is_global: bool) -> Script | None:
        return self._one if is_global else None


def test_one_input(octets: bytes) -> None:
    """Run one script over one message."""
    choice, size = (octets + b"\0\0")[:2]
    budget, facts = BUDGETS[choice & 1], FACTS[choice >> 1 & 3]
    script = compile_script(script_of(octets[2 : 2 + size], is_clean=True).encode())
    octets = octets[2 + size :]
    around = Same(script)
    message = SieveMessage.of(octets)
    found = run(script, message, facts, around, budget=budget)
    assert found.actions
    assert len(found.actions) <= budget.actions + 1
    assert found.steps <= 2 * budget.steps + 100_000
    assert message.header + bytes(message.body) == octets
    for action in found.actions:
        if isinstance(action, Keep | FileInto | Redirect) and action.edited is not None:
            body = message.body if action.edited.body is None else action.edited.body
            whole = action.edited.header + bytes(body)
            if body:
                assert header_octets(whole) == len(action.edited.header)
    stored = stored_script(script.stored, name=script.name, octets=script.octets)
    again = run(stored, octets, facts, around, budget=budget, traced=True)
    assert list(again.actions) == list(found.actions)
    assert list(again.remembered) == list(found.remembered)
    assert (again.fault is None) == (found.fault is None)


if __name__ == "__main__":
    common.run(test_one_input, "sieve")
