"""The limits of an API, on time that is a number."""

from datetime import UTC, datetime

import pytest

from star_agents.mock.limits import ApiLimits, Cost, Gate, Style, go_duration
from star_agents.traffic.retry_after import parse_retry_after

WALL = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ONE = Cost(1, 1, 1)


def admitted(gate: Gate, now: float, tries: int = 1000) -> int:
    """How many of so many requests come in at once."""
    return sum(gate.admit(now, ONE, 0) is None for _ in range(tries))


def test_a_minutes_worth_and_no_more() -> None:
    """A burst of the whole minute, then as the bucket fills, and the wait is until then."""
    gate = Gate(ApiLimits(requests=60))
    assert admitted(gate, 0.0) == 60
    assert gate.admit(0.0, ONE, 0) == pytest.approx(1.0)
    assert admitted(gate, 10.0) == 10
    assert admitted(gate, 1000.0) == 60


@pytest.mark.parametrize(
    ("limits", "count"),
    [
        (ApiLimits(tokens=1000), 8),
        (ApiLimits(input_tokens=1000), 50),
        (ApiLimits(output_tokens=1000), 33),
        (ApiLimits(requests=5, tokens=1000), 5),
    ],
)
def test_what_each_bucket_counts(limits: ApiLimits, count: int) -> None:
    """Prompt and what max_tokens allows; the prompt; the answer as it is; the tightest decides."""
    gate = Gate(limits)
    assert sum(gate.admit(0.0, Cost(20, 30, 100), 0) is None for _ in range(100)) == count


def test_a_request_larger_than_the_bucket_comes_in_when_it_is_full() -> None:
    """Otherwise it never would."""
    gate = Gate(ApiLimits(tokens=60))
    assert gate.admit(0.0, Cost(500, 1, 500), 0) is None
    assert 0 < (gate.admit(1.0, Cost(500, 1, 500), 0) or 0) < 1000


def test_calls_at_once() -> None:
    """One more than the limit is told to go, without a time."""
    gate = Gate(ApiLimits(in_flight=2))
    assert [gate.admit(0.0, ONE, in_flight) for in_flight in (0, 1, 2)] == [None, None, 0.0]


def test_capacity_steps_scale_everything() -> None:
    """A tenth, and back."""
    gate = Gate(ApiLimits(requests=600, in_flight=10))
    gate.scale(0.0, 0.1)
    assert (admitted(gate, 0.0), admitted(gate, 10.0)) == (60, 10)
    assert gate.admit(20.0, ONE, 1) == 0.0
    gate.scale(20.0, 1.0)
    assert admitted(gate, 20.0) == pytest.approx(100, abs=1)


@pytest.mark.parametrize("style", ["openai", "anthropic"])
def test_our_own_parser_reads_the_headers(style: Style) -> None:
    """When the emptiest bucket will be full."""
    gate = Gate(ApiLimits(requests=60, input_tokens=600, style=style))
    for _ in range(30):
        gate.admit(0.0, Cost(1, 1, 1), 0)
    assert parse_retry_after(gate.headers(0.0, WALL), WALL) == pytest.approx(30, abs=1)


def test_durations_as_go_writes_them() -> None:
    """Milliseconds, seconds, minutes and seconds."""
    assert [go_duration(seconds) for seconds in (0, 0.02, 1.5, 90, 360)] == ["0ms", "20ms", "1.5s", "1m30s", "6m0s"]
