"""Means and intervals are Student's."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.rng import derive
from star_agents.lab.chance import normal, uniforms
from star_agents.lab.summary import estimate


def test_an_interval_by_the_book() -> None:
    """Five values: t = 2.776 with four degrees of freedom."""
    found = estimate([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.mean == 3.0
    assert found.half_width == pytest.approx(2.776 * math.sqrt(2.5) / math.sqrt(5))
    assert (found.low, found.high) == (3.0 - (found.half_width or 0), 3.0 + (found.half_width or 0))


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    """Nothing is made up."""
    assert estimate([0.5]).half_width is None
    with pytest.raises(ValueError, match="nothing"):
        estimate([])


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """Over 2,000 samples of seven normal numbers, 95 % within three standard errors."""
    rng = derive(3, "test")
    found = [estimate([rng.gauss(1.0, 2.0) for _ in range(7)]) for _ in range(2000)]
    covered = sum(one.low <= 1.0 <= one.high for one in found) / len(found)
    assert abs(covered - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 2000)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=200))
def test_the_mean_is_inside(values: list[float]) -> None:
    """Whatever the number of values, and more of the same make it narrower."""
    found = estimate(values)
    assert found.low <= found.mean <= found.high
    assert (estimate(values * 2).half_width or 0) <= (found.half_width or 0) + 1e-12


def test_chance_is_uniform_normal_and_named() -> None:
    """Moments of both, and the same name draws the same numbers."""
    drawn = [uniforms(2, 7, "test", number) for number in range(5000)]
    flat = [value for both in drawn for value in both]
    assert all(0 < value < 1 for value in flat)
    assert abs(sum(flat) / len(flat) - 0.5) < 4 * math.sqrt(1 / 12 / len(flat))
    assert abs(sum(one * other for one, other in drawn) / len(drawn) - 0.25) < 0.01
    squares = [normal(value) ** 2 for value in flat]
    assert abs(sum(squares) / len(squares) - 1) < 4 * math.sqrt(2 / len(squares))
    assert uniforms(2, 7, "test", 3) == drawn[3] != uniforms(2, 8, "test", 3)
