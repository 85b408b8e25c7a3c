"""Texts laid end to end against looking into each of them."""

from array import array

from hypothesis import given, settings
from hypothesis import strategies as st

from postino.servers.imap.searching.text_column import CHUNK_OCTETS, NOWHERE, TextColumn

TEXTS = st.text(alphabet="ab\0é€😀", max_size=5)


@settings(max_examples=200)
@given(parts=st.lists(st.lists(TEXTS, max_size=5), max_size=6), wanted=TEXTS.filter(bool))
def test_each_text_that_has_it_is_found(parts: list[list[str]], wanted: str) -> None:
    column = TextColumn()
    for part in parts:
        column.extend(part)
    every = [text for part in parts for text in part]
    assert column.count == len(every)
    assert column.texts() == every
    assert list(column.snapshot().containing(wanted)) == [wanted in text for text in every]


def test_those_at_some_places() -> None:
    column = TextColumn()
    column.extend(["one", "two", "three", "four"])
    places = array("i", [3, NOWHERE, 0, 2])
    assert column.snapshot(places).containing("o") == b"\1\0\1\0"
    assert column.snapshot(places).containing("e") == b"\0\0\1\1"


def test_what_is_added_later_changes_no_snapshot() -> None:
    column = TextColumn()
    column.extend(["one"])
    before = column.snapshot()
    for number in range(CHUNK_OCTETS // 4):
        column.extend([f"one {number}"])
    assert before.containing("one") == b"\1"
    after = column.snapshot()
    assert after.containing("one") == b"\1" * (1 + CHUNK_OCTETS // 4)
    assert after.containing("e 77").count(1) == 111
    assert 1 < len(after.chunks) < 10
    assert column.octets == sum(len(texts) for _, texts in after.chunks)
