"""Deadlines that follow what is usual."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.traffic.deadlines import FACTOR, FLOOR_S, AdaptiveDeadline


@pytest.mark.fault("F-06")
def test_three_times_the_usual_and_at_least_a_minute() -> None:
    """F-06: nothing is known at first; then a fast endpoint has a minute, and a slow one three times its p99."""
    fast, slow = AdaptiveDeadline(600.0), AdaptiveDeadline(600.0)
    assert fast.after_s == 600.0
    for number in range(200):
        fast.note(0.2)
        slow.note(30.0 + number % 10)
    assert fast.after_s == FLOOR_S
    assert slow.after_s == FACTOR * 39.0


def test_one_odd_wait_in_two_hundred_changes_nothing() -> None:
    """The 99th percentile, not the longest."""
    deadline = AdaptiveDeadline(600.0)
    for number in range(400):
        deadline.note(150.0 if number == 200 else 1.0)
    assert deadline.after_s == FLOOR_S


@pytest.mark.fault("F-06")
def test_a_deadline_that_became_too_short_grows() -> None:
    """An endpoint turns slow: the waits that are cut off count as long as they lasted, and soon none is cut off."""
    deadline, cut_off = AdaptiveDeadline(600.0), 0
    for _ in range(512):
        deadline.note(1.0)
    for _ in range(100):
        waited = min(170.0, deadline.after_s)
        cut_off += waited < 170.0
        deadline.note(waited)
    assert cut_off <= 10
    assert deadline.after_s == 3 * 170.0


@given(st.floats(1, 3600), st.floats(0.1, 200), st.lists(st.floats(0, 10_000), max_size=200))
def test_it_stays_between_the_floor_and_the_ceiling(ceiling: float, floor: float, waits: list[float]) -> None:
    """Whatever the waits; and never above what was configured for the whole call."""
    deadline = AdaptiveDeadline(ceiling, floor_s=floor)
    for waited in waits:
        deadline.note(waited)
        assert min(floor, ceiling) <= deadline.after_s <= ceiling
