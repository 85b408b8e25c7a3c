"""What holds for any octets as a script, and for any script over any message."""

from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from postino.sieve import (
    BadScript,
    Budget,
    Circumstances,
    Discard,
    Fault,
    Script,
    SieveMessage,
    compile_script,
    run,
    stored_script,
)
from postino.sieve.circumstances import NoSurroundings
from postino.sieve.language.parser import parse
from postino.sieve.language.printer import show
from tests.support.sieve_scripts import script_of
from tests.unit.sieve.test_mime import MESSAGE

_BUDGET = Budget(steps=20_000)
_PIECES = st.sampled_from(
    [b"if", b" ", b"\r\n", b"{", b"}", b"(", b")", b"[", b"]", b";", b",", b":is", b'"', b"\\", b"text:",
     b"\r\n.\r\n", b"#", b"/*", b"*/", b"10K", b"keep", b"header", b"not", b"require", b"\xff", b"\0", b"99999999999"]
)  # fmt: skip


class Same(NoSurroundings):
    """Every other script is the one that runs."""

    def __init__(self, one: Script) -> None:
        self._one = one

    def script(self, name: str, *, is_global: bool) -> Script | None:
        return self._one if is_global else None


def _compiled(octets: bytes) -> tuple[Script | None, Sequence[Fault]]:
    try:
        return compile_script(octets), ()
    except BadScript as bad:
        return None, bad.faults


@given(st.one_of(st.binary(max_size=200), st.lists(_PIECES, max_size=60).map(b"".join)))
@example(b"")
def test_any_octets_are_a_script_or_have_faults_with_places(octets: bytes) -> None:
    script, faults = _compiled(octets)
    lines = octets.count(b"\n") + octets.count(b"\r") + 1
    assert all(1 <= fault.place.line <= lines and fault.place.column >= 1 for fault in faults)
    if script is None:
        assert faults
        return
    assert run(script, MESSAGE, budget=_BUDGET).actions


@given(st.binary(max_size=300))
def test_what_is_shown_parses_to_the_same_tree(octets: bytes) -> None:
    tree = parse(script_of(octets).encode())
    shown = show(tree)
    again = parse(shown.encode())
    assert show(again) == shown
    assert _skeleton(again.commands) == _skeleton(tree.commands)


def _skeleton(node: object) -> object:
    """The tree without lines and columns."""
    if isinstance(node, tuple):
        return tuple(_skeleton(one) for one in node)
    fields = getattr(node, "__struct_fields__", None)
    if fields is None:
        return node
    own = [getattr(node, name) for name in fields if name not in {"line", "column"}]
    return (type(node).__name__, *map(_skeleton, own))


@given(st.binary(max_size=300), st.one_of(st.just(MESSAGE), st.binary(max_size=300)))
def test_every_script_ends_within_its_budget_and_keeps_or_says_why_not(octets: bytes, message: bytes) -> None:
    script = compile_script(script_of(octets, is_clean=True).encode())
    facts = Circumstances(envelope_from="ann@example.org", envelope_to="bob@example.com", now=1e9)
    whole = SieveMessage.of(message)
    found = run(script, whole, facts, Same(script), budget=_BUDGET)
    assert found.actions
    assert len(found.actions) <= _BUDGET.actions + 1
    # One step may be as large as what it looks at, which is no more than a message edited up to its limit.
    assert found.steps <= 2 * _BUDGET.steps + 100_000
    assert whole.header + bytes(whole.body) == message
    again = run(
        stored_script(script.stored, name=script.name, octets=script.octets),
        message, facts, Same(script), budget=_BUDGET, traced=True,
    )  # fmt: skip
    assert list(again.actions) == list(found.actions)
    assert (again.fault is None) == (found.fault is None)
    if found.fault is not None:
        assert not any(isinstance(action, Discard) for action in found.actions)
