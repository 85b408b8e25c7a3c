"""A few simulated weeks of mail; `make sim` runs many. A seed decides everything, so one that fails can be run again."""

import os

import pytest

from tests.sim.simulation import simulate

SEEDS = os.environ.get("POSTINO_SIM_SEEDS", "101 202 303 404 505 606").split()


@pytest.mark.parametrize("seed", SEEDS)
def test_everybody_comes_to_one_end(seed: str) -> None:
    outcomes = simulate(seed)
    assert not outcomes.findings, str(outcomes)


def test_a_seed_decides_everything() -> None:
    assert simulate("7").trace == simulate("7").trace
    assert simulate("7").trace != simulate("8").trace
