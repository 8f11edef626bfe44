"""The arithmetic behind the benchmarks: busy time, goodput and rates, from spans whose truth is known."""

import pytest

from bench.harness.goodput import first_s, goodput, rate_at, steps
from bench.harness.journal import Journal, Span, busy_s, quantile_s


def span(name: str, came_s: float, ended_s: float, *, is_served: bool = True) -> Span:
    return Span(name, came_s, ended_s, is_served, 200 if is_served else 503, None if is_served else "http_503")


def test_busy_time_is_capped_by_the_slots() -> None:
    """Three requests at once on two slots: the third only waits."""
    spans = [span("a", 0, 2), span("b", 0, 2), span("c", 1, 3)]
    assert busy_s(spans, slots=2, until_s=10) == pytest.approx(5)
    assert busy_s(spans, slots=3, until_s=10) == pytest.approx(6)


def test_busy_time_ends_where_the_window_does() -> None:
    """What goes on after the window is not counted, nor what begins after it."""
    assert busy_s([span("a", 0, 5), span("b", 4, 6)], slots=1, until_s=3) == pytest.approx(3)


def test_perfect_goodput_is_the_ideal() -> None:
    """One slot that is never idle, every second send failing at half the price: all of the ideal."""
    spans = []
    for number in range(100):
        at = 1.5 * number
        spans += [span(f"{number}", at, at + 0.5, is_served=False), span(f"{number}", at + 0.5, at + 1.5)]
    found = goodput(Journal(tuple(spans)), slots=1)
    assert found.of_ideal == pytest.approx(1.0)
    assert found.attempts == 2
    assert found.fault_share == pytest.approx(0.5)


def test_a_second_right_reply_is_not_useful() -> None:
    """Only the first right reply to a request counts."""
    journal = Journal((span("a", 0, 1), span("a", 1, 2)))
    assert [each.ended_s for each in journal.served()] == [1]


def test_rates_and_quantiles() -> None:
    """Ten events, one a second."""
    moments = [float(number) for number in range(10)]
    assert rate_at(moments, 2.0, 4.0) == 1.0
    assert first_s(moments, steps(0.0, 10.0, 1.0), 3.0, (0.0, 0.5)) == 9.0
    assert quantile_s(moments, 0.5) == 4.0
