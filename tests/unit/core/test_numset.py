"""Number sets against plain Python sets, and the sequence-set grammar of RFC 9051 §9."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postino.core.errors import ProtocolViolation
from postino.core.numset import NumberSet, SequenceSet, parse_sequence_set

numbers = st.sets(st.integers(1, 60))


@given(numbers, numbers)
def test_set_operations_agree_with_python_sets(a: set[int], b: set[int]) -> None:
    mine, theirs = NumberSet.of(a), NumberSet.of(b)
    assert set(mine) == a
    assert len(mine) == len(a)
    assert bool(mine) == bool(a)
    assert set(mine.union(theirs)) == a | b
    assert set(mine.intersection(theirs)) == a & b
    assert set(mine.difference(theirs)) == a - b
    assert all((n in mine) == (n in a) for n in range(62))


@given(numbers)
def test_ranges_are_sorted_and_do_not_touch(a: set[int]) -> None:
    ranges = NumberSet.of(a).ranges
    assert all(low <= high for low, high in ranges)
    assert all(first[1] + 1 < second[0] for first, second in itertools.pairwise(ranges))


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_any_ranges_make_the_set_of_their_numbers(pairs: list[tuple[int, int]]) -> None:
    expected = {n for a, b in pairs for n in range(min(a, b), max(a, b) + 1)}
    made = NumberSet(pairs)
    assert set(made) == expected
    assert made == NumberSet.of(expected)
    if expected:
        assert parse_sequence_set(str(made).encode()).resolve(99) == made


@pytest.mark.parametrize(
    ("wire", "largest", "numbers"),
    [
        # RFC 9051 §9, seq-range and sequence-set examples
        (b"2:4", 9, {2, 3, 4}),
        (b"4:2", 9, {2, 3, 4}),
        (b"*:4", 5, {4, 5}),
        (b"5:*", 5, {5}),
        (b"2,4:7,9,12:*", 15, {2, 4, 5, 6, 7, 9, 12, 13, 14, 15}),
        (b"*:4,5:7", 10, {4, 5, 6, 7, 8, 9, 10}),
        # RFC 9051 §6.4.8: a UID range with '*' holds the largest UID even when the other end is above it
        (b"559:*", 100, set(range(100, 560))),
        (b"*", 0, set()),
        (b"1:*", 0, set()),
    ],
)
def test_sequence_set_resolves(wire: bytes, largest: int, numbers: set[int]) -> None:
    assert set(parse_sequence_set(wire).resolve(largest)) == numbers


@pytest.mark.parametrize(
    "wire", [b"", b"0", b"1,,2", b"1:", b":1", b"01", b"1:2:3", b"-1", b"4294967296", b"a", b"1 2"]
)
def test_sequence_set_refuses(wire: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        parse_sequence_set(wire)


def test_sequence_set_keeps_what_was_written() -> None:
    assert str(SequenceSet(((1, 3), (7, 0), (0, 0)))) == "1:3,7:*,*"


def test_sequence_set_parts_are_limited() -> None:
    with pytest.raises(ProtocolViolation, match="at most 3 parts"):
        parse_sequence_set(b"1,3,5,7", max_parts=3)
