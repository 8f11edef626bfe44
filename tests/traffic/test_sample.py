"""Ratios of sums and their standard errors."""

from math import inf
from random import Random
from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.traffic.sample import Ratio

PARTS = st.lists(st.tuples(st.floats(0.001, 1e3), st.floats(0.001, 1e3)), min_size=3, max_size=50)


def ratio_of(parts: list[tuple[float, float]]) -> Ratio:
    ratio = Ratio()
    for top, bottom in parts:
        ratio.add(top, bottom)
    return ratio


@given(PARTS)
def test_it_is_the_ratio_of_the_sums(parts: list[tuple[float, float]]) -> None:
    """And its error is a number from 0 up."""
    ratio = ratio_of(parts)
    assert ratio.value == pytest.approx(sum(top for top, _ in parts) / sum(bottom for _, bottom in parts))
    assert 0.0 <= ratio.error < inf


@given(st.floats(0.01, 100.0), st.lists(st.floats(0.01, 1e3), min_size=3, max_size=50))
def test_parts_in_one_proportion_leave_no_doubt(rate: float, bottoms: list[float]) -> None:
    """A long answer that takes long is no spread."""
    assert ratio_of([(rate * bottom, bottom) for bottom in bottoms]).error <= 1e-6


def test_the_error_is_how_far_off_it_is() -> None:
    """Over many samples of a lognormal, the spread of the ratio is what each of them says it is."""
    rng = Random(3)
    samples = [ratio_of([(rng.lognormvariate(0.0, 1.0), 1.0) for _ in range(200)]) for _ in range(400)]
    spread = stdev(sample.value for sample in samples) / mean(sample.value for sample in samples)
    assert mean(sample.error for sample in samples) == pytest.approx(spread, rel=0.1)


def test_of_nothing_and_of_little_it_knows_nothing() -> None:
    """Fewer than three parts have no spread."""
    assert (Ratio().value, Ratio().error) == (0.0, inf)
    assert ratio_of([(1.0, 1.0), (2.0, 1.0)]).error == inf
