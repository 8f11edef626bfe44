"""`kill -9` at any moment: nothing is missing, nothing is doubled, and at most what was in flight is sent again."""

import random
from pathlib import Path

import pytest

from tests.process.harness import NUM_SEEDS, Run, mock_endpoint, tiny_models

CONCURRENCY = 4


def kill_and_compare(tmp_path: Path, models: dict[str, str] | None, moments: list[int]) -> None:
    with mock_endpoint(tmp_path, "--latency-ms", "30") as endpoint:
        broken = Run(tmp_path, endpoint, models)
        in_flight = [broken.kill_after(calls) for calls in moments]
        broken.finish()
        resent = sum(times - 1 for times in endpoint.sends().values())
    numbers = sorted([row["metadata"]["seed"] for row in broken.rows()] + broken.dropped())
    assert numbers == list(range(NUM_SEEDS))
    assert resent <= sum(each.total for each in in_flight)
    for each in in_flight:
        assert each.total <= CONCURRENCY


@pytest.mark.fault("F-64")
@pytest.mark.timeout(300)
def test_two_kills(tmp_path: Path) -> None:
    """Killed twice and resumed, with tiny scorers."""
    kill_and_compare(tmp_path, tiny_models(tmp_path), [10, 37])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_kills_of_the_quickstart(tmp_path: Path) -> None:
    """The quickstart with its real scorers, killed at ten random moments and resumed each time."""
    chance = random.Random(20261122)
    kill_and_compare(tmp_path, None, [chance.randint(0, 25) for _ in range(10)])
