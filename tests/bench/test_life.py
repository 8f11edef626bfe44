"""The arithmetic of the soak: slopes, and percentiles of a histogram."""

import pytest

from bench.life.look import lateness
from bench.life.trend import trend
from star_agents.service.view.loop_lag import BOUNDS_S


def test_a_slope_is_per_hour() -> None:
    """A megabyte in a thousand seconds is 3.6 an hour, with no error where the points lie on a line."""
    grown = trend([0.0, 500.0, 1000.0, 1500.0], [7.0, 7.5, 8.0, 8.5])
    assert grown.per_hour == pytest.approx(3.6)
    assert grown.error == pytest.approx(0.0, abs=1e-9)
    assert (grown.first, grown.last) == (7.0, 8.5)


def test_noise_is_an_error_and_no_slope() -> None:
    """Values that go up and down around one place grow by less than their error."""
    grown = trend([float(at) for at in range(100)], [float(at % 2) for at in range(100)])
    assert abs(grown.per_hour) < 2 * grown.error


def test_lateness_is_never_told_too_small() -> None:
    """Percentiles are the upper ends of the buckets that hold them."""
    counts = [0] * (len(BOUNDS_S) + 1)
    counts[0], counts[3], counts[7] = 980, 15, 5
    late = lateness(counts)
    assert (late.p50, late.p99, late.most) == (1.0, 10.0, 250.0)
    assert lateness([0] * len(counts)).most == 0.0
