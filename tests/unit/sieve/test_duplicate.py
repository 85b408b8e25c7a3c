"""RFC 7352, duplicate: which id, what is remembered and for how long."""

import pytest

from postino.sieve import Circumstances, Remembered, compile_script, run
from postino.sieve.circumstances import NoSurroundings
from tests.unit.sieve.scripting import MESSAGE, holds

DAY = 86_400


class Seen(NoSurroundings):
    """An account that saw these ids, by handle."""

    def __init__(self, *seen: tuple[str, str]) -> None:
        self._seen = seen

    def was_seen(self, handle: str, unique_id: str, now: float) -> bool:
        return (handle, unique_id) in self._seen


def _remembered(test: str, *seen: tuple[str, str]) -> tuple[bool, list[Remembered]]:
    script = compile_script(f'require ["duplicate", "variables"]; if {test} {{ discard; }}'.encode())
    evaluation = run(script, MESSAGE, Circumstances(now=1000.0), Seen(*seen))
    assert evaluation.fault is None
    return type(evaluation.actions[0]).__name__ == "Discard", list(evaluation.remembered)


@pytest.mark.parametrize(
    ("test", "handle", "unique_id", "seconds"),
    [
        # §3.2: all the same entry
        ("duplicate", "", "<1@example.org>", 7 * DAY),
        ('duplicate :header "message-id"', "", "<1@example.org>", 7 * DAY),
        ('allof (header :matches "message-id" "*", duplicate :uniqueid "${0}")', "", "<1@example.org>", 7 * DAY),
        ('duplicate :header "x-caffeine" :handle "h"', "h", "C8H10N4O2", 7 * DAY),
        ('duplicate :header "subject"', "", "Grüße from Ann", 7 * DAY),
        ('duplicate :header "received"', "", "from a by b; Mon, 23 Nov 2026 10:00:00 +0000", 7 * DAY),
        ('duplicate :seconds 60 :uniqueid "x"', "", "x", 60),
        ('duplicate :seconds 4000000000 :uniqueid "x"', "", "x", 90 * DAY),
    ],
)  # fmt: skip
def test_which_id_is_remembered(test: str, handle: str, unique_id: str, seconds: int) -> None:
    seen = Remembered(handle=handle, unique_id=unique_id, seconds=seconds)
    assert _remembered(test) == (False, [seen])
    # Without :last, what was seen is not prolonged (§3.3).
    assert _remembered(test, (handle, unique_id)) == (True, [])
    assert _remembered(test, (f"{handle}x", unique_id))[0] is False


@pytest.mark.parametrize(
    "test",
    [
        'duplicate :header "x-missing"',
        'duplicate :header "not a name:"',
        "duplicate :seconds 0",
    ],
)
def test_never_a_duplicate(test: str) -> None:
    assert _remembered(test, ("", ""), ("", "<1@example.org>")) == (False, [])


def test_last_counts_from_the_newest() -> None:
    seen = Remembered(handle="", unique_id="<1@example.org>", seconds=60, is_last=True)
    assert _remembered("duplicate :last :seconds 60", ("", "<1@example.org>")) == (True, [seen])


def test_the_same_id_is_no_duplicate_within_one_run() -> None:
    answer, seen = _remembered("anyof (duplicate, duplicate :seconds 5)")
    assert answer is False
    assert [(one.unique_id, one.seconds) for one in seen] == [("<1@example.org>", 5)]


def test_a_script_that_fails_remembers_nothing() -> None:
    script = compile_script(b'require ["duplicate", "ihave"]; if duplicate { stop; } error "x";')
    assert list(run(script, MESSAGE).remembered) == []


def test_it_is_not_for_what_imap_does() -> None:
    script = compile_script(b'require "duplicate"; if duplicate { discard; }')
    found = run(script, MESSAGE, Circumstances(environment={"imap.cause": "APPEND"}))
    assert found.fault is not None


def test_without_memory_nothing_was_seen() -> None:
    assert holds("duplicate", "duplicate") is False
