"""Turns between processes, as two open pairs of files in one process see them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from postino.core.errors import TemporarilyUnavailable
from postino.store.engine.turns import Turns


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Turns, Turns]]:
    one, other = Turns(tmp_path / "db", 0.05), Turns(tmp_path / "db", 0.05)
    yield one, other
    one.close()
    other.close()


def test_who_has_the_turn_has_it_alone(pair: tuple[Turns, Turns]) -> None:
    one, other = pair
    one.take()
    assert not other.take_at_once()
    assert not other.take_briefly()
    with pytest.raises(TemporarilyUnavailable):
        other.take()
    one.give()
    assert other.take_briefly()
    assert not one.take_at_once()
    other.give()
    assert one.take_at_once()


def test_only_what_is_brief_goes_before_who_is_next(pair: tuple[Turns, Turns], tmp_path: Path) -> None:
    one, other = pair
    holder = Turns(tmp_path / "db", 0.05)
    holder.take()
    # `other` waits as the next one, and gives up; while it waits it holds the second file.
    one._open()
    _, following = other._open()
    other._lock(following, 0.0)
    holder.give()
    assert not one.take_at_once()
    assert one.take_briefly()
    holder.close()
